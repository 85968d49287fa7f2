#!/usr/bin/env python3
"""Starting and stopping: arguments, the check of the configuration, signals,
exit codes."""

import json
import os
import pwd
import re
import signal
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server, binderyctl, binderyd, make_certificate, merge
from tap import cases, is_, like, ok, run, skip, test


class Files(Server):
    """The files of a server that nobody starts."""

    def start(self):
        pass

    def check(self):
        """(exit code, the lines that were printed)"""
        code, out, err = binderyd("--check", "-c", self.path("bindery.json"))
        return code, (out + err).splitlines()

    def run(self):
        """Start where a start must fail: (exit code, output, errors)."""
        return binderyd("-c", self.path("bindery.json"))


# --- arguments

@cases([("binderyd", binderyd), ("binderyctl", binderyctl)])
def version_and_help_go_to_standard_output(program):
    code, out, err = program("--version")
    is_((code, err), (0, ""), "--version")
    like(out, r"^\S+ \d+\.\d+", "name and version first")
    code, out, err = program("--help")
    is_((code, err), (0, ""), "--help")
    like(out, r"(?i)usage", "a usage line")


@cases([(f"{name} {' '.join(arguments)}", program, arguments)
        for name, program, arguments in (
            ("binderyd", binderyd, ["--no-such-option"]),
            ("binderyd", binderyd, ["-Q"]),
            ("binderyd", binderyd, ["-c"]),
            ("binderyd", binderyd, ["left", "over"]),
            ("binderyctl", binderyctl, ["--no-such-option"]),
            ("binderyctl", binderyctl, []),
            ("binderyctl", binderyctl, ["no-such-command"]))])
def wrong_usage_ends_with_2(program, arguments):
    code, out, err = program(*arguments)
    is_((code, out), (2, ""), "exit code, nothing on standard output")
    ok(err, "a word on standard error")
    if arguments and arguments != ["-c"]:
        ok(arguments[0] in err or arguments[0].lstrip("-") in err,
           "it names what is wrong", err)


@test
def machines_are_printed_as_graphs():
    code, out, _ = binderyd("--print-machines")
    is_(code, 0, "exit code")
    ok(len(re.findall(r"digraph|subgraph", out)) >= 4, "four machines", out)


# --- --check

@test
def a_good_configuration_is_approved():
    with Files() as files:
        code, lines = files.check()
        is_(code, 0, "exit code")
        ok(not any("expected" in line for line in lines), "no complaint",
           lines)


@test
def check_opens_no_listener():
    with Files() as files, socket.socket() as taken:
        taken.bind(("127.0.0.1", files.tcp))
        taken.listen()
        is_(files.check()[0], 0, "a port in use is none of its business")


FAULTS = [
    ("a port that is no number", {"listeners": [
        {"transport": "udp", "address": "127.0.0.1", "port": 5060},
        {"transport": "tcp", "address": "127.0.0.1", "port": 5060},
        {"transport": "tcp", "address": "127.0.0.1", "port": "50a61"}]},
     r'listeners\[2\]\.port: expected an integer from 1 to 65535, '
     r'got "50a61"'),
    ("a port out of range", {"listeners": [
        {"transport": "udp", "address": "127.0.0.1", "port": 65536}]},
     r"listeners\[0\]\.port: expected an integer from 1 to 65535, got 65536"),
    ("a transport that does not exist", {"listeners": [
        {"transport": "sctp", "address": "127.0.0.1", "port": 5060}]},
     r'listeners\[0\]\.transport: expected .*udp.*, got "sctp"'),
    ("an address that is none", {"listeners": [
        {"transport": "udp", "address": "nowhere", "port": 5060}]},
     r'listeners\[0\]\.address: expected .*, got "nowhere"'),
    ("a TLS listener without a certificate", {"listeners": [
        {"transport": "tls", "address": "127.0.0.1", "port": 5061}]},
     r"listeners\[0\](\.tls)?: expected"),
    ("an unknown TLS name", {"listeners": [
        {"transport": "tls", "address": "127.0.0.1", "port": 5061,
         "tls": "egde"}]},
     r'listeners\[0\]\.tls: expected .*edge.*'),
    ("an unknown directory", {"domains": {
        "example.com": {"directory": "usres"}}},
     r'domains.*example\.com.*directory: expected'),
    ("an unknown algorithm", {"registrar": {"algorithms": ["SHA-1"]}},
     r'registrar\.algorithms\[0\]: expected .*, got "SHA-1"'),
    ("a wrong type", {"registrar": {"max_expires": True}},
     r"registrar\.max_expires: expected an integer.*, got true"),
    ("a negative number", {"registrar": {"max_contacts": -1}},
     r"registrar\.max_contacts: expected an integer.*, got -1"),
    ("a fraction", {"workers": 1.5}, r"workers: expected an integer"),
    ("a log level", {"log": {"level": "loud"}},
     r'log\.level: expected .*debug.*, got "loud"'),
    ("verify_client", {"tls": {"edge": {"verify_client": "maybe"}}},
     r'tls\.edge\.verify_client: expected .*off.*optional.*require.*'
     r', got "maybe"'),
    ("min_version", {"tls": {"edge": {"min_version": "1.1"}}},
     r'tls\.edge\.min_version: expected .*1\.2.*1\.3.*, got "1.1"'),
    ("an unknown store", {"location": {"store": "tape"}},
     r'location\.store: expected .*memory.*, got "tape"'),
    ("an unknown key", {"registar": {}},
     r"registar: .*registrar"),
    ("an unknown key deep down", {"registrar": {"max_expire": 60}},
     r"registrar\.max_expire: .*max_expires"),
    ("a missing certificate", {"tls": {"edge": {"certificate": "no.pem"}}},
     r"tls\.edge\.certificate: .*no\.pem"),
    ("a missing key file", {"tls": {"edge": {"key": "no.key"}}},
     r"tls\.edge\.key: .*no\.key"),
    ("a missing directory file", {"directories": {
        "users": {"path": "none.json"}}},
     r"directories\.users\.path: .*none\.json"),
]


@cases(FAULTS)
def a_fault_is_named_with_file_line_and_path(change, regex):
    with Files(change) as files:
        code, lines = files.check()
        is_(code, 1, "exit code")
        like("\n".join(lines), rf"(?m)(^|[ /])bindery\.json:\d+: {regex}",
             "the message")


@test
def the_line_is_that_of_the_wrong_value():
    with Files() as files:
        text = json.dumps(files.config, indent=1)
        lines = text.split("\n")
        at = next(n for n, line in enumerate(lines) if '"port"' in line)
        lines[at] = '   "port": "50a61"'
        files.write_config("\n".join(lines))
        code, found = files.check()
        is_(code, 1, "exit code")
        ok(any(f"bindery.json:{at + 1}: listeners[0].port: expected an "
               f'integer from 1 to 65535, got "50a61"' in line
               for line in found), "to the letter", found)


@test
def all_faults_are_listed():
    changes = {}
    for name, change, _ in FAULTS:
        if name in ("a wrong type", "a log level", "verify_client",
                    "an unknown key", "a missing key file"):
            changes = merge(changes, change)
    with Files(changes) as files:
        code, lines = files.check()
        is_(code, 1, "exit code")
        for what in ("registrar.max_expires", "log.level",
                     "tls.edge.verify_client", "registar", "tls.edge.key"):
            ok(any(f" {what}: " in line for line in lines), what, lines)


@cases([
    ("a comma too many", '{"workers": 1,}', "1"),
    ("no end", '{\n"workers": 1,\n', "[23]"),
    ("nothing", "", "1"),
    ("a key twice", '{\n"workers": 1,\n"workers": 2\n}', "3"),
])
def what_is_not_json_is_named_with_its_line(text, line):
    with Files() as files:
        files.write_config(text)
        code, found = files.check()
        is_(code, 1, "exit code")
        like("\n".join(found), rf"bindery\.json:{line}: ", "file and line")


@test
def what_is_no_object_is_a_fault():
    with Files() as files:
        files.write_config("[]")
        code, found = files.check()
        is_(code, 1, "exit code")
        like("\n".join(found), r"bindery\.json:1: .*object", "said so")


@test
def a_missing_file_is_named():
    code, _, err = binderyd("-c", os.devnull + "/no-such.json")
    is_(code, 1, "exit code")
    like(err, r"no-such\.json", "the file")


@test
def a_key_of_another_certificate_is_refused():
    with Files({"tls": {"edge": {"key": "other.key"}}}) as files:
        make_certificate(files.folder, "other")
        code, lines = files.check()
        is_(code, 1, "exit code")
        like("\n".join(lines), r"tls\.edge.*(match|belong|fit)", "said so")


# --- start and stop

@cases([("SIGTERM", signal.SIGTERM), ("SIGINT", signal.SIGINT)])
def a_signal_stops_the_server(sig):
    with Server() as server:
        phone = server.phone("alice", "tls")
        is_(phone.register().status, 200, "it serves when it says READY=1")
        server.stop(sig)
        ok(not os.path.exists(server.socket), "the control socket is gone")
        code, _, err = server.ctl("status")
        is_(code, 1, "binderyctl fails")
        ok(f"no server answers on {server.socket}: is binderyd running?"
           in err, "and says why", err)


@test
def what_check_finds_stops_the_start():
    with Files({"tls": {"edge": {"certificate": "no.pem"}},
                "workers": "many"}) as files:
        code, _, err = files.run()
        is_(code, 1, "exit code")
        like(err, r"bindery\.json:\d+: workers: expected an integer", "one")
        like(err, r"bindery\.json:\d+: tls\.edge\.certificate: .*no\.pem",
             "and the other")


@cases([("TCP", socket.SOCK_STREAM, "tcp"), ("UDP", socket.SOCK_DGRAM, "udp")])
def a_port_in_use_is_named(kind, transport):
    with Files() as files, socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", files.port))
        if transport == "tcp":
            taken.listen()
        code, _, err = files.run()
        is_(code, 1, "exit code")
        like(err, rf"127\.0\.0\.1:{files.port}\b", "the address")
        like(err, f"(?i){transport}", "the transport")
        like(err, "(?i)in use", "the reason")


@test
def a_server_that_was_killed_leaves_nothing_in_the_way():
    with Server() as server:
        server.kill()
        ok(os.path.exists(server.socket), "its control socket remains")
        server.start()
        is_(server.status()["pid"], server.pid, "the next one takes it over")


@test
def a_control_socket_that_serves_is_not_taken_over():
    with Server() as server, Files({"control": {
            "socket": server.socket}}) as files:
        code, _, err = files.run()
        is_(code, 1, "exit code")
        ok(server.socket in err, "it is named", err)
        is_(server.status()["pid"], server.pid, "the first one has it still")


@test
def stopping_ends_open_connections():
    with Server() as server:
        endpoints = [server.connect(t) for t in ("tcp", "tls")]
        for endpoint in endpoints:
            endpoint.exchange(sip.request(endpoint))
        server.signal(signal.SIGTERM)
        for endpoint in endpoints:
            ok(endpoint.wait_closed(), endpoint.transport)


@test
def the_log_is_reopened_without_a_pause():
    with Server() as server:
        server.signal(signal.SIGUSR1)
        is_(server.phone().register().status, 200, "SIGUSR1 is survived")


@test
def the_log_can_be_json():
    with Server({"log": {"format": "json"}}) as server:
        server.phone(password="wrong").register()
        server.phone().register()
        server.stop()
        lines = server.log().splitlines()
        ok(lines, "there is a log")
        is_([line for line in lines if not is_object(line)], [],
            "each line is an object")


def is_object(line):
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


@test
def privileges_are_dropped():
    if os.geteuid() != 0:
        skip("only root has any")
    nobody = pwd.getpwnam("nobody")
    with Server({"user": "nobody"}) as server:
        with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
            found = dict(line.split(":\t", 1) for line in file)
        is_(found["Uid"].split(), [str(nobody.pw_uid)] * 4, "user")
        is_(found["Gid"].split(), [str(nobody.pw_gid)] * 4, "group")
        is_(found["CapEff"].strip("0\n"), "", "no capability is left")
        is_(server.phone("alice", "tls").register().status, 200, "it serves")


@test
def an_unknown_user_to_run_as_is_named():
    with Files({"user": "no-such-user"}) as files:
        code, _, err = files.run()
        is_(code, 1, "exit code")
        like(err, "no-such-user", "named")


@test
def relative_paths_start_at_the_file():
    with Server() as server:
        is_(os.path.realpath(server.status()["config"]["path"]),
            os.path.realpath(server.path("bindery.json")), "its path")
        ok(os.path.exists(server.path("control.sock")), "the control socket")


run()
