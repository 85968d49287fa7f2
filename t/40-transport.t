#!/usr/bin/env python3
"""UDP, TCP and TLS: addresses, framing, keep-alives, limits, flows."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server, has_ipv6, poll
from tap import cases, is_, like, ok, run, skip, test

LOCAL = ["127.0.0.1"] + (["::1"] if has_ipv6() else [])
EVERY = [(f"{transport} {host}", transport, host)
         for host in ("127.0.0.1", "::1") for transport in sip.ENDPOINTS]
STREAMS = [("tcp", "tcp"), ("tls", "tls")]


def need(host):
    if host not in LOCAL:
        skip(f"no {host} here")


def top_via(response):
    return sip.Address(response.get("Via")).params


def answers(endpoint):
    """True if the server answers an OPTIONS on this endpoint."""
    try:
        return endpoint.exchange(sip.request(endpoint)).status == 200
    except OSError:
        return False


# --- every transport

@cases(EVERY)
def a_phone_registers_over(server, transport, host):
    need(host)
    phone = server.fresh_phone()
    phone.endpoint = server.connect(transport, host)
    response = phone.register()
    is_(response.status, 200, "status")
    is_([c.uri for c in response.contacts],
        [phone.endpoint.contact(phone.user).strip("<>")], "the contact")
    binding, = server.bindings(phone.user)
    is_(binding["transport"].lower(), transport, "the binding's transport")
    ok(str(phone.endpoint.local[1]) in binding["received"],
       "the address that it came from", binding["received"])
    is_(binding["reachable"], True, "reachable")


@cases([(name, name) for name in sip.ENDPOINTS])
def all_workers_see_one_location_table(server, transport):
    phone = server.fresh_phone(transport)
    phone.register()
    for number in range(12):
        other = server.phone(phone.user, transport)
        is_(len(other.fetch().contacts), 1, f"asked from port {number}")


@test
def connections_are_listed(server):
    phone = server.fresh_phone("tls")
    phone.register()
    mine = f"127.0.0.1:{phone.endpoint.local[1]}"
    found = [c for c in server.rpc("connections.list", limit=1000)
             ["connections"] if mine in c["remote"]]
    is_(len(found), 1, "once")
    is_(found[0]["transport"].lower(), "tls", "transport")
    is_(found[0]["aors"], [phone.aor], "aors")
    like(found[0]["tls"]["version"], r"1\.[23]", "TLS version")
    ok(found[0]["tls"]["cipher"], "TLS cipher")
    ok(str(server.tls) in found[0]["local"], "local", found[0]["local"])


# --- where the answer goes

@test
def rport_and_received_are_filled_in(server):
    endpoint = server.connect("udp")
    message = sip.request(endpoint)
    message.set("Via", endpoint.via("phone.invalid:5999"))
    via = top_via(endpoint.exchange(message))
    is_(via.get("rport"), str(endpoint.local[1]), "rport")
    is_(via.get("received"), "127.0.0.1", "received")


@test
def received_stands_beside_rport_for_a_true_sent_by(server):
    endpoint = server.connect("udp")
    via = top_via(endpoint.exchange(sip.request(endpoint)))
    is_((via.get("rport"), via.get("received")),
        (str(endpoint.local[1]), "127.0.0.1"), "RFC 3581 wants both")


@cases([("its own address", "127.0.0.1", None),
        ("another name", "phone.invalid", "127.0.0.1")])
def without_rport_the_answer_goes_to_the_sent_by_port(server, host, received):
    sender, listener = server.connect("udp"), server.connect("udp")
    message = sip.request(sender)
    message.set("Via", sender.via(f"{host}:{listener.local[1]}", params=""))
    sender.send(message)
    via = top_via(listener.final(message))
    ok("rport" not in via, "no rport", via)
    is_(via.get("received"), received, "received")


@test
def other_vias_and_parameters_stay(server):
    endpoint = server.connect("udp")
    message = sip.request(endpoint)
    first = endpoint.via(params=";rport;x=y")
    rest = ("SIP/2.0/TCP proxy.invalid;branch=z9hG4bKa;received=192.0.2.1",
            "SIP/2.0/UDP phone.invalid;branch=z9hG4bKb;rport")
    message.set("Via", first, ", ".join(rest))
    found = endpoint.exchange(message).values("Via")
    is_(len(found), 3, "all three")
    is_(top_via(sip.Message("", [("Via", found[0])])).get("x"), "y",
        "the parameter")
    is_(tuple(found[1:]), rest, "the others untouched")


@test
def a_datagram_is_answered_from_where_it_was_sent_to(server):
    endpoint = server.connect("udp")
    endpoint.exchange(sip.request(endpoint))
    is_(endpoint.source[:2], endpoint.peer, "the source")


@cases(STREAMS)
def a_stream_is_answered_on_the_connection(server, transport):
    endpoint = server.connect(transport)
    for params in ("", ";rport"):
        message = sip.request(endpoint)
        message.set("Via", endpoint.via("192.0.2.77:5999", params))
        response = endpoint.exchange(message)
        is_(response.status, 200, f"whatever the Via says {params}")
        is_(top_via(response).get("received"), "127.0.0.1", "received")


# --- framing

@cases(STREAMS)
def a_message_may_come_byte_by_byte(server, transport):
    endpoint = server.connect(transport)
    message = sip.request(endpoint)
    for byte in message.encode():
        endpoint.send_bytes(bytes([byte]))
    is_(endpoint.final(message).status, 200, "status")


@cases(STREAMS)
def messages_may_come_together(server, transport):
    endpoint = server.connect(transport)
    asked = [sip.request(endpoint) for _ in range(50)]
    data = b"".join(message.encode() for message in asked)
    cut = len(data) - 100
    endpoint.send_bytes(data[:cut])
    seen = [endpoint.recv().get("Call-ID") for _ in asked[1:]]
    endpoint.send_bytes(data[cut:])
    seen.append(endpoint.recv().get("Call-ID"))
    is_(sorted(seen), sorted(message.get("Call-ID") for message in asked),
        "each is answered once")


@cases(STREAMS)
def a_body_is_not_taken_for_a_message(server, transport):
    endpoint = server.connect(transport)
    message = sip.request(endpoint, headers=[
        ("Content-Type", "application/sdp")])
    message.body = sip.request(endpoint).encode() * 3
    endpoint.send(message)
    is_([m.get("Call-ID") for m in endpoint.fence()],
        [message.get("Call-ID")], "one answer")


@cases([("no", None), ("two", ["0", "5"]), ("negative", ["-1"]),
        ("worded", ["none"]), ("empty", [""]), ("signed", ["+0"]),
        ("endless", ["9" * 30])])
def a_stream_with_a_wrong_content_length_ends(server, lengths):
    endpoint = server.connect("tcp")
    message = sip.request(endpoint).set("Content-Length", *(lengths or ()))
    endpoint.send(message, length=False)
    answer = endpoint.recv()
    ok(answer.status in (400, 413, 513), "refused", answer.start)
    if answer.status == 400:
        like(answer.reason, "(?i)content-length", "the reason names it")
    ok(endpoint.wait_closed(), "then closed, as the border is lost")


@test
def a_datagram_may_be_longer_than_its_body(server):
    endpoint = server.connect("udp")
    message = sip.request(endpoint)
    endpoint.send(message.encode() + b"left over")
    is_(endpoint.final(message).status, 200, "the rest is ignored")


@test
def a_datagram_needs_no_content_length(server):
    endpoint = server.connect("udp")
    message = sip.request(endpoint)
    endpoint.send(message, length=False)
    is_(endpoint.final(message).status, 200, "it ends where it ends")


@test
def a_datagram_shorter_than_its_body_is_400(server):
    endpoint = server.connect("udp")
    message = sip.request(endpoint).set("Content-Length", 500)
    is_(endpoint.exchange(message).status, 400, "status")


@test
def a_datagram_may_begin_with_empty_lines(server):
    endpoint = server.connect("udp")
    message = sip.request(endpoint)
    endpoint.send(b"\r\n\r\n" + message.encode())
    is_(endpoint.final(message).status, 200, "status")


# --- keep-alives

@cases(STREAMS)
def a_ping_is_answered_by_a_pong(server, transport):
    endpoint = server.connect(transport)
    for _ in range(3):
        endpoint.send_bytes(b"\r\n\r\n")
        is_(endpoint.recv_bytes(2), b"\r\n", "CRLFCRLF by CRLF")
    message = sip.request(endpoint)
    endpoint.send(b"\r\n\r\n" + message.encode() + b"\r\n\r\n")
    is_(endpoint.recv_bytes(9), b"\r\nSIP/2.0", "before a message")
    endpoint.recv_bytes(len(endpoint.buffer.partition(b"\r\n\r\n")[0]) + 4)
    is_(endpoint.recv_bytes(2), b"\r\n", "after a message")
    is_(endpoint.fence(), [], "nothing more")


@cases(STREAMS)
def a_split_ping_is_answered_once(server, transport):
    endpoint = server.connect(transport)
    for byte in b"\r\n\r\n":
        endpoint.send_bytes(bytes([byte]))
    is_(endpoint.recv_bytes(2), b"\r\n", "a pong")
    endpoint.send(sip.request(endpoint))
    is_(endpoint.recv_bytes(7), b"SIP/2.0", "one only")


@test
def one_empty_line_is_no_ping(server):
    endpoint = server.connect("tcp")
    endpoint.send(b"\r\n" + sip.request(endpoint).encode())
    is_(endpoint.recv_bytes(7), b"SIP/2.0", "no pong")


@cases([("IPv4", "127.0.0.1"), ("IPv6", "::1")])
def a_stun_binding_is_answered(server, host):
    need(host)
    endpoint = server.connect("udp", host)
    asked = sip.stun_request()
    endpoint.send_bytes(asked)
    kind, transaction, found = sip.stun_attributes(endpoint.recv_bytes())
    is_(kind, 0x0101, "a Binding success response")
    is_(transaction, asked[8:20], "the transaction")
    is_(sip.stun_xor_address(found[0x0020], transaction), endpoint.local,
        "XOR-MAPPED-ADDRESS")


JUNK = [
    ("one zero", b"\0"),
    ("text", b"hello\r\n"),
    ("binary", bytes(range(256)) * 4),
    ("a cut STUN request", sip.stun_request()[:17]),
    ("a STUN response", b"\1\1" + sip.stun_request()[2:]),
    ("STUN of another length", sip.stun_request() + b"1234"),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a request line alone", b"OPTIONS sip:example.com SIP/2.0\r\n\r\n"),
    ("no end of the header", b"OPTIONS sip:example.com SIP/2.0\r\nVia: x"),
    ("a zero in the header", b"OPTIONS sip:example.com SIP/2.0\r\n\0: \r\n"
                             b"\r\n"),
]


@cases(JUNK)
def a_junk_datagram_is_dropped_and_counted(server, junk):
    before = server.counters()
    endpoint = server.connect("udp")
    endpoint.send_bytes(junk)
    is_(endpoint.fence(), [], "no answer")
    ok(server.grown(before, "^dropped_(junk|unanswerable)$") >= 1, "counted",
       server.counters())


@test
def empty_datagrams_are_ignored(server):
    endpoint = server.connect("udp")
    for data in (b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0"):
        endpoint.send_bytes(data)
    is_(endpoint.fence(), [], "no answer to a keep-alive of old")


@cases([("a word", b"hello\r\n\r\n"), ("binary", bytes(range(256)) * 4),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 600),
        ("zeros", b"\0" * 5000)])
def a_junk_stream_is_closed(junk):
    with Server({"limits": {"header_seconds": 2}}) as server:
        endpoint = server.connect("tcp")
        endpoint.send_bytes(junk)
        ok(endpoint.wait_closed(), "closed")
        ok(answers(server.connect("tcp")), "the server lives")


# --- size

@cases([("tcp", "tcp"), ("tls", "tls"), ("udp", "udp")])
def a_message_above_message_size_is_refused(transport):
    with Server({"limits": {"message_size": 4000}}) as server:
        endpoint = server.connect(transport)
        message = sip.request(endpoint, headers=[
            ("Content-Type", "text/plain")], body=b"x" * 5000)
        before = server.counters()
        ok(endpoint.exchange(message).status in (413, 513), "status")
        ok(server.grown(before, "^limit_message_size$") >= 1, "counted",
           server.counters())
        ok(answers(server.connect(transport)), "the server lives")


@test
def a_size_that_is_announced_is_refused_before_it_comes():
    with Server({"limits": {"message_size": 4000}}) as server:
        endpoint = server.connect("tcp")
        message = sip.request(endpoint).set("Content-Length", 5000)
        ok(endpoint.exchange(message).status in (413, 513), "status")
        ok(endpoint.wait_closed(), "then closed")


@test
def an_endless_header_ends_the_connection():
    with Server({"limits": {"message_size": 4000}}) as server:
        endpoint = server.connect("tcp")
        endpoint.send_bytes(b"OPTIONS sip:example.com SIP/2.0\r\nX: "
                            + b"x" * 8000)
        ok(endpoint.wait_closed(), "closed")


# --- limits

def refused(server, transport="tcp", **options):
    """True if a further connection is closed with no answer."""
    try:
        with sip.ENDPOINTS[transport](("127.0.0.1", getattr(
                server, transport)), **options) as endpoint:
            return not answers(endpoint)
    except OSError:
        return True


def limited(config, **options):
    """A server whose limits are these."""
    return Server({"limits": config}, **options)


def fill(server, count, **options):
    connections = [server.connect("tcp", **options) for _ in range(count)]
    for connection in connections:
        if not answers(connection):
            raise AssertionError("refused below the limit")
    return connections


@test
def connections_are_limited_in_all():
    with limited({"connections": 4}) as server:
        held = fill(server, 4)
        before = server.counters()
        ok(refused(server), "one more TCP connection")
        ok(refused(server, "tls"), "one more TLS connection")
        ok(server.grown(before, "^limit_connections$") >= 2, "counted",
           server.counters())
        ok(answers(held[0]), "the others live on")
        ok(answers(server.connect("udp")), "UDP is not concerned")
        held[0].close()
        poll(lambda: not refused(server), what="the freed place")


@test
def connections_are_limited_per_address():
    with limited({"connections_per_address": 3}) as server:
        held = fill(server, 3)
        ok(refused(server), "one more from the same address")
        ok(not refused(server, local=("127.0.0.2", 0)), "one from another")
        held[0].close()
        poll(lambda: not refused(server), what="the freed place")


@test
def hitting_a_limit_is_an_event():
    with limited({"connections_per_address": 1}) as server, \
            server.control() as control:
        control.call("events.subscribe", types=["limited"])
        fill(server, 1)
        refused(server)
        like(str(control.wait_event("limited")), r"127\.0\.0\.1",
             "with the address")


@test
def unproven_connections_are_limited():
    with limited({"unauthenticated": 2}) as server:
        held = fill(server, 2)
        ok(refused(server), "a third that has proven nothing")
        is_(sip.Phone(held[0]).register().status, 200, "one proves a user")
        poll(lambda: not refused(server), what="the freed place")


@test
def a_connection_that_proves_nothing_is_closed():
    with limited({"unauthenticated_seconds": 1}) as server:
        proven = server.phone("alice", "tcp")
        proven.register()
        silent, talking = server.connect("tcp"), server.connect("tcp")
        wrong = server.phone("alice", "tls", password="wrong")
        wrong.register()
        answers(talking)
        for name, endpoint in (("silent", silent), ("talking", talking),
                               ("wrong password", wrong.endpoint)):
            ok(endpoint.wait_closed(), name)
        ok(answers(proven.endpoint), "one that has proven a user stays")


@test
def a_tls_handshake_must_come_in_time():
    with limited({"unauthenticated_seconds": 1}) as server:
        with sip.Tcp(("127.0.0.1", server.tls)) as endpoint:
            ok(endpoint.wait_closed(), "closed")


@test
def an_idle_connection_is_closed():
    with limited({"idle_seconds": 2}) as server:
        idle, busy = (server.phone(user, "tcp") for user in ("alice", "bob"))
        idle.register()
        busy.register()

        def idle_is_closed():
            busy.endpoint.send_bytes(b"\r\n\r\n")
            busy.endpoint.recv_bytes(2)
            return idle.endpoint.closed_now()
        poll(idle_is_closed, what="the idle connection to be closed")
        ok(answers(busy.endpoint), "one that pings stays")


@test
def a_header_must_come_in_time():
    with limited({"header_seconds": 1}) as server:
        stuck, dripping = server.connect("tcp"), server.connect("tcp")
        start = b"OPTIONS sip:example.com SIP/2.0\r\nX: "
        stuck.send_bytes(start)
        dripping.send_bytes(start)
        ok(stuck.wait_closed(), "one that stops in the middle")

        def dripping_is_closed():
            try:
                dripping.send_bytes(b"x")
            except ConnectionError:
                return True
            return dripping.closed_now()
        poll(dripping_is_closed, what="the slow connection to be closed")


# --- flows

@cases([("tcp, closed", "tcp", "close"), ("tcp, reset", "tcp", "reset"),
        ("tls, closed", "tls", "close")])
def a_closed_flow_makes_its_bindings_unreachable(server, transport, how):
    phone = server.fresh_phone(transport)
    phone.register()
    is_(server.bindings(phone.user)[0]["reachable"], True, "before")
    getattr(phone.endpoint, how)()
    server.wait_until(
        lambda: not server.bindings(phone.user)[0]["reachable"],
        what="the binding to become unreachable")
    is_(len(server.bindings(phone.user)), 1, "it is not forgotten")
    phone.endpoint = server.connect(transport)
    phone.register(f"<{server.bindings(phone.user)[0]['uri']}>")
    is_([b["reachable"] for b in server.bindings(phone.user)], [True],
        "a new flow makes it reachable again")


@test
def the_end_of_an_old_flow_does_not_harm_the_new_one(server):
    phone = server.fresh_phone("tcp")
    contact = phone.endpoint.contact(phone.user)
    phone.register(contact)
    old, phone.endpoint = phone.endpoint, server.connect("tcp")
    phone.register(contact)
    port = old.local[1]
    old.close()
    server.wait_until(lambda: not any(
        c["remote"].endswith(f":{port}") for c in server.rpc(
            "connections.list", limit=1000)["connections"]),
        what="the old connection to go")
    is_([b["reachable"] for b in server.bindings(phone.user)], [True],
        "the binding is the new flow's")


@test
def an_answer_to_a_closed_connection_is_survived(server):
    for transport in ("tcp", "tls") * 10:
        endpoint = server.connect(transport)
        endpoint.send_bytes(sip.request(endpoint).encode() * 20)
        endpoint.reset()
    ok(answers(server.connect("tcp")), "the server lives")


@test
def a_reader_that_does_not_read_stops_nobody(server):
    deaf = server.connect("tcp")
    deaf.sock.settimeout(0.2)
    data = sip.request(deaf, headers=[("X-Fill", "x" * 500)]).encode() * 200
    try:
        for _ in range(100):
            deaf.send_bytes(data)
    except OSError:
        pass
    for transport in sip.ENDPOINTS:
        for _ in range(8):
            ok(answers(server.connect(transport)), f"{transport} is served")


run(Server({"workers": 4}, hosts=LOCAL))
