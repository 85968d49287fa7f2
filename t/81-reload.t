#!/usr/bin/env python3
"""Reload: as a whole or not at all, and nothing that is open suffers."""

import os
import signal
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import USERS, RpcError, Server, free_port, make_certificate
from tap import SLOW, cases, is_, like, ok, run, test

RELOADS = int(os.environ.get("BINDERY_RELOADS") or (200 if SLOW else 1000))
MANY = int(os.environ.get("BINDERY_USERS") or (10000 if SLOW else 100000))
# A server that stands still for a reload is slower than this by far.
ANSWER_SECONDS = 20 if SLOW else 2

ONE, TWO, THREE = (f"<sip:phone@192.0.2.{n}>" for n in (1, 2, 3))


def answered(endpoint):
    try:
        return endpoint.exchange(sip.request(endpoint)).status == 200
    except OSError:
        return False


# --- what takes effect

@test
def sighup_brings_a_new_generation():
    with Server() as server:
        before = server.status()["config"]
        after = server.reload()
        is_(after["generation"], before["generation"] + 1, "one higher")
        is_(after["last_error"], None, "no error")
        is_(after["path"], before["path"], "the same file")
        is_(server.status()["pid"], server.pid, "the same process")


@test
def settings_take_effect():
    with Server() as server:
        phone = server.phone()
        is_(phone.register(ONE, 5).status, 200, "before")
        server.change_config({"registrar": {
            "min_expires": 60, "max_contacts": 1, "default_expires": 77}})
        server.reload()
        is_(phone.register(ONE, 5).status, 423, "min_expires")
        is_(phone.register(ONE).contacts[0].expires, 77, "default_expires")
        is_(phone.register(TWO, 60).status, 403, "max_contacts")


@test
def domains_come_and_go():
    users = [*USERS, dict(USERS[0], domain="example.org")]
    with Server(users=users) as server:
        phone = server.phone(domain="example.org")
        is_(phone.endpoint.exchange(phone.build()).status, 403, "before")
        server.change_config({"domains": {
            "example.org": {"directory": "users"}}})
        server.reload()
        is_(phone.register().status, 200, "added")
        server.change_config({"domains": {"example.org": None}})
        server.reload()
        is_(phone.endpoint.exchange(phone.build()).status, 403, "removed")


@test
def bindings_nonces_and_connections_live_on():
    with Server() as server:
        phones = [server.phone(user, transport) for user, transport in
                  zip(("alice", "bob", "carol"), sip.ENDPOINTS)]
        for phone in phones:
            phone.register()
        before = [server.bindings(phone.user) for phone in phones]
        server.reload()
        is_([[b["uri"] for b in server.bindings(p.user)] for p in phones],
            [[b["uri"] for b in found] for found in before], "bindings")
        for phone in phones:
            is_(phone.register().status, 200, phone.endpoint.transport)
            is_(len(phone.responses), 1, "the nonce still serves")


@test
def a_transaction_lives_on():
    with Server() as server:
        phone = server.phone()
        phone.challenged()
        message = phone.authorize(phone.build())
        phone.endpoint.send(message)
        first = phone.endpoint.final(message)
        server.reload()
        phone.endpoint.send(message)
        is_(phone.endpoint.final(message).raw, first.raw,
            "a repeat gets the same answer")


# --- listeners

def listeners(server):
    return sorted((li["transport"], li["port"])
                  for li in server.status()["listeners"])


@test
def listeners_come_and_go():
    with Server() as server:
        kept, udp = server.phone("alice", "tcp"), server.phone("bob")
        kept.register()
        udp.register()
        port = free_port()
        old = server.config["listeners"]
        server.config["listeners"] = old + [
            {"transport": t, "address": "127.0.0.1", "port": port}
            for t in ("udp", "tcp")]
        server.write_config()
        server.reload()
        ok({("udp", port), ("tcp", port)} <= set(listeners(server)),
           "added, says status")
        added = sip.Tcp(("127.0.0.1", port))
        ok(answered(added), "added, TCP")
        with sip.Udp(("127.0.0.1", port)) as endpoint:
            ok(answered(endpoint), "added, UDP")
        ok(answered(kept.endpoint), "the others are untouched, TCP")
        is_(udp.register().status, 200, "the others are untouched, UDP")

        server.config["listeners"] = old
        server.write_config()
        server.reload()
        is_(sorted(p for _, p in listeners(server) if p == port), [],
            "removed, says status")
        try:
            with sip.Tcp(("127.0.0.1", port)):
                ok(False, "removed, TCP")
        except ConnectionRefusedError:
            ok(True, "removed, TCP")
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port))
            ok(True, "removed, UDP: the port is free")
        ok(answered(added), "a connection that it had accepted lives on")
        ok(answered(kept.endpoint), "the others are untouched still")
        added.close()


@test
def a_listener_that_cannot_be_opened_changes_nothing():
    with Server() as server, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        before = listeners(server)
        server.config["listeners"] = server.config["listeners"] + [
            {"transport": "udp", "address": "127.0.0.1", "port": free_port()},
            {"transport": "tcp", "address": "127.0.0.1", "port": port}]
        server.write_config()
        config = server.reload()
        like(str(config["last_error"]), rf"{port}", "last_error names it")
        is_(listeners(server), before, "not even the one that could")
        is_(server.phone().register().status, 200, "the server lives")


# --- users

@cases([("users.json", "users.json"), ("users.jsonl", "users.jsonl")])
def users_come_change_and_go(name):
    with Server(users_name=name) as server:
        phones = {user: server.phone(user)
                  for user in ("alice", "bob", "carol")}
        for phone in phones.values():
            is_(phone.register(ONE).status, 200, f"{phone.user} before")
        with server.control() as control:
            control.call("events.subscribe", types=["unregistered"])
            server.write_users([
                {**USERS[1], "enabled": False},
                {**USERS[2], "password": "changed"},
                {"username": "dave", "domain": "example.com",
                 "password": "secret-dave"}])
            server.reload()
            gone = {control.event()["aor"], control.event()["aor"]}
        is_(gone, {phones["alice"].aor, phones["bob"].aor},
            "a removed and a disabled user lose their bindings")
        is_((server.bindings("alice"), server.bindings("bob")), ([], []),
            "in the table")
        is_(len(server.bindings("carol")), 1,
            "a changed password costs no binding")
        is_(server.status()["users"], 3, "status counts anew")
        for user, want in (("alice", 401), ("bob", 401), ("carol", 401),
                           ("dave", 200)):
            is_(server.phone(user).register(ONE).status, want, user)
        changed = server.phone("carol", password="changed")
        is_(changed.register(ONE).status, 200, "the new password")


@test
def a_user_of_a_domain_that_goes_loses_its_bindings():
    users = [*USERS, dict(USERS[0], domain="example.org")]
    config = {"domains": {"example.org": {"directory": "users"}}}
    with Server(config, users) as server:
        server.phone(domain="example.org").register(ONE)
        server.phone().register(ONE)
        server.change_config({"domains": {"example.org": None}})
        server.reload()
        is_(server.bindings("alice", "example.org"), [], "gone")
        is_(len(server.bindings("alice")), 1, "the other stays")


GOOD = '{"username": "alice", "domain": "example.com", "password": "x"}'
BAD_USERS = [
    ("a duplicate", GOOD, r"alice"),
    ("a duplicate but for the case of the domain",
     GOOD.replace("example.com", "EXAMPLE.com"), r"alice"),
    ("an unknown key", '{"username": "bob", "domain": "example.com", '
     '"pasword": "x"}', r"pasword.*password"),
    ("a short hash", '{"username": "bob", "domain": "example.com", '
     '"ha1": {"MD5": "abc"}}', r"MD5"),
    ("a hash that is not hexadecimal", '{"username": "bob", "domain": '
     '"example.com", "ha1": {"SHA-256": "%s"}}' % ("z" * 64), r"SHA-256"),
    ("an unknown algorithm", '{"username": "bob", "domain": "example.com", '
     '"ha1": {"SHA-1": "%s"}}' % ("0" * 40), r"SHA-1"),
    ("no user name", '{"domain": "example.com", "password": "x"}',
     r"username"),
    ("an empty user name", '{"username": "", "domain": "example.com", '
     '"password": "x"}', r"username"),
    ("no domain", '{"username": "bob", "password": "x"}', r"domain"),
    ("no password and no hash", '{"username": "bob", "domain": '
     '"example.com"}', r"password|ha1"),
    ("a password that is no text", '{"username": "bob", "domain": '
     '"example.com", "password": 7}', r"password"),
    ("an alias that is no URI", '{"username": "bob", "domain": '
     '"example.com", "password": "x", "aliases": ["bob@"]}', r"alias"),
    ("an alias of another's", '{"username": "bob", "domain": "example.com", '
     '"password": "x", "aliases": ["sip:alice@example.com"]}', r"alias"),
    ("enabled that is no boolean", '{"username": "bob", "domain": '
     '"example.com", "password": "x", "enabled": "yes"}', r"enabled"),
    ("no object", '"bob"', r"object"),
    ("no JSON", '{"username": "bob",', r""),
]


@cases([(f"{name}, {file}", file, line, regex)
        for name, line, regex in BAD_USERS
        for file in ("users.json", "users.jsonl")])
def a_bad_user_is_named_and_changes_nothing(file, line, regex):
    with Server(users=[USERS[0]], users_name=file) as server:
        before = server.status()["config"]["generation"]
        text = (f'{{"users": [\n{GOOD},\n{line}\n]}}\n'
                if file == "users.json" else f"{GOOD}\n\n{line}\n")
        server.write_users(text)
        try:
            server.rpc("config.reload")
            ok(False, "an error")
        except RpcError as error:
            told = f"{error.message} {error.data}"
            # Broken JSON may be seen at the end of the file.
            number = r"\d+" if regex == "" else "3"
            like(told, rf"{file.replace('.', chr(92) + '.')}:{number}: "
                       rf".*{regex}", "file, line and reason")
            ok("secret" not in told, "no password is told")
        config = server.status()["config"]
        is_(config["generation"], before, "the generation stays")
        ok(config["last_error"], "last_error is set")
        is_(server.phone().register().status, 200, "the old users serve")


# --- as a whole or not at all

@test
def one_wrong_line_leaves_everything_in_force():
    with Server() as server:
        phone = server.phone("alice", "tls")
        phone.register(ONE)
        before = server.status()
        certificate = phone.endpoint.peer_certificate
        make_certificate(server.folder, "edge")
        server.write_users([USERS[1]])
        good = server.config
        server.config = {**good, "domains": {
            **good["domains"], "example.org": {"directory": "users"}}}
        server.change_config({"registrar": {"min_expires": 900},
                              "log": {"level": "loud"}})
        config = server.reload()
        like(str(config["last_error"]), r"bindery\.json:\d+: log\.level: ",
             "last_error has the fault")
        is_(config["generation"], before["config"]["generation"],
            "the generation stays")
        server.wait_log(r"bindery\.json:\d+: log\.level: ")
        ok(True, "it is logged")
        is_(phone.register(ONE, 60).status, 200, "the user and min_expires")
        is_(server.connect("tls").peer_certificate, certificate,
            "the certificate")
        foreign = server.phone(domain="example.org")
        is_(foreign.endpoint.exchange(foreign.build()).status, 403,
            "the domains")
        is_(len(server.bindings()), 1, "the binding")

        server.change_config({"log": {"level": "debug"}})
        config = server.reload()
        is_(config["last_error"], None, "a good reload clears last_error")
        is_(server.bindings(), [], "and takes all of it")


@test
def the_control_socket_tells_every_fault():
    with Server() as server:
        server.change_config({"workers": "many", "nonsense": 1})
        try:
            server.rpc("config.reload")
            ok(False, "an error")
        except RpcError as error:
            told = f"{error.message} {error.data}"
            like(told, r"bindery\.json:\d+: workers: expected", "one")
            like(told, r"bindery\.json:\d+: nonsense: ", "and the other")


@test
def a_missing_file_changes_nothing():
    with Server() as server:
        os.rename(server.path("bindery.json"), server.path("away"))
        like(str(server.reload()["last_error"]), r"bindery\.json", "named")
        is_(server.phone().register().status, 200, "the server lives")
        os.rename(server.path("away"), server.path("bindery.json"))
        is_(server.reload()["last_error"], None, "and recovers")


# --- under traffic

class Traffic(threading.Thread):
    """A phone that registers again and again until it is told to stop."""

    def __init__(self, phone):
        super().__init__(daemon=True)
        self.phone = phone
        self.running = True
        self.count = 0
        self.trouble = []

    def run(self):
        try:
            while self.running:
                response = self.phone.register()
                self.count += 1
                if response.status != 200:
                    self.trouble.append(response.start)
        except Exception as error:
            self.trouble.append(repr(error))

    def finish(self):
        self.running = False
        self.join(60)


@test
def reloads_under_traffic_drop_nothing():
    with Server({"workers": 4}) as server:
        traffic = [Traffic(server.fresh_phone(transport))
                   for transport in sip.ENDPOINTS for _ in range(2)]
        for thread in traffic:
            thread.start()
        first = server.status()["config"]["generation"]
        with server.control() as control:
            for _ in range(RELOADS):
                control.call("config.reload")
        for thread in traffic:
            thread.finish()
        config = server.status()["config"]
        is_(config["generation"], first + RELOADS, f"{RELOADS} reloads")
        is_(config["last_error"], None, "no error")
        for number, thread in enumerate(traffic):
            name = f"{thread.phone.endpoint.transport} {number}"
            is_(thread.trouble, [], f"{name}: no request failed")
            ok(thread.count > 10, f"{name}: there was traffic", thread.count)
            is_(len(server.bindings(thread.phone.user)), 1,
                f"{name}: the binding")


@test
def a_storm_of_signals_is_weathered():
    with Server() as server:
        for number in range(200):
            server.change_config({"registrar": {"default_expires":
                                                1000 + number}})
            server.signal(signal.SIGHUP)
        phone = server.phone()
        server.wait_until(lambda: phone.register(ONE).contacts[0].expires
                          == 1199, what="the last configuration")
        ok(True, "the last one is in force")


@test
def many_users_are_loaded_while_the_server_answers():
    with Server() as server:
        server.phone().register(ONE)
        names = [f"m{number}" for number in range(MANY)]
        server.write_users([USERS[0]] + [
            {"username": name, "domain": "example.com", "ha1": {
                "MD5": sip.ha1("MD5", name, "example.com", name)}}
            for name in names])
        endpoint = server.connect("udp")
        result = []

        def reload():
            with server.control() as control:
                control.sock.settimeout(110)
                control.send(b'{"jsonrpc":"2.0","id":1,'
                             b'"method":"config.reload"}\n')
                result.append(control.line(110))
        thread = threading.Thread(target=reload, daemon=True)
        thread.start()
        slowest = asked = 0
        while thread.is_alive():
            started = time.monotonic()
            ok_status = answered(endpoint)
            slowest = max(slowest, time.monotonic() - started)
            asked += 1
            if not ok_status:
                ok(False, "an answer while loading")
                break
        thread.join(110)
        ok(result and "result" in result[0], "the reload works", result)
        ok(slowest < ANSWER_SECONDS, "no answer was held up",
           f"{slowest:.2f} s, {asked} asked")
        is_(server.status()["users"], MANY + 1, "all are there")
        last = server.phone(names[-1], password=names[-1], algorithm="MD5")
        is_(last.register().status, 200, "the last one registers")
        is_(len(server.bindings()), 1, "bindings are kept")


run()
