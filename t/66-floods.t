#!/usr/bin/env python3
"""Floods of messages: what is too much is refused and counted, costs no
memory, and the phones of others are served meanwhile."""

import itertools
import os
import socket
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import USERS, Server
from crowd import (Crowd, all_left, gauges, is_at_rest, is_counted,
                   is_told_once, memory, others_are_served, stays_flat)
from tap import SLOW, cases, is_, like, ok, run, skip, test

EVERY = tuple(sip.ENDPOINTS)
STREAMS = [("tcp", "tcp"), ("tls", "tls")]
MANY, SOME = (2000, 1000) if SLOW else (10000, 5000)
MEGABYTE = 1 << 20
# The largest datagram of IPv4.
DATAGRAM_MAX = 65507


# --- headers

def lines(count):
    """As many header lines in all, with the one that is added when sent."""
    def bend(message):
        message.headers += [("X", n) for n in range(
            count - 1 - len(message.headers))]
    return bend


def one_line(value):
    return lambda message: message.add("X", value)


@cases([
    ("128 lines", lines(128), 200, ""),
    ("129 lines", lines(129), 400, "Lines"),
    ("6,000 lines", lines(6000), 400, "Lines"),
    ("512 commas", one_line("," * 512), 200, ""),
    ("513 commas", one_line("," * 513), 400, "Commas"),
    ("60,000 commas", one_line("," * 60000), 400, "Commas"),
    ("a line of 60 kB", one_line("x" * 60000), 200, ""),
    ("60 kB of folds", one_line("x" + "\r\n " * 20000), 400, "Lines"),
    ("a Via of 60 kB", lambda m: m.set(
        "Via", m.get("Via") + ";x=" + "x" * 60000), 200, ""),
])
def a_flood_of_headers(server, bend, status, reason):
    before = server.counters()
    endpoints = [server.connect(transport) for transport in EVERY]
    for endpoint in endpoints:
        message = sip.request(endpoint)
        bend(message)
        answers = [endpoint.exchange(message) for _ in range(20)]
        is_([a.status for a in answers], [status] * 20,
            f"{endpoint.transport}: each is answered")
        like(answers[0].reason, reason, "the reason")
    if status == 400:
        is_counted(server, before, "refused_bad_request",
                   20 * len(endpoints))
    others_are_served(server)


@cases(STREAMS)
def a_header_without_end_is_not_kept(server, transport):
    before, at_first = server.counters(), gauges(server)
    size = memory(server)
    with Crowd() as crowd:
        for peer in crowd.grow(server, transport, 20):
            try:
                peer.send_bytes(b"OPTIONS sip:example.com SIP/2.0\r\n")
                for _ in range(50):
                    peer.send_bytes(b"X: and so on\r\n" * 10000)
                ok(False, "it takes megabytes")
            except OSError:
                pass
        others_are_served(server)
        stays_flat(server, size, 8 * MEGABYTE, "memory")
    is_counted(server, before, "limit_message_size", 20)
    all_left(server, at_first)


# --- credentials

class Flood:
    """Datagrams from many addresses, each answered before the next is sent,
    so that none is lost."""

    def __init__(self, server):
        self.endpoints = [
            sip.Udp(("127.0.0.1", server.udp), local=(f"127.1.0.{n}", 0))
            for n in range(1, 251)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for endpoint in self.endpoints:
            endpoint.close()

    def send(self, make, count=MANY):
        """The last answer to as many messages of make(phone)."""
        phones = itertools.cycle([sip.Phone(endpoint, "alice")
                                  for endpoint in self.endpoints])
        for phone in itertools.islice(phones, count):
            phone.endpoint.send(make(phone))
            answer = phone.endpoint.recv_bytes()
        return sip.Message.parse(answer)


def forged(**options):
    """A REGISTER whose nonce is none of the server's."""
    def make(phone):
        phone.challenge = {"realm": "example.com", "algorithm": "MD5",
                           "qop": "auth", "nonce": sip.random_token(16)}
        return phone.authorize(phone.build(), **options)
    return make


@cases([
    ("without credentials", lambda phone: phone.build(), "auth_challenged"),
    ("with forged nonces", forged(), "auth_stale"),
    ("with forged nonces and responses",
     forged(forge={"response": "0" * 32}), "auth_bad_credentials"),
])
def a_flood_of_strangers(server, make, counter):
    with Flood(server) as flood:
        flood.send(make, 500)
        before, at_first = server.counters(), gauges(server)
        kept = server.status()["transactions"]
        size = memory(server)
        is_(flood.send(make).status, 401, "each is challenged")
        others_are_served(server)
        stays_flat(server, size, 8 * MEGABYTE, "memory")
        is_counted(server, before, counter, MANY)
        all_left(server, at_first)
        # Of the others, one is kept: the phone that came over UDP.
        ok(server.status()["transactions"]["server"] <= kept["server"] + 1,
           "no transaction is made")


@test
def a_user_that_uses_each_nonce_once_costs_little(server):
    phone = server.fresh_phone("tcp")
    size = memory(server)
    for _ in range(SOME // 1000):
        is_(pipelined([phone] * 1000, ()), {200}, "each serves")
    others_are_served(server)
    stays_flat(server, size, 128 * SOME, "memory")


@cases([
    ("wrong passwords", "alice", "auth_bad_credentials"),
    ("unknown users", "nobody", "auth_unknown_user"),
    ("unknown users of long names", "n" * 10000, "auth_unknown_user"),
])
def a_flood_of_guesses(server, user, counter):
    with Flood(server) as flood:
        honest = sip.Phone(flood.endpoints[0])
        honest.challenged()

        def guess(phone):
            phone.user, phone.password = user, "guess"
            phone.challenge = honest.challenge
            return phone.authorize(phone.build())

        flood.send(guess, 500)
        before, at_first = server.counters(), gauges(server)
        size, mark = memory(server), server.mark()
        is_(flood.send(guess, SOME).status, 401, "each is challenged")
        others_are_served(server)
        stays_flat(server, size, 8 * MEGABYTE, "memory")
        is_counted(server, before, counter, SOME)
        all_left(server, at_first)
        # Who bans by the log finds each there, with its address.
        server.wait_until(
            lambda: server.log_since(mark).count(" address=127.1.0.")
            + server.grown(before, "^log_lines_lost$") >= SOME,
            what="a line of each")


# --- what a user may keep

def bound(phone):
    return len(phone.fetch().contacts)


@cases([
    ("10,000 characters", "a" * 10000),
    ("10,000 escaped characters", "%61" * 10000),
])
def an_endless_address_of_record_binds_nothing(server, user):
    bindings = server.status()["registrations"]
    for transport in EVERY:
        phone = server.phone("alice", transport,
                             aor=f"sip:{user}@example.com")
        answers = [phone.register("<sip:alice@192.0.2.1>").status
                   for _ in range(10)]
        ok(set(answers) <= {400, 403, 404}, f"refused over {transport}",
           answers)
    is_(server.status()["registrations"], bindings, "nothing is bound")
    others_are_served(server)


def contacts(count, size, start=0):
    return [f"<sip:{number}{'x' * (size - 25)}@192.0.2.1>"
            for number in range(start, start + count)]


@cases([
    ("1,000", list, 1000, 30, 400, 0),
    ("1,000 in a line", ", ".join, 1000, 30, 400, 0),
    ("65", list, 65, 30, 400, 0),
    ("64, when 10 may be", list, 64, 30, 403, 0),
    ("10 of 4 kB", list, 10, 4096, 200, 10),
    ("10 of 6 kB", list, 10, 6000, 403, 0),
])
def a_list_of_contacts(server, form, count, size, status, want):
    before = server.counters()
    for transport in EVERY:
        phone = server.fresh_phone(transport)
        asked = form(contacts(count, size))
        is_([phone.register(asked).status for _ in range(5)], [status] * 5,
            transport)
        is_(bound(phone), want, "so many are bound")
    if status == 403:
        is_counted(server, before, "limit_max_contacts", 15)
    others_are_served(server)


@test
def a_user_is_answered_however_much_it_keeps():
    with Server({"registrar": {"max_contacts": 1000}}) as server:
        phone = server.phone()
        phone.endpoint.timeout = 5
        for block in range(40):
            answer = phone.register([
                f"{contact};+sip.instance=\"<urn:uuid:{block}-{number}>\""
                for number, contact in enumerate(contacts(
                    25, 40, 25 * block))], headers=[("Supported", "gruu")])
            if answer.status != 200:
                break
        is_(answer.status, 403, "until it is too much")
        is_(bound(phone), 25 * block, "all of the others are told")


@cases([(transport, transport) for transport in EVERY])
def a_user_that_always_brings_new_contacts(server, transport):
    before = server.counters()
    phone = server.fresh_phone(transport)
    size = memory(server)
    for number in range(500):
        if number % 50 == 0:
            phone.endpoint = server.connect(transport)
        phone.register(contacts(1, 4000, number))
    ok(0 < bound(phone) <= 10, "no more than max_contacts are kept")
    stays_flat(server, size, 8 * MEGABYTE, "memory")
    is_counted(server, before, "limit_max_contacts", 400)
    others_are_served(server)


def pipelined(phones, contact, **options):
    """Each registers over the one connection that they share; the statuses."""
    asked = [phone.build(contact, **options) for phone in phones]
    endpoint = phones[0].endpoint
    endpoint.send(b"".join(message.encode() for message in asked))
    for phone, message in zip(phones, asked):
        phone.choose(endpoint.recv())
        phone.authorize(message)
    endpoint.send(b"".join(message.encode() for message in asked))
    return {endpoint.recv().status for _ in asked}


@test
def many_addresses_of_record_come_and_go():
    names = [f"v{number}" for number in range(1000)]
    with Server({"log": {"level": "notice"}}, USERS + [
            dict(USERS[0], username=name, password="v") for name in names]) \
            as server:
        others_are_served(server)
        before, size = server.status()["registrations"], []
        for _ in range(3):
            endpoint = server.connect("tcp")
            phones = [sip.Phone(endpoint, name, password="v")
                      for name in names]
            is_(pipelined(phones, "<sip:v@192.0.2.1>"), {200}, "all come")
            is_(server.status()["registrations"]["aors"],
                before["aors"] + len(names), "they are there")
            is_(pipelined(phones, "*", expires=0), {200}, "all go")
            is_(server.status()["registrations"], before, "they are gone")
            size.append(memory(server))
        stays_flat(server, size[0], 8 * MEGABYTE, "memory, from the first on")


# --- datagrams

@test
def a_flood_of_datagrams_of_all_sizes(server):
    before, at_first = server.counters(), gauges(server)
    size = memory(server)
    endpoint, answers = server.connect("udp"), []
    for number in range(500):
        for data in (b"", b"\0" * DATAGRAM_MAX, b"x" * DATAGRAM_MAX,
                     b"\r\n" * (DATAGRAM_MAX // 2),
                     os.urandom(1 + number)):
            endpoint.send_bytes(data)
        answers += endpoint.fence()
    is_(answers, [], "nothing is answered")
    others_are_served(server)
    stays_flat(server, size, 8 * MEGABYTE, "memory")
    is_counted(server, before, "dropped_(junk|unanswerable)", 500)
    all_left(server, at_first)


@test
def a_datagram_may_be_as_large_as_can_be(server):
    endpoint = server.connect("udp")
    message = sip.request(endpoint).add("X", "")
    message.set("X", "x" * (DATAGRAM_MAX - len(message.encode())))
    is_(len(message.encode()), DATAGRAM_MAX, "the size")
    is_(endpoint.exchange(message).status, 200, "it is served")


def bad_request(endpoint):
    return sip.request(endpoint).set("CSeq", "none")


def response(endpoint):
    message = sip.request(endpoint)
    message.start = "SIP/2.0 200 OK"
    return message


MIRRORED = [
    lambda endpoint: sip.request(endpoint).encode(),
    lambda endpoint: sip.Phone(endpoint).build().encode(),
    lambda endpoint: bad_request(endpoint).encode(),
    lambda endpoint: response(endpoint).encode(),
    lambda endpoint: sip.stun_request(),
    lambda endpoint: b"\0\1\2",
]


@test
def datagrams_that_seem_to_be_from_the_server_itself(server):
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                            socket.IPPROTO_UDP)
    except PermissionError:
        skip("raw sockets are not for everyone")
    before, at_first = server.counters(), gauges(server)
    with raw:
        raw.bind(("127.0.0.1", 0))
        for make in MIRRORED:
            data = make(server.connect("udp"))
            packet = struct.pack("!HHHH", server.udp, server.udp,
                                 8 + len(data), 0) + data
            for _ in range(50):
                raw.sendto(packet, ("127.0.0.1", 0))
    # Each ends here, by itself or as the answer to it.
    is_counted(server, before, "dropped_.*", 50 * len(MIRRORED))
    is_at_rest(server, "there is no loop")
    is_(server.grown(before, "^dropped_.*$"), 50 * len(MIRRORED),
        "nor an echo")
    others_are_served(server)
    all_left(server, at_first)


@test
def an_answer_that_goes_to_the_server_itself_ends_there(server):
    before = server.counters()
    endpoint = server.connect("udp")
    for make in (sip.request, bad_request):
        message = make(endpoint)
        message.set("Via", endpoint.via(f"127.0.0.1:{server.udp}", ""))
        for _ in range(100):
            endpoint.send(message)
            endpoint.fence()
    is_counted(server, before, "dropped_.*", 200)
    is_at_rest(server, "there is no loop")
    is_(server.grown(before, "^dropped_.*$"), 200, "nor an echo")
    others_are_served(server)


@test
def a_phone_may_have_the_port_of_the_server(server):
    with sip.Udp(("127.0.0.1", server.udp),
                 local=("127.0.0.2", server.udp)) as endpoint:
        is_(sip.Phone(endpoint).register().status, 200, "it registers")


# --- transactions

@test
def transactions_are_limited():
    with Server({"limits": {"transactions": 100}}) as server:
        before = server.counters()
        phone = server.phone("alice")
        is_({phone.register().status for _ in range(500)}, {200},
            "who comes too much is answered still")
        is_counted(server, before, "limit_transactions", 400)
        ok(0 < server.status()["transactions"]["server"] <= 100,
           "no more are kept", server.status()["transactions"])
        repeated = phone.endpoint.exchange(phone.last_request)
        ok(repeated.status in (200, 401), "a repeat is answered", repeated)
        is_(phone.register().status, 200, "and the phone is not shut out")
        others_are_served(server)


# --- what the operator sees

def too_large(server):
    with server.connect("tcp") as endpoint:
        endpoint.exchange(sip.request(endpoint).add("X", "x" * 5000))


def too_many_contacts(server):
    server.fresh_phone("tcp").register(contacts(11, 30))


def too_many_transactions(server):
    phone = server.fresh_phone()
    for _ in range(150):
        phone.register()


def limits_told(server, control):
    """The events that came before the one of a reload now."""
    server.rpc("config.reload")
    while (event := control.event())["type"] != "reloaded":
        yield event["reason"]


@cases([("message_size", "message_size", too_large),
        ("max_contacts", "max_contacts", too_many_contacts),
        ("transactions", "transactions", too_many_transactions)])
def a_limit_that_is_hit_is_told_and_logged_once(limit, meet):
    with Server({"limits": {"message_size": 4000, "transactions": 100}}) \
            as server, server.control() as control:
        control.call("events.subscribe", types=["limited", "reloaded"])
        for _ in range(3):
            meet(server)
        ok(server.counter(f"limit_{limit}") >= 3, "it is counted")
        is_told_once(server, limit)
        is_(list(limits_told(server, control)), [limit], "one event tells it")


run(Server())
