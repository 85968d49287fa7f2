"""Starts, asks and stops the server under test.

Environment: BINDERYD and BINDERYCTL name the programs (else they are taken
from top_builddir or the current folder), BINDERY_WRAP is put before the
server's command (valgrind), BINDERY_SLOW makes all waits longer.
"""

import contextlib
import copy
import itertools
import json
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import sip
import tap

SLOW = tap.SLOW
START_SECONDS = 60 if SLOW else 20
WAIT_SECONDS = 60 if SLOW else 15
STOP_SECONDS = 60 if SLOW else 20
LOG_TAIL = 40
SANITIZER = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")

# u1 and on are for tests that want a user of their own.
USERS = [{"username": name, "domain": "example.com",
          "password": f"secret-{name}"}
         for name in ("alice", "bob", "carol",
                      *(f"u{number}" for number in range(1, 100)))]


class RpcError(Exception):
    def __init__(self, error):
        super().__init__(f"{error.get('code')}: {error.get('message')}")
        self.code = error.get("code")
        self.message = error.get("message", "")
        self.data = error.get("data")


class StartFailed(Exception):
    pass


def program(name):
    path = os.environ.get(name.upper()) or os.path.join(
        os.environ.get("top_builddir") or ".", name)
    return os.path.abspath(path)


def run_program(command, timeout=WAIT_SECONDS, **options):
    """Run to the end: (exit code, standard output, standard error)."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=timeout,
                            errors="replace", **options)
    return result.returncode, result.stdout, result.stderr


def binderyd(*arguments, **options):
    return run_program([*shlex.split(os.environ.get("BINDERY_WRAP", "")),
                        program("binderyd"), *map(str, arguments)],
                       timeout=START_SECONDS, **options)


def binderyctl(*arguments, **options):
    return run_program([program("binderyctl"), *map(str, arguments)],
                       **options)


def poll(predicate, timeout=WAIT_SECONDS, what=None):
    """Call predicate until it is true; its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for "
                               f"{what or predicate.__name__}")
        time.sleep(0.02)


def merge(base, over):
    """Deep merge of objects; a value of None removes the key."""
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def free_port(hosts=("127.0.0.1",)):
    """A port that UDP and TCP can have, outside the ephemeral range."""
    while True:
        port = random.randrange(15000, 32000)
        with contextlib.ExitStack() as stack:
            try:
                for host, kind in itertools.product(
                        hosts, (socket.SOCK_DGRAM, socket.SOCK_STREAM)):
                    family = (socket.AF_INET6 if ":" in host
                              else socket.AF_INET)
                    sock = stack.enter_context(socket.socket(family, kind))
                    sock.bind((host, port))
            except OSError:
                continue
            return port


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
        return True
    except OSError:
        return False


def make_certificate(folder, name, issuer=None, authority=False):
    """NAME.pem and NAME.key in folder, signed by issuer (pem, key) or itself.

    Names that look like one another's neighbours stay apart: the subject and
    the subjectAltName are the name itself.
    """
    pem, key = (os.path.join(folder, f"{name}.{end}")
                for end in ("pem", "key"))
    command = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec",
               "-pkeyopt", "ec_paramgen_curve:prime256v1", "-days", "30",
               "-subj", f"/CN={name}", "-addext",
               f"subjectAltName=DNS:{name},IP:127.0.0.1",
               "-keyout", key, "-out", pem]
    if not authority:
        command += ["-addext", "basicConstraints=critical,CA:FALSE"]
    if issuer:
        # req -CA is newer than OpenSSL 3.0: sign in two steps.
        csr = os.path.join(folder, f"{name}.csr")
        command.remove("-x509")
        at = command.index("-days")
        del command[at:at + 2]
        command[command.index("-out") + 1] = csr
    subprocess.run(command, check=True, capture_output=True)
    if issuer:
        subprocess.run(["openssl", "x509", "-req", "-in", csr, "-CA",
                        issuer[0], "-CAkey", issuer[1], "-set_serial",
                        str(random.getrandbits(60)), "-days", "30",
                        "-copy_extensions", "copy", "-out", pem],
                       check=True, capture_output=True)
    return pem, key


class Control:
    """A connection to the control socket: JSON-RPC, a message a line."""

    def __init__(self, path, timeout=WAIT_SECONDS):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise
        self.buffer = b""
        self.ids = itertools.count(1)
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def line(self, timeout=None):
        """The next message of the server, as it is."""
        deadline = time.monotonic() + (timeout or WAIT_SECONDS)
        while b"\n" not in self.buffer:
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            data = self.sock.recv(1 << 16)
            if not data:
                raise sip.Closed("the control connection was closed")
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def raw(self, data):
        """Send bytes as one line; the answer as it is."""
        self.send(data + b"\n")
        return self.line()

    def call(self, method, **params):
        number = next(self.ids)
        message = {"jsonrpc": "2.0", "id": number, "method": method}
        if params:
            message["params"] = params
        self.send(json.dumps(message).encode() + b"\n")
        while True:
            answer = self.line()
            if "method" in answer:
                self.events.append(answer["params"])
            elif answer.get("id") == number:
                break
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]

    def event(self, timeout=None):
        """The next event notification."""
        if self.events:
            return self.events.pop(0)
        while True:
            message = self.line(timeout)
            if message.get("method") == "event":
                return message["params"]

    def wait_event(self, kind, **fields):
        """The next event of this type with these fields."""
        while True:
            event = self.event()
            if event.get("type") == kind and all(
                    event.get(name) == value
                    for name, value in fields.items()):
                return event


class Server:
    """binderyd in a folder of its own, as a context manager.

    config is merged over default_config(); users are the entries of
    users.json (or the file's whole text).
    """

    def __init__(self, config=None, users=None, *, hosts=("127.0.0.1",),
                 users_name="users.json"):
        self.changes = config or {}
        self.user_entries = USERS if users is None else users
        self.hosts = hosts
        self.users_name = users_name
        self.process = None
        self.endpoints = []
        self.pid = None
        self.fresh = itertools.count(1)

    # --- files

    def make_folder(self):
        self.folder = tempfile.mkdtemp(prefix="bindery-")
        self.socket = self.path("control.sock")
        self.log_path = self.path("log")
        self.port, self.tls = free_port(self.hosts), free_port(self.hosts)
        self.udp = self.tcp = self.port
        make_certificate(self.folder, "edge")
        self.write_users(self.user_entries)
        self.config = merge(self.default_config(), self.changes)
        self.write_config()

    def path(self, name):
        return os.path.join(self.folder, name)

    def default_config(self):
        listeners = []
        for host in self.hosts:
            listeners += [
                {"transport": "udp", "address": host, "port": self.port},
                {"transport": "tcp", "address": host, "port": self.port},
                {"transport": "tls", "address": host, "port": self.tls,
                 "tls": "edge"}]
        return {
            "workers": 2,
            "listeners": listeners,
            "tls": {"edge": {"certificate": "edge.pem", "key": "edge.key"}},
            "directories": {
                "users": {"type": "json", "path": self.users_name}},
            "domains": {"example.com": {"directory": "users"}},
            "registrar": {"min_expires": 1},
            "control": {"socket": "control.sock"},
            "log": {"level": "debug"},
        }

    def write_config(self, config=None):
        """Write the configuration: an object, or text as it is."""
        self.write("bindery.json", self.config if config is None else config)

    def write_users(self, users):
        if isinstance(users, str):
            text = users
        elif self.users_name.endswith(".jsonl"):
            text = "".join(json.dumps(user) + "\n" for user in users)
        else:
            text = json.dumps({"users": users}, indent=1)
        self.write(self.users_name, text)

    def write(self, name, content):
        """Replace a file of the folder as a whole."""
        if not isinstance(content, str):
            content = json.dumps(content, indent=1)
        with open(self.path(name + ".new"), "w", encoding="utf-8") as file:
            file.write(content)
        os.replace(self.path(name + ".new"), self.path(name))

    def change_config(self, changes):
        self.config = merge(self.config, changes)
        self.write_config()

    # --- life

    def __enter__(self):
        self.make_folder()
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, kind, error, _trace):
        try:
            if error is None:
                self.stop()
            else:
                error.add_note(f"log of the server:\n{self.log_tail()}")
                self.kill()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Start binderyd and wait until it says READY=1."""
        notify_path = self.path("notify")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(notify_path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(notify_path)
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    [*shlex.split(os.environ.get("BINDERY_WRAP", "")),
                     program("binderyd"), "-c", self.path("bindery.json")],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env={**os.environ, "NOTIFY_SOCKET": notify_path})
            self.pid = self.process.pid
            tap.diagnostics.append(self.log_tail)
            try:
                self.wait_ready(notify)
            except BaseException:
                self.kill()
                raise

    def wait_ready(self, notify):
        notify.settimeout(0.1)
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                if "READY=1" in notify.recv(4096).decode().split("\n"):
                    return
            if self.process.poll() is not None:
                raise StartFailed(f"binderyd ended with "
                                  f"{self.process.returncode} instead of "
                                  f"READY=1:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartFailed(f"no READY=1 in {START_SECONDS} s:\n"
                                  f"{self.log_tail()}")

    def stop(self, sig=signal.SIGTERM):
        """Stop the server and insist on a clean end."""
        if not self.process:
            return
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            tail = self.log_tail()
            self.kill()
            raise AssertionError(f"binderyd did not stop within "
                                 f"{STOP_SECONDS} s:\n{tail}") from None
        self.forget()
        log = self.log()
        found = SANITIZER.search(log)
        if found:
            raise AssertionError(f"a sanitizer spoke up:\n"
                                 f"{log[max(0, found.start() - 500):]}"[:8000])
        if code:
            raise AssertionError(f"binderyd ended with {code}:\n"
                                 f"{self.log_tail()}")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.forget()

    def forget(self):
        for endpoint in self.endpoints:
            endpoint.close()
        self.endpoints.clear()
        with contextlib.suppress(ValueError):
            tap.diagnostics.remove(self.log_tail)
        self.process = None

    # --- log

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def log_tail(self):
        return "\n".join(self.log().splitlines()[-LOG_TAIL:])

    def mark(self):
        """A place in the log, for wait_log and log_since."""
        return os.path.getsize(self.log_path)

    def log_since(self, mark):
        with open(self.log_path, "rb") as file:
            file.seek(mark)
            return file.read().decode("utf-8", "replace")

    def wait_log(self, regex, since=0):
        """The match, once the log has it."""
        return poll(lambda: re.search(regex, self.log_since(since)),
                    what=f"/{regex}/ in the log")

    def wait_until(self, predicate, timeout=WAIT_SECONDS, what=None):
        return poll(predicate, timeout, what)

    # --- control

    def control(self):
        return Control(self.socket)

    def rpc(self, method, **params):
        with self.control() as control:
            return control.call(method, **params)

    def ctl(self, *arguments, **options):
        return binderyctl("-s", self.socket, *arguments, **options)

    def status(self):
        return self.rpc("status")

    def counters(self):
        """The counters of status, nested names joined by a dot."""
        def flat(counters, prefix=""):
            for name, value in counters.items():
                if isinstance(value, dict):
                    yield from flat(value, f"{prefix}{name}.")
                else:
                    yield prefix + name, value
        return dict(flat(self.status()["counters"]))

    def counter(self, name):
        return self.counters()[name]

    def grown(self, before, regex):
        """By how much counters whose names match grew."""
        return sum(value - before.get(name, 0)
                   for name, value in self.counters().items()
                   if re.search(regex, name))

    def bindings(self, user="alice", domain="example.com"):
        """The bindings of an AOR; none is an empty list."""
        try:
            return self.rpc("registrations.get",
                            aor=f"sip:{user}@{domain}")["bindings"]
        except RpcError as error:
            if error.code in (-32601, -32602, -32700, -32600):
                raise
            return []

    def signal(self, sig):
        self.process.send_signal(sig)

    def reload(self):
        """SIGHUP; the config part of status once it took effect or failed."""
        before = self.status()["config"]
        self.signal(signal.SIGHUP)

        def settled():
            now = self.status()["config"]
            return now if (now["generation"] != before["generation"]
                           or now["last_error"] != before["last_error"]
                           and now["last_error"]) else None
        return poll(settled, what="the reload")

    # --- phones

    def connect(self, transport="udp", host=None, **options):
        """An endpoint that lives until the server stops."""
        port = self.tls if transport == "tls" else self.port
        endpoint = sip.ENDPOINTS[transport](
            (host or self.hosts[0], port), **options)
        self.endpoints.append(endpoint)
        return endpoint

    def phone(self, user="alice", transport="udp", **options):
        """A phone on an endpoint of its own."""
        return sip.Phone(self.connect(transport), user, **options)

    def fresh_phone(self, transport="udp", **options):
        """A phone of a user that no test has used yet."""
        return self.phone(f"u{next(self.fresh)}", transport, **options)

    def clear(self, user="alice", domain="example.com"):
        """Remove every binding of an AOR."""
        return self.rpc("registrations.remove", aor=f"sip:{user}@{domain}")
