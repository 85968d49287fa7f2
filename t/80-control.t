#!/usr/bin/env python3
"""The control socket (JSON-RPC 2.0, a message a line) and binderyctl."""

import json
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import (WAIT_SECONDS, RpcError, Server, binderyctl, binderyd,
                     poll, program)
from tap import cases, is_, like, ok, run, test

ONE, TWO = "<sip:phone@192.0.2.1>", "<sip:phone@192.0.2.2>"


def rpc_code(server, method, **params):
    """The error code of a call, None if it works."""
    try:
        server.rpc(method, **params)
    except RpcError as error:
        return error.code
    return None


def pages(server, method, key, **params):
    """All pages of a list."""
    found, cursor = [], None
    while True:
        page = server.rpc(method, **params,
                          **({"cursor": cursor} if cursor else {}))
        found.append(page[key])
        cursor = page["cursor"]
        if cursor is None:
            return found
        if len(found) > 1000:
            raise AssertionError("the list has no end")


# --- JSON-RPC

@cases([
    ("no JSON", b"{", -32700),
    ("half a message", b'{"jsonrpc":"2.0","id":1,"method":"sta', -32700),
    ("no UTF-8", b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
    ("a number", b"1", -32600),
    ("a text", b'"status"', -32600),
    ("an empty list", b"[]", -32600),
    ("no method", b'{"jsonrpc":"2.0","id":1}', -32600),
    ("a method that is no text", b'{"jsonrpc":"2.0","id":1,"method":7}',
     -32600),
    ("another version", b'{"jsonrpc":"1.0","id":1,"method":"status"}',
     -32600),
    ("an id that is an object",
     b'{"jsonrpc":"2.0","id":{},"method":"status"}', -32600),
    ("parameters that are a text",
     b'{"jsonrpc":"2.0","id":1,"method":"status","params":"x"}', -32600),
    ("an unknown method", b'{"jsonrpc":"2.0","id":1,"method":"dance"}',
     -32601),
])
def a_wrong_message_gets_the_code(server, line, code):
    with server.control() as control:
        answer = control.raw(line)
        is_(answer.get("jsonrpc"), "2.0", "jsonrpc")
        got = answer["error"]["code"]
        # For parameters of a wrong type -32602 is as good.
        ok(got == code or "params" in str(line) and got == -32602, "code",
           answer)
        ok(answer["error"]["message"], "a message", answer)
        ok("result" not in answer, "no result")
        if code == -32700:
            is_(answer.get("id", 0), None, "id is null")
        is_(control.call("status")["name"], "bindery",
            "the connection goes on")


@cases([
    ("missing", "registrations.get", {}),
    ("of a wrong type", "registrations.get", {"aor": 7}),
    ("of a wrong type", "registrations.list", {"limit": "ten"}),
    ("negative", "registrations.list", {"limit": -1}),
    ("a cursor that is none", "registrations.list", {"cursor": "no such"}),
    ("an unknown level", "log.level", {"level": "loud"}),
    ("an unknown event", "events.subscribe", {"types": ["dance"]}),
    ("of a wrong type", "events.subscribe", {"types": "registered"}),
    ("no user given", "users.get", {}),
    ("no AOR given", "registrations.remove", {}),
    ("unknown", "registrations.get", {"aor": "sip:a@b", "colour": "red"}),
])
def wrong_parameters_are_refused(server, method, params):
    is_(rpc_code(server, method, **params), -32602, f"{method} {params}")


@cases([("a number", 7), ("a text", "seven"), ("a large number", 2**40)])
def the_id_comes_back(server, number):
    with server.control() as control:
        answer = control.raw(json.dumps({
            "jsonrpc": "2.0", "id": number, "method": "status"}).encode())
        is_(answer["id"], number, "id")
        ok("error" not in answer, "no error")


@test
def a_notification_is_not_answered(server):
    with server.control() as control:
        control.send(b'{"jsonrpc":"2.0","method":"status"}\n')
        control.send(b'{"jsonrpc":"2.0","method":"no such"}\n')
        is_(control.raw(b'{"jsonrpc":"2.0","id":5,"method":"status"}')["id"],
            5, "the first answer is to the request")


@test
def requests_may_come_together_and_in_pieces(server):
    with server.control() as control:
        data = b"".join(
            b'{"jsonrpc":"2.0","id":%d,"method":"methods"}\n' % n
            for n in range(20))
        control.send(data[:-30])
        seen = [control.line()["id"] for _ in range(19)]
        control.send(data[-30:])
        seen.append(control.line()["id"])
        is_(seen, list(range(20)), "answered in order")


@test
def an_endless_line_ends_the_connection(server):
    with server.control() as control:
        try:
            for _ in range(256):
                control.send(b"x" * 65536)
            ended = not control.sock.recv(1) or "error" in control.line()
        except OSError:
            ended = True
        ok(ended, "refused")
    is_(server.status()["name"], "bindery", "the server lives")


@test
def many_clients_are_served(server):
    controls = [server.control() for _ in range(30)]
    is_([c.call("status")["name"] for c in controls], ["bindery"] * 30,
        "at once")
    for control in controls:
        control.__exit__()


@test
def the_socket_has_the_mode_of_the_configuration(server):
    is_(oct(stat.S_IMODE(os.stat(server.socket).st_mode)), "0o660", "0660")
    with Server({"control": {"mode": "0600"}}) as other:
        is_(oct(stat.S_IMODE(os.stat(other.socket).st_mode)), "0o600", "0600")


# --- methods

@test
def methods_are_listed_with_help(server):
    told = json.dumps(server.rpc("methods"))
    for name in ("status", "registrations.list", "registrations.get",
                 "registrations.remove", "users.list", "users.get",
                 "connections.list", "config.reload", "log.level",
                 "events.subscribe", "methods"):
        ok(f'"{name}"' in told, name, told)


@test
def status_tells_all(server):
    status = server.status()
    is_(status["name"], "bindery", "name")
    ok(status["version"] in binderyd("--version")[1], "version")
    is_(status["pid"], server.pid, "pid")
    ok(0 <= status["uptime"] < 3600, "uptime", status["uptime"])
    is_(set(status["config"]), {"path", "generation", "loaded_at",
                                "last_error"}, "config")
    is_(status["config"]["last_error"], None, "no error yet")
    is_(status["workers"], 2, "workers")
    is_(sorted((li["transport"], li["address"], li["port"])
               for li in status["listeners"]),
        [("tcp", "127.0.0.1", server.tcp), ("tls", "127.0.0.1", server.tls),
         ("udp", "127.0.0.1", server.udp)], "listeners")
    is_(status["users"], len(server.user_entries), "users")
    is_(set(status["transactions"]), {"server", "client"}, "transactions")
    is_(set(status["connections"]), {"tcp", "tls"}, "connections")
    ok(status["counters"] and isinstance(status["counters"], dict),
       "counters")


@test
def status_counts_bindings_and_connections(server):
    before = server.status()
    phone = server.fresh_phone("tcp")
    phone.register([ONE, TWO], 600)
    after = server.status()
    is_((after["registrations"]["aors"], after["registrations"]["bindings"]),
        (before["registrations"]["aors"] + 1,
         before["registrations"]["bindings"] + 2), "registrations")
    is_(after["connections"]["tcp"], before["connections"]["tcp"] + 1,
        "connections")
    phone.unregister()
    is_(server.status()["registrations"], before["registrations"],
        "and back again")


@test
def a_binding_is_told_in_full(server):
    phone = server.fresh_phone("tls")
    params = (';+sip.instance="<urn:uuid:00000000-0000-1000-8000-0000000000aa'
              '>";reg-id=3;q=0.7;audio')
    phone.register(ONE + params, 600, headers=[
        ("Supported", "path, outbound"), ("User-Agent", 'Phone "x"/1.0')])
    told = server.rpc("registrations.get", aor=phone.aor)
    is_(told["aor"], phone.aor, "aor")
    binding, = told["bindings"]
    for name, want in (
            ("uri", ONE.strip("<>")), ("call_id", phone.call_id),
            ("cseq", int(phone.last_request.get("CSeq").split()[0])),
            ("reg_id", 3), ("user_agent", 'Phone "x"/1.0'),
            ("reachable", True)):
        is_(binding[name], want, name)
    is_(float(binding["q"]), 0.7, "q")
    is_(binding["transport"].lower(), "tls", "transport")
    ok(598 <= binding["expires"] <= 600 or binding["expires"] > 1e9,
       "expires", binding["expires"])
    ok("0000000000aa" in binding["instance"], "instance",
       binding["instance"])
    ok(f"127.0.0.1:{phone.endpoint.local[1]}" in binding["received"],
       "received", binding["received"])
    ok("audio" in str(binding["params"]), "params", binding["params"])
    for name in ("path", "since", "refreshed"):
        ok(name in binding, name, binding)


@test
def registrations_come_in_pages(server):
    phones = [server.fresh_phone() for _ in range(25)]
    for phone in phones:
        phone.register(ONE, 600)
    found = pages(server, "registrations.list", "registrations", limit=10)
    ok(all(len(page) <= 10 for page in found), "no page above its limit",
       [len(page) for page in found])
    aors = [entry["aor"] for page in found for entry in page]
    is_(len(aors), len(set(aors)), "none twice")
    ok({phone.aor for phone in phones} <= set(aors), "none missing")
    ok(all(entry["bindings"] for page in found for entry in page),
       "with their bindings")
    whole = pages(server, "registrations.list", "registrations", limit=1000)
    is_(sorted(aors), sorted(e["aor"] for e in whole[0]), "one page is alike")


@test
def a_page_stays_right_while_the_table_changes(server):
    phones = [server.fresh_phone() for _ in range(10)]
    for phone in phones:
        phone.register(ONE, 600)
    first = server.rpc("registrations.list", limit=3)
    server.phone(phones[0].user).unregister()
    newcomer = server.fresh_phone()
    newcomer.register(ONE, 600)
    rest = pages(server, "registrations.list", "registrations", limit=3)
    seen = {e["aor"] for page in [first["registrations"], *rest]
            for e in page}
    ok({p.aor for p in phones[1:]} <= seen, "all that stayed are told")


@test
def registrations_are_filtered(server):
    phone = server.fresh_phone()
    phone.register(ONE, 600)
    for params, want in (({"aor": phone.aor}, [phone.aor]),
                         ({"aor": "sip:nobody@example.com"}, []),
                         ({"domain": "example.org"}, [])):
        found = server.rpc("registrations.list", **params)["registrations"]
        is_([e["aor"] for e in found], want, f"{params}")
    found = server.rpc("registrations.list", domain="example.com", limit=1000)
    ok(phone.aor in [e["aor"] for e in found["registrations"]], "by domain")


@test
def registrations_are_removed(server):
    phone = server.fresh_phone()
    phone.register([ONE, TWO], 600)
    with server.control() as control:
        control.call("events.subscribe", types=["unregistered"])
        is_(server.rpc("registrations.remove", aor=phone.aor,
                       uri=ONE.strip("<>"))["removed"], 1, "one")
        control.wait_event("unregistered", aor=phone.aor)
    is_([c.uri for c in phone.fetch().contacts], [TWO.strip("<>")],
        "the other remains")
    phone.register(ONE, 600)
    is_(server.clear(phone.user)["removed"], 2, "all")
    is_(phone.fetch().all("Contact"), [], "none remains")
    is_(server.clear(phone.user)["removed"], 0, "nothing to remove")
    is_(phone.register(ONE, 600).status, 200, "the phone may come back")


@test
def users_are_listed_without_secrets(server):
    found = pages(server, "users.list", "users", limit=30)
    is_(sum(len(page) for page in found), len(server.user_entries), "all")
    ok(all(len(page) <= 30 for page in found), "in pages")
    told = json.dumps(found) + json.dumps(
        server.rpc("users.get", aor="sip:alice@example.com"))
    ok("alice" in told, "by name")
    ok("secret-" not in told, "no password")
    for algorithm in sip.HASHES:
        ok(sip.ha1(algorithm, "alice", "example.com", "secret-alice")
           not in told, f"no {algorithm} hash")


@test
def an_unknown_user_is_an_error(server):
    ok(rpc_code(server, "users.get", aor="sip:nobody@example.com")
       is not None, "users.get")


@test
def connections_come_in_pages(server):
    for _ in range(12):
        endpoint = server.connect("tcp")
        endpoint.exchange(sip.request(endpoint))
    found = pages(server, "connections.list", "connections", limit=5)
    numbers = [c["id"] for page in found for c in page]
    ok(len(numbers) >= 12, "all", numbers)
    is_(len(numbers), len(set(numbers)), "none twice")
    ok(all(len(page) <= 5 for page in found), "no page above its limit")


@test
def the_log_level_can_be_set(server):
    is_(server.rpc("log.level", level="warning")["level"], "warning",
        "the level in force")
    quiet, loud = server.fresh_phone(), server.fresh_phone()
    quiet.register()
    is_(server.rpc("log.level", level="debug")["level"], "debug", "and back")
    loud.register()
    server.wait_log(rf"\b{loud.user}@example\.com\b")
    ok(f"{quiet.user}@example.com" not in server.log(), "less was logged")


@test
def config_reload_gives_the_generation(server):
    before = server.status()["config"]["generation"]
    is_(server.rpc("config.reload")["generation"], before + 1, "one higher")
    is_(server.status()["config"]["generation"], before + 1, "and in status")


# --- events

@test
def the_life_of_a_binding_is_told(server):
    phone = server.fresh_phone()
    with server.control() as control:
        control.call("events.subscribe")
        phone.register(ONE, 600)
        like(json.dumps(control.wait_event("registered", aor=phone.aor)),
             re.escape(ONE.strip("<>")), "registered")
        phone.register(ONE, 600)
        control.wait_event("refreshed", aor=phone.aor)
        phone.unregister()
        control.wait_event("unregistered", aor=phone.aor)
        phone.register(ONE, 1)
        control.wait_event("expired", aor=phone.aor)


@test
def reloads_are_told(server):
    with server.control() as control:
        control.call("events.subscribe", types=["reloaded", "reload_failed"])
        server.rpc("config.reload")
        control.wait_event("reloaded")
        server.write("bindery.json", "{")
        try:
            is_(rpc_code(server, "config.reload") is None, False, "an error")
            control.wait_event("reload_failed")
        finally:
            server.write_config()
        server.rpc("config.reload")
        control.wait_event("reloaded")


@test
def only_the_chosen_types_are_told(server):
    phone = server.fresh_phone()
    with server.control() as control:
        control.call("events.subscribe", types=["unregistered"])
        phone.register(ONE, 600)
        phone.unregister()
        is_(control.event()["type"], "unregistered", "the first that comes")


def lost_in(message):
    """The number of lost events that a notification tells of."""
    text = json.dumps(message)
    found = re.search(r'"(?:lost|missed|dropped)": (\d+)', text)
    return int(found[1]) if found else 0


@test
def a_slow_reader_is_told_how_many_events_it_lost(server):
    with server.control() as control:
        control.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        control.call("events.subscribe", types=["auth_failed"])
        phone = server.phone("alice", password="wrong")
        phone.challenged()
        bad = phone.authorize(phone.build()).encode()
        # Each is one event; the window keeps UDP from losing any.
        sent = 30000
        for number in range(sent):
            phone.endpoint.send_bytes(bad)
            if number >= 32:
                phone.endpoint.recv_bytes()
        is_(server.fresh_phone().register().status, 200,
            "the server was not slowed")
        seen = lost = 0
        while not lost:
            message = control.line()
            lost = lost_in(message)
            seen += message.get("params", {}).get("type") == "auth_failed"
        ok(0 < lost <= sent - seen, "the number", f"{lost} lost, {seen} seen")


# --- binderyctl

def table(text):
    return [line.split() for line in text.splitlines()]


@test
def ctl_prints_tables(server):
    phone = server.fresh_phone("tls")
    phone.register(ONE, 600)
    for command, words in (
            (["status"], [str(server.pid), "bindery"]),
            (["registrations"], [phone.aor.removeprefix("sip:")]),
            (["registrations", phone.aor], [ONE.strip("<>")]),
            (["users"], ["alice"]),
            (["users", "sip:alice@example.com"], ["alice"]),
            (["connections"], [str(phone.endpoint.local[1])]),
            (["call", "status"], [str(server.pid)])):
        code, out, err = server.ctl(*command)
        is_((code, err), (0, ""), f"{' '.join(command)}: exit code")
        for word in words:
            ok(word in out, f"{' '.join(command)}: {word}", out)
        ok("\x1b" not in out, f"{' '.join(command)}: no colours in a pipe")
        ok(not re.search("secret-", out), "no secret")


@cases([("status", ["status"]), ("registrations", ["registrations"]),
        ("users", ["users"]), ("connections", ["connections"]),
        ("reload", ["reload"]), ("log", ["log", "debug"]),
        ("call", ["call", "registrations.list", '{"limit": 1}'])])
def ctl_speaks_json(server, command):
    code, out, _ = server.ctl("--json", *command)
    is_(code, 0, "exit code")
    try:
        ok(isinstance(json.loads(out), (dict, list)), "JSON")
    except ValueError:
        lines = [json.loads(line) for line in out.splitlines()]
        ok(lines, "JSON lines", out)


@test
def ctl_lists_more_than_a_page(server):
    phones = [server.fresh_phone() for _ in range(5)]
    for phone in phones:
        phone.register([ONE, TWO], 600)
    _, out, _ = server.ctl("registrations")
    for phone in phones:
        ok(re.search(rf"\b{phone.user}@example\.com\b", out), phone.user)


@test
def ctl_removes(server):
    phone = server.fresh_phone()
    phone.register([ONE, TWO], 600)
    is_(server.ctl("remove", phone.aor, ONE.strip("<>"))[0], 0, "one")
    is_(len(server.bindings(phone.user)), 1, "one remains")
    is_(server.ctl("remove", phone.aor)[0], 0, "all")
    is_(server.bindings(phone.user), [], "none remains")


@test
def ctl_takes_an_aor_without_its_scheme(server):
    phone = server.fresh_phone()
    phone.register(ONE, 600)
    code, out, _ = server.ctl("registrations", phone.aor.removeprefix("sip:"))
    is_(code, 0, "exit code")
    ok(ONE.strip("<>") in out, "the binding", out)


@test
def ctl_reloads(server):
    before = server.status()["config"]["generation"]
    is_(server.ctl("reload")[0], 0, "exit code")
    is_(server.status()["config"]["generation"], before + 1, "done")
    wrong = dict(server.config, workers="many", nonsense=1)
    server.write_config(wrong)
    try:
        code, _, err = server.ctl("reload")
        is_(code, 1, "a wrong configuration is 1")
        like(err, r"bindery\.json:\d+: workers: expected", "one fault")
        like(err, r"bindery\.json:\d+: nonsense: ", "and the other")
    finally:
        server.write_config()
    is_(server.ctl("reload")[0], 0, "and back")


@test
def ctl_sets_the_log_level(server):
    is_(server.ctl("log", "info")[0], 0, "exit code")
    is_(server.rpc("log.level", level="debug")["level"], "debug", "and back")
    is_(server.ctl("log", "loud")[0], 1, "an unknown level")


@cases([("an unknown method", ["call", "dance"], 1),
        ("wrong parameters", ["call", "registrations.get"], 1),
        ("no JSON", ["call", "status", "{"], 2),
        ("too few arguments", ["remove"], 2),
        ("too many arguments", ["status", "now", "please"], 2)])
def ctl_fails_with(server, command, want):
    code, out, err = server.ctl(*command)
    ok(code in (want, 1) if command[0] == "call" else code == want,
       f"exit code {want}", (code, out, err))
    ok(err, "a word on standard error")


@test
def ctl_says_that_no_server_answers():
    code, out, err = binderyctl("-s", "/nonexistent/control.sock", "status")
    is_((code, out), (1, ""), "exit code")
    ok("no server answers on /nonexistent/control.sock: is binderyd running?"
       in err, "the text", err)


def reading(server, *command):
    """Run a command that goes on; stop it by SIGINT."""
    return subprocess.Popen(
        [program("binderyctl"), "-s", server.socket, *command],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)


def read_until(process, word):
    """The output up to and with the word."""
    seen = b""

    def found():
        nonlocal seen
        if select.select([process.stdout], [], [], 0.1)[0]:
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                raise AssertionError(f"ended after {seen!r}")
            seen += data
        return word.encode() in seen
    poll(found, WAIT_SECONDS, f"{word!r} from binderyctl")
    return seen.decode()


@cases([("events", ["events"]), ("events as JSON", ["--json", "events"])])
def ctl_prints_events_as_they_come(server, command):
    phone = server.fresh_phone()
    process = reading(server, *command)
    try:
        def seen():
            phone.register(ONE, 600)
            return select.select([process.stdout], [], [], 0.1)[0]
        poll(seen, what="the first event")
        like(read_until(process, phone.user), "registered|refreshed", "type")
        is_(process.poll(), None, "it goes on")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_SECONDS)


@test
def ctl_watches(server):
    process = reading(server, "watch")
    try:
        ok(read_until(process, "bindery") or True, "it shows the server")
        is_(process.poll(), None, "it goes on")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_SECONDS)


run(Server())
