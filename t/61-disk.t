#!/usr/bin/env python3
"""Bindings on a disk that is read-only, hangs, fails, or loses the file."""

import contextlib
import os
import pwd
import sqlite3
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

from bindery import Server, StartFailed, poll
from disk import Disk
from tap import cases, is_, like, ok, run, skip, test

POLICIES = [("serve", "serve", 200), ("refuse", "refuse", 503)]


def store(policy="serve", durability="commit"):
    return {"location": {"store": "sqlite", "path": "location.db",
                         "durability": durability,
                         "on_store_failure": policy}}


def database(server):
    return contextlib.closing(sqlite3.connect(server.path("location.db")))


def rows(server):
    with database(server) as db:
        return {aor for aor, in db.execute("SELECT aor FROM bindings")}


def known(server):
    return {entry["aor"].removeprefix("sip:") for entry in
            server.rpc("registrations.list", limit=1000)["registrations"]}


def is_sound(server):
    with database(server) as db:
        is_(db.execute("PRAGMA integrity_check").fetchone()[0], "ok",
            "the file is sound")
    is_(rows(server), known(server), "and has all that memory has")


def state(server):
    return server.status()["store"]["state"]


def wait_for(server, wanted):
    server.wait_until(lambda: state(server) == wanted,
                      what=f"the store being {wanted}")


def asks(phone, contact="<sip:a@192.0.2.1>"):
    """Send a REGISTER that needs no further challenge; do not wait."""
    phone.challenged()
    message = phone.authorize(phone.build([contact], 600))
    phone.endpoint.send(message)
    return message


# --- a disk that hangs

@test
def nobody_waits_for_the_disk_but_who_must():
    with Disk() as disk, Server(store()) as server:
        phone = server.fresh_phone()
        disk.tell("hang")
        message = asks(phone)
        is_([m for m in phone.endpoint.fence() if m.status == 200], [],
            "no 200 yet, and the worker goes on")
        is_(server.fresh_phone().fetch().status, 200, "who asks is answered")
        phone.endpoint.send(message)
        is_([m for m in phone.endpoint.fence() if m.status >= 200], [],
            "a repeated request waits as well")
        ok(server.status()["store"]["pending"] > 0, "changes are pending")
        disk.tell("work")
        is_(phone.endpoint.final(message).status, 200, "then it is answered")
        is_sound(server)


@test
def batches_wait_for_nothing():
    with Disk() as disk, Server(store(durability="batch")) as server:
        disk.tell("hang")
        is_([server.fresh_phone().register(["<sip:a@192.0.2.1>"], 600).status
             for _ in range(3)], [200] * 3, "answers leave at once")
        disk.tell("work")
        poll(lambda: len(rows(server)) == 3, what="the rows")
        is_sound(server)


@cases(POLICIES)
def a_disk_that_hangs_is_a_failure(policy, status):
    with Disk() as disk, Server(store(policy)) as server:
        before = server.fresh_phone()
        before.register(["<sip:a@192.0.2.1>"], 600)
        phone = server.fresh_phone()
        disk.tell("hang")
        message = asks(phone)
        wait_for(server, "failed")
        is_(phone.endpoint.final(message).status, status, "who waited")
        is_(server.fresh_phone().register(["<sip:b@192.0.2.2>"], 600).status,
            status, "who comes while it lasts")
        is_(server.status()["store"]["error"], "the disk does not answer",
            "status says so")
        like(server.ctl("status")[1],
             r"(?m)^store +sqlite, failed: the disk does not answer, \d+ ch",
             "as it does to people")
        like(server.log(), r"store write_failed.*does not answer",
             "and the log")
        disk.tell("work")
        wait_for(server, "ok")
        like(server.log(), r"store recovered", "it recovers by itself")
        like(server.ctl("status")[1], r"(?m)^store +sqlite, ok, ", "again ok")
        is_(server.fresh_phone().register(["<sip:b@192.0.2.2>"], 600).status,
            200, "all is as before")
        is_sound(server)


@test
def refreshes_while_it_hangs_come_to_one():
    with Disk() as disk, Server(store(durability="batch")) as server:
        phones = [server.fresh_phone() for _ in range(3)]
        disk.tell("hang")
        for number in range(100):
            for phone in phones:
                phone.register([f"<sip:a@192.0.2.1;n={number % 2}>"], 600)
        disk.tell("work")
        poll(lambda: server.status()["store"]["pending"] == 0,
             what="the queue being empty")
        written = server.status()["store"]["rows"]
        ok(3 <= written < 30, "few rows are written", str(written))
        is_sound(server)


# --- a disk that fails

@cases(POLICIES)
def an_input_output_error_is_survived(policy, status):
    with Disk() as disk, Server(store(policy)) as server:
        before = server.fresh_phone()
        before.register(["<sip:a@192.0.2.1>"], 600)
        disk.tell("fail")
        is_(server.fresh_phone().register(["<sip:b@192.0.2.2>"], 600).status,
            status, "who finds it")
        is_(state(server), "failed", "status says so")
        like(server.status()["store"]["error"], r"I/O error", "and why")
        phone = server.fresh_phone()
        is_(phone.register(["<sip:b@192.0.2.2>"], 600).status, status,
            "while it lasts")
        is_(before.unregister().status, status, "removals too")
        disk.tell("work")
        wait_for(server, "ok")
        is_(phone.register(["<sip:b@192.0.2.2>"], 600).status, 200,
            "recovered")
        is_sound(server)
        known_before = known(server)
        server.kill()
        server.start()
        is_(known(server), known_before, "kill -9 loses nothing of it")


# --- a file that cannot be written

def become(server, name):
    """The server is to run as somebody whom permissions mean something to."""
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            skip(f"there is no user {name}")
        server.change_config({"user": name})
        for path, _, names in os.walk(server.folder):
            for entry in ["", *names]:
                os.chown(os.path.join(path, entry), user.pw_uid, user.pw_gid)


FORBIDDEN = [("file", "location.db", 0o400, 0o600), ("folder", "", 0o500, 0o700)]


@cases([(f"{what}, {policy}", name, closed, opened, policy, status)
        for what, name, closed, opened in FORBIDDEN
        for policy, _, status in POLICIES])
def what_is_read_only_is_read(name, closed, opened, policy, status):
    with Server(store(policy)) as server:
        old = server.fresh_phone()
        old.register(["<sip:a@192.0.2.1>"], 600)
        server.stop()
        become(server, "nobody")
        os.chmod(server.path(name), closed)
        try:
            server.start()
            is_(len(server.bindings(old.user)), 1, "its bindings are back")
            is_(state(server), "failed", "status says so")
            like(server.log(), r"store write_failed.*location\.db", "and log")
            phone = server.fresh_phone()
            is_(phone.register(["<sip:b@192.0.2.2>"], 600).status, status,
                "it serves, or refuses")
        finally:
            os.chmod(server.path(name), opened)
        wait_for(server, "ok")
        is_(phone.register(["<sip:b@192.0.2.2>"], 600).status, 200,
            "it recovers by itself")
        is_sound(server)


@test
def a_file_that_cannot_be_made_is_refused():
    with Server() as server:
        server.stop()
        server.change_config({"location": {
            "store": "sqlite", "path": "nowhere/location.db"}})
        try:
            server.start()
            ok(False, "it started")
        except StartFailed as error:
            like(str(error), r"location\.path .*nowhere/location\.db.*"
                 r"No such file", "it says why")


# --- a file that goes away

@cases([("the file", ["location.db"]),
        ("its log", ["location.db-wal"]),
        ("all", ["location.db", "location.db-wal", "location.db-shm",
                 "location.db.lock"])])
def a_file_that_is_removed_is_made_anew(names):
    with Server(store()) as server:
        phones = [server.fresh_phone() for _ in range(3)]
        for phone in phones:
            phone.register(["<sip:a@192.0.2.1>"], 600)
        for name in names:
            os.unlink(server.path(name))
        mark = server.mark()
        server.wait_log(r"store write_failed.*removed or replaced", mark)
        wait_for(server, "ok")
        is_sound(server)
        is_(len(rows(server)), 3, "with what was there")
        phones[0].unregister()
        is_(len(rows(server)), 2, "and changes go there")
        like(second_server(server), r"another server uses it",
             "which is locked as before")


def second_server(server):
    try:
        with Server({"location": {**store()["location"],
                                  "path": server.path("location.db")}}):
            return "it started"
    except StartFailed as error:
        return str(error)


@test
def a_file_that_is_damaged_meanwhile_is_made_anew():
    with Server(store()) as server:
        phones = [server.fresh_phone() for _ in range(3)]
        for phone in phones:
            phone.register(["<sip:a@192.0.2.1>"], 600)
        with database(server) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            with open(server.path("location.db"), "r+b") as file:
                file.seek(1024)
                file.write(b"\xff" * (os.path.getsize(file.name) - 1024))
            # what others write makes the server read the file again
            db.execute("PRAGMA application_id=1")
        is_(phones[0].register(["<sip:b@192.0.2.1>"], 600).status, 200,
            "it serves")
        server.wait_log(r"store damaged")
        wait_for(server, "ok")
        is_sound(server)
        is_(len(rows(server)), 3, "nothing is lost")
        ok(any(".damaged-" in name for name in os.listdir(server.folder)),
           "the damaged file is kept")


@test
def nothing_lives_longer_because_of_a_clock():
    with Server(store()) as server:
        phone = server.fresh_phone()
        phone.register(["<sip:a@192.0.2.1>"], 600)
        server.stop()
        with database(server) as db:
            db.execute("UPDATE bindings SET expires_at = expires_at + 1e9, "
                       "registered_at = registered_at + 1e9, "
                       "refreshed_at = refreshed_at + 1e9")
            db.commit()
        server.start()
        left, = (b["expires"] for b in server.bindings(phone.user))
        ok(0 < left <= 600, "no longer than it was granted", str(left))


@test
def what_expired_meanwhile_is_dropped():
    with Server(store()) as server:
        gone, stays = server.fresh_phone(), server.fresh_phone()
        for phone in (gone, stays):
            phone.register(["<sip:a@192.0.2.1>"], 600)
        server.stop()
        with database(server) as db:
            db.execute("UPDATE bindings SET expires_at = refreshed_at "
                       "WHERE aor LIKE ?", (f"{gone.user}@%",))
            db.commit()
        server.start()
        is_(server.bindings(gone.user), [], "it is not there")
        is_(len(server.bindings(stays.user)), 1, "the other is")
        poll(lambda: rows(server) == known(server), what="the rows")


run()
