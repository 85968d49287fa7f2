#!/usr/bin/env python3
"""Control clients that ask for too much: each meets its limit, and neither
phones nor other clients suffer."""

import contextlib
import json
import os
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

from bindery import Server, poll
from crowd import Crowd, memory, others_are_served, pour, stays_flat
from tap import cases, is_, ok, run, test

MEGABYTE = 1 << 20


def ask(method):
    return json.dumps({"jsonrpc": "2.0", "id": 1,
                       "method": method}).encode() + b"\n"


def is_let_in(server):
    try:
        return server.status()["name"] == "bindery"
    except OSError:
        return False


@test
def control_clients_are_limited(server):
    with contextlib.ExitStack() as stack:
        def enter():
            control = stack.enter_context(server.control())
            return control, control.call("status")["counters"]

        controls = [enter()]
        before = controls[0][1]["limit_control_clients"]
        try:
            while len(controls) < 1000:
                controls.append(enter())
        except OSError:
            pass
        ok(30 < len(controls) < 1000, "there is a limit", len(controls))
        counters = controls[0][0].call("status")["counters"]
        is_(counters["limit_control_clients"], before + 1, "it is counted")
        others_are_served(server)
    poll(lambda: is_let_in(server), what="the freed places")


@test
def control_clients_that_never_end_a_line_are_closed(server):
    size = memory(server)
    for _ in range(5):
        with server.control() as control, contextlib.suppress(OSError):
            for _ in range(100):
                control.send(b"x" * MEGABYTE)
            ok(False, "it takes 100 MB")
    stays_flat(server, size, 8 * MEGABYTE, "memory")
    others_are_served(server)


@cases([("answers at once", "methods"), ("later", "connections.list")])
def a_control_client_that_reads_nothing_is_not_read_from(method):
    with Server() as server, Crowd() as crowd:
        crowd.grow(server, "tcp", 300)
        size = memory(server)
        with server.control() as control:
            pour(control, ask(method) * 1000)
            stays_flat(server, size, 8 * MEGABYTE, "memory")
            others_are_served(server)


@cases([(name, name) for name in ("status", "connections.list",
                                  "config.reload")])
def a_control_client_that_stops_writing_gets_its_answers(server, method):
    for _ in range(10):
        with server.control() as control:
            control.send(ask(method) * 3)
            control.sock.shutdown(socket.SHUT_WR)
            for _ in range(3):
                is_(control.line()["id"], 1, "an answer")
            is_(control.sock.recv(1), b"", "then the end")


@test
def subscribers_that_never_read_cost_little():
    with Server({"log": {"level": "warning"}}) as server, \
            contextlib.ExitStack() as stack:
        subscribers = [stack.enter_context(server.control())
                       for _ in range(10)]
        for control in subscribers:
            control.call("events.subscribe", types=["auth_failed"])
        phone = server.phone("alice", password="wrong")
        phone.challenged()
        bad = phone.authorize(phone.build()).encode()
        size = memory(server)
        # The window keeps UDP from losing any.
        for number in range(15000):
            phone.endpoint.send_bytes(bad)
            if number >= 32:
                phone.endpoint.recv_bytes()
        ok(server.counter("events_lost") > 0, "they lose some")
        stays_flat(server, size, 10 * 4 * MEGABYTE, "memory")
        others_are_served(server)


run(Server())
