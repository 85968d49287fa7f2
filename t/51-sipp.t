#!/usr/bin/env python3
"""SIPp registers, refreshes and unregisters many phones with its own digest,
over UDP, over UDP that loses packets, and over TCP. (Debian's has no TLS.)"""

import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))

from bindery import SLOW, Server, free_port
from tap import cases, is_, ok, run, skip_all

CALLS = 60
LIMIT_SECONDS = 100 if SLOW else 50
WAYS = [
    ("udp", "udp", ["-t", "u1"]),
    ("udp that loses a tenth", "udp", ["-t", "u1", "-lost", "10"]),
    ("tcp, a connection for all", "tcp", ["-t", "t1"]),
    ("tcp, a connection each", "tcp",
     ["-t", "tn", "-max_socket", "500"]),
]

if not shutil.which("sipp"):
    skip_all("sipp is not installed")


def users():
    return [f"s{number}" for number in range(CALLS)]


def sipp(server, scenario, options, password="secret-{}"):
    """Run a scenario once for each user; (exit code, what went wrong)."""
    lines = ["SEQUENTIAL"] + [
        f"{user};[authentication username={user} "
        f"password={password.format(user)}]" for user in users()]
    server.write("users.csv", "\n".join(lines) + "\n")
    errors = server.path("sipp.errors")
    done = subprocess.run(
        ["sipp", "-sf", os.path.join(HERE, "sipp", f"{scenario}.xml"),
         "-inf", server.path("users.csv"), "-m", str(CALLS), "-r", "200",
         "-l", str(CALLS), "-nostdin", "-nd", "-i", "127.0.0.1",
         "-p", str(free_port()), "-timeout", f"{LIMIT_SECONDS}s",
         "-timeout_error", "-trace_err", "-error_file", errors, *options,
         f"127.0.0.1:{server.port}"],
        cwd=server.folder, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace", timeout=LIMIT_SECONDS + 10,
        env={**os.environ, "TERM": "dumb"})
    what = done.stdout[-2000:]
    if os.path.exists(errors):
        with open(errors, errors="replace") as file:
            what = file.read()[:2000] + what
        os.unlink(errors)
    return done.returncode, what


def play(server, scenario, options, **more):
    code, what = sipp(server, scenario, options, **more)
    return ok(code == 0, "SIPp is content", what)


def all_bindings(server):
    return {user: server.bindings(user) for user in users()}


def forget(server):
    for user in users():
        server.clear(user)


@cases(WAYS)
def all_register(server, transport, options):
    before = server.counters()
    play(server, "register", options)
    bindings = all_bindings(server)
    is_({user: len(found) for user, found in bindings.items()},
        dict.fromkeys(users(), 1), "each has one binding")
    is_({found[0]["transport"] for found in bindings.values() if found},
        {transport}, "by this transport")
    is_(server.grown(before, "bindings_added"), CALLS, "none was made twice")
    is_(server.grown(before, "auth_replayed|auth_bad_credentials"), 0,
        "nobody is suspected")
    if "-lost" in options:
        ok(server.grown(before, "retransmissions_absorbed") > 0,
           "repeated requests got the answer again")
    forget(server)


@cases(WAYS)
def all_refresh(server, _transport, options):
    before = server.counters()
    play(server, "refresh", options)
    bindings = all_bindings(server)
    is_({len(found) for found in bindings.values()}, {1},
        "each still has one binding")
    ok(all(found[0]["expires"] > 300 for found in bindings.values() if found),
       "which lasts longer")
    is_(server.grown(before, "bindings_refreshed"), CALLS,
        "each was refreshed once")
    forget(server)


@cases(WAYS)
def all_unregister(server, _transport, options):
    before = server.counters()
    play(server, "unregister", options)
    is_({user: found for user, found in all_bindings(server).items()
         if found}, {}, "nobody is left")
    is_(server.grown(before, "bindings_removed"), CALLS,
        "each went by itself")


@cases(WAYS)
def a_wrong_password_is_refused(server, _transport, options):
    before = server.counters()
    play(server, "wrong", options, password="guess")
    is_({user: found for user, found in all_bindings(server).items()
         if found}, {}, "nobody is registered")
    ok(server.grown(before, "auth_bad_credentials") >= CALLS,
       "each attempt is counted")


# SIPp writes the server's address into the digest's uri.
run(Server({"registrar": {"algorithms": ["MD5"]},
            "domains": {"example.com": {"aliases": ["127.0.0.1"]}}},
           [{"username": user, "domain": "example.com",
             "password": f"secret-{user}"} for user in users()]))
