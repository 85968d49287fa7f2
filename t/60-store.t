#!/usr/bin/env python3
"""Bindings on disk: restarts, kill -9, a disk that fails."""

import os
import random
import resource
import sqlite3
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

from bindery import Server, poll
from tap import cases, is_, like, ok, run, test

ROUNDS = int(os.environ.get("BINDERY_KILLS", 5))
PHONES = 20


def store(durability="commit", **more):
    return {"location": {"store": "sqlite", "path": "location.db",
                         "durability": durability, **more}}


def rows(server):
    with sqlite3.connect(os.path.join(server.folder, "location.db")) as db:
        return db.execute("SELECT aor, uri, transport, cseq FROM bindings "
                          "ORDER BY aor, uri").fetchall()


def check_integrity(server):
    with sqlite3.connect(os.path.join(server.folder, "location.db")) as db:
        is_(db.execute("PRAGMA integrity_check").fetchone()[0], "ok",
            "the file is sound")


@cases([("commit", "commit"), ("batch", "batch")])
def bindings_outlive_a_restart(durability):
    with Server(store(durability)) as server:
        phone = server.fresh_phone()
        instance = '<sip:a@192.0.2.1>;q=0.5;+sip.instance="<urn:uuid:1>"'
        phone.register([instance, "<sip:b@192.0.2.2>"], 600)
        tcp = server.fresh_phone("tcp")
        tcp.register(["<sip:c@192.0.2.3>"], 600)
        before = server.bindings(phone.user)
        server.stop()
        server.start()
        after = server.bindings(phone.user)
        is_(sorted(b["uri"] for b in after),
            ["sip:a@192.0.2.1", "sip:b@192.0.2.2"], "all are back")
        for old, new in zip(before, after):
            for key in ("params", "q", "call_id", "cseq", "instance",
                        "transport", "received", "user_agent", "path"):
                is_(new[key], old[key], key)
            ok(old["expires"] - 60 < new["expires"] <= old["expires"],
               "time went on", f"{old['expires']} {new['expires']}")
            is_(new["reachable"], True, "UDP needs no connection")
        is_([b["reachable"] for b in server.bindings(tcp.user)], [False],
            "TCP waits for the phone")


@test
def the_order_of_a_call_outlives_a_restart():
    with Server(store()) as server:
        phone = server.fresh_phone()
        phone.register(["<sip:a@192.0.2.1>"], 600)
        call_id = phone.last_request.get("Call-ID")
        cseq = int(phone.last_request.get("CSeq").split()[0])
        server.stop()
        server.start()
        late = server.phone(phone.user, password=phone.password)
        answer = late.register(["<sip:a@192.0.2.1>"], 600, call_id=call_id,
                               cseq=cseq - 1)
        is_(answer.status, 500, "an old CSeq is still old")


@test
def people_can_read_the_file():
    with Server(store()) as server:
        phone = server.fresh_phone()
        phone.register(["<sip:a@192.0.2.1>"], 600)
        is_([row[:3] for row in rows(server)],
            [(phone.aor.removeprefix("sip:"), "sip:a@192.0.2.1", "udp")],
            "while the server runs")
        phone.register(["<sip:a@192.0.2.1>"], 0)
        is_(rows(server), [], "what is removed is gone")


@test
def a_second_server_on_the_file_is_refused():
    with Server(store()) as server:
        path = os.path.join(server.folder, "location.db")
        try:
            with Server(store(path=path)):
                ok(False, "it started")
        except Exception as error:  # pylint: disable=broad-except
            like(str(error), r"another server uses it", "named")


@test
def a_damaged_file_is_put_aside():
    with Server(store()) as server:
        server.stop()
        for name in os.listdir(server.folder):
            if name.startswith("location.db-"):
                os.unlink(os.path.join(server.folder, name))
        server.write("location.db", "this is no database " * 500)
        server.start()
        phone = server.fresh_phone()
        is_(phone.register(["<sip:a@192.0.2.1>"], 600).status, 200, "it serves")
        is_(len(rows(server)), 1, "into a new file")
        ok(any("damaged" in name for name in os.listdir(server.folder)),
           "the old one is kept")
        like(server.log(), r"store damaged", "and told")


def fill_disk(server, full):
    """From now on no file of the server grows beyond what it has, or it may."""
    size = max(os.path.getsize(os.path.join(server.folder, name))
               for name in os.listdir(server.folder)
               if name.startswith("location.db"))
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE,
                     (size if full else hard, hard))


def state(server):
    return server.status()["store"]["state"]


@cases([("serve", "serve", 200), ("refuse", "refuse", 503)])
def a_full_disk_is_survived(policy, status):
    with Server(store(on_store_failure=policy)) as server:
        before = server.fresh_phone()
        before.register(["<sip:a@192.0.2.1>"], 600)
        fill_disk(server, True)
        answers = []
        while state(server) == "ok" and len(answers) < 1000:
            answers.append(server.fresh_phone().register(
                ["<sip:b@192.0.2.2>"], 600).status)
        is_(state(server), "failed", "the disk is full")
        phone = server.fresh_phone()
        answer = phone.register(["<sip:b@192.0.2.2>"], 600)
        is_(answer.status, status, "while it lasts")
        if status == 503:
            ok(int(answer.get("Retry-After")) > 0, "with a time to come again")
        ok(all(code in (200, status) for code in answers), "no other answer",
           str(answers))
        like(server.log(), r"store write_failed.*location\.db", "it is told")
        is_(before.fetch().status, status, "a fetch")
        fill_disk(server, False)
        server.wait_until(lambda: state(server) == "ok")
        is_(phone.register(["<sip:b@192.0.2.2>"], 600).status, 200, "recovered")
        kept = {row[0] for row in rows(server)}
        known = {entry["aor"].removeprefix("sip:") for entry in
                 server.rpc("registrations.list", limit=1000)["registrations"]}
        is_(kept, known, "the file has all that memory has")
        check_integrity(server)


class Traffic(threading.Thread):
    """Phones that register, refresh and remove until their server is killed.

    `acknowledged` is what the last 200 of each phone said; `asked` is the
    change that was asked for and not answered, which may have happened or not.
    """

    def __init__(self, server):
        super().__init__()
        self.phones = [server.fresh_phone() for _ in range(PHONES)]
        self.acknowledged = {}
        self.asked = {}
        self.count = 0

    def run(self):
        chance = random.Random(1)
        try:
            while True:
                phone = chance.choice(self.phones)
                uri = f"sip:x{chance.randrange(3)}@192.0.2.1"
                expires = chance.choice((0, 600, 600))
                self.asked[phone.user] = (uri, expires)
                answer = phone.register([f"<{uri}>"], expires)
                if answer.status != 200:  # by the next server already
                    return
                self.acknowledged[phone.user] = {
                    contact.uri for contact in answer.contacts}
                del self.asked[phone.user]
                self.count += 1
        except OSError:  # the server is gone, or silent for good
            pass


@test
def no_acknowledged_binding_is_lost_by_kill_9():
    with Server(store()) as server:
        for number in range(ROUNDS):
            traffic = Traffic(server)
            for phone in traffic.phones:
                phone.endpoint.timeout = 1
            traffic.start()
            wanted = 100 + 37 * number
            poll(lambda: traffic.count >= wanted or not traffic.is_alive(), 30)
            server.kill()
            traffic.join(20)
            server.start()
            for phone in traffic.phones:
                found = {b["uri"] for b in server.bindings(phone.user)}
                sure = traffic.acknowledged.get(phone.user, set())
                uri, expires = traffic.asked.get(phone.user, (None, 0))
                after = (sure | {uri} if expires else sure - {uri})
                ok(found in (sure, after), "what was acknowledged is there",
                   f"{found} {sure} {uri} {expires}")
            check_integrity(server)


run()
