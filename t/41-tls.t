#!/usr/bin/env python3
"""TLS: versions, names, client certificates, sessions, new certificates."""

import os
import re
import ssl
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server, make_certificate
from tap import cases, is_, like, ok, run, test

VERSIONS = [("1.2", "1.2"), ("1.3", "1.3")]


class TlsServer(Server):
    """With a certificate for another name, an authority, and phones."""

    def make_folder(self):
        super().make_folder()
        make_certificate(self.folder, "voice.example.org")
        authority = make_certificate(self.folder, "ca", authority=True)
        self.phone_certificate = make_certificate(
            self.folder, "phone.example.com", issuer=authority)
        self.stranger = make_certificate(self.folder, "stranger")

    def served(self, **options):
        """True if a TLS connection with these options is answered."""
        try:
            endpoint = self.connect("tls", **options)
            return endpoint.exchange(sip.request(endpoint)).status == 200
        except OSError:
            return False


def edge(**settings):
    return {"tls": {"edge": settings}}


def verifying(mode):
    return TlsServer(edge(verify_client=mode, client_ca="ca.pem"))


def fingerprint(path):
    with open(path, encoding="ascii") as file:
        return sip.fingerprint(ssl.PEM_cert_to_DER_cert(file.read()))


# --- versions

@cases(VERSIONS)
def a_phone_registers_over_tls(server, version):
    phone = server.fresh_phone()
    phone.endpoint = server.connect("tls", version=version)
    is_(phone.register().status, 200, "status")
    is_(phone.endpoint.sock.version(), f"TLSv{version}", "version")


@test
def min_version_refuses_older_ones():
    with TlsServer(edge(min_version="1.3")) as server:
        ok(not server.served(version="1.2"), "1.2 is refused")
        ok(server.served(version="1.3"), "1.3 is served")


@test
def plain_tcp_is_no_tls(server):
    with sip.Tcp(("127.0.0.1", server.tls)) as endpoint:
        endpoint.send(sip.request(endpoint))
        ok(endpoint.wait_closed(), "closed")


@test
def messages_of_many_records_are_read(server):
    endpoint = server.connect("tls")
    message = sip.request(endpoint, headers=[
        ("X-Fill", "x" * 500)] * 100)
    is_(endpoint.exchange(message).status, 200, "50 kB")


# --- names

SNI = edge(sni={"voice.example.org": {"certificate": "voice.example.org.pem",
                                      "key": "voice.example.org.key"}})


@cases([("its name", "voice.example.org", "voice.example.org"),
        ("in other case", "VOICE.example.org", "voice.example.org"),
        ("another name", "other.example.org", "edge"),
        ("no name", None, "edge")])
def the_certificate_is_chosen_by(name, want):
    with TlsServer(SNI) as server:
        endpoint = server.connect("tls", name=name)
        is_(endpoint.peer_certificate,
            fingerprint(server.path(f"{want}.pem")), want)
        is_(endpoint.exchange(sip.request(endpoint)).status, 200, "served")


# --- certificates of clients

CLIENTS = [
    # mode, certificate, served
    ("off", None, True),
    ("off", "phone", True),
    ("off", "stranger", True),
    ("optional", None, True),
    ("optional", "phone", True),
    ("optional", "stranger", False),
    ("require", None, False),
    ("require", "phone", True),
    ("require", "stranger", False),
]


@cases([(mode, mode) for mode in ("off", "optional", "require")])
def verify_client(mode):
    with verifying(mode) as server:
        for at, who, served in CLIENTS:
            if at != mode:
                continue
            for version, _ in VERSIONS:
                certificate = {"phone": server.phone_certificate,
                               "stranger": server.stranger}.get(who)
                is_(server.served(version=version, certificate=certificate),
                    served, f"{who or 'none'} over {version}")


@test
def the_name_in_a_client_certificate_is_told():
    with verifying("optional") as server:
        phone = server.phone()
        phone.endpoint = server.connect(
            "tls", certificate=server.phone_certificate)
        phone.register()
        found = server.rpc("connections.list")["connections"]
        is_([("phone.example.com" in str(c["tls"]["peer"])) for c in found],
            [True], "tls.peer")


# --- sessions

@cases(VERSIONS)
def a_session_is_resumed(server, version):
    context = sip.client_context(version)
    first = server.connect("tls", context=context)
    # Tickets of TLS 1.3 come with the first data.
    first.exchange(sip.request(first))
    session = first.sock.session
    first.close()
    again = server.connect("tls", context=context, session=session)
    is_(again.exchange(sip.request(again)).status, 200, "served")
    ok(again.sock.session_reused, "resumed")


@test
def a_session_is_resumed_by_any_worker():
    with TlsServer({"workers": 4}) as server:
        context = sip.client_context("1.2")
        first = server.connect("tls", context=context)
        first.exchange(sip.request(first))
        for number in range(12):
            again = server.connect("tls", context=context,
                                   session=first.sock.session)
            ok(again.sock.session_reused, f"connection {number}")


# --- failures

@test
def a_failed_handshake_is_logged_with_its_reason_once(server):
    mark = server.mark()

    def fail(local):
        with sip.Tcp(("127.0.0.1", server.tls), local=(local, 0)) as endpoint:
            endpoint.send_bytes(b"OPTIONS sip:example.com SIP/2.0\r\n\r\n")
            endpoint.wait_closed()

    for _ in range(5):
        fail("127.0.0.3")
    fail("127.0.0.4")
    last = server.wait_log(r"(?i).*handshake.*fail.*127\.0\.0\.4.*", mark).group()
    like(last, r"(?i)http|version|wrong|unexpected|record", "the reason")
    lines = re.findall(r"(?i).*handshake.*fail.*127\.0\.0\.3.*",
                       server.log_since(mark))
    is_(len(lines), 1, "once for an address in a minute")


@test
def unfinished_handshakes_are_in_nobodys_way(server):
    held = [sip.Tcp(("127.0.0.1", server.tls)) for _ in range(50)]
    for number, endpoint in enumerate(held):
        endpoint.send_bytes(b"\x16\x03\x01\x02\x00\x01"[:number % 7])
    for _ in range(8):
        ok(server.served(), "another is served")
    for endpoint in held:
        endpoint.close()


# --- new certificates

@cases([("SIGHUP", lambda server: server.reload()),
        ("the control socket", lambda server: server.rpc("config.reload"))])
def a_reload_brings_new_certificates(reload):
    with TlsServer(SNI) as server:
        phone = server.phone("alice", "tls")
        phone.register()
        old = phone.endpoint.peer_certificate
        make_certificate(server.folder, "edge")
        make_certificate(server.folder, "voice.example.org")
        reload(server)
        fresh = server.connect("tls").peer_certificate
        is_(fresh, fingerprint(server.path("edge.pem")),
            "a new handshake gets it")
        ok(fresh != old, "it differs")
        is_(server.connect("tls", name="voice.example.org").peer_certificate,
            fingerprint(server.path("voice.example.org.pem")), "by name too")
        is_(phone.register().status, 200, "an open connection lives on")
        is_([b["reachable"] for b in server.bindings()], [True],
            "its binding is reachable")


@cases([("a torn certificate", "edge.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("an empty key", "edge.key", ""),
        ("the key of another", "edge.key", None)])
def a_bad_certificate_changes_nothing(name, content):
    with TlsServer() as server:
        before = server.connect("tls").peer_certificate
        if content is None:
            with open(server.path("stranger.key"), encoding="ascii") as file:
                content = file.read()
        server.write(name, content)
        config = server.reload()
        like(str(config["last_error"]), r"tls\.edge", "last_error names it")
        is_(server.connect("tls").peer_certificate, before, "the old serves")


@test
def client_ca_is_reloaded():
    with verifying("require") as server:
        ok(not server.served(certificate=server.stranger), "unknown before")
        server.change_config(edge(client_ca="stranger.pem"))
        server.reload()
        ok(server.served(certificate=server.stranger), "known after")
        ok(not server.served(certificate=server.phone_certificate),
           "and the other no more")


run(TlsServer())
