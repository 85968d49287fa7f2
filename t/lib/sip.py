"""SIP for the system tests: messages, digest, endpoints, and a phone."""

import collections
import hashlib
import itertools
import os
import re
import select
import socket
import ssl
import struct
import time

# Seconds that an answer may take; BINDERY_TIMEOUT says otherwise.
TIMEOUT = float(os.environ.get("BINDERY_TIMEOUT")
                or (60 if os.environ.get("BINDERY_SLOW") else 10))

COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type",
    "d": "request-disposition", "e": "content-encoding", "f": "from",
    "i": "call-id", "k": "supported", "l": "content-length", "m": "contact",
    "o": "event", "r": "refer-to", "s": "subject", "t": "to",
    "u": "allow-events", "v": "via", "x": "session-expires",
}


class Closed(ConnectionError):
    """The peer closed the connection."""


# --- Messages ---------------------------------------------------------------

def canonical(name):
    name = name.strip().lower()
    return COMPACT.get(name, name)


def split_list(text, separator=","):
    """Split outside quotes and angle brackets."""
    parts, start, quoted, angle, escaped = [], 0, False, False, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "<>":
            angle = char == "<"
        elif char == separator and not angle:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


class Address:
    """A name-addr or addr-spec with header parameters; values stay quoted."""

    def __init__(self, text):
        self.text = text
        match = re.match(r'((?:"(?:\\.|[^"\\])*"|[^<"])*)<([^>]*)>(.*)$', text,
                         re.S)
        if match:
            self.display, self.uri, rest = match.groups()
        else:
            self.uri, _, rest = text.partition(";")
            self.display, rest = "", ";" + rest
        self.display, self.uri = self.display.strip(), self.uri.strip()
        self.params = {}
        for part in split_list(rest, ";"):
            name, equals, value = part.partition("=")
            self.params[name.strip().lower()] = (
                value.strip() if equals else None)

    @property
    def expires(self):
        return int(self.params["expires"])

    def __repr__(self):
        return f"Address({self.text!r})"


class Message:
    def __init__(self, start, headers=(), body=b""):
        self.start = start
        self.headers = [(name, str(value)) for name, value in headers]
        self.body = body.encode() if isinstance(body, str) else body
        self.raw = None

    @classmethod
    def parse(cls, data):
        head, _, body = data.partition(b"\r\n\r\n")
        lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace"))
        start, *rest = lines.split("\r\n")
        message = cls(start, [[part.strip() for part in line.split(":", 1)]
                              for line in rest], body)
        message.raw = data
        return message

    @property
    def is_response(self):
        return self.start.startswith("SIP/")

    @property
    def status(self):
        return int(self.start.split(" ", 2)[1])

    @property
    def reason(self):
        return self.start.split(" ", 2)[2]

    @property
    def method(self):
        return self.start.split(" ", 1)[0]

    @property
    def uri(self):
        return self.start.split(" ", 2)[1]

    def all(self, name):
        """The values as they stand, one for each header line."""
        return [value for key, value in self.headers
                if canonical(key) == canonical(name)]

    def get(self, name, default=None):
        found = self.all(name)
        return found[0] if found else default

    def values(self, name):
        """The values of a comma-separated header, over all of its lines."""
        return [part for line in self.all(name) for part in split_list(line)]

    def tags(self, name):
        return {value.lower() for value in self.values(name)}

    def addresses(self, name):
        return [Address(value) for value in self.values(name)]

    @property
    def contacts(self):
        return self.addresses("Contact")

    def names(self):
        return [canonical(name) for name, _ in self.headers]

    def add(self, name, value):
        self.headers.append((name, str(value)))
        return self

    def set(self, name, *values):
        """Replace a header; without a value, remove it."""
        kept, place = [], None
        for key, value in self.headers:
            if canonical(key) != canonical(name):
                kept.append((key, value))
            elif place is None:
                place = len(kept)
        place = len(kept) if place is None else place
        kept[place:place] = [(name, str(value)) for value in values]
        self.headers = kept
        return self

    def copy(self):
        return Message(self.start, list(self.headers), self.body)

    def encode(self, length=True):
        """The bytes to send; Content-Length is added where it is missing."""
        headers = list(self.headers)
        if length and "content-length" not in self.names():
            headers.append(("Content-Length", str(len(self.body))))
        lines = [self.start] + [f"{name}: {value}" for name, value in headers]
        return "\r\n".join(lines + ["", ""]).encode(
            "utf-8", "surrogateescape") + self.body

    def __str__(self):
        return (self.raw or self.encode()).decode("utf-8", "replace")


def random_token(size=8):
    return os.urandom(size).hex()


def branch():
    return "z9hG4bK" + random_token()


def request(endpoint, method="OPTIONS", uri="sip:example.com", *, to=None,
            sender=None, call_id=None, cseq=1, headers=(), body=b""):
    """A correct request from this endpoint, to be bent by the test."""
    to = to or f"<{uri}>"
    return Message(f"{method} {uri} SIP/2.0", [
        ("Via", endpoint.via()),
        ("Max-Forwards", 70),
        ("From", f"{sender or to};tag={random_token(4)}"),
        ("To", to),
        ("Call-ID", call_id or random_token()),
        ("CSeq", f"{cseq} {method}"),
        *headers,
    ], body)


# --- Digest -----------------------------------------------------------------

HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


def digest_hash(algorithm, *parts):
    return hashlib.new(HASHES[algorithm.upper()],
                       ":".join(parts).encode()).hexdigest()


def ha1(algorithm, user, realm, password):
    return digest_hash(algorithm, user, realm, password)


def parse_digest(value):
    """The fields of a Digest challenge or credential, unquoted."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "digest":
        raise ValueError(f"not Digest: {value}")
    fields = {}
    for part in split_list(rest):
        name, _, text = part.partition("=")
        text = text.strip()
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1])
        fields[name.strip().lower()] = text
    return fields


def challenges(response, header="WWW-Authenticate"):
    return [parse_digest(value) for value in response.all(header)]


BARE = {"algorithm", "qop", "nc", "stale"}


def format_digest(fields):
    return "Digest " + ", ".join(
        f"{name}={value}" if name in BARE else f'{name}="{value}"'
        for name, value in fields.items() if value is not None)


def credentials(challenge, user, password, method, uri, forge=None, **fields):
    """The Authorization that answers a challenge.

    fields replace what the response is computed from; forge replaces what is
    sent after that. None leaves a field out.
    """
    use = {
        "username": user,
        "realm": challenge["realm"],
        "nonce": challenge["nonce"],
        "uri": uri,
        "algorithm": challenge.get("algorithm"),
        "opaque": challenge.get("opaque"),
    }
    if "qop" in challenge:
        use |= {"qop": "auth", "nc": "00000001", "cnonce": random_token()}
    use |= fields
    algorithm = use["algorithm"] or "MD5"
    first = ha1(algorithm, use["username"], use["realm"], password)
    second = digest_hash(algorithm, method, use["uri"])
    middle = [use["nonce"]]
    if use.get("qop"):
        middle += [use["nc"], use["cnonce"], use["qop"]]
    use["response"] = digest_hash(algorithm, first, *middle, second)
    return format_digest(use | (forge or {}))


# --- Endpoints --------------------------------------------------------------

class Endpoint:
    """A socket that talks to one server. Leaving it as a context closes it."""

    transport = None
    reliable = True

    def __init__(self, peer, timeout=TIMEOUT):
        self.peer = peer
        self.timeout = timeout
        self.family = (socket.AF_INET6 if ":" in peer[0] else socket.AF_INET)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    @property
    def local(self):
        return self.sock.getsockname()[:2]

    @property
    def host(self):
        """host:port as a URI or Via names it."""
        address, port = self.local
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    def via(self, sent_by=None, params=";rport"):
        return (f"SIP/2.0/{self.transport} {sent_by or self.host}"
                f";branch={branch()}{params}")

    def contact(self, user="phone", params=""):
        transport = "" if self.transport == "UDP" \
            else f";transport={self.transport.lower()}"
        return f"<sip:{user}@{self.host}{transport}>{params}"

    def send(self, message, length=True):
        self.send_bytes(message.encode(length)
                        if isinstance(message, Message) else message)

    def send_bytes(self, data):
        self.sock.sendall(data)

    def exchange(self, message, timeout=None):
        """Send a request; its final response."""
        self.send(message)
        return self.final(message, timeout)

    def final(self, message, timeout=None):
        """The final response to this request; other messages are passed by."""
        while True:
            answer = self.recv(timeout)
            if (answer.is_response and answer.status >= 200
                    and answer.get("CSeq") == message.get("CSeq")
                    and answer.get("Call-ID") == message.get("Call-ID")):
                return answer

    def fence(self):
        """What the server sent before it answered an OPTIONS sent now.

        Shows that something was not answered, with no waiting.
        """
        probe = request(self)
        self.send(probe)
        seen = []
        while True:
            message = self.recv()
            if message.get("Call-ID") == probe.get("Call-ID"):
                return seen
            seen.append(message)


class Udp(Endpoint):
    transport = "UDP"
    reliable = False

    def __init__(self, peer, timeout=TIMEOUT, local=None):
        super().__init__(peer, timeout)
        self.sock = socket.socket(self.family, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.sock.bind(local or (
            "::1" if self.family == socket.AF_INET6 else "127.0.0.1", 0))

    def send_bytes(self, data):
        self.sock.sendto(data, self.peer)

    def recv_bytes(self, timeout=None):
        self.sock.settimeout(self.timeout if timeout is None else timeout)
        data, self.source = self.sock.recvfrom(65536)
        return data

    def recv(self, timeout=None):
        return Message.parse(self.recv_bytes(timeout))


class Tcp(Endpoint):
    transport = "TCP"

    def __init__(self, peer, timeout=TIMEOUT, local=None):
        super().__init__(peer, timeout)
        self.buffer = b""
        self.sock = self.connect(local)

    def connect(self, local):
        sock = socket.create_connection(self.peer, self.timeout, local)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def reset(self):
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def more(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no (whole) message came in time")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("closed by the server")
        self.buffer += data

    def deadline(self, timeout):
        return time.monotonic() + (self.timeout if timeout is None
                                   else timeout)

    def recv_bytes(self, size, timeout=None):
        deadline = self.deadline(timeout)
        while len(self.buffer) < size:
            self.more(deadline)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def recv(self, timeout=None):
        deadline = self.deadline(timeout)
        while True:
            self.buffer = self.buffer.lstrip(b"\r\n")
            head, end, _ = self.buffer.partition(b"\r\n\r\n")
            if end:
                size = len(head) + len(end) + int(
                    Message.parse(head + end).get("Content-Length", 0))
                if len(self.buffer) >= size:
                    break
            self.more(deadline)
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return Message.parse(data)

    def wait_closed(self, timeout=None):
        """True when the server closes the connection in time."""
        deadline = self.deadline(timeout)
        try:
            while True:
                self.more(deadline)
        except Closed:
            return True
        except TimeoutError:
            return False

    def closed_now(self):
        """True if the end of the stream is already here to be read."""
        readable, _, _ = select.select([self.sock], [], [], 0)
        return bool(readable) and self.wait_closed(0.001)


class Tls(Tcp):
    transport = "TLS"

    def __init__(self, peer, timeout=TIMEOUT, local=None, *, name=None,
                 version=None, certificate=None, session=None, context=None,
                 **more):
        self.context = context or client_context(version, certificate)
        self.name, self.session = name, session
        super().__init__(peer, timeout, local)

    def connect(self, local):
        sock = super().connect(local)
        try:
            return self.context.wrap_socket(
                sock, server_hostname=self.name, session=self.session)
        except Exception:
            sock.close()
            raise

    @property
    def peer_certificate(self):
        """The fingerprint of what the server showed."""
        return fingerprint(self.sock.getpeercert(binary_form=True))


def fingerprint(der):
    return hashlib.sha256(der).hexdigest()


def client_context(version=None, certificate=None):
    """A TLS client that checks nothing; version is "1.2" or "1.3" alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version:
        number = ssl.TLSVersion[f"TLSv{version.replace('.', '_')}"]
        context.minimum_version = context.maximum_version = number
    if certificate:
        context.load_cert_chain(*certificate)
    return context


ENDPOINTS = {"udp": Udp, "tcp": Tcp, "tls": Tls}


# --- STUN -------------------------------------------------------------------

STUN_COOKIE = 0x2112A442


def stun_request(transaction=None):
    return struct.pack("!HHI", 0x0001, 0, STUN_COOKIE) + (
        transaction or os.urandom(12))


def stun_attributes(data):
    """The message type, the transaction and {attribute type: value}."""
    kind, size, cookie = struct.unpack_from("!HHI", data)
    if cookie != STUN_COOKIE or size != len(data) - 20:
        raise ValueError("not a STUN message")
    found, at = {}, 20
    while at + 4 <= len(data):
        name, length = struct.unpack_from("!HH", data, at)
        found[name] = data[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    return kind, data[8:20], found


def stun_xor_address(value, transaction):
    """(host, port) of an XOR-MAPPED-ADDRESS."""
    mask = struct.pack("!I", STUN_COOKIE) + transaction
    family, = struct.unpack_from("!xB", value)
    port, = struct.unpack_from("!H", value, 2)
    plain = bytes(a ^ b for a, b in zip(value[4:], mask))
    return (socket.inet_ntop(socket.AF_INET if family == 1
                             else socket.AF_INET6, plain),
            port ^ (STUN_COOKIE >> 16))


# --- A phone ----------------------------------------------------------------

class Phone:
    """One user agent: keeps its Call-ID, CSeq, nonce and nonce count."""

    def __init__(self, endpoint, user="alice", domain="example.com",
                 password=None, *, algorithm=None, aor=None, uri=None,
                 call_id=None, cseq=0):
        self.endpoint = endpoint
        self.user, self.domain = user, domain
        self.password = (f"secret-{user}" if password is None else password)
        self.algorithm = algorithm
        self.aor = aor or f"sip:{user}@{domain}"
        self.uri = uri or f"sip:{domain}"
        self.call_id = call_id or random_token()
        self.counter = itertools.count(cseq + 1)
        self.challenge = None
        self.nc = 0
        self.last_request = None
        # Every final response of the last registration, the 401 first.
        self.responses = collections.deque(maxlen=8)

    def build(self, contacts=None, expires=None, *, headers=(), cseq=None,
              call_id=None, to=None, uri=None, method="REGISTER"):
        """A REGISTER without credentials.

        contacts: None for the endpoint's own address, () for a fetch, a text
        or a list of texts, one header line each.
        """
        if contacts is None:
            contacts = self.endpoint.contact(self.user)
        if isinstance(contacts, str):
            contacts = [contacts]
        more = [("Contact", contact) for contact in contacts]
        if expires is not None:
            more.append(("Expires", expires))
        return request(self.endpoint, method, uri or self.uri,
                       to=f"<{to or self.aor}>",
                       call_id=call_id or self.call_id,
                       cseq=next(self.counter) if cseq is None else cseq,
                       headers=[*more, *headers])

    def choose(self, response):
        """Remember the challenge to answer: the first that is understood."""
        for challenge in challenges(response):
            name = challenge.get("algorithm", "MD5")
            if name.upper() in HASHES and self.algorithm in (None, name):
                self.challenge, self.nc = challenge, 0
                return challenge
        raise LookupError(f"no challenge to answer in\n{response}")

    def authorize(self, message, **fields):
        """Add (or replace) the credentials for the remembered challenge."""
        if "qop" in self.challenge and "nc" not in fields:
            self.nc += 1
            fields["nc"] = f"{self.nc:08x}"
        uri = fields.pop("uri", message.uri)
        return message.set("Authorization", credentials(
            self.challenge, self.user, self.password, message.method, uri,
            **fields))

    def again(self, message, cseq=None):
        """The request as a new transaction, with the next CSeq."""
        fresh = message.copy()
        number = next(self.counter) if cseq is None else cseq
        fresh.set("CSeq", f"{number} {message.method}")
        via = re.sub(r"branch=[^;,]+", f"branch={branch()}",
                     message.get("Via"))
        return fresh.set("Via", via, *message.all("Via")[1:])

    def challenged(self):
        """Get a challenge with a REGISTER that bears no credentials."""
        response = self.endpoint.exchange(self.build())
        self.choose(response)
        return response

    def register(self, contacts=None, expires=None, **options):
        """Register; the final response after one 401 at most."""
        cseq = options.get("cseq")
        message = self.build(contacts, expires, **options)
        return self.submit(message, cseq)

    def submit(self, message, cseq=None):
        """Send a request that this phone signs, answering one 401."""
        self.responses.clear()
        if self.challenge:
            self.authorize(message)
        response = self.transact(message)
        if response.status == 401:
            self.choose(response)
            message = self.authorize(self.again(message, cseq))
            response = self.transact(message)
        return response

    def transact(self, message):
        self.last_request = message
        response = self.endpoint.exchange(message)
        self.responses.append(response)
        return response

    def fetch(self, **options):
        return self.register((), **options)

    def unregister(self, **options):
        return self.register("*", 0, **options)
