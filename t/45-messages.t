#!/usr/bin/env python3
"""What is answered to requests of every kind, and transactions as seen
from outside."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server
from tap import cases, is_, like, ok, run, test

EITHER = ("udp", "tcp")


def ask(server, bend, transport="udp", method="OPTIONS", **options):
    """The answer to a correct request after bend(message) spoiled it."""
    endpoint = server.connect(transport)
    message = sip.request(endpoint, method, **options)
    message = bend(message) or message
    endpoint.send(message)
    return endpoint.recv()


def put(name, *values):
    return lambda message: message.set(name, *values)


def start(old, new):
    def bend(message):
        message.start = message.start.replace(old, new)
    return bend


# --- 400

BAD = [
    ("no From", put("From"), "From"),
    ("no To", put("To"), "To"),
    ("no Call-ID", put("Call-ID"), "Call-ID"),
    ("no CSeq", put("CSeq"), "CSeq"),
    ("two From", lambda m: m.add("From", m.get("From")), "From"),
    ("two To", lambda m: m.add("t", m.get("To")), "To"),
    ("two Call-ID", lambda m: m.add("i", "another"), "Call-ID"),
    ("two CSeq", lambda m: m.add("CSeq", "2 OPTIONS"), "CSeq"),
    ("From of no address", put("From", "<>;tag=1"), "From"),
    ("To of no address", put("To", "<>"), "To"),
    ("empty Call-ID", put("Call-ID", ""), "Call-ID"),
    ("CSeq without a method", put("CSeq", "1"), "CSeq"),
    ("CSeq without a number", put("CSeq", "OPTIONS"), "CSeq"),
    ("CSeq of another method", put("CSeq", "1 REGISTER"), "CSeq"),
    ("CSeq of 2^31", put("CSeq", "2147483648 OPTIONS"), "CSeq"),
    ("CSeq of 2^32", put("CSeq", "4294967296 OPTIONS"), "CSeq"),
    ("negative CSeq", put("CSeq", "-1 OPTIONS"), "CSeq"),
    ("CSeq with more behind", put("CSeq", "1 OPTIONS x"), "CSeq"),
    ("Max-Forwards of no number", put("Max-Forwards", "many"),
     "Max-Forwards"),
    ("Max-Forwards of 256", put("Max-Forwards", "256"), "Max-Forwards"),
    ("two Content-Length", put("Content-Length", 0, 0), "Content-Length"),
    ("Content-Length of no number", put("Content-Length", "x"),
     "Content-Length"),
]


@cases(BAD)
def a_bad_request_is_400_and_names_the_header(server, bend, header):
    answer = ask(server, bend)
    is_(answer.status, 400, "status")
    like(answer.reason, f"(?i){header}", "the reason names it")


@cases([
    ("q above one", ";q=2"), ("q of no number", ";q=much"),
    ("an open quote", ';x="y'),
])
def a_bad_contact_is_400_and_binds_nothing(server, params):
    phone = server.fresh_phone()
    answer = phone.register(f"<sip:phone@192.0.2.1>{params}", 60)
    is_(answer.status, 400, "status")
    like(answer.reason, "(?i)contact", "the reason names it")
    is_(server.bindings(phone.user), [], "nothing was bound")


@test
def many_header_lines_are_refused(server):
    answer = ask(server, lambda m: [
        m.add("X-Line", n) for n in range(500)] and None)
    is_(answer.status, 400, "status")


@test
def many_commas_are_refused(server):
    answer = ask(server, lambda m: m.add("Supported", ",".join(
        f"x{n}" for n in range(2000))))
    is_(answer.status, 400, "status")


# --- other codes

@cases([(method, method) for method in ("INVITE", "BYE", "SUBSCRIBE",
                                        "PUBLISH", "NOTIFY", "MESSAGE")])
def a_method_that_is_not_for_a_registrar_gets_an_answer(server, method):
    endpoint = server.connect("tcp")
    message = sip.request(endpoint, method, headers=[
        ("Contact", endpoint.contact())])
    answer = endpoint.exchange(message)
    ok(answer.status in (403, 404, 405, 480, 481, 489, 501), "refused",
       answer.start)
    if answer.status == 405:
        ok("REGISTER" in answer.values("Allow"), "Allow", answer)


@test
def a_method_that_is_not_allowed_is_405_with_allow(server):
    answer = ask(server, lambda m: None, method="PUBLISH")
    is_(answer.status, 405, "status")
    ok({"REGISTER", "OPTIONS"} <= set(answer.values("Allow")), "Allow",
       answer)


@test
def an_unknown_method_is_501(server):
    is_(ask(server, lambda m: None, method="DANCE").status, 501, "status")


@test
def methods_have_case(server):
    is_(ask(server, lambda m: None, method="options").status, 501, "status")


@cases([("http", "http://example.com"), ("tel", "tel:+15551234"),
        ("unknown", "nobodyknows:example.com")])
def a_foreign_scheme_is_416(server, uri):
    is_(ask(server, start("sip:example.com", uri)).status, 416, "status")


@cases([("3.0", "SIP/3.0"), ("2.1", "SIP/2.1"), ("7.0", "SIP/7.0")])
def another_version_is_505(server, version):
    is_(ask(server, start("SIP/2.0", version)).status, 505, "status")


@cases([
    ("Require", "Require", "foo, path, bar", {"foo", "bar"}),
    ("Require over lines", "Require", "baz", {"baz"}),
])
def an_unknown_extension_is_420_with_unsupported(server, name, value, want):
    endpoint = server.connect("udp")
    phone = sip.Phone(endpoint)
    answer = endpoint.exchange(phone.build(headers=[(name, value)]))
    is_(answer.status, 420, "before any challenge")
    is_(answer.tags("Unsupported"), want, "Unsupported names just those")


@test
def a_body_that_is_not_understood_is_415_with_accept(server):
    phone = server.fresh_phone()
    phone.challenged()
    message = phone.build(headers=[("Content-Type", "text/x-novel")])
    message.body = b"It was a dark and stormy night."
    answer = phone.endpoint.exchange(phone.authorize(message))
    is_(answer.status, 415, "status")
    ok("accept" in answer.names(), "Accept", answer)
    is_(server.bindings(phone.user), [], "nothing was bound")


@test
def a_body_that_is_optional_is_no_hindrance(server):
    phone = server.fresh_phone()
    phone.challenged()
    message = phone.build(headers=[
        ("Content-Type", "text/x-novel"),
        ("Content-Disposition", "session;handling=optional")])
    message.body = b"It was a dark and stormy night."
    is_(phone.endpoint.exchange(phone.authorize(message)).status, 200,
        "handling=optional")


@test
def an_encoded_body_is_415_with_accept_encoding(server):
    phone = server.fresh_phone()
    phone.challenged()
    message = phone.build(headers=[
        ("Content-Type", "application/sdp"), ("Content-Encoding", "zip")])
    message.body = b"PK"
    answer = phone.endpoint.exchange(phone.authorize(message))
    is_(answer.status, 415, "status")
    ok("accept-encoding" in answer.names(), "Accept-Encoding", answer)


@test
def a_request_line_that_is_long_is_414():
    with Server({"limits": {"message_size": 65535}}) as server:
        uri = "sip:example.com;x=" + "y" * 20000
        answer = ask(server, lambda m: None, "tcp", uri=uri,
                     to="<sip:example.com>")
        is_(answer.status, 414, "status")


@test
def no_hop_left_is_483(server):
    uri = "sip:somebody@elsewhere.net"
    answer = ask(server, put("Max-Forwards", 0), method="MESSAGE", uri=uri)
    ok(answer.status in (403, 404, 405, 483), "elsewhere", answer.start)
    phone = server.fresh_phone()
    phone.challenged()
    message = phone.build().set("Max-Forwards", 0)
    is_(phone.endpoint.exchange(phone.authorize(message)).status, 483,
        "a REGISTER, as Kamailio's users know it")


@test
def max_forwards_may_be_missing(server):
    is_(ask(server, put("Max-Forwards")).status, 200, "as RFC 2543 had none")


@test
def a_cancel_of_nothing_is_481(server):
    is_(ask(server, lambda m: None, method="CANCEL").status, 481, "status")


@test
def a_request_in_an_unknown_dialog_is_481(server):
    answer = ask(server, lambda m: m.set("To", m.get("To") + ";tag=gone"),
                 method="BYE")
    is_(answer.status, 481, "status")


# --- OPTIONS

@cases([(transport, transport) for transport in sip.ENDPOINTS])
def options_tells_what_the_server_can(server, transport):
    answer = ask(server, lambda m: None, transport)
    is_(answer.status, 200, "status")
    ok({"REGISTER", "OPTIONS"} <= set(answer.values("Allow")), "Allow")
    ok("accept" in answer.names(), "Accept")
    ok({"path", "outbound", "gruu"} <= answer.tags("Supported"), "Supported",
       answer.get("Supported"))
    ok(sip.Address(answer.get("To")).params.get("tag"), "To has a tag")


# --- forms that are right

FORMS = [
    ("compact names", lambda m: m.set("From").set("To").set("Call-ID").add(
        "f", "<sip:a@b.invalid>;tag=1").add("t", "<sip:example.com>").add(
        "i", sip.random_token())),
    ("names in other cases", lambda m: setattr(m, "headers", [
        (name.swapcase(), value) for name, value in m.headers])),
    ("folded lines", lambda m: m.set(
        "From", "<sip:a@b.invalid>\r\n ;tag\r\n\t= 1")),
    ("blanks before the colon", lambda m: setattr(m, "headers", [
        (name + " \t", value) for name, value in m.headers])),
    ("unknown headers", lambda m: m.add("X-Nobody-Knows", 'a;b="c')),
    ("a display name in UTF-8", lambda m: m.set(
        "From", '"J\u00fcrgen \u4e2d" <sip:a@b.invalid>;tag=1')),
    ("a URI with a port and parameters", start(
        "sip:example.com", "sip:example.com:5060;transport=udp;lr;x=%41")),
]


@cases(FORMS)
def a_correct_request_is_taken_in_any_form(server, bend):
    endpoint = server.connect("udp")
    message = sip.request(endpoint)
    message = bend(message) or message
    endpoint.send(message)
    is_(endpoint.recv().status, 200, "status")


# --- what has no answer

@cases([(transport, transport) for transport in EITHER])
def an_ack_is_never_answered(server, transport):
    endpoint = server.connect(transport)
    endpoint.send(sip.request(endpoint, "ACK"))
    bad = sip.request(endpoint, "ACK", headers=[("Require", "foo")])
    endpoint.send(bad.set("Max-Forwards", 0))
    endpoint.send(sip.request(endpoint, "ACK").set("To"))
    endpoint.send(sip.request(endpoint, "ACK", "tel:1"))
    is_(endpoint.fence(), [], "whatever is wrong with it")


@cases([(transport, transport) for transport in EITHER])
def a_stray_response_is_dropped_and_counted(server, transport):
    before = server.counters()
    endpoint = server.connect(transport)
    request = sip.request(endpoint)
    for status in ("200 OK", "100 Trying", "999 Odd"):
        response = request.copy()
        response.start = f"SIP/2.0 {status}"
        endpoint.send(response)
    is_(endpoint.fence(), [], "no answer")
    ok(server.grown(before, "^dropped_stray_responses$") >= 2, "counted",
       server.counters())


# --- transactions

@test
def a_repeated_request_gets_the_same_bytes(server):
    phone = server.fresh_phone()
    phone.challenged()
    message = phone.authorize(phone.build())
    phone.endpoint.send(message)
    first = phone.endpoint.final(message)
    is_(first.status, 200, "the first")
    binding = server.bindings(phone.user)
    for number in range(3):
        phone.endpoint.send(message)
        is_(phone.endpoint.final(message).raw, first.raw, f"again {number}")
    is_(server.bindings(phone.user), binding, "nothing was done again")


@test
def a_repeated_refusal_gets_the_same_bytes(server):
    phone = server.fresh_phone()
    phone.register(cseq=10)
    phone.challenged()
    message = phone.authorize(phone.build(cseq=9))
    phone.endpoint.send(message)
    first = phone.endpoint.final(message)
    is_(first.status, 500, "out of order")
    phone.endpoint.send(message)
    is_(phone.endpoint.final(message).raw, first.raw, "again")


@test
def a_repeat_in_the_manner_of_rfc_2543_is_known_too(server):
    phone = server.fresh_phone()
    phone.challenged()
    message = phone.authorize(phone.build())
    message.set("Via", f"SIP/2.0/UDP {phone.endpoint.host};rport")
    phone.endpoint.send(message)
    first = phone.endpoint.final(message)
    is_(first.status, 200, "without the magic cookie")
    phone.endpoint.send(message)
    is_(phone.endpoint.final(message).raw, first.raw, "again")


@test
def a_merged_request_is_482(server):
    phone = server.fresh_phone()
    phone.challenged()
    message = phone.authorize(phone.build())
    is_(phone.endpoint.exchange(message).status, 200, "by one way")
    merged = phone.again(message, cseq=message.get("CSeq").split()[0])
    is_(phone.endpoint.exchange(merged).status, 482, "by another way")


@test
def the_same_branch_from_another_sent_by_is_another_request(server):
    one, two = server.fresh_phone(), server.fresh_phone()
    same = sip.branch()
    for phone in (one, two):
        phone.challenged()
        message = phone.authorize(phone.build())
        message.set("Via", f"SIP/2.0/UDP {phone.endpoint.host}"
                           f";branch={same};rport")
        answer = phone.endpoint.exchange(message)
        is_((answer.status, answer.get("Call-ID")), (200, phone.call_id),
            phone.user)


@test
def a_challenge_needs_no_transaction(server):
    before = server.status()["transactions"]["server"]
    phone = server.fresh_phone()
    for _ in range(50):
        phone.challenged()
    ok(server.status()["transactions"]["server"] <= before, "none was kept")


@test
def the_to_tag_of_a_repeated_challenge_is_the_same(server):
    phone = server.fresh_phone()
    message = phone.build()
    tags = set()
    for _ in range(3):
        phone.endpoint.send(message)
        tags.add(sip.Address(phone.endpoint.recv().get("To")).params["tag"])
    is_(len(tags), 1, "RFC 3261 8.2.7")


run(Server())
