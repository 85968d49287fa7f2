#!/usr/bin/env python3
"""RFC 3261 section 10.3: what a REGISTER does to the bindings of an AOR."""

import email.utils
import math
import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import USERS, Server
from tap import cases, is_, like, ok, run, test

CONFIG = {"registrar": {"default_expires": 1800, "max_expires": 7200,
                        "min_expires": 1, "max_contacts": 3}}

ONE, TWO, THREE, FOUR = (f"<sip:phone@192.0.2.{n}>" for n in (1, 2, 3, 4))


def uris(response):
    return sorted(contact.uri for contact in response.contacts)


def bare(*contacts):
    return sorted(contact.strip("<>") for contact in contacts)


def expires_of(response):
    return {contact.uri: contact.expires for contact in response.contacts}


def registered(server, *contacts, expires=600, **options):
    """A fresh phone that has registered these contacts."""
    phone = server.fresh_phone(**options)
    response = phone.register(contacts, expires)
    if response.status != 200:
        raise AssertionError(f"the first REGISTER failed:\n{response}")
    return phone


# --- what the 200 says

@test
def a_200_echoes_the_request_and_lists_the_binding(server):
    phone = server.fresh_phone()
    response = phone.register(ONE, 600)
    asked = phone.last_request
    is_(response.status, 200, "status")
    is_(uris(response), bare(ONE), "the contact")
    is_(response.contacts[0].expires, 600, "its expiry")
    for name in ("Call-ID", "CSeq", "From"):
        is_(response.get(name), asked.get(name), name)
    ok(sip.Address(response.get("To")).params.get("tag"), "To has a tag")
    is_(response.get("Content-Length"), "0", "Content-Length")


@test
def a_200_has_the_date(server):
    response = server.fresh_phone().register(ONE)
    date = response.get("Date", "")
    like(date, r"^(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} "
               r"\d\d:\d\d:\d\d GMT$", "the form of RFC 3261")
    when = email.utils.parsedate_to_datetime(date).timestamp()
    ok(abs(when - time.time()) < 120, "it is now", date)


@test
def remaining_seconds_are_rounded_up(server):
    phone = server.fresh_phone()
    phone.challenged()
    started = time.monotonic()
    is_(phone.register(ONE, 100).contacts[0].expires, 100, "when granted")
    left = phone.fetch().contacts[0].expires
    least = math.ceil(100 - (time.monotonic() - started))
    ok(least <= left <= 100, "when asked again", f"{left} s, not {least}")


FEATURES = [
    '+g.oma.sip-im', 'language="en,fr"', 'audio',
    '+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-application.ims.iari.gsma-vs"',
    '+sip.foo="<a,b;c>"', 'methods="INVITE,BYE"', 'mobility="fixed"',
    '+u.x="a\\"b"',
]


@test
def feature_parameters_come_back_as_sent(server):
    phone = server.fresh_phone()
    phone.register(f"{ONE};expires=300;" + ";".join(FEATURES))
    contact = phone.fetch().get("Contact")
    found = sip.split_list(contact, ";")
    for feature in FEATURES:
        ok(feature in found, f"kept: {feature}", contact)


@cases([("given", ";q=0.5", 0.5), ("one", ";q=1.0", 1.0), ("zero", ";q=0", 0),
        ("three digits", ";q=0.123", 0.123)])
def q_comes_back(server, given, want):
    phone = server.fresh_phone()
    phone.register(ONE + given, 60)
    is_(float(phone.fetch().contacts[0].params["q"]), want, "q")


# --- several contacts

@cases([("one line", lambda phone: phone.build(f"{ONE}, {TWO}", 600)),
        ("two lines", lambda phone: phone.build([ONE, TWO], 600)),
        ("compact", lambda phone: phone.build((), 600, headers=[
            ("m", ONE), ("m", TWO)]))])
def several_contacts_in_one_request_are_bound(server, build):
    phone = server.fresh_phone()
    is_(uris(phone.submit(build(phone))), bare(ONE, TWO), "both")


@test
def contacts_of_several_requests_add_up(server):
    phone = registered(server, ONE)
    other = server.phone(phone.user)
    is_(uris(other.register(TWO, 600)), bare(ONE, TWO),
        "another phone's 200 lists both")
    is_(uris(phone.fetch()), bare(ONE, TWO), "so does a fetch")


@cases([
    ("no brackets", "sip:phone@192.0.2.1;expires=77", "sip:phone@192.0.2.1"),
    ("display name", f'"Phone, <\\"one\\">" {ONE};expires=77',
     "sip:phone@192.0.2.1"),
    ("URI parameters", "<sip:phone@192.0.2.1;transport=tcp;x=y>;expires=77",
     "sip:phone@192.0.2.1;transport=tcp;x=y"),
    ("IPv6", "<sip:phone@[2001:db8::1]:5070>;expires=77",
     "sip:phone@[2001:db8::1]:5070"),
    ("blanks", "  <sip:phone@192.0.2.1> ; expires = 77",
     "sip:phone@192.0.2.1"),
    ("a list in quotes", f'{ONE};x="a,b";expires=77', "sip:phone@192.0.2.1"),
])
def a_contact_is_read_in_any_form(server, sent, uri):
    is_(expires_of(server.fresh_phone().register(sent)), {uri: 77}, "binding")


@test
def a_fetch_lists_the_bindings_and_changes_nothing(server):
    phone = registered(server, ONE, TWO)
    before = server.bindings(phone.user)
    response = phone.fetch()
    is_(response.status, 200, "status")
    is_(uris(response), bare(ONE, TWO), "contacts")
    is_([(b["uri"], b["cseq"], b["refreshed"])
         for b in server.bindings(phone.user)],
        [(b["uri"], b["cseq"], b["refreshed"]) for b in before], "unchanged")


@test
def a_fetch_of_nothing_is_200_without_contact(server):
    response = server.fresh_phone().fetch()
    is_((response.status, response.all("Contact")), (200, []), "empty")


@test
def an_expires_header_alone_binds_nothing(server):
    response = server.fresh_phone().register((), 600)
    is_((response.status, response.all("Contact")), (200, []), "a fetch")


@test
def the_aor_is_canonical(server):
    phone = registered(server, ONE)
    first = f"%{ord(phone.user[0]):02x}{phone.user[1:]}"
    other = server.phone(phone.user, aor=(
        f"sip:{first}@EXAMPLE.com;user=phone"))
    is_(uris(other.register(TWO, 600)), bare(ONE, TWO),
        "escapes, parameters and the case of the host make no difference")


# --- removal

@test
def a_contact_with_expires_0_is_removed(server):
    phone = registered(server, ONE, TWO)
    is_(uris(phone.register(f"{ONE};expires=0")), bare(TWO), "the other stays")


@test
def an_expires_header_of_0_removes_the_listed_contacts(server):
    phone = registered(server, ONE, TWO, THREE)
    is_(uris(phone.register([ONE, f"{TWO};expires=60", THREE], 0)), bare(TWO),
        "but for the one that says otherwise")


@test
def removal_of_what_is_not_bound_is_200(server):
    phone = registered(server, ONE)
    response = phone.register(TWO, 0)
    is_((response.status, uris(response)), (200, bare(ONE)), "no error")


@test
def star_removes_all(server):
    phone = registered(server, ONE, TWO)
    response = phone.unregister()
    is_((response.status, response.all("Contact")), (200, []), "none left")
    is_(server.bindings(phone.user), [], "none in the table")


@test
def star_from_another_call_id_removes_all(server):
    phone = registered(server, ONE, TWO)
    other = server.phone(phone.user)
    is_(other.unregister().all("Contact"), [], "whatever its CSeq")


@cases([
    ("without Expires", ["*"], None),
    ("with Expires 60", ["*"], 60),
    ("with a contact in the line", [f"*, {ONE}"], 0),
    ("after a contact", [ONE, "*"], 0),
    ("before a contact", ["*", ONE], 0),
    ("twice", ["*", "*"], 0),
    ("with only the parameter", ["*;expires=0"], None),
])
def a_wrong_star_is_400_and_removes_nothing(server, contacts, expires):
    phone = registered(server, ONE, TWO)
    is_(phone.register(contacts, expires).status, 400, "status")
    is_(uris(phone.fetch()), bare(ONE, TWO), "all are still there")


# --- order

@cases([
    ("refresh, lower", ONE, 600, 5), ("refresh, equal", ONE, 600, 10),
    ("removal, lower", ONE, 0, 5), ("removal, equal", ONE, 0, 10),
    ("star, lower", "*", 0, 5), ("star, equal", "*", 0, 10),
])
def a_request_out_of_order_is_refused(server, contact, expires, cseq):
    phone = server.fresh_phone()
    is_(phone.register(ONE, 300, cseq=10).status, 200, "the first")
    before = server.bindings(phone.user)
    is_(phone.register(contact, expires, cseq=cseq).status, 500, "status")
    is_([(b["cseq"], b["refreshed"]) for b in server.bindings(phone.user)],
        [(b["cseq"], b["refreshed"]) for b in before], "nothing changed")


@test
def a_higher_cseq_refreshes(server):
    phone = server.fresh_phone()
    phone.register(ONE, 300, cseq=10)
    response = phone.register(ONE, 500, cseq=4000000)
    is_((response.status, expires_of(response)),
        (200, {ONE.strip("<>"): 500}), "with a gap too")
    is_(server.bindings(phone.user)[0]["cseq"], 4000000, "and is kept")


@test
def another_call_id_orders_nothing(server):
    phone = server.fresh_phone()
    phone.register(ONE, 300, cseq=10)
    response = phone.register(ONE, 500, cseq=3, call_id="restarted")
    is_((response.status, expires_of(response)),
        (200, {ONE.strip("<>"): 500}), "a phone that was restarted")
    is_(server.bindings(phone.user)[0]["call_id"], "restarted",
        "the binding is now its")


@test
def order_is_kept_for_each_binding(server):
    phone = server.fresh_phone()
    phone.register(ONE, 300, cseq=10)
    response = phone.register(TWO, 300, cseq=5)
    is_((response.status, uris(response)), (200, bare(ONE, TWO)),
        "a lower CSeq can make a new binding")


@test
def a_lower_cseq_after_removal_is_a_new_binding(server):
    phone = server.fresh_phone()
    phone.register(ONE, 300, cseq=10)
    phone.register(ONE, 0, cseq=11)
    is_(phone.register(ONE, 300, cseq=5).status, 200, "no binding orders it")


# --- all or nothing

@test
def one_contact_out_of_order_fails_all(server):
    phone = server.fresh_phone()
    phone.register(ONE, 300, cseq=10)
    is_(phone.register([TWO, f"{ONE};expires=600", THREE], cseq=9).status, 500,
        "status")
    response = phone.fetch()
    is_(uris(response), bare(ONE), "nothing was added")
    ok(response.contacts[0].expires <= 300, "nothing was refreshed")


@test
def star_out_of_order_for_one_binding_removes_none(server):
    phone = server.fresh_phone()
    phone.register(ONE, 300, cseq=10)
    server.phone(phone.user).register(TWO, 300)
    is_(phone.register("*", 0, cseq=10).status, 500, "status")
    is_(uris(phone.fetch()), bare(ONE, TWO), "both remain")


# --- expiry

@cases([
    ("contact before header", ";expires=300", 600, 300),
    ("header", "", 600, 600),
    ("default", "", None, 1800),
    ("contact above the maximum", ";expires=90000", None, 7200),
    ("header above the maximum", "", 90000, 7200),
    ("the largest number", "", 2**32 - 1, 7200),
    ("contact that is no number", ";expires=soon", 600, 3600),
    ("header that is no number", "", "soon", 3600),
    ("header that is a date", "", "Thu, 01 Dec 1994 16:00:00 GMT", 3600),
    ("negative", ";expires=-1", None, 3600),
    ("at the minimum", ";expires=1", None, 1),
])
def expiry_is_decided_by(server, parameter, header, want):
    response = server.fresh_phone().register(ONE + parameter, header)
    is_((response.status, [c.expires for c in response.contacts]),
        (200, [want]), "granted")


@test
def each_contact_has_its_own_expiry(server):
    response = server.fresh_phone().register(
        [f"{ONE};expires=100", TWO, f"{THREE};expires=9000"], 200)
    is_(expires_of(response), dict(zip(bare(ONE, TWO, THREE),
                                       (100, 200, 7200))), "each by itself")


@test
def too_brief_is_423_with_min_expires():
    with Server({"registrar": {"min_expires": 60}}) as server:
        phone = server.phone()
        for name, contact, header, want in (
                ("in the contact", f"{ONE};expires=59", 600, 423),
                ("in the header", ONE, 1, 423),
                ("in one of two", [TWO, f"{ONE};expires=30"], None, 423),
                ("at the minimum", ONE, 60, 200),
                ("removal", ONE, 0, 200)):
            response = phone.register(contact, header)
            is_(response.status, want, name)
            if want == 423:
                is_(response.get("Min-Expires"), "60", f"Min-Expires, {name}")
                is_(server.bindings(), [], f"nothing was bound, {name}")


@test
def a_binding_expires_on_time(server):
    phone = server.fresh_phone()
    phone.challenged()
    with server.control() as control:
        control.call("events.subscribe", types=["expired"])
        sent = time.monotonic()
        phone.register(ONE, 1)
        control.wait_event("expired", aor=phone.aor)
        ok(time.monotonic() - sent >= 0.99, "not before its time")
    is_(phone.fetch().all("Contact"), [], "it is no longer listed")
    is_(server.bindings(phone.user), [], "nor in the table")


@test
def a_refresh_outlives_the_old_expiry(server):
    kept, clock = server.fresh_phone(), server.fresh_phone()
    kept.register(ONE, 1)
    kept.register(ONE, 100)
    with server.control() as control:
        control.call("events.subscribe", types=["expired"])
        clock.register(ONE, 2)
        control.wait_event("expired", aor=clock.aor)
    is_(uris(kept.fetch()), bare(ONE), "the binding is still there")


# --- URI comparison

EQUAL = [
    ("sip:%61lice@atlanta.com;transport=TCP",
     "sip:alice@AtLanTa.CoM;Transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
    ("sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
     "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com"),
    ("sip:alice@atlanta.com?subject=project%20x&priority=urgent",
     "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
    ("sip:bob@biloxi.com:5070", "SIP:bob@BILOXI.com:5070"),
    ("sip:bob@[2001:db8::A]:5070", "sip:bob@[2001:DB8::a]:5070"),
]

DIFFERENT = [
    ("SIP:ALICE@AtLanTa.CoM;Transport=udp",
     "sip:alice@AtLanTa.CoM;Transport=UDP"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
    ("sip:bob@biloxi.com", "sip:biloxi.com"),
    ("sip:bob:one@biloxi.com", "sip:bob:two@biloxi.com"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;user=phone"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;ttl=1"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;method=INVITE"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;maddr=239.255.255.1"),
    ("sip:bob@biloxi.com;line=1", "sip:bob@biloxi.com;line=2"),
    ("sip:bob@biloxi.com;transport=tcp", "sip:bob@biloxi.com;transport=tls"),
]


@cases([(f"{one} and {two}", one, two, 1) for one, two in EQUAL]
       + [(f"{one} and {two}", one, two, 2) for one, two in DIFFERENT])
def uris_are_compared(server, one, two, want):
    phone = registered(server, f"<{one}>")
    response = phone.register(f"<{two}>", 300)
    is_((response.status, len(response.contacts)), (200, want),
        "the same" if want == 1 else "two bindings")


# --- max_contacts

@test
def one_contact_too_many_is_403(server):
    phone = registered(server, ONE, TWO, THREE)
    is_(phone.register(FOUR, 600).status, 403, "the fourth")
    is_(uris(phone.fetch()), bare(ONE, TWO, THREE), "nothing changed")
    is_(phone.register(TWO, 600).status, 200, "a refresh is no new one")
    response = phone.register([f"{ONE};expires=0", FOUR], 600)
    is_((response.status, uris(response)), (200, bare(TWO, THREE, FOUR)),
        "one may take another's place")


@test
def too_many_contacts_in_one_request_are_403(server):
    phone = server.fresh_phone()
    is_(phone.register([ONE, TWO, THREE, FOUR], 600).status, 403, "status")
    is_(phone.fetch().all("Contact"), [], "nothing was bound")


@test
def a_user_has_its_own_max_contacts():
    users = [dict(USERS[0], max_contacts=1), dict(USERS[1], max_contacts=5)]
    with Server(CONFIG, users) as server:
        one, many = server.phone("alice"), server.phone("bob")
        one.register(ONE, 600)
        is_(one.register(TWO, 600).status, 403, "fewer")
        is_(many.register([ONE, TWO, THREE, FOUR], 600).status, 200, "more")


@test
def the_oldest_unreachable_binding_gives_way(server):
    lost = []
    phone = server.fresh_phone()
    for contact in (TWO, ONE):
        old = server.phone(phone.user, "tcp")
        old.register(contact, 600)
        old.endpoint.close()
        lost.append(old)
    phone.register(THREE, 600)
    server.wait_until(lambda: [b["reachable"] for b in server.bindings(
        phone.user)].count(False) == 2, what="two unreachable bindings")
    is_(uris(phone.register(FOUR, 600)), bare(ONE, THREE, FOUR),
        "the older of two that are lost")


# --- instances

@test
def instance_and_reg_id_are_the_key(server):
    phone = server.fresh_phone("tcp")
    where = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-00000000000a>"'

    def register(contact, reg_id):
        return phone.register(f"{contact}{where};reg-id={reg_id}", 600,
                              headers=[("Supported", "path, outbound")])

    register(ONE, 1)
    is_(uris(register(TWO, 1)), bare(TWO), "another URI for the same one")
    is_(uris(register(THREE, 2)), bare(TWO, THREE), "another reg-id")


run(Server(CONFIG))
