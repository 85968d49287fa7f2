"""Traffic of all kinds, for contrib/soak: each kind is a thread.

Phones know what they may expect of every answer, and insist on it; so do
operators. Attackers send what they like and expect nothing.
"""

import collections
import contextlib
import glob
import os
import random
import shutil
import signal
import socket
import ssl
import threading
import time

import bindery
import sip

HERE = os.path.dirname(os.path.abspath(__file__))
EXPIRES_MAX = 10
# When UDP falls silent and when all do, so that at the end of a lap of 60 s
# the last transaction (32 s) and the last binding (10 s) have ended.
UDP_SECONDS, STREAM_SECONDS = 26, 46
# By what the server's clock and ours may differ: it is read once a wake-up.
SLACK = 5 if bindery.SLOW else 1

HOST = "127.0.0.1"
CONFIG = {
    "workers": 3,
    "registrar": {"min_expires": 1, "default_expires": 5,
                  "max_expires": EXPIRES_MAX, "expires_spread": 20,
                  "nonce_lifetime": 5},
    "location": {"store": "sqlite", "path": "location.db",
                 "durability": "batch"},
    "limits": {"unauthenticated_seconds": 15, "header_seconds": 10},
    "log": {"level": "info", "file": "soak.log"},
}


class Actor(threading.Thread):
    """Takes steps at its pace until its time is over."""

    seconds = STREAM_SECONDS
    pace = 1  # steps a second

    def __init__(self, server, seed, over):
        super().__init__(name=f"{type(self).__name__} {seed}", daemon=True)
        self.server = server
        self.random = random.Random(self.name)
        self.over = over  # an event: somebody failed
        self.counts = collections.Counter()
        self.steps = 0
        self.error = None

    def reached(self):
        """The share that was done of what was to be done."""
        return self.steps / (self.seconds * self.pace)

    def run(self):
        due = time.monotonic()
        end = due + self.seconds
        try:
            while due < end and not self.over.is_set():
                self.step()
                self.steps += 1
                # who is late does not make up for more than a second
                due = max(due + 1 / self.pace, time.monotonic() - 1)
                time.sleep(max(0, due - time.monotonic()))
            self.leave()
        except Exception as error:
            self.error = error
            self.over.set()

    def leave(self):
        """Let go of what is held, at the end."""


# --- phones

class PatientUdp(sip.Udp):
    """Sends a request again while no answer comes (RFC 3261 17.1.2.2)."""

    repeats = 0

    def exchange(self, message, timeout=None):
        for wait in (0.5, 1, 2, 4, 4, 4, 4, 4, 4, 4):
            self.send(message)
            with contextlib.suppress(TimeoutError):
                return self.final(message, wait)
            self.repeats += 1
        raise TimeoutError(f"no answer in 32 s to\n{message}")

    def ping(self):
        token = os.urandom(12)
        for _ in range(10):
            self.send_bytes(sip.stun_request(token))
            with contextlib.suppress(TimeoutError):
                while token not in self.recv_bytes(1)[:20]:
                    pass  # an answer that came twice
                return
        raise TimeoutError("no answer to STUN")


def ping(stream):
    stream.send_bytes(b"\r\n\r\n")
    assert stream.recv_bytes(2) == b"\r\n", "a pong"


class Handset(sip.Phone):
    """A phone that knows which contacts it must see, and which it may."""

    def __init__(self, actor, user):
        super().__init__(None, user)
        self.actor = actor
        self.random = actor.random
        self.session = None
        # URI: until when it must be there, and from when on it must not
        self.known = {}
        # half of them do Outbound: one binding, whatever the connection
        self.params = self.random.choice(("", (
            f';+sip.instance="<urn:uuid:{sip.random_token(16)}>";reg-id=1')))

    def transact(self, message):
        response = super().transact(message)
        self.actor.counts[response.status] += 1
        return response

    def connect(self):
        if self.endpoint is None:
            self.endpoint = self.actor.connect(self)

    def leave(self):
        """Hang up, politely or not; the binding is left to itself."""
        if self.endpoint is None:
            return
        self.actor.counts["repeats"] += getattr(self.endpoint, "repeats", 0)
        if self.endpoint.reliable and self.random.random() < 0.3:
            self.endpoint.reset()
        else:
            self.endpoint.close()
        self.endpoint = None
        # the next one may take its place at any time
        self.known = {uri: (0, gone) for uri, (_, gone) in self.known.items()}

    def ask(self, contacts, expires):
        """A REGISTER; what its 200 says is checked."""
        self.connect()
        sent = time.monotonic()
        response = super().register(contacts, expires, headers=[
            ("Supported", "outbound, path, gruu")])
        received = time.monotonic()
        assert response.status == 200, response
        if self.endpoint.transport == "TLS":
            self.session = self.endpoint.sock.session
        found = {contact.uri: contact.expires
                 for contact in response.contacts}
        if contacts == "*":
            self.known.clear()
        elif contacts:
            if self.params:
                self.known.clear()
            uri = sip.Address(contacts).uri
            granted = found[uri]
            assert 0 < granted <= min(expires, EXPIRES_MAX), response
            self.known[uri] = (sent + granted - 1,
                               received + granted + SLACK)
        for uri in found:
            assert sent < self.known.get(uri, (0, 0))[1], (
                f"{uri} should be gone: {response}")
        for uri, (until, _) in self.known.items():
            assert received >= until or uri in found, (
                f"{uri} is missing: {response}")
        self.known = {uri: self.known[uri] for uri in found}

    # What it does, one at a time.

    def refresh(self):
        self.ask(self.endpoint.contact(self.user, self.params),
                 self.random.choice((1, 2, 3, 5, 8, 20)))

    def begin(self):
        self.challenge = None
        self.refresh()

    def fetch(self):
        self.ask((), None)

    def unregister(self):
        self.ask("*", 0)

    def ping(self):
        if self.endpoint.reliable:
            ping(self.endpoint)
        else:
            self.endpoint.ping()

    def options(self):
        response = self.endpoint.exchange(sip.request(self.endpoint))
        self.actor.counts[response.status] += 1
        assert response.status == 200, response

    def move(self):
        # by UDP the old binding would go on counting as reachable
        if not self.endpoint.reliable:
            self.unregister()
        self.leave()
        self.connect()
        self.refresh()

    ACTIONS = {refresh: 10, begin: 4, fetch: 3, unregister: 1, ping: 2,
               options: 1, move: 2}

    def act(self):
        if self.endpoint is None:
            self.connect()
            return self.begin()
        action, = self.random.choices(list(self.ACTIONS),
                                      self.ACTIONS.values())
        return action(self)


class Phones(Actor):
    """Many phones of one transport, one after the other."""

    pace = 120
    size = 50

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.handsets = [Handset(self, user) for user in self.users()]

    @classmethod
    def users(cls):
        return [f"{cls.__name__.lower()}-{n}" for n in range(cls.size)]

    def step(self):
        self.random.choice(self.handsets).act()

    def leave(self):
        for handset in self.handsets:
            if handset.endpoint and self.random.random() < 0.3:
                handset.unregister()
            handset.leave()


class UdpPhones(Phones):
    seconds = UDP_SECONDS
    pace = 300
    size = 150

    def connect(self, _handset):
        return PatientUdp((HOST, self.server.udp))


class TcpPhones(Phones):
    def connect(self, _handset):
        return sip.Tcp((HOST, self.server.tcp))


class TlsPhones(Phones):
    """With sessions that are resumed."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.contexts = [sip.client_context("1.2"), sip.client_context("1.3")]

    def connect(self, handset):
        context = self.contexts[int(handset.user[-1]) % 2]
        endpoint = sip.Tls((HOST, self.server.tls), context=context,
                           session=handset.session)
        self.counts["resumed"] += endpoint.sock.session_reused
        return endpoint


# --- who runs the server

class Operator(Actor):
    """Changes users, certificates and settings, and makes mistakes."""

    pace = 0.7
    GUESTS = [f"guest-{n}" for n in range(8)]
    BROKEN = [
        ("bindery.json", "{"),
        ("bindery.json", '{"workers": "many", "listeners": 7}'),
        ("users.json", '{"users": [{"username": "x"}]}'),
        ("edge.key", "no key"),
    ]

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.guest = 0
        self.rotated = 0
        self.spares = []

    def step(self):
        self.random.choice((
            self.change_users, self.renew_certificate, self.make_mistake,
            self.add_listener, self.change_settings, self.rotate_log))()

    def leave(self):
        self.server.write_users(self.server.user_entries)
        self.reload()

    def reload(self):
        config = self.server.reload()
        assert config["last_error"] is None, config
        self.counts["reloads"] += 1

    def change_users(self):
        here = self.random.sample(self.GUESTS, 4)
        self.server.write_users(self.server.user_entries + [
            entry(user) for user in here])
        self.reload()
        for user in self.GUESTS:
            with sip.Tcp((HOST, self.server.tcp)) as endpoint:
                status = sip.Phone(endpoint, user).register(None, 5).status
            self.counts[status] += 1
            assert status == (200 if user in here else 401), (user, status)
        self.server.write_users(self.server.user_entries)
        self.reload()
        for user in here:
            bindery.poll(lambda user=user: not self.server.bindings(user),
                         what=f"{user} to lose its bindings")

    def renew_certificate(self):
        if not self.spares:
            self.spares = [bindery.make_certificate(self.server.folder, name)
                           for name in ("spare-1", "spare-2")]
        self.spares.reverse()
        pem, key = self.spares[0]
        shutil.copy(pem, self.server.path("edge.pem"))
        shutil.copy(key, self.server.path("edge.key"))
        self.reload()
        with open(pem, encoding="ascii") as file:
            want = sip.fingerprint(ssl.PEM_cert_to_DER_cert(file.read()))
        with sip.Tls((HOST, self.server.tls)) as endpoint:
            assert endpoint.peer_certificate == want, "the new certificate"

    def make_mistake(self):
        name, text = self.random.choice(self.BROKEN)
        with open(self.server.path(name), encoding="utf-8") as file:
            good = file.read()
        self.server.write(name, text)
        config = self.server.reload()
        assert config["last_error"], f"{name} is broken: {config}"
        self.counts["refused reloads"] += 1
        self.server.write(name, good)
        self.reload()

    def add_listener(self):
        port = bindery.free_port()
        before = self.server.config["listeners"]
        self.server.config["listeners"] = before + [
            {"transport": transport, "address": HOST, "port": port}
            for transport in ("udp", "tcp")]
        self.server.write_config()
        self.reload()
        with sip.Tcp((HOST, port)) as endpoint:
            status = endpoint.exchange(sip.request(endpoint)).status
            assert status == 200, status
        self.server.config["listeners"] = before
        self.server.write_config()
        self.reload()

    def change_settings(self):
        self.server.change_config({"registrar": {
            "expires_spread": self.random.randrange(30),
            "flow_timer": self.random.randrange(300)}})
        self.reload()

    def rotate_log(self):
        """As logrotate does it, keeping one old file."""
        path = self.server.path("soak.log")
        os.replace(path, path + ".1")
        self.server.signal(signal.SIGUSR1)
        bindery.poll(lambda: os.path.exists(path), what="a new log file")


class Desk(Actor):
    """Somebody who looks things up."""

    pace = 10

    def step(self):
        with self.server.control() as control:
            for _ in range(self.random.randrange(4)):
                self.random.choice((self.status, self.walk, self.look,
                                    self.level, self.stumble))(control)
                self.counts["control"] += 1
            if self.random.random() < 0.2:
                control.send(b'{"jsonrpc":"2.0","id":1,"meth')

    def status(self, control):
        assert control.call("status")["pid"] == self.server.pid

    def walk(self, control):
        method, key = self.random.choice((
            ("registrations.list", "registrations"), ("users.list", "users"),
            ("connections.list", "connections")))
        cursor = {}
        while cursor is not None:
            page = control.call(method, limit=40, **cursor)
            assert len(page[key]) <= 40, page
            cursor = page["cursor"] and {"cursor": page["cursor"]}

    def look(self, control):
        user = self.random.choice(UdpPhones.users())
        with contextlib.suppress(bindery.RpcError):  # not registered
            control.call("registrations.get", aor=f"sip:{user}@example.com")

    def level(self, control):
        level = self.random.choice(("debug", "info", "info", "warning"))
        assert control.call("log.level", level=level)["level"] == level

    def stumble(self, control):
        assert "error" in control.raw(self.random.choice((
            b"{", b"[]", b"7", b'{"id":1,"method":"dance"}',
            b'{"jsonrpc":"2.0","id":1,"method":"registrations.get"}')))


class Subscribers(Actor):
    """They come for events, read or sleep, and go."""

    def step(self):
        with self.server.control() as control:
            if self.random.random() < 0.5:
                control.call("events.subscribe")
            else:
                control.call("events.subscribe", types=["registered"])
            if self.random.random() < 0.5:
                self.over.wait(2)  # does not read
            with contextlib.suppress(TimeoutError):
                for _ in range(self.random.randrange(100)):
                    control.event(0.5)
                    self.counts["events"] += 1


# --- attackers

def entry(user):
    return {"username": user, "domain": "example.com",
            "password": f"secret-{user}"}


def corpus():
    """Messages to begin with."""
    top = os.path.dirname(HERE)
    for pattern in ("torture/*.dat", "fuzz/seeds/message/*",
                    "fuzz/seeds/frame/*"):
        for path in sorted(glob.glob(os.path.join(top, pattern))):
            with open(path, "rb") as file:
                yield file.read()


MORSELS = [
    b"\r\n", b"\r\n\r\n", b"\r\n ", b"\0", b"\xff\xfe", b"%00", b"%", b",",
    b",,,,", b'"', b"\\", b"<", b">", b"<>", b";", b"=", b"@", b":", b"[::1",
    b"-1", b"4294967296", b"99999999999999999999", b"\r\nContact: *",
    b"\r\nExpires: 0", b"\r\nContent-Length: 4294967295",
    b"\r\nContent-Length: 0", b"\r\nVia: SIP/2.0/UDP x", b";expires=1",
    b";lr", b"sip:", b"sips:", b"tel:+1", b"z9hG4bK", b"\r\nRequire: x",
]
SIZE_MAX = 60000  # of a datagram


def mutate(chance, data, others):
    """A message that somebody might send who means no good."""
    data = bytearray(data)
    for _ in range(chance.choice((0, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        to = min(len(data), at + chance.choice((1, 2, 8, 40, 500)))
        what = chance.randrange(7)
        if what == 0:
            data[at:to] = b""
        elif what == 1:
            data[at:at] = data[at:to] * chance.choice((1, 2, 100))
        elif what == 2:
            data[at:at] = chance.choice(MORSELS)
        elif what == 3:
            data[at:to] = chance.choice(MORSELS)
        elif what == 4:
            data[at:to] = chance.randbytes(to - at)
        elif what == 5:
            data[at:] = chance.choice(others)[at:]
        else:
            del data[at:]
    return bytes(data[:SIZE_MAX])


class Attacker(Actor):
    """Has a right user, mallory, whose messages are bent too."""

    network = None

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.messages = list(corpus())

    def address(self):
        """One of many, so that tables of addresses have something to do."""
        return f"127.0.{self.network}.{self.random.randrange(1, 255)}", 0

    def record(self):
        """Take some requests with right credentials to be bent later."""
        del self.messages[200:]
        with sip.Tcp((HOST, self.server.tcp)) as endpoint:
            mallory = sip.Phone(endpoint, "mallory")
            mallory.challenged()
            for number in range(1, 20):
                self.messages.append(mallory.authorize(mallory.build(
                    f"<sip:m{number}@192.0.2.1>;q=0.5", number)).encode())

    def message(self):
        if self.random.random() < 0.02:
            self.record()
        return mutate(self.random, self.random.choice(self.messages),
                      self.messages)


class Datagrams(Attacker):
    seconds = UDP_SECONDS
    pace = 20
    network = 8

    def step(self):
        with sip.Udp((HOST, self.server.udp),
                     local=self.address()) as endpoint:
            for _ in range(10):
                # an ICMP error may belong to an earlier one
                with contextlib.suppress(ConnectionError):
                    endpoint.send_bytes(self.message())
                self.counts["attacks"] += 1


class Streams(Attacker):
    """Connections that say something bad, or nothing, and vanish or stay."""

    pace = 10
    network = 9
    HELD = 50

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.context = sip.client_context()
        self.held = collections.deque()

    def step(self):
        self.counts["attacks"] += 1
        # the server may hang up at any time
        with contextlib.suppress(OSError):
            self.say(self.connect())
        while len(self.held) > self.HELD:
            self.end(self.held.popleft())

    def connect(self):
        if self.random.random() < 0.5:
            return sip.Tcp((HOST, self.server.tcp), local=self.address())
        if self.random.random() < 0.5:
            return sip.Tls((HOST, self.server.tls), local=self.address(),
                           context=self.context)
        endpoint = sip.Tcp((HOST, self.server.tls), local=self.address())
        self.held.append(endpoint)
        endpoint.send_bytes(mutate(self.random, self.hello(), [b"junk"]))
        return endpoint

    def hello(self):
        """What a TLS client says first."""
        out = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.context.wrap_bio(ssl.MemoryBIO(), out).do_handshake()
        return out.read()

    def say(self, endpoint):
        if endpoint not in self.held:
            self.held.append(endpoint)
        for _ in range(self.random.randrange(4)):
            endpoint.send_bytes(self.message())
        if self.random.random() < 0.5:
            with contextlib.suppress(TimeoutError):
                endpoint.recv_bytes(1, 0.05)
        if self.random.random() < 0.7:
            self.held.remove(endpoint)
            self.end(endpoint)

    def end(self, endpoint):
        with contextlib.suppress(OSError):
            if self.random.random() < 0.5:
                endpoint.reset()
            endpoint.close()

    def leave(self):
        for endpoint in self.held:
            self.end(endpoint)


class Guessers(Actor):
    """Wrong passwords, unknown users, replays and nonces of their own."""

    pace = 20

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.endpoint = None

    def step(self):
        if self.endpoint is None or self.random.random() < 0.1:
            self.leave()
            self.endpoint = sip.Tcp((HOST, self.server.tcp))
        phone = sip.Phone(self.endpoint, "trudy")
        phone.challenged()
        message = self.random.choice((
            self.guess, self.invent, self.replay, self.forge))(phone)
        status = self.endpoint.exchange(message).status
        assert status == 401, f"{status} for\n{message}"
        self.counts["guesses"] += 1

    def guess(self, phone):
        phone.password = "letmein"
        return phone.authorize(phone.build())

    def invent(self, phone):
        phone.user = f"nobody-{self.random.randrange(1 << 30)}"
        return phone.authorize(phone.build())

    def replay(self, phone):
        message = phone.authorize(phone.build(expires=2))
        status = self.endpoint.exchange(message).status
        assert status == 200, status
        return phone.again(message)

    def forge(self, phone):
        phone.challenge["nonce"] = sip.random_token(16)
        return phone.authorize(phone.build())

    def leave(self):
        if self.endpoint:
            self.endpoint.close()


ACTORS = (UdpPhones, TcpPhones, TlsPhones, Operator, Desk, Subscribers,
          Datagrams, Streams, Guessers)


def users():
    """All that the server must know from the start."""
    return [entry(user) for user in (
        *UdpPhones.users(), *TcpPhones.users(), *TlsPhones.users(),
        "mallory", "trudy")]
