#!/usr/bin/env python3
"""Domains, realms, aliases, and whose AOR may be registered."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server
from tap import cases, is_, ok, run, test

CONFIG = {"domains": {
    "example.com": {"aliases": ["127.0.0.1", "sip.example.com"]},
    "example.org": {"directory": "users", "realm": "The Example"},
    "example.net": {"directory": "other"},
}, "directories": {"other": {"type": "json", "path": "other.json"}}}

USERS = [
    {"username": "alice", "domain": "example.com", "password": "secret-alice",
     "aliases": ["sip:alice.smith@example.com"]},
    {"username": "bob", "domain": "example.com", "password": "secret-bob"},
    {"username": "alice", "domain": "example.org", "password": "of-org"},
]

OTHERS = {"users": [
    {"username": "dave", "domain": "example.net", "password": "secret-dave"}]}


class Domains(Server):
    def make_folder(self):
        super().make_folder()
        self.write("other.json", OTHERS)


def realms(response):
    return {challenge["realm"] for challenge in sip.challenges(response)}


@cases([("its name", "example.com", "example.com"),
        ("its setting", "example.org", "The Example")])
def the_realm_of_a_domain_is(server, domain, realm):
    is_(realms(server.phone(domain=domain).challenged()), {realm}, "realm")


@test
def users_of_two_domains_are_apart(server):
    here = server.phone("alice")
    there = server.phone("alice", domain="example.org", password="of-org")
    is_(here.register("<sip:a@192.0.2.1>").status, 200, "the one")
    is_(there.register("<sip:a@192.0.2.2>").status, 200, "the other")
    is_([c.uri for c in here.fetch().contacts], ["sip:a@192.0.2.1"],
        "bindings of the one")
    is_([c.uri for c in there.fetch().contacts], ["sip:a@192.0.2.2"],
        "bindings of the other")
    mixed = server.phone("alice", domain="example.org")
    is_(mixed.register().status, 401, "a password is good for its domain")


@test
def each_domain_has_its_directory(server):
    is_(server.phone("dave", domain="example.net").register().status, 200,
        "in its own")
    is_(server.phone("dave").register().status, 401, "not in another")
    is_(server.phone("bob", domain="example.net").register().status, 401,
        "and the other way round")


@cases([
    ("an alias", "sip:sip.example.com", "sip:alice@sip.example.com"),
    ("an address", "sip:127.0.0.1", "sip:alice@127.0.0.1"),
    ("other case", "sip:EXAMPLE.com", "sip:alice@Example.COM"),
    ("alias and name", "sip:sip.example.com", "sip:alice@example.com"),
    ("a port", "sip:example.com:5060", "sip:alice@example.com"),
    ("parameters", "sip:example.com;transport=udp", "sip:alice@example.com"),
])
def all_names_of_a_domain_mean_one_aor(server, uri, aor):
    server.clear()
    phone = server.phone("alice", uri=uri, aor=aor)
    response = phone.register("<sip:a@192.0.2.1>")
    is_(response.status, 200, "status")
    is_(realms(phone.responses[0]), {"example.com"}, "one realm")
    is_([b["uri"] for b in server.bindings("alice")], ["sip:a@192.0.2.1"],
        "one place for the bindings")


@test
def a_user_may_register_its_alias(server):
    phone = server.phone("alice", aor="sip:alice.smith@example.com")
    response = phone.register("<sip:smith@192.0.2.9>")
    is_(response.status, 200, "status")
    ok("sip:smith@192.0.2.9" in [c.uri for c in response.contacts],
       "the binding", response)


@cases([
    ("another user", "sip:bob@example.com"),
    ("a user that does not exist", "sip:nobody@example.com"),
    ("the same name elsewhere", "sip:alice@example.org"),
    ("no user", "sip:example.com"),
])
def the_aor_of_another_is_403(server, aor):
    phone = server.phone("alice", aor=aor)
    response = phone.register("<sip:evil@192.0.2.66>")
    ok(response.status in ((403,) if "example.com" in aor else (403, 404)),
       "refused", response.start)
    is_(response.all("Contact"), [], "no binding is told")
    ok("evil" not in str(server.rpc("registrations.list", limit=1000)),
       "nothing was bound")


@test
def the_alias_of_another_is_403(server):
    phone = server.phone("bob", aor="sip:alice.smith@example.com")
    is_(phone.register().status, 403, "status")


@cases([("in the Request-URI", "sip:elsewhere.invalid",
         "sip:alice@elsewhere.invalid"),
        ("with our AOR", "sip:elsewhere.invalid", "sip:alice@example.com"),
        ("a subdomain", "sip:sub.example.com", "sip:alice@sub.example.com")])
def a_foreign_domain_is_403(server, uri, aor):
    phone = server.phone("alice", uri=uri, aor=aor)
    is_(phone.endpoint.exchange(phone.build()).status, 403,
        "without a challenge")


@test
def a_foreign_aor_is_refused(server):
    phone = server.phone("alice", aor="sip:alice@elsewhere.invalid")
    ok(phone.register().status in (403, 404), "even with a good password")


@test
def any_domain_is_taken_by_a_star():
    config = {"domains": {"*": {"directory": "users"},
                          "example.com": {"realm": "ours"}}}
    users = USERS + [{"username": "erin", "domain": "any.invalid",
                      "password": "secret-erin"}]
    with Server(config, users) as server:
        phone = server.phone("erin", domain="any.invalid")
        is_(phone.register().status, 200, "an unlisted one")
        is_(realms(phone.responses[0]), {"any.invalid"}, "its realm")
        is_(realms(server.phone("alice").challenged()), {"ours"},
            "a listed one keeps its own settings")
        is_(server.phone("erin", domain="other.invalid").register().status,
            401, "users still have a domain")


run(Domains(CONFIG, USERS))
