#!/usr/bin/env python3
"""Connections that mean no good: each meets its limit first, and the phones
of others are served meanwhile."""

import contextlib
import fcntl
import os
import resource
import socket
import subprocess
import sys
import termios

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server, poll
from crowd import (SECONDS, Crowd, all_left, client_hello, gauges,
                   is_at_rest, is_counted, is_let_in, is_logged_once,
                   is_told_once, memory, others_are_served, port_of, pour,
                   stays_flat)
from tap import cases, is_, ok, run, test

STREAMS = [("tcp", "tcp"), ("tls", "tls")]
LATER = 600  # seconds of a limit that is not to be met
ELSEWHERE = "127.0.0.66"
MEGABYTE = 1 << 20


def limited(**limits):
    return Server({"limits": limits})


def proven(server, transport):
    """A phone that has registered, on a connection that stays."""
    phone = server.fresh_phone(transport)
    is_(phone.register().status, 200, f"a phone comes over {transport}")
    return phone


def is_served(phone, name):
    is_(phone.register().status, 200, name)


# --- slow writers

START = b"OPTIONS sip:example.com SIP/2.0\r\nX: "
WHOLE_HEADER = START + b"x\r\nContent-Length: 10000\r\n\r\n"


@cases(STREAMS)
def a_crowd_that_drips_is_closed(transport):
    with limited(header_seconds=SECONDS, unauthenticated_seconds=LATER) \
            as server, Crowd() as crowd:
        before, at_first = server.counters(), gauges(server)
        crowd.grow(server, transport, 200)
        for number, peer in enumerate(crowd):
            peer.send_bytes(WHOLE_HEADER if number % 2 else START)
        others_are_served(server)
        poll(lambda: crowd.send(b"x") == 0, what="the last one to be closed")
        is_counted(server, before, "limit_header_seconds", len(crowd))
        is_told_once(server, "header_seconds")
        all_left(server, at_first)


# --- slow readers

@cases(STREAMS)
def a_crowd_that_never_reads_is_closed(transport):
    with limited(header_seconds=SECONDS, unauthenticated_seconds=LATER) \
            as server, Crowd() as crowd:
        before, at_first = server.counters(), gauges(server)
        size = memory(server)
        crowd.grow(server, transport, 5)

        def are_closed():
            for peer in crowd: # however slow the server is, it gets enough
                pour(peer, sip.request(peer).encode() * 1000)
            return server.counter("limit_send_queue") >= len(crowd)

        are_closed()
        others_are_served(server)
        stays_flat(server, size, 8 * MEGABYTE, "memory")
        server.wait_until(are_closed)
        is_counted(server, before, "limit_send_queue", len(crowd))
        is_told_once(server, "send_queue")
        all_left(server, at_first)


@test
def a_queue_that_outgrows_its_limit_ends_the_connection():
    with limited(send_queue=65536, header_seconds=LATER) as server, \
            Crowd() as crowd:
        before = server.counters()
        # An answer to this is longer than what asks for it.
        for peer in crowd.grow(server, "tcp", 1):
            ask = sip.Phone(peer).build(()).encode()
            while not peer.closed_now():
                pour(peer, ask * 200)
        is_counted(server, before, "limit_send_queue")
        others_are_served(server)


class LongChain(Server):
    """Its certificates are more than a socket takes at once."""

    def make_folder(self):
        super().make_folder()
        names = ",".join(f"DNS:{n:05d}.example.com" for n in range(5000))
        subprocess.run(
            ["openssl", "req", "-x509", "-new", "-key", self.path("edge.key"),
             "-subj", "/CN=edge", "-addext", f"subjectAltName={names}",
             "-out", self.path("edge.pem")], check=True, capture_output=True)
        with open(self.path("edge.pem"), "r+", encoding="ascii") as file:
            file.write(file.read() * 80)


@test
def a_crowd_that_stops_reading_in_the_handshake_is_closed():
    with LongChain({"limits": {"header_seconds": 2 * SECONDS}}) as server, \
            Crowd() as crowd:
        before, at_first = server.counters(), gauges(server)
        crowd.rush(server.tls, 8, client_hello("1.2"))
        for sock in crowd:
            sock.recv(1)
            sock.sendall(b"\x16\x03\x03\x40\x00")
        others_are_served(server, ("udp", "tcp"))
        is_at_rest(server, "nobody runs in a circle for them")
        is_counted(server, before, "limit_header_seconds", len(crowd))
        all_left(server, at_first)


# --- handshakes that lead nowhere

HELLO = client_hello()


@cases([
    ("nothing", b"", "header_seconds"),
    ("half a ClientHello", HELLO[:len(HELLO) // 2], "unauthenticated_seconds"),
])
def a_crowd_that_shakes_no_hands_is_closed(data, limit):
    limits = {"unauthenticated_seconds": LATER, "header_seconds": LATER,
              limit: 2 * SECONDS}
    with limited(unauthenticated=250, **limits) as server, \
            Crowd() as crowd:
        phone = proven(server, "tls")
        before, at_first = server.counters(), gauges(server)
        crowd.rush(server.tls, 300, data)
        is_counted(server, before, "limit_unauthenticated", 50)
        is_served(phone, "who came before is served")
        others_are_served(server, ("udp",))
        ok(not is_let_in(server, "tcp"), "there is no place for strangers")
        is_counted(server, before, f"limit_{limit}", 250)
        all_left(server, at_first)
        others_are_served(server)
        is_told_once(server, limit)


@test
def a_crowd_that_sends_garbage_is_closed(server):
    before, at_first = server.counters(), gauges(server)
    with Crowd() as crowd:
        for number in range(8):
            crowd.rush(server.tls, 25, (
                os.urandom(200), b"\x16\x03\x01" + os.urandom(200),
                HELLO[:60] + os.urandom(len(HELLO) - 60),
                b"GET / HTTP/1.1\r\n\r\n")[number % 4])
        others_are_served(server)
    is_counted(server, before, "tls_handshakes_failed", 100)
    all_left(server, at_first)


class OpensslClient:
    """openssl s_client, which sends a KeyUpdate for a line of K."""

    def __init__(self, server):
        self.process = subprocess.Popen(
            ["openssl", "s_client", "-tls1_3", "-connect",
             f"127.0.0.1:{server.tls}"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def has_ended(self):
        return self.process.poll() is not None

    def type(self, line):
        """A line by itself: the next waits until this one is taken."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self.process.stdin.fileno(), line)
            poll(lambda: self.has_ended() or not any(fcntl.ioctl(
                self.process.stdin, termios.FIONREAD, bytes(4))),
                what="the client to read")


@test
def who_renews_its_keys_without_end_is_closed(server):
    before = server.counters()
    with OpensslClient(server) as client, server.connect("tls") as endpoint:
        for _ in range(3):
            for _ in range(10):
                client.type(b"K\n")
            client.type(sip.request(endpoint).encode())
        is_counted(server, before, "answers", 3)
        ok(not client.has_ended(), "who sends messages too is served")
        for _ in range(30):
            client.type(b"K\n")
        poll(client.has_ended, what="the client to be closed")
    others_are_served(server)


# --- floods

@cases([
    ("in all", "connections", {"connections": 40}, False),
    ("of strangers", "unauthenticated", {"unauthenticated": 40}, False),
    ("from an address", "connections_per_address",
     {"connections_per_address": 40}, True),
])
def a_flood_of_connections(name, limits, others_get_in):
    with limited(**limits) as server, Crowd() as crowd:
        phones = [proven(server, transport) for transport, _ in STREAMS]
        before, at_first = server.counters(), gauges(server)
        for _ in range(10):
            for transport, _ in STREAMS:
                crowd.rush(port_of(server, transport), 15, source=ELSEWHERE)
            for phone in phones:
                is_served(phone, "who came before is served")
        is_counted(server, before, f"limit_{name}", 300 - 40)
        is_told_once(server, name)
        others_are_served(server, ("udp",))
        if others_get_in:
            others_are_served(server)
        else:
            for transport, _ in STREAMS:
                ok(not is_let_in(server, transport),
                   f"no newcomer over {transport}")
        crowd.leave()
        all_left(server, at_first)
        others_are_served(server)


# --- descriptors

def lower_descriptors(server, more):
    """Leave the server so many more than it has open; how many that are."""
    most = len(os.listdir(f"/proc/{server.pid}/fd")) + more
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (most, hard))
    return most


@test
def a_lack_of_descriptors_is_survived():
    with Server() as server, server.control() as control, \
            Crowd() as crowd, socket.socket(socket.AF_UNIX) as late:
        phones = [proven(server, transport) for transport, _ in STREAMS]
        at_first = gauges(server)
        most = lower_descriptors(server, 10)
        for transport, _ in STREAMS:
            crowd.rush(port_of(server, transport), 30)
        poll(lambda: len(os.listdir(f"/proc/{server.pid}/fd")) == most,
             what="the last descriptor to be taken")
        late.connect(server.socket)
        is_at_rest(server, "it does not try in a circle")
        for phone in phones:
            is_served(phone, "who came before is served")
        others_are_served(server, ("udp",))
        is_(control.call("status")["name"], "bindery", "and the operator")
        crowd.leave()
        all_left(server, at_first)
        others_are_served(server)
        is_logged_once(server, "net accept_failed ")


run(Server())
