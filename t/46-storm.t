#!/usr/bin/env python3
"""More comes in than can be served: who is registered goes first."""

import contextlib
import multiprocessing
import os
import select
import signal
import ssl
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server, poll
from tap import cases, is_, ok, run, test

# Whatever piles up is too much, so that a test need not keep it up.
IMPATIENT = {"workers": 1, "limits": {"queue_seconds": 0}}
FLOOD = 6000  # datagrams: more than any receive buffer holds
EARLY = 100   # of these fit into each


class frozen:
    """The server stands still; what is sent to it piles up."""

    def __init__(self, server):
        self.pid = server.process.pid

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGCONT)


def newcomer(endpoint, number):
    return sip.request(endpoint, "REGISTER", to="<sip:bob@example.com>",
                       headers=[("Contact", f"<sip:bob@192.0.2.1:{number}>")])


def flood(server, between=None):
    """Newcomers by UDP while the server is frozen; the answers that came."""
    stranger = server.connect("udp")
    requests = [newcomer(stranger, 1024 + number).encode()
                for number in range(FLOOD)]
    with frozen(server):
        for number, data in enumerate(requests):
            stranger.send_bytes(data)
            if between and number == EARLY:
                between()
    answers = []
    while True:
        try: # nothing is parsed meanwhile: that would be too slow
            answers.append(stranger.recv_bytes(1 if answers else None))
        except TimeoutError:
            return [sip.Message.parse(data) for data in answers]


@test
def newcomers_are_sent_away_while_the_queue_is_long():
    with Server(IMPATIENT) as server:
        answers = flood(server)
        statuses = {answer.status for answer in answers}
        is_(statuses, {401, 503}, "the first are challenged, others refused")
        refused = [answer for answer in answers if answer.status == 503]
        waits = {int(answer.get("Retry-After")) for answer in refused}
        ok(min(waits) >= 5 and max(waits) <= 30, "Retry-After", waits)
        ok(len(refused) < 10 or len(waits) > 3, "not all at once", waits)
        ok(server.counter("refused_late") >= len(refused), "counted")
        phone = server.fresh_phone("udp")
        is_(phone.register().status, 200, "afterwards all is well")


@test
def a_refresh_is_served_while_newcomers_are_sent_away():
    with Server(IMPATIENT) as server:
        phone = server.fresh_phone("udp")
        phone.register()
        refresh = phone.authorize(phone.build())
        answers = flood(server, lambda: phone.endpoint.send(refresh))
        ok(503 in {answer.status for answer in answers}, "there is a storm")
        is_(phone.endpoint.final(refresh).status, 200, "the refresh")


@test
def an_overload_that_is_short_is_worked_off():
    with Server({"workers": 1}) as server:
        answers = flood(server)
        is_({answer.status for answer in answers}, {401}, "all are challenged")
        is_(server.counter("refused_late"), 0, "refused")


def pour(transport, port):
    """Send requests as fast as the server takes them, and read its answers."""
    endpoint = sip.ENDPOINTS[transport](("127.0.0.1", port))
    data = sip.request(endpoint).encode() * 100
    endpoint.sock.settimeout(0)
    while True:
        readable, writable, _ = select.select([endpoint], [endpoint], [])
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError,
                                 ssl.SSLWantWriteError):
            if readable:
                endpoint.sock.recv(1 << 20)
            if writable:
                endpoint.sock.send(data)


@cases([("tcp", "tcp"), ("tls", "tls")])
def a_connection_that_never_pauses_stops_nobody(transport):
    with Server({"workers": 1}) as server:
        port = server.tls if transport == "tls" else server.tcp
        children = [multiprocessing.Process(
            target=pour, args=(transport, port), daemon=True)
            for _ in range(2)]
        for child in children:
            child.start()
        try:
            server.wait_until(lambda: server.counter("requests") > 20000,
                              what="the flood")
            for name in sip.ENDPOINTS:
                is_(server.fresh_phone(name).register().status, 200,
                    f"{name} is served")
        finally:
            for child in children:
                child.kill()
                child.join()


def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = sip.client_context("1.3").wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


@test
def connections_are_refused_while_handshakes_queue():
    with Server(IMPATIENT) as server:
        phone = server.fresh_phone("tls")
        phone.register()
        hello = client_hello()
        with frozen(server):
            crowd = [sip.Tcp(("127.0.0.1", server.tls)) for _ in range(600)]
            for endpoint in crowd:
                endpoint.send_bytes(hello)
        poll(lambda: server.counter("limit_queue_seconds") > 0,
             what="a connection that is refused")
        is_(phone.register().status, 200, "who is connected is served")
        for endpoint in crowd:
            endpoint.close()
        poll(lambda: server.status()["connections"]["tls"] == 1,
             what="the crowd to be gone")
        is_(server.fresh_phone("tls").register().status, 200, "a newcomer")


run()
