"""What the tests of limits share: crowds of hostile peers, and the phones and
figures that must not suffer from them."""

import contextlib
import os
import re
import socket
import ssl
import time

import sip
import tap
from bindery import poll

# Limits in seconds are small, but not too small for a sanitizer.
SECONDS = 4 if tap.SLOW else 1
GAUGES = ("connections_tcp", "connections_tls", "connections_unproven",
          "connections_sending", "transactions_pending")


# --- the server's figures

def memory(server):
    """Bytes that the server has in memory."""
    with open(f"/proc/{server.pid}/smaps_rollup", encoding="ascii") as file:
        return 1024 * int(re.search(r"^Pss: +(\d+) kB", file.read(), re.M)[1])


def stays_flat(server, before, most, name):
    """Memory grew by no more than so many bytes; sanitizers keep what is
    freed, so that there is nothing to see with them."""
    grown = memory(server) - before
    tap.ok(tap.SLOW or grown <= most, name, f"grown by {grown} bytes")


def cpu_seconds(server):
    with open(f"/proc/{server.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_at_rest(server, name):
    """True if the server does next to nothing for a second; who runs in a
    circle takes a whole core, if it gets one."""
    before, since = cpu_seconds(server), time.monotonic()
    time.sleep(1)
    share = (cpu_seconds(server) - before) / (time.monotonic() - since)
    return tap.ok(share < 0.2, name, f"it took {share:.0%} of a core")


def gauges(server):
    counters = server.counters()
    return {name: counters[name] for name in GAUGES}


def all_left(server, before):
    """The gauges come back to what they were; or below that, if who was there
    before was about to leave."""
    def are_back():
        return all(0 <= value <= before[name]
                   for name, value in gauges(server).items())
    with contextlib.suppress(TimeoutError):
        poll(are_back)
    tap.ok(are_back(), "the gauges are back", f"{before}\n{gauges(server)}")


def is_counted(server, before, name, least=1):
    """The counter grew so much in time."""
    def grown():
        return server.grown(before, f"^{name}$") >= least
    with contextlib.suppress(TimeoutError):
        poll(grown)
    return tap.ok(grown(), f"{name} grows by {least}",
                  f"by {server.grown(before, f'^{name}$')}")


def is_logged_once(server, regex):
    """One such line, which may take its time to be written."""
    def lines():
        return len(re.findall(regex, server.log()))
    with contextlib.suppress(TimeoutError):
        poll(lines)
    return tap.is_(lines(), 1, f"one line of {regex}")


def is_told_once(server, limit):
    """However many met the limit."""
    is_logged_once(server, f"security limit limit={limit} ")


# --- phones

def port_of(server, transport):
    return server.tls if transport == "tls" else server.port


def others_are_served(server, transports=tuple(sip.ENDPOINTS)):
    """A phone comes over each transport and registers."""
    for transport in transports:
        with sip.ENDPOINTS[transport](
                (server.hosts[0], port_of(server, transport))) as endpoint:
            phone = sip.Phone(endpoint, "bob")
            tap.is_(phone.register("<sip:bob@192.0.2.2>").status, 200,
                    f"a phone registers over {transport}")


def is_let_in(server, transport):
    """True if a newcomer is answered."""
    try:
        with sip.ENDPOINTS[transport](
                (server.hosts[0], port_of(server, transport))) as endpoint:
            message = sip.request(endpoint)
            return endpoint.exchange(message).status == 200
    except OSError:
        return False


# --- crowds

class Crowd:
    """Connections, as they are or of TLS, that close together."""

    def __init__(self):
        self.peers = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.leave()

    def __len__(self):
        return len(self.peers)

    def __iter__(self):
        return iter(self.peers)

    def grow(self, server, transport, count):
        """With the handshake, where there is one."""
        options = {"context": sip.client_context()} \
            if transport == "tls" else {}
        for _ in range(count):
            self.peers.append(sip.ENDPOINTS[transport](
                (server.hosts[0], port_of(server, transport)), **options))
        return self

    def rush(self, port, count, data=b"", source=""):
        """No more than TCP, and these bytes; who is refused is one of it."""
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), sip.TIMEOUT,
                                            (source, 0))
            self.peers.append(sock)
            with contextlib.suppress(OSError):
                sock.sendall(data)
        return self

    def leave(self):
        for peer in self.peers:
            peer.close()

    def send(self, data):
        """Each sends this if it still can; how many could."""
        count = 0
        for peer in self.peers:
            try:
                peer.send_bytes(data)
                count += not peer.closed_now()
            except OSError:
                pass
        return count


def pour(peer, data):
    """Send without ever reading, until nothing more is taken for a while."""
    sock, left = peer.sock, b""
    sock.settimeout(0.2)
    with contextlib.suppress(OSError):
        while True:
            left = left or data
            left = left[sock.send(left):]


def client_hello(version=None):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = sip.client_context(version).wrap_bio(incoming, outgoing)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()
