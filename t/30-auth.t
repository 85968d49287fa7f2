#!/usr/bin/env python3
"""Digest authentication: RFC 7616 and RFC 8760, nonces, and RFC 2069."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import USERS, Server
from tap import cases, is_, like, ok, run, test

ALGORITHMS = ["SHA-512-256", "SHA-256", "MD5"]

# What must not tell a refused request from another.
PASSING = {"via", "call-id", "cseq", "from", "to", "date", "www-authenticate"}


def is_challenge(response, name, stale=None):
    is_(response.status, 401, f"{name}: status")
    found = sip.challenges(response)
    ok(found, f"{name}: a challenge")
    if stale is not None:
        is_([c.get("stale", "false").lower() for c in found],
            ["true" if stale else "false"] * len(found), f"{name}: stale")


def signed(phone, **fields):
    """A REGISTER that answers the remembered challenge, bent by fields."""
    return phone.authorize(phone.build(), **fields)


# --- the challenge

@test
def a_request_without_credentials_is_challenged(server):
    response = server.phone().challenged()
    is_(response.status, 401, "status")
    for challenge in sip.challenges(response):
        is_(challenge["realm"], "example.com", "realm")
        ok("auth" in challenge["qop"].split(","), "qop", challenge["qop"])
        ok(len(challenge["nonce"]) >= 16, "a nonce", challenge["nonce"])
    is_(response.all("Contact"), [], "no binding is told")
    ok(sip.Address(response.get("To")).params.get("tag"), "To has a tag")


@test
def algorithms_are_offered_one_header_each_in_order(server):
    response = server.phone().challenged()
    is_([c["algorithm"] for c in sip.challenges(response)], ALGORITHMS,
        "the default order")


@cases([("one", ["MD5"]), ("reversed", ALGORITHMS[::-1]),
        ("two", ["SHA-256", "MD5"])])
def the_configured_order_is_kept(algorithms):
    with Server({"registrar": {"algorithms": algorithms}}) as server:
        phone = server.phone()
        is_([c["algorithm"] for c in sip.challenges(phone.challenged())],
            algorithms, "order")
        is_(phone.register().status, 200, "the first one serves")


@test
def nonces_differ(server):
    phone = server.phone()
    nonces = {c["nonce"] for _ in range(20)
              for c in sip.challenges(phone.challenged())}
    ok(len(nonces) >= 20, "each challenge has its own", sorted(nonces))


@cases([(name, name) for name in ALGORITHMS])
def each_algorithm_authenticates(server, algorithm):
    phone = server.fresh_phone(algorithm=algorithm)
    is_(phone.register().status, 200, "right")
    wrong = server.phone(phone.user, algorithm=algorithm, password="wrong")
    is_challenge(wrong.register(), "wrong")


@test
def md5_is_what_an_absent_algorithm_means(server):
    phone = server.fresh_phone(algorithm="MD5")
    phone.challenged()
    is_(phone.endpoint.exchange(signed(phone, algorithm=None)).status, 200,
        "no algorithm in the credentials")


@test
def an_algorithm_that_is_not_configured_is_refused():
    with Server({"registrar": {"algorithms": ["SHA-256"]}}) as server:
        phone = server.phone()
        phone.challenged()
        is_challenge(phone.endpoint.exchange(signed(phone, algorithm="MD5")),
                     "MD5 where only SHA-256 is offered")


@cases([("upper case", "SHA-256", "sha-256"), ("MD5", "MD5", "md5")])
def the_name_of_an_algorithm_has_no_case(server, algorithm, written):
    phone = server.fresh_phone(algorithm=algorithm)
    phone.challenged()
    is_(phone.endpoint.exchange(signed(phone, forge={
        "algorithm": written})).status, 200, written)


# --- ha1 entries instead of a password

def ha1_user(*algorithms):
    return {"username": "alice", "domain": "example.com", "ha1": {
        name: sip.ha1(name, "alice", "example.com", "secret-alice")
        for name in algorithms}}


@test
def ha1_entries_serve_as_a_password():
    with Server(users=[ha1_user(*ALGORITHMS)]) as server:
        for algorithm in ALGORITHMS:
            is_(server.phone(algorithm=algorithm).register().status, 200,
                algorithm)


@test
def missing_ha1_entries_do_not_show_in_the_challenge():
    with Server(users=[ha1_user("MD5")]) as server:
        response = server.phone().challenged()
        is_([c["algorithm"] for c in sip.challenges(response)], ALGORITHMS,
            "all are offered")
        is_challenge(server.phone(algorithm="SHA-256").register(),
                     "the one without an entry")
        is_(server.phone(algorithm="MD5").register().status, 200,
            "the one with an entry")


# --- unknown users

@test
def an_unknown_user_looks_as_a_wrong_password_does(server):
    answers = {}
    for user, password in (("alice", "wrong"), ("nobody", "wrong"),
                           ("nobody", "")):
        phone = server.phone(user, password=password)
        answers[user, password] = (phone.challenged(), phone.register())
    known = answers.pop(("alice", "wrong"))
    for who, answer in answers.items():
        for step, one, other in zip(("challenge", "refusal"), known, answer):
            is_(comparable(other), comparable(one), f"{who}: the {step}")


def comparable(response):
    """A response without what differs between any two."""
    return (response.start, response.names(),
            [(name, value) for name, value in response.headers
             if sip.canonical(name) not in PASSING],
            [{**challenge, "nonce": len(challenge["nonce"])}
             for challenge in sip.challenges(response)])


@test
def a_disabled_user_looks_unknown():
    users = [dict(USERS[0], enabled=False), USERS[1]]
    with Server(users=users) as server:
        is_challenge(server.phone("alice").register(), "its own password")
        is_(server.phone("bob").register().status, 200, "another user")


# --- nonces

@test
def nc_may_rise(server):
    phone = server.fresh_phone()
    phone.challenged()
    for nc in ("00000001", "00000002", "00000007"):
        is_(phone.endpoint.exchange(signed(phone, nc=nc)).status, 200, nc)


@test
def a_replayed_nc_is_refused(server):
    phone = server.fresh_phone()
    phone.challenged()
    is_(phone.endpoint.exchange(signed(phone, nc="00000001")).status, 200,
        "once")
    before = server.bindings(phone.user)
    is_challenge(phone.endpoint.exchange(signed(phone, nc="00000001")),
                 "twice", stale=False)
    is_(server.bindings(phone.user), before, "nothing was bound")


@test
def a_replayed_request_is_refused(server):
    phone = server.fresh_phone()
    phone.challenged()
    good = signed(phone)
    is_(phone.endpoint.exchange(good).status, 200, "the request")
    thief = server.connect("tcp")
    stolen = phone.again(good)
    is_challenge(thief.exchange(stolen), "from another connection",
                 stale=False)


@test
def a_nonce_that_aged_is_stale():
    with Server({"registrar": {"nonce_lifetime": 1}}) as server:
        phone = server.phone()
        phone.challenged()
        answers = []

        def aged():
            answers.append(phone.endpoint.exchange(signed(phone)))
            return answers[-1].status == 401
        server.wait_until(aged, what="the nonce to age")
        is_challenge(answers[-1], "right credentials, old nonce", stale=True)
        phone.password = "wrong"
        is_challenge(phone.endpoint.exchange(signed(phone)),
                     "wrong credentials, old nonce", stale=False)
        phone.password = "secret-alice"
        phone.choose(answers[-1])
        is_(phone.endpoint.exchange(signed(phone)).status, 200,
            "the new nonce serves")


@test
def a_nonce_serves_over_another_connection(server):
    phone = server.fresh_phone()
    phone.challenged()
    phone.endpoint = server.connect("tcp")
    is_(phone.register().status, 200, "whatever worker has it")
    is_(len(phone.responses), 1, "with no new challenge")


@cases([
    ("made up", lambda nonce: "183658a0"),
    ("cut", lambda nonce: nonce[:-1]),
    ("longer", lambda nonce: nonce + "A"),
    ("long", lambda nonce: "A" * 3000),
    ("last character", lambda nonce: nonce[:-1] + chr(ord(nonce[-1]) ^ 1)),
    ("first character", lambda nonce: chr(ord(nonce[0]) ^ 1) + nonce[1:]),
    ("blank", lambda nonce: " "),
])
def a_forged_nonce_is_refused(server, forge):
    phone = server.fresh_phone()
    nonce = phone.challenged() and phone.challenge["nonce"]
    is_challenge(phone.endpoint.exchange(signed(phone, nonce=forge(nonce))),
                 "forged")
    is_(phone.register().status, 200, "the true one serves")


@test
def a_nonce_of_another_realm_is_refused():
    users = [dict(USERS[0], domain=domain)
             for domain in ("example.com", "example.org")]
    config = {"domains": {"example.org": {"directory": "users"}}}
    with Server(config, users) as server:
        here = server.phone()
        there = server.phone(domain="example.org")
        here.challenged()
        there.challenged()
        nonce = there.challenge["nonce"]
        is_challenge(here.endpoint.exchange(signed(here, nonce=nonce)),
                     "taken abroad")
        is_(there.endpoint.exchange(signed(there)).status, 200, "at home")


@test
def another_server_does_not_know_the_nonce(server):
    with Server() as stranger:
        phone = server.fresh_phone()
        phone.challenged()
        phone.endpoint = stranger.connect("udp")
        is_challenge(phone.endpoint.exchange(signed(phone)), "foreign nonce")


# --- wrong things in the credentials

def forged(**fields):
    return lambda phone: {"forge": fields}


@cases([
    ("response of other digits", forged(response="0" * 64)),
    ("response that is short", forged(response="0" * 8)),
    ("response that is no number", forged(response="z" * 64)),
    ("response that is long", forged(response="0" * 5000)),
    ("no response", forged(response=None)),
    ("another user", forged(username="bob")),
    ("no user", forged(username=None)),
    ("an empty user", forged(username="")),
    ("a user with a domain", forged(username="alice@example.com")),
    ("another realm", forged(realm="example.org")),
    ("no realm", forged(realm=None)),
    ("no nonce", forged(nonce=None)),
    ("another uri than was hashed", forged(uri="sip:example.org")),
    ("no uri", forged(uri=None)),
    ("another cnonce", forged(cnonce="0000")),
    ("no cnonce", forged(cnonce=None)),
    ("another nc", forged(nc="00000002")),
    ("nc that is no number", lambda phone: {"nc": "0000000g"}),
    ("no nc", forged(nc=None)),
    ("no qop", forged(qop=None)),
    ("qop that was not offered", lambda phone: {"qop": "auth-int"}),
    ("qop that is unknown", lambda phone: {"qop": "auth-foo"}),
    ("an unknown algorithm", forged(algorithm="SHA-1")),
    ("another algorithm than was used", forged(algorithm="MD5")),
    ("a password of another", lambda phone: {"username": "bob"}),
])
def wrong_credentials_are_refused(server, bend):
    phone = server.fresh_phone()
    phone.challenged()
    answer = phone.endpoint.exchange(signed(phone, **bend(phone)))
    ok(answer.status in (400, 401, 403), "refused", answer)
    is_(server.bindings(phone.user), [], "nothing was bound")


@cases([
    ("nothing after Digest", "Digest"),
    ("a comma alone", "Digest ,"),
    ("Basic", "Basic YWxpY2U6c2VjcmV0LWFsaWNl"),
    ("a lone name", "Digest username"),
    ("an open quote", 'Digest username="alice'),
    ("nothing", ""),
    ("no blanks", "Digestusername=alice"),
])
def odd_credentials_are_survived(server, value):
    phone = server.fresh_phone()
    answer = phone.endpoint.exchange(
        phone.build(headers=[("Authorization", value)]))
    ok(answer.status in (400, 401), "refused", answer)
    is_(phone.register().status, 200, "the server lives")


@test
def the_uri_in_the_credentials_must_mean_the_request(server):
    phone = server.fresh_phone()
    phone.challenged()
    answer = phone.endpoint.exchange(signed(phone, uri="sip:example.org"))
    ok(answer.status in (400, 401), "one for another request", answer)


@test
def credentials_for_another_realm_stand_aside(server):
    phone = server.fresh_phone()
    phone.challenged()
    message = signed(phone)
    ours = message.get("Authorization")
    message.set("Authorization", ours.replace("example.com", "elsewhere.net"),
                ours)
    is_(phone.endpoint.exchange(message).status, 200,
        "ours is found among several")


@test
def quoted_pairs_are_unquoted():
    users = [{"username": 'al"i\\ce', "domain": "example.com",
              "password": "secret-alice"}]
    with Server(users=users) as server:
        phone = server.phone('al"i\\ce', password="secret-alice",
                             aor="sip:al%22i%5Cce@example.com")
        message = phone.build(["<sip:phone@192.0.2.1>"])
        phone.choose(phone.endpoint.exchange(message))
        message = phone.authorize(message.copy(),
                                  forge={"username": 'al\\"i\\\\ce'})
        is_(phone.endpoint.exchange(message).status, 200, "in a user name")


# --- what the field brought

@test
def empty_nonce_and_response_are_no_credentials():
    config = {"domains": {"192.168.1.173": {"directory": "users"}}}
    users = [{"username": "1008", "domain": "192.168.1.173",
              "password": "1008"}]
    contact = ('<sip:1008@192.168.1.54:5060>;expires=3600;+g.oma.sip-im;'
               'language="en,fr";+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-'
               'application.ims.iari.gsma-vs";audio')
    with Server(config, users) as server:
        phone = server.phone("1008", domain="192.168.1.173", password="1008")
        first = phone.build(contact, cseq=50000, headers=[
            ("Supported", "path"),
            ("Authorization", 'Digest username="1008",realm="192.168.1.173",'
                              'nonce="",uri="sip:192.168.1.173",response=""'),
        ])
        response = phone.endpoint.exchange(first)
        is_challenge(response, "empty credentials", stale=False)
        phone.choose(response)
        second = phone.build(contact, cseq=49999,
                             headers=[("Supported", "path")])
        response = phone.endpoint.exchange(phone.authorize(second))
        is_(response.status, 200, "a lower CSeq, as no binding orders it")
        found = response.contacts[0]
        is_(found.expires, 3600, "expires before the features is seen")
        is_((found.params.get("language"), "audio" in found.params),
            ('"en,fr"', True), "features after expires are kept")


@test
def a_response_without_qop_is_as_the_old_phones_compute_it():
    challenge = {"realm": "asterisk", "nonce": "183658a0"}
    fields = sip.parse_digest(sip.credentials(
        challenge, "1008", "1008", "REGISTER", "sip:192.168.1.173"))
    is_(fields["response"], "8d96b7a24f38fc762cdea53000220323", "the vector")


def old_phone(server, realm="asterisk"):
    phone = server.phone("1008", domain=realm, password="1008",
                         algorithm="MD5")
    phone.challenged()
    phone.challenge.pop("qop", None)
    phone.challenge.pop("algorithm", None)
    return phone


OLD_USERS = [{"username": "1008", "domain": "asterisk", "password": "1008"}]
OLD_DOMAIN = {"domains": {"asterisk": {"directory": "users"}}}


@test
def rfc_2069_is_accepted_where_the_domain_allows_it():
    config = {"domains": {"asterisk": {"directory": "users",
                                       "allow_rfc2069": True}}}
    with Server(config, OLD_USERS) as server:
        phone = old_phone(server)
        is_(phone.endpoint.exchange(signed(phone)).status, 200,
            "a response without qop")
        is_challenge(phone.endpoint.exchange(signed(phone)),
                     "its nonce a second time")
        modern = server.phone("1008", domain="asterisk", password="1008")
        is_(modern.register().status, 200, "qop serves as well")
        wrong = old_phone(server)
        wrong.password = "1009"
        is_challenge(wrong.endpoint.exchange(signed(wrong)), "wrong password")


@test
def the_nonce_of_the_field_is_not_ours():
    config = {"domains": {
        "asterisk": {"directory": "users", "allow_rfc2069": True,
                     "aliases": ["192.168.1.173"]}}}
    with Server(config, OLD_USERS) as server:
        phone = server.phone("1008", domain="asterisk", password="1008",
                             uri="sip:192.168.1.173")
        message = phone.build(headers=[("Authorization", (
            'Digest username="1008",realm="asterisk",nonce="183658a0",'
            'uri="sip:192.168.1.173",algorithm=MD5,'
            'response="8d96b7a24f38fc762cdea53000220323"'))])
        is_challenge(phone.endpoint.exchange(message),
                     "right, but for a nonce that we never gave")


@test
def rfc_2069_is_refused_elsewhere():
    with Server(OLD_DOMAIN, OLD_USERS) as server:
        phone = old_phone(server)
        is_challenge(phone.endpoint.exchange(signed(phone)),
                     "a response without qop")


# --- traces

@test
def no_secret_is_logged_or_told(server):
    phone = server.fresh_phone()
    phone.register()
    sent = sip.parse_digest(phone.last_request.get("Authorization"))
    told = server.log() + str(server.rpc("users.get", aor=phone.aor))
    for name, secret in (
            ("password", phone.password), ("response", sent["response"]),
            ("ha1", sip.ha1(sent["algorithm"], phone.user, "example.com",
                            phone.password))):
        ok(secret not in told, f"not the {name}")


@test
def failures_are_logged_apart_with_the_address(server):
    mark = server.mark()
    server.phone("alice", password="wrong").register()
    line = server.wait_log(r".*bad.credentials.*", mark).group()
    like(line, r"127\.0\.0\.1", "bad credentials")
    server.phone("nobody", password="wrong").register()
    line = server.wait_log(r".*unknown.user.*", mark).group()
    like(line, r"127\.0\.0\.1", "unknown user")


@test
def failures_are_events(server):
    with server.control() as control:
        control.call("events.subscribe", types=["auth_failed"])
        server.phone("alice", password="wrong").register()
        event = control.wait_event("auth_failed")
        like(str(event), r"127\.0\.0\.1", "with the address")


run(Server())
