#!/usr/bin/env python3
"""Real phones register: baresip, linphone and sipsak, by all transports that
they speak."""

import contextlib
import glob
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

from bindery import (STOP_SECONDS, WAIT_SECONDS, Server, free_port,
                     make_certificate, poll)
from tap import cases, is_, like, ok, run, skip, test

BARESIP_MODULES = ("/usr/lib/baresip/modules",
                   "/usr/lib/*/baresip/modules",
                   "/usr/local/lib/baresip/modules")
TRANSPORTS = [("udp", "udp"), ("tcp", "tcp"), ("tls", "tls")]


class PhoneServer(Server):
    """localhost, with a certificate that phones can verify.

    sipsak reads only the first challenge, and only MD5.
    """

    def __init__(self, algorithms=None):
        super().__init__({
            "tls": {"edge": {"certificate": "localhost.pem",
                             "key": "localhost.key"}},
            "domains": {"example.com": None,
                        "localhost": {"directory": "users",
                                      "aliases": ["127.0.0.1"]}},
            "registrar": {"algorithms": algorithms or ["MD5"]},
        }, [{"username": f"{phone}-{end}", "domain": "localhost",
             "password": f"secret-{phone}-{end}"}
            for phone in ("baresip", "daemon", "linphonec", "sipsak")
            for end in ("udp", "tcp", "tls", "wrong")])

    def make_folder(self):
        super().make_folder()
        make_certificate(self.folder, "localhost")

    def port_of(self, transport):
        return self.tls if transport == "tls" else self.port

    def route(self, transport, host="localhost"):
        return f"sip:{host}:{self.port_of(transport)};transport={transport}"

    def wait_bindings(self, user, count):
        return poll(lambda: len(self.bindings(user, "localhost")) == count
                    and [self.bindings(user, "localhost")],
                    what=f"{count} bindings of {user}")[0]


def need(name):
    if not shutil.which(name):
        skip(f"{name} is not installed")


class Program:
    """A phone that runs in a home of its own, and is stopped in any case."""

    def __init__(self, prepare):
        self.prepare = prepare

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="bindery-phone-")
        for name in (".local/share/linphone", ".config/linphone"):
            os.makedirs(os.path.join(self.home, name))
        with open(self.path("output"), "wb") as output:
            self.process = subprocess.Popen(
                self.prepare(self), stdin=subprocess.PIPE, stdout=output,
                stderr=output, cwd=self.home,
                env={"PATH": os.environ["PATH"], "HOME": self.home,
                     "LC_ALL": "C.UTF-8"})
        return self

    def __exit__(self, _kind, error, _trace):
        if error is not None:
            error.add_note(f"the phone said:\n{self.output()[-4000:]}")
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.home, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def output(self):
        with open(self.path("output"), errors="replace") as file:
            return file.read()

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def answers(self, line, text):
        self.say(line)
        return text in self.output()

    def wait_end(self):
        return self.process.wait(STOP_SECONDS)


def is_registered(server, user, transport):
    binding, = server.wait_bindings(user, 1)
    is_(binding["transport"], transport, "the binding came by it")
    like(binding["received"], r"^127\.0\.0\.1:\d+$", "from here")
    ok(binding["expires"] > 0, "it lasts")
    return binding


def is_refused(server, phone):
    """The server turned it away, and there is no binding."""
    with server.control() as control:
        control.call("events.subscribe", types=["auth_failed"])
        with phone:
            event = control.wait_event("auth_failed",
                                       reason="bad_credentials")
    like(event["aor"], "-wrong", "the wrong password is noticed")
    is_(server.bindings(event["aor"].partition("@")[0], "localhost"), [],
        "and binds nothing")


# --- baresip

def free_pair():
    """baresip takes the next port for TLS."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError):
            with socket.socket() as sock:
                sock.bind(("127.0.0.1", port + 1))
                return port


def has_network():
    """baresip does not start where there is nothing but the loopback."""
    with contextlib.suppress(OSError), \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))
        return True
    return False


def baresip(server, transport, user, password=None):
    need("baresip")
    if not has_network():
        skip("baresip needs an interface besides the loopback")
    modules = next((folder for pattern in BARESIP_MODULES
                    for folder in glob.glob(pattern)), None)
    if not modules:
        skip("baresip's modules are not where they should be")

    def prepare(phone):
        phone.write("contacts", "")
        phone.write("accounts", (
            f"<sip:{user}@localhost;transport={transport}>"
            f";auth_pass={password or 'secret-' + user};regint=600"
            f';outbound="{server.route(transport, "127.0.0.1")}"\n'))
        phone.write("config", "\n".join([
            f"sip_listen 127.0.0.1:{free_pair()}",
            f"sip_cafile {server.path('localhost.pem')}",
            f"module_path {modules}", "module account.so",
            "module g711.so", "module_app menu.so", ""]))
        return ["baresip", "-4", "-f", phone.home]
    return Program(prepare)


@cases(TRANSPORTS)
def baresip_registers_and_goes(server, transport):
    user = f"baresip-{transport}"
    with baresip(server, transport, user) as phone:
        binding = is_registered(server, user, transport)
        like(binding["user_agent"], "baresip", "its name is kept")
        phone.process.terminate()
        server.wait_bindings(user, 0)
        is_(phone.wait_end(), 0, "it unregisters when it ends")


@test
def baresip_with_a_wrong_password_is_refused(server):
    is_refused(server, baresip(server, "tls", "baresip-wrong", "guess"))


# --- linphone

def linphone(server, command):
    need(command)

    def prepare(phone):
        config = phone.write("linphonerc", "\n".join([
            "[sip]", "sip_port=-1", "sip_tcp_port=-1", "sip_tls_port=-1",
            f"root_ca={server.path('localhost.pem')}",
            "verify_server_certs=1", "verify_server_cn=1", ""]))
        option = "--config" if command == "linphone-daemon" else "-c"
        return [command, option, config]
    return Program(prepare)


def register_line(server, transport, user, password=None):
    return (f"register sip:{user}@localhost {server.route(transport)} "
            f"{password or 'secret-' + user}")


@cases(TRANSPORTS)
def linphone_daemon_registers_and_unregisters(server, transport):
    user = f"daemon-{transport}"
    with linphone(server, "linphone-daemon") as phone:
        phone.say(register_line(server, transport, user))
        is_registered(server, user, transport)
        ok(poll(lambda: phone.answers("register-status ALL",
                                      "LinphoneRegistrationOk")),
           "it knows that it is registered")
        phone.say("unregister ALL")
        server.wait_bindings(user, 0)
        phone.say("quit")
        is_(phone.wait_end(), 0, "it unregisters and ends")


@cases(TRANSPORTS)
def linphonec_registers_and_unregisters(server, transport):
    user = f"linphonec-{transport}"
    with linphone(server, "linphonec") as phone:
        phone.say(register_line(server, transport, user))
        is_registered(server, user, transport)
        ok(poll(lambda: phone.answers("status register",
                                      "registered, identity")),
           "it knows that it is registered")
        phone.say("unregister")
        server.wait_bindings(user, 0)
        phone.say("quit")
        is_(phone.wait_end(), 0, "it unregisters and ends")


@test
def linphone_with_a_wrong_password_is_refused(server):
    phone = linphone(server, "linphone-daemon")
    line = register_line(server, "tcp", "daemon-wrong", "guess")

    @contextlib.contextmanager
    def started():
        with phone:
            phone.say(line)
            yield
    is_refused(server, started())


# --- sipsak

def sipsak(server, transport, user, expires, password=None):
    """Register once; (exit code, what it printed).

    Without -u it sends a user name with an @ behind it. Its TLS takes the
    session tickets of TLS 1.3 for an error: it gets TLS 1.2.
    """
    need("sipsak")
    policy = server.path("gnutls.conf")
    with open(policy, "w", encoding="utf-8") as file:
        file.write("[overrides]\ndisabled-version = tls1.3\n")
    command = ["sipsak", "-U", "-i", "-vv", "-u", user,
               "-s", f"sip:{user}@localhost",
               "-p", f"127.0.0.1:{server.port_of(transport)}",
               "-C", f"sip:{user}@127.0.0.1:5999",
               "-a", password or f"secret-{user}",
               "-x", str(expires), "-E", transport]
    if transport == "tls":
        command.append(f"--tls-ca-cert={server.path('localhost.pem')}")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
        timeout=WAIT_SECONDS,
        env={**os.environ, "GNUTLS_SYSTEM_PRIORITY_FILE": policy})
    return done.returncode, done.stdout


@cases(TRANSPORTS)
def sipsak_registers_and_unregisters(server, transport):
    user = f"sipsak-{transport}"
    code, said = sipsak(server, transport, user, 60)
    ok(code == 0, "it says that it registered", said)
    binding = is_registered(server, user, transport)
    like(binding["user_agent"], "sipsak", "its name is kept")
    is_(binding["uri"], f"sip:{user}@127.0.0.1:5999", "with its contact")
    code, said = sipsak(server, transport, user, 0)
    ok(code == 0, "and that it unregistered", said)
    is_(server.bindings(user, "localhost"), [], "the binding is gone")


@test
def sipsak_with_a_wrong_password_is_refused(server):
    code, said = sipsak(server, "udp", "sipsak-wrong", 60, "guess")
    ok(code != 0, "it says so", said)
    is_(server.bindings("sipsak-wrong", "localhost"), [],
        "it binds nothing")


# --- algorithms
#
# What these phones can do, by what is offered: baresip 1.0 gives up at the
# sight of anything but MD5; sipsak looks at the first challenge only; linphone
# 5.1 answers the first, and knows SHA-256 but not SHA-512-256.

@test
def linphone_answers_sha_256():
    with PhoneServer(["SHA-256", "MD5"]) as server, \
            linphone(server, "linphone-daemon") as phone:
        phone.say(register_line(server, "tls", "daemon-tls"))
        is_registered(server, "daemon-tls", "tls")


@test
def sipsak_and_linphone_answer_md5_when_it_is_offered_first():
    need("sipsak")
    with PhoneServer(["MD5", "SHA-256", "SHA-512-256"]) as server, \
            linphone(server, "linphone-daemon") as phone:
        phone.say(register_line(server, "tcp", "daemon-tcp"))
        is_registered(server, "daemon-tcp", "tcp")
        code, said = sipsak(server, "udp", "sipsak-udp", 60)
        ok(code == 0, "sipsak too", said)


run(PhoneServer())
