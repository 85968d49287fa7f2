#!/usr/bin/env python3
"""binderyctl: what it prints, asks and changes by itself."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unicodedata

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))

import sip
from bindery import WAIT_SECONDS, Server, poll, program
from tap import cases, is_, like, ok, run, skip, test

ONE = "<sip:phone@192.0.2.1>"
COMMANDS = ["status", "registrations", "remove", "users", "connections",
            "upstreams", "reload", "log", "watch", "events", "passwd", "call",
            "complete", "help"]


def ctl(*arguments, stdin="", **environment):
    """Run without a terminal: (exit code, standard output, error)."""
    result = subprocess.run(
        [program("binderyctl"), *map(str, arguments)], input=stdin,
        capture_output=True, text=True, errors="surrogateescape",
        timeout=WAIT_SECONDS + 15, env={**os.environ, **environment})
    return result.returncode, result.stdout, result.stderr


@contextlib.contextmanager
def folder():
    path = tempfile.mkdtemp(prefix="bindery-ctl-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


# --- a server that says what a test wants

@contextlib.contextmanager
def stand_in(**methods):
    """Its control socket; methods (dots as _) are results or functions.

    A function gets the parameters and the connection; None is no answer.
    """
    with folder() as path, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.join(path, "sock"))
        listener.listen(16)

        def serve(connection):
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    request = json.loads(line)
                    result = methods.get(request["method"].replace(".", "_"))
                    if callable(result):
                        result = result(request.get("params", {}), connection)
                    if result is not None:
                        tell(connection, id=request["id"], result=result)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=quietly, daemon=True,
                                     args=(serve, connection)).start()

        threading.Thread(target=accept, daemon=True).start()
        yield os.path.join(path, "sock")
        # close() alone would not wake the thread in accept()
        listener.shutdown(socket.SHUT_RDWR)


def quietly(function, *arguments):
    with contextlib.suppress(OSError, ValueError):
        function(*arguments)


def tell(connection, **message):
    connection.sendall(json.dumps({"jsonrpc": "2.0", **message}).encode()
                       + b"\n")


def user(name, **over):
    return {"aor": f"sip:{name}@example.com", "username": name,
            "domain": "example.com", "aliases": [], "enabled": True,
            "max_contacts": None, "algorithms": ["MD5"], "bindings": 0, **over}


def users(*names):
    return {"users": [user(name) for name in names], "cursor": None}


STATUS = {"name": "bindery", "version": "0", "pid": 1, "uptime": 5,
          "config": {"path": "/x", "generation": 1, "loaded_at": 1,
                     "last_error": None},
          "workers": 1, "listeners": [], "users": 0,
          "registrations": {"aors": 7, "bindings": 9},
          "transactions": {"server": 0, "client": 0},
          "connections": {"tcp": 0, "tls": 0}, "counters": {}}


# --- a terminal

class Terminal:
    """binderyctl on a pseudo terminal of its own."""

    def __init__(self, *arguments, columns=80, rows=24, **environment):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, columns, 0, 0))
        clean = {key: value for key, value in os.environ.items()
                 if key != "NO_COLOR"}
        self.process = subprocess.Popen(
            [program("binderyctl"), *map(str, arguments)],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**clean, "TERM": "xterm", **environment})
        self.slave = slave  # keeps its modes readable after the end
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.slave)
        os.close(self.master)

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            self.text += os.read(self.master, 65536).decode("utf-8",
                                                            "replace")

    def wait(self, regex):
        def seen():
            self.read()
            return re.search(regex, self.text)
        return poll(seen, what=f"/{regex}/ in {self.text!r}")

    def type(self, text):
        os.write(self.master, text.encode())

    def end(self):
        """The exit code, once all has been printed."""
        def ended():
            self.read()
            return self.process.poll() is not None
        poll(ended, what="the end")
        self.read()
        return self.process.returncode

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)


def columns_of(text):
    """Columns that a terminal needs, counted in another way."""
    return sum(0 if unicodedata.combining(c) else
               2 if unicodedata.east_asian_width(c) in "WF" else 1
               for c in text)


# --- tables

def starts(line, words):
    """The columns in which the words begin."""
    return [columns_of(line[:line.index(word)]) for word in words]


@test
def columns_are_aligned():
    names = ["a", "日本語", "e\u0301te\u0301", "müller", "x" * 40]
    with stand_in(users_list=users(*names)) as path:
        code, out, err = ctl("-s", path, "users")
    is_((code, err), (0, ""), "exit code")
    head, *lines = out.splitlines()
    is_(len(lines), len(names), "a line a user")
    for name, line in zip(names, lines):
        is_(starts(line, ["yes", "MD5"]), starts(head, ["ENABLED",
                                                        "ALGORITHMS"]), name)
    ok(not any(line.endswith(" ") for line in [head, *lines]),
       "no blanks at the end")


@test
def numbers_end_below_their_title():
    found = {"users": [user("a", bindings=7), user("b", bindings=12345)],
             "cursor": None}
    with stand_in(users_list=found) as path:
        head, *lines = ctl("-s", path, "users")[1].splitlines()
    end = head.index("BINDINGS") + len("BINDINGS")
    for line, number in zip(lines, ("7", "12345")):
        is_(line[:end].split()[-1], number, number)


@test
def a_list_is_printed_while_it_comes():
    go_on = threading.Event()

    def pages(params, _):
        if "cursor" in params:
            go_on.wait(WAIT_SECONDS)
            return users("second")
        return {**users("first"), "cursor": "next"}
    with stand_in(users_list=pages) as path:
        process = subprocess.Popen([program("binderyctl"), "-s", path,
                                    "users"], stdout=subprocess.PIPE)
        first = b""
        while b"first" not in first:
            first += os.read(process.stdout.fileno(), 4096)
        ok(b"second" not in first, "the first page, before the second is there")
        go_on.set()
        like(process.communicate(timeout=WAIT_SECONDS)[0].decode(), "second",
             "the second")


@test
def a_limit_is_kept():
    asked = []

    def pages(params, _):
        asked.append(params["limit"])
        at = int(params.get("cursor", 0))
        return {**users(*(f"u{n}" for n in range(at, at + params["limit"]))),
                "cursor": str(at + params["limit"])}
    with stand_in(users_list=pages) as path:
        out = ctl("-s", path, "users", "--limit", 450)[1]
        is_(len(out.splitlines()), 451, "lines, with the title")
        is_(sum(asked), 450, "no more was asked for")
        out = ctl("-s", path, "--json", "users", "-n3")[1]
        is_([json.loads(line)["username"] for line in out.splitlines()],
            ["u0", "u1", "u2"], "as JSON")


@test
def a_list_without_end_is_noticed():
    with stand_in(users_list={**users("a"), "cursor": "same"}) as path:
        code, _, err = ctl("-s", path, "users")
    is_(code, 1, "exit code")
    like(err, "repeats a page", "the text")


@test
def a_bindings_row_bears_its_aor(server):
    phone = server.fresh_phone()
    phone.register([ONE, "<sip:phone@192.0.2.2>"], 600)
    out = server.ctl("registrations", "--domain", "example.com")[1]
    rows = [line.split() for line in out.splitlines()
            if line.startswith(f"{phone.user}@")]
    is_(sorted(row[1] for row in rows),
        ["sip:phone@192.0.2.1", "sip:phone@192.0.2.2"], "a row a binding")
    is_(server.ctl("--json", "registrations", "--domain", "example.net")[:2],
        (0, ""), "another domain")


@test
def one_aor_is_told_in_full(server):
    phone = server.fresh_phone()
    phone.register(ONE, 600, headers=[("User-Agent", "Blue phone/2")])
    out = server.ctl("registrations", phone.aor)[1]
    for word in (phone.aor, ONE.strip("<>"), phone.call_id, "Blue phone/2",
                 r"expires +(10m0s|9m5\ds)\n"):
        like(out, word, word)
    nobody = server.ctl("registrations", "nobody@example.com")
    like(nobody[1], "has no bindings", "none")


# --- what comes from outside

EVIL = "a\x1b[2J\x9b31m\u202eb\nc\td\\e\x7f\0日"
TAME = r"a\x1b[2J\u{9b}31m\u{202e}b\x0ac\x09d\\e\x7f\x00日"


@cases([("a table", ["users"]), ("one user", ["users", "a@b"])])
def control_characters_are_escaped(command):
    evil = user(EVIL)
    with stand_in(users_list={"users": [evil], "cursor": None},
                  users_get=evil) as path:
        code, out, _ = ctl("-s", path, *command)
        is_(code, 0, "exit code")
        ok(TAME in out, "written out", out)
        is_([c for c in out if c != "\n" and unicodedata.category(c) in
             ("Cc", "Cf")], [], "nothing is left")
        code, out, _ = ctl("-s", path, "--json", *command)
        is_(json.loads(out)["username"], EVIL, "JSON says the same")
        is_([c for c in out if c != "\n" and unicodedata.category(c) in
             ("Cc", "Cf")], [], "and is tame as well")


@test
def control_characters_in_errors_are_escaped():
    def refuse(_, connection):
        tell(connection, id=1, error={"code": 1, "message": "no \x1b[2J",
                                      "data": ["one \x1b", "two"]})
    with stand_in(status=refuse) as path:
        is_(ctl("-s", path, "status")[::2],
            (1, "one \\x1b\ntwo\nbinderyctl: no \\x1b[2J\n"), "from the server")
    is_(ctl("sta\x1btus")[2].count("\x1b"), 0, "from the command line")


# --- colours and widths

@test
def colours_are_for_terminals(server):
    def printed(*command, **environment):
        with Terminal("-s", server.socket, *command, **environment) as term:
            is_(term.end(), 0, f"{command} {environment}")
            return term.text
    ok("\x1b[1m" in printed("status"), "on a terminal")
    ok("\x1b" not in printed("status", NO_COLOR="1"), "not with NO_COLOR")
    ok("\x1b" not in printed("status", TERM="dumb"), "not on a dumb one")
    ok("\x1b" not in printed("--json", "status"), "not in JSON")
    ok("\x1b" not in ctl("-s", server.socket, "status")[1], "not in a pipe")


@test
def lines_are_cut_to_the_terminal():
    with stand_in(users_list=users("日" * 40, "b" * 200)) as path:
        for columns in (20, 37, 38, 80):
            with Terminal("-s", path, "users", columns=columns,
                          NO_COLOR="1") as term:
                term.end()
                lines = term.text.replace("\r", "").splitlines()
            ok(len(lines) == 3 and
               all(columns_of(line) <= columns for line in lines),
               f"{columns} columns", lines)
            like(lines[1], "…", "it shows that there is more")
        ok("b" * 200 in ctl("-s", path, "users")[1], "a pipe gets all")


# --- exit codes

@cases([(typed, typed, meant) for typed, meant in (
    ("staus", "status"), ("stauts", "status"), ("reg", "registrations"),
    ("registration", "registrations"), ("releod", "reload"),
    ("user", "users"), ("event", "events"), ("pasword", "passwd"))])
def a_typing_mistake_names_the_nearest_command(typed, meant):
    code, out, err = ctl(typed)
    is_((code, out), (2, ""), "exit code")
    like(err, rf"^binderyctl: .*\b{typed}\b.* {meant}\?\n$", "one line")


@cases([("no command", []), ("nothing like a command", ["xyzzy"]),
        ("an unknown option", ["status", "--jsn"]),
        ("an unknown letter", ["-x", "status"]),
        ("another command's option", ["status", "--limit", "1"]),
        ("an option without its value", ["registrations", "--limit"]),
        ("a value too many", ["--json=yes", "status"]),
        ("a number that is none", ["events", "--count", "x"]),
        ("zero", ["events", "--count", "0"]),
        ("too many words", ["status", "x"]), ("too few", ["remove"]),
        ("far too few", ["passwd"]), ("help for nothing", ["help", "xyzzy"]),
        ("a filter for one", ["registrations", "a@b", "--limit", "1"]),
        ("no JSON", ["call", "status", "{"]),
        ("no UTF-8", ["users", b"a\xff@b".decode("utf-8",
                                                 "surrogateescape")])])
def usage_is_2(command):
    result = subprocess.run([program("binderyctl"), *command],
                            capture_output=True, timeout=WAIT_SECONDS)
    is_((result.returncode, result.stdout), (2, b""), "exit code")
    is_(result.stderr.count(b"\n"), 1, "one line")
    ok(result.stderr.startswith(b"binderyctl: "), "that says who", result)


@test
def help_and_version_are_0():
    code, out, err = ctl("--version")
    is_((code, err), (0, ""), "--version")
    like(out, r"^binderyctl \d+\.\d+", "name and version")
    code, out, err = ctl("--help")
    is_((code, err, out), (0, "", ctl("help")[1]), "--help is help")
    for command in COMMANDS:
        like(out, rf"(?m)^  {command}\b", command)
        code, text, err = ctl("help", command)
        is_((code, err), (0, ""), f"help {command}")
        like(text, rf"Usage: binderyctl .*{command}", f"of {command}")
        is_(ctl(command, "--help"), (0, text, ""), f"{command} --help")


@test
def options_may_stand_behind_the_command(server):
    want = ctl("-s", server.socket, "--json", "users", "--limit", "2")
    is_(len(want[1].splitlines()), 2, "before")
    is_(ctl("users", "--limit=2", "--json", "--socket", server.socket), want,
        "behind")
    is_(ctl("users", "-n2", "-j", BINDERY_SOCKET=server.socket), want,
        "from the environment")


@cases([("nothing there", "missing", "is binderyd running"),
        ("a file", "file", "is binderyd running"),
        ("a path too long", "x" * 200, "too long")])
def no_server_is_1(name, text):
    with folder() as path:
        write(os.path.join(path, "file"), "")
        code, out, err = ctl("-s", os.path.join(path, name), "status")
    is_((code, out), (1, ""), "exit code")
    like(err, rf"^binderyctl: .*{text}.*\n$", "the text")


@test
def permission_denied_is_told():
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        skip("root is denied nothing")
    with stand_in(status=STATUS) as path:
        os.chmod(path, 0)
        as_nobody = (["setpriv", "--reuid=65534", "--regid=65534",
                      "--clear-groups"] if os.geteuid() == 0 else [])
        os.chmod(os.path.dirname(path), 0o755)
        copy = os.path.join(os.path.dirname(path), "binderyctl")
        shutil.copy(program("binderyctl"), copy)
        os.chmod(copy, 0o755)
        result = subprocess.run([*as_nobody, copy, "-s", path, "status"],
                                capture_output=True, text=True,
                                timeout=WAIT_SECONDS)
    is_(result.returncode, 1, "exit code")
    like(result.stderr, "permission denied: are you in the group that may "
         "control binderyd", "the text")


def say_and_close(data):
    def answer(_, connection):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_RDWR)
    return answer


@cases([("closes", say_and_close(b""), "closed the connection"),
        ("closes midway", say_and_close(b'{"jsonrpc":"2.0","id":1,"res'),
         "closed the connection"),
        ("speaks another language", say_and_close(b"HTTP/1.1 400 No\r\n\r\n"),
         "does not speak JSON-RPC"),
        ("says nothing", lambda *_: None, "has not answered for 10 s")])
def a_server_is_told_that(answer, text):
    with stand_in(status=answer) as path:
        code, out, err = ctl("-s", path, "status")
    is_((code, out), (1, ""), "exit code")
    like(err, rf"^binderyctl: .*{text}.*\n$", "the text")


@test
def a_list_that_breaks_off_is_1():
    def pages(params, connection):
        if "cursor" in params:
            connection.shutdown(socket.SHUT_RDWR)
            return None
        return {**users("first"), "cursor": "next"}
    with stand_in(users_list=pages) as path:
        code, out, err = ctl("-s", path, "users")
    is_(code, 1, "exit code")
    like(out, "first", "what had come")
    like(err, "closed the connection", "the text")


@test
def a_slow_reload_is_waited_for():
    def reload(*_):
        time.sleep(11)
        return {"generation": 5}
    with stand_in(config_reload=reload, status=STATUS) as path:
        is_(ctl("-s", path, "reload"), (0, "reloaded, generation 5\n", ""),
            "as long as the server answers others")


@test
def what_cannot_be_written_is_1(server):
    if not os.path.exists("/dev/full"):
        skip("no /dev/full")
    with open("/dev/full", "w", encoding="ascii") as full:
        result = subprocess.run(
            [program("binderyctl"), "-s", server.socket, "status"],
            stdout=full, stderr=subprocess.PIPE, timeout=WAIT_SECONDS)
    is_(result.returncode, 1, "exit code")
    like(result.stderr.decode(), "standard output", "the text")


# --- completion

def complete(server, *words):
    code, out, err = server.ctl("complete", "--", *words)
    is_((code, err), (0, ""), f"complete {words}")
    return out.splitlines()


@test
def words_are_completed(server):
    phone = server.fresh_phone()
    phone.register(ONE, 600)
    name = f"{phone.user}@example.com"
    for words, want in (
            ([""], COMMANDS), (["re"], ["registrations", "remove", "reload"]),
            (["log", ""], ["error", "warning", "notice", "info", "debug"]),
            (["events", "re"], ["registered", "refreshed", "reloaded",
                                "reload_failed"]),
            (["events", "expired", "auth"], ["auth_failed"]),
            (["call", "conn"], ["connections.list"]),
            (["help", "wa"], ["watch"]),
            (["watch", "--c"], ["--count"]), (["--js"], ["--json"]),
            (["registrations", name], [name]),
            (["registrations", "sip:" + name], ["sip:" + name]),
            (["--json", "remove", name[:-1]], [name]),
            (["remove", name, ""], [ONE.strip("<>")]),
            (["users", "alic"], ["alice@example.com"]),
            (["registrations", "--limit", ""], []),
            (["status", ""], []), (["nothing", ""], [])):
        is_(complete(server, *words), want, " ".join(words))


@test
def files_are_completed(server):
    found = complete(server, "passwd", "--file", server.path("use"))
    is_(found, [server.path("users.json")], "a file")
    found = complete(server, "-s", os.path.dirname(server.path("x"))[:-1])
    ok(os.path.dirname(server.path("x")) + "/" in found, "a folder", found)


@test
def completion_is_silent_without_a_server():
    for word in ("registrations", "users", "call"):
        is_(ctl("-s", "/nonexistent/sock", "complete", "--", word, ""),
            (0, "", ""), word)


@cases([("a command", "binderyctl re", "registrations remove reload"),
        ("the part behind an @", "binderyctl users alice@ex",
         "example.com"),
        ("the part behind a colon", "binderyctl users sip:alic",
         "alice@example.com"),
        ("after options", "binderyctl --json users caro",
         "carol@example.com")])
def bash_completes(server, line, want):
    bash = shutil.which("bash")
    script = os.path.join(HERE, "..", "contrib", "bash-completion",
                          "binderyctl")
    if not bash:
        skip("no bash")
    result = subprocess.run(
        [bash, "--norc", "-c",
         'source "$1"; COMP_LINE=$2; COMP_POINT=${#COMP_LINE}; '
         'COMP_WORDBREAKS=$\' \\t\\n"\\\'><=;|&(:@\'; '
         '_binderyctl "$3"; echo "${COMPREPLY[*]}"',
         "bash", script, line, program("binderyctl")],
        capture_output=True, text=True, timeout=WAIT_SECONDS,
        env={**os.environ, "BINDERY_SOCKET": server.socket})
    is_((result.stdout.strip(), result.stderr), (want, ""), line)


# --- watch and events

@test
def watch_ends_after_its_count(server):
    code, out, err = server.ctl("watch", "--count", "2")
    is_((code, err), (0, ""), "exit code")
    first, second = out.splitlines()
    like(first, r"^\d{4}-\d\d-\d\dT[\d:.]+Z bindery .*\brequests/s=- ",
         "no rate yet")
    like(second, r"\brequests/s=\d+\.\d ", "a rate")
    like(second, r"\baors=\d+ bindings=\d+ ", "and sizes")
    out = server.ctl("--json", "watch", "--count", "1")[1]
    is_(json.loads(out)["name"], "bindery", "as JSON")


@test
def rates_come_from_counters():
    started = time.monotonic()

    def status(*_):
        n = int((time.monotonic() - started) * 1000)
        return {**STATUS, "counters": {
            "requests": n, "refused_merged": 2 * n, "dropped_junk": n,
            "refused": 10**9}}
    with stand_in(status=status) as path:
        line = ctl("-s", path, "watch", "-c2")[1].splitlines()[1]
    for name, want in (("requests", 1000), ("refused", 3000),
                       ("limited", 0)):
        rate = float(re.search(rf"\b{name}/s=(\S+)", line)[1])
        ok(abs(rate - want) <= want / 3, f"{name} by the time passed", line)


def watching(server, **options):
    return Terminal("-s", server.socket, "watch", **options)


@cases([("q", "q"), ("an interrupt", "\x03")])
def watch_gives_the_terminal_back(server, key):
    with watching(server) as term:
        term.wait(r"bindery[\s\S]*registrations[\s\S]*LAST EVENTS")
        ok(not term.echoes(), "no echo meanwhile")
        phone = server.fresh_phone()
        phone.register(ONE, 600)
        term.wait(rf"registered aor={phone.aor}")
        term.type(key)
        is_(term.end(), 0, "exit code")
        ok(term.echoes(), "echo afterwards")
        like(term.text, r"\x1b\[\?1049h[\s\S]*\x1b\[\?25h\x1b\[\?1049l$",
             "the old screen, with its cursor")


@test
def watch_fits_its_screen(server):
    with watching(server, columns=30, rows=9, NO_COLOR="1") as term:
        term.wait(r"requests")
        term.type("q")
        term.end()
    first = term.text.split("\x1b[H")[1]
    lines = re.sub(r"\x1b\[\?\d+[hl]|\x1b\[[KJ]|\r", "", first).split("\n")
    is_(len(lines), 9, "no more lines than fit")
    ok(all(columns_of(line) <= 30 for line in lines), "nor columns", lines)


@test
def watch_tells_when_the_server_goes():
    calls = []

    def status(_, connection):
        calls.append(1)
        if len(calls) == 2:
            connection.shutdown(socket.SHUT_RDWR)
            return None
        return STATUS
    with stand_in(status=status, events_subscribe={"types": []}) as path:
        with Terminal("-s", path, "watch") as term:
            is_(term.end(), 1, "exit code")
            like(term.text, r"\x1b\[\?1049l[\s\S]*closed the connection",
                 "the text, on the screen that stays")


def feed(*events):
    def subscribe(params, connection):
        tell(connection, method="event", params={"type": "early", "time": 0})
        for event in events:
            tell(connection, method="event", params={"time": 1500, **event})
        return {"types": params.get("types", [])}
    return subscribe


@test
def events_end_after_their_count(server):
    phone = server.fresh_phone()
    process = subprocess.Popen(
        [program("binderyctl"), "-s", server.socket, "events", "--count", "1",
         "registered", "expired"], stdout=subprocess.PIPE, text=True)

    def ended():
        phone.register(ONE, 600)
        phone.unregister()
        return process.poll() is not None
    poll(ended, what="the end")
    is_(process.returncode, 0, "exit code")
    like(process.stdout.read(), rf"^\S+Z registered aor={phone.aor} .*"
         rf"{re.escape(ONE.strip('<>'))}.*\n$", "one line")


@test
def events_are_lines():
    events = feed({"type": "registered", "aor": "sip:a@b", "expires": 60},
                  {"type": "auth_failed", "reason": 'bad "x" \x1b'},
                  {"type": "lost", "count": 12})
    with stand_in(events_subscribe=events) as path:
        code, out, err = ctl("-s", path, "events", "--count", "4")
        is_((code, err), (0, ""), "exit code")
        is_(out.splitlines()[1:], [
            "1970-01-01T00:00:01.500Z registered aor=sip:a@b expires=60",
            '1970-01-01T00:00:01.500Z auth_failed reason="bad \\"x\\" \\x1b"',
            "1970-01-01T00:00:01.500Z lost (this client reads too slowly) "
            "count=12"], "in order, escaped")
        code, out, _ = ctl("-s", path, "--json", "events", "-c", "2")
        is_([json.loads(line)["type"] for line in out.splitlines()],
            ["early", "registered"], "as JSON")


@test
def an_interrupt_ends_events_well(server):
    process = subprocess.Popen(
        [program("binderyctl"), "-s", server.socket, "--json", "events"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    phone = server.fresh_phone()

    def heard():
        phone.register(ONE, 600)
        return select.select([process.stdout], [], [], 0.1)[0]
    poll(heard, what="an event")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_SECONDS)
    is_((process.returncode, err), (0, b""), "exit code")


@test
def an_unknown_event_is_1(server):
    code, out, err = server.ctl("events", "dance")
    is_((code, out), (1, ""), "exit code")
    ok(err, "a word on it")


# --- passwd

def hashes(name, realm, password):
    return {algorithm: sip.ha1(algorithm, name, realm, password)
            for algorithm in ("MD5", "SHA-256", "SHA-512-256")}


@test
def passwd_prints_the_user():
    code, out, err = ctl("passwd", "alice@example.com", stdin="geheim\n")
    is_((code, err), (0, ""), "exit code")
    is_(json.loads(out), {"username": "alice", "domain": "example.com",
                          "ha1": hashes("alice", "example.com", "geheim")},
        "with its hashes")
    is_(out.count("\n"), 1, "on one line")
    for stdin in ("geheim", "geheim\r\n", "geheim\nmore\n"):
        is_(ctl("passwd", "sip:alice@example.com", stdin=stdin)[1], out,
            f"{stdin!r}")
    out = ctl("passwd", "--realm", "my realm", "alice@example.com",
              stdin="grün\n")[1]
    is_(json.loads(out)["ha1"], hashes("alice", "my realm", "grün"),
        "of another realm")


@cases([("no domain", "alice"), ("no user", "@b"), ("an empty domain", "a@"),
        ("two domains", "a@b@c"), ("a colon", "a:b@c"), ("a blank", "a b@c"),
        ("a quote", 'a"@b'), ("a line end", "a\n@b")])
def passwd_refuses_the_name(name):
    code, out, _ = ctl("passwd", name, stdin="x\n")
    is_((code, out), (2, ""), "exit code")


@cases([("none", ""), ("an empty one", "\n"), ("a huge one", "x" * 5000)])
def passwd_refuses_the_password(password):
    code, out, err = ctl("passwd", "a@b", stdin=password)
    is_((code, out), (1, ""), "exit code")
    like(err, "password", "the text")


def typed(*passwords, arguments=("passwd", "alice@example.com")):
    with Terminal(*arguments) as term:
        for number, password in enumerate(passwords):
            term.wait("Password: " if number == 0 else "Again: ")
            ok(not term.echoes(), "no echo")
            term.type(password)
        code = term.end()
        ok(term.echoes() or code == -signal.SIGINT, "echo afterwards")
        return code, term.text


@test
def passwd_asks_twice_on_a_terminal():
    code, text = typed("geheim\n", "geheim\n")
    is_(code, 0, "exit code")
    ok("geheim" not in text, "the password is not shown", text)
    like(text, hashes("alice", "example.com", "geheim")["MD5"], "the hash")
    code, text = typed("geheim\n", "gehiem\n")
    is_(code, 1, "two that differ")
    like(text, "differ", "the text")
    is_(typed("\n")[0], 1, "an empty one")


@test
def passwd_can_be_interrupted():
    with Terminal("passwd", "alice@example.com") as term:
        term.wait("Password: ")
        term.type("gehe\x03")
        is_(term.end(), -signal.SIGINT, "by the signal")
        ok(term.echoes(), "echo afterwards")


HAND_MADE = """{ "users": [
  { "username": "1008",   "domain": "asterisk", "password": "1008" },
  { "username": "alice",  "domain": "example.com",
    "password": "old",
    "aliases": ["sip:alice.smith@example.com"], "max_contacts": 3 },
  { "username": "bob",    "domain": "example.com", "ha1": { "MD5": "00" } }
] }
"""


def passwd(path, name, password="new", **options):
    return ctl("passwd", "--file", path, name, stdin=password + "\n",
               **options)


def entry(path, name):
    found, = [u for u in json.loads(read(path))["users"]
              if u["username"] == name]
    return found


@test
def passwd_changes_one_user_of_a_file():
    with folder() as path:
        file = write(os.path.join(path, "users.json"), HAND_MADE)
        is_(passwd(file, "alice@EXAMPLE.com")[0], 0, "exit code")
        is_(entry(file, "alice"), {
            "username": "alice", "domain": "example.com",
            "aliases": ["sip:alice.smith@example.com"], "max_contacts": 3,
            "ha1": hashes("alice", "EXAMPLE.com", "new")},
            "no clear password, the rest stays")
        ok(set(HAND_MADE.splitlines()[:2] + HAND_MADE.splitlines()[5:])
           <= set(read(file).splitlines()), "other lines are as they were",
           read(file))
        is_(passwd(file, "bob@example.com")[0], 0, "hashes are replaced")
        is_(entry(file, "bob")["ha1"], hashes("bob", "example.com", "new"),
            "by all three")
        is_(json.loads(passwd(file, "carol@example.com")[1] and
                       json.dumps(entry(file, "carol"))),
            {"username": "carol", "domain": "example.com",
             "ha1": hashes("carol", "example.com", "new")}, "one is added")
        is_(json.loads(ctl("--json", "passwd", "-f", file, "dan@example.com",
                           stdin="x\n")[1]),
            {"username": "dan", "domain": "example.com", "added": True},
            "as JSON")
        is_([u["username"] for u in json.loads(read(file))["users"]],
            ["1008", "alice", "bob", "carol", "dan"], "in order")
        is_(os.listdir(path), ["users.json"], "nothing else is left")


@cases([("on one line", '{"users":[]}'), ("broken", '{\n "users": [\n ]\n}\n'),
        ("with a user", '{"users": [{"username": "z", "domain": "b", '
         '"password": "y"}]}'),
        ("indented", json.dumps({"users": [
            {"username": "z", "domain": "b", "password": "y"}]}, indent=1))])
def passwd_adds_a_user_to_a_list(text):
    with folder() as path:
        file = write(os.path.join(path, "users.json"), text)
        for name in ("a", "c"):
            is_(passwd(file, f"{name}@b")[0], 0, f"exit code for {name}")
            is_(entry(file, name)["ha1"], hashes(name, "b", "new"), name)
        is_(len(json.loads(read(file))["users"]),
            len(json.loads(text)["users"]) + 2, "the others are there")


@cases([("empty", ""), ("without an end", '{"username":"z","domain":"b"}'),
        ("long", "".join(json.dumps(
            {"username": f"u{n}", "domain": "b", "password": "y"}) + "\n"
            for n in range(2000)))])
def passwd_changes_lines(text):
    with folder() as path:
        file = write(os.path.join(path, "users.jsonl"), text)
        is_(passwd(file, "a@b")[0], 0, "added")
        is_(passwd(file, "u7@b")[0], 0, "changed or added")
        old = text.splitlines()
        lines = read(file).splitlines()
        found = {u["username"]: u for u in map(json.loads, lines)}
        is_(found["a"]["ha1"], hashes("a", "b", "new"), "the one")
        is_(found["u7"]["ha1"], hashes("u7", "b", "new"), "the other")
        ok("password" not in found["u7"], "no clear password")
        is_([i for i, line in enumerate(old) if lines[i] != line],
            [7] if len(old) > 7 else [], "other lines are as they were")


@cases([
    ("nothing", "", 1), ("a list", "\n[]", 2), ("no users", "{}", 1),
    ("users that are no list", '{\n"users": 1}', 2),
    ("a user that is none", '{"users": [\n1]}', 2),
    ("a comma too many", '{"users": [{}\n,]}', 2),
    ("a comma too few", '{"users": [{}\n{}]}', 2),
    ("no end", '{"users": [\n\n{}', 3),
    ("something behind the end", '{"users": []}\n}', 2),
    ("a key twice", '{"users": [{},\n{"a": 1, "a": 2}]}', 2),
    ("the user twice", '{"users": [{"username": "a", "domain": "b"},\n'
     '{"username": "a", "domain": "B"}]}', 2),
    ("a fault within a user", '{"users": [{},\n\n{"a":\n"\\q"}]}', 4)])
def passwd_refuses_a_file_with(text, line):
    with folder() as path:
        file = write(os.path.join(path, "users.json"), text)
        before = os.stat(file)
        code, out, err = passwd(file, "a@b")
        is_((code, out), (1, ""), "exit code")
        like(err, rf"users\.json:{line}: ", "the line is named")
        is_((read(file), os.stat(file).st_ino), (text, before.st_ino),
            "the file is as it was")
        is_(os.listdir(path), ["users.json"], "nothing is left")


@cases([("no JSON", "{}\nx\n", 2), ("an object on two lines", '{}\n{"a":\n1}',
                                    2),
        ("two objects on a line", "{}\n{} {}\n", 2)])
def passwd_refuses_lines_with(text, line):
    with folder() as path:
        file = write(os.path.join(path, "users.jsonl"), text)
        code, _, err = passwd(file, "a@b")
        is_(code, 1, "exit code")
        like(err, rf"users\.jsonl:{line}: ", "the line is named")
        is_(read(file), text, "the file is as it was")


@test
def passwd_refuses_what_is_no_file():
    with folder() as path:
        missing = os.path.join(path, "missing.json")
        is_(passwd(missing, "a@b")[0], 1, "missing")
        ok(not os.path.exists(missing), "and stays so")
        is_(passwd(path, "a@b")[0], 1, "a folder")


@test
def passwd_keeps_mode_owner_and_links():
    with folder() as path:
        file = write(os.path.join(path, "real.json"), HAND_MADE)
        os.chmod(file, 0o640)
        if os.geteuid() == 0:
            os.chown(file, 65534, 65533)
        before = os.stat(file)
        link = os.path.join(path, "users.json")
        os.symlink("real.json", link)
        is_(passwd(link, "alice@example.com")[0], 0, "exit code")
        after = os.stat(file)
        is_((after.st_mode, after.st_uid, after.st_gid),
            (before.st_mode, before.st_uid, before.st_gid), "mode and owner")
        ok(after.st_ino != before.st_ino, "replaced as a whole")
        is_(os.readlink(link), "real.json", "a link remains one")


@test
def passwds_at_the_same_time_lose_nothing():
    with folder() as path:
        file = write(os.path.join(path, "users.json"), '{"users": []}')
        running = []
        for number in range(20):
            process = subprocess.Popen(
                [program("binderyctl"), "passwd", "-f", file,
                 f"u{number}@b"], stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL)
            process.stdin.write(b"x\n")
            process.stdin.close()
            running.append(process)
        is_([p.wait(WAIT_SECONDS) for p in running], [0] * 20, "exit codes")
        is_(sorted(u["username"] for u in json.loads(read(file))["users"]),
            sorted(f"u{n}" for n in range(20)), "all are there")


@cases([("users.json", "users.json"), ("users.jsonl", "users.jsonl")])
def who_passwd_made_registers(name):
    with Server(users_name=name) as server:
        file = server.path(name)
        phones = [server.phone("newcomer", password="neu", algorithm=a)
                  for a in ("MD5", "SHA-256", "SHA-512-256")]
        is_(phones[0].register(ONE, 600).status, 401, "unknown at first")
        is_(passwd(file, "newcomer@example.com", "neu")[0], 0, "added")
        is_(server.ctl("reload")[0], 0, "reload")
        for phone in phones:
            is_(phone.register(ONE, 600).status, 200, phone.algorithm)
        alice = server.phone()
        is_(alice.register(ONE, 600).status, 200, "alice's old password")
        is_(passwd(file, "alice@example.com", "neu")[0], 0, "a new one")
        is_(server.ctl("reload")[0], 0, "reload")
        alice = server.phone()
        is_(alice.register(ONE, 600).status, 401, "the old one is gone")
        alice = server.phone(password="neu")
        is_(alice.register(ONE, 600).status, 200, "the new one")


@test
def the_realm_of_passwd_is_the_domains():
    config = {"domains": {"example.com": {"realm": "Our phones"}}}
    with Server(config) as server:
        ctl("passwd", "--realm", "Our phones", "--file",
            server.path("users.json"), "newcomer@example.com", stdin="neu\n")
        is_(server.ctl("reload")[0], 0, "reload")
        is_(server.phone("newcomer", password="neu").register(ONE).status,
            200, "another realm")


run(Server())
