#!/usr/bin/env python3
"""What holds for the files themselves: who includes whom, how they begin, and
that settings, schema, sample and man page say the same."""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))

from bindery import binderyd, make_certificate
from tap import cases, is_, ok, run, skip, test

TOP = os.path.dirname(HERE)

# The rooms, bottom up. Who stands on one line does not know the others there.
FLOORS = [
    ["base"],
    ["loop"],
    ["net", "sip", "store", "directory"],
    ["auth"],
    ["transaction"],
    ["registrar"],
    ["control"],
    ["daemon"],
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
# Exceptions, each with its reason here: (file, room).
ALLOWED = set()

# Libraries, and the files that may name them.
LIBRARIES = [
    ("libevent", r"event2?/|event\.h|evutil",
     r"src/(loop|net|control)/|src/daemon/daemon\.c"),
    ("Sofia", r"sofia-sip/", r"src/sip/grammar\.c"),
    # directory wipes passwords; --version tells the version
    ("OpenSSL", r"openssl/",
     r"src/net/tls\.c|src/base/(rand|crypto)\.c|src/directory/"
     r"|src/daemon/daemon\.c"),
    ("SQLite", r"sqlite3\.h", r"src/store/sqlite\.c"),
    ("jansson", r"jansson\.h",
     r"src/control/|src/ctl/|src/directory/json\.c|src/base/(settings|schema)\.c"
     r"|src/daemon/(conf|daemon)\.c"),
]

# They crash, hang or lie.
FORBIDDEN = [
    "auth_digest_", "url_param", "url_has_param", "msg_multipart",
    "sip_header_as_string", "sip_update_default_mclass", "su_home_preload",
    "sip_date_", "msg_date_", "msg_header_e", "msg_object_e",
]

SCRIPTS = ["contrib/check", "contrib/quickstart", "contrib/bench/compare",
           "contrib/bench/serve"]


def files(*patterns):
    """Paths of our own files, from the top."""
    return sorted({os.path.relpath(path, TOP) for pattern in patterns
                   for path in glob.glob(os.path.join(TOP, pattern),
                                         recursive=True)})


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


SCRIPTS += files(".ci/run")  # not in a release
C_FILES = files("src/**/*.[ch]", "include/**/*.h")
UNIT_FILES = files("t/unit/*.[ch]", "t/fuzz/*.[ch]")


def includes(path):
    """(line number, name, whether it stands in <>)"""
    for number, line in enumerate(read(path).splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if match:
            yield number, match[2], match[1] == "<"


def room_of_door(name):
    """A room's own door, or that of one of its files."""
    if name in FLOOR:
        return name
    for room in FLOOR:
        if os.path.exists(os.path.join(TOP, "src", room, f"{name}.c")):
            return room
    return "base"


def room_of(path):
    parts = path.split("/")
    if parts[0] == "include":
        return room_of_door(parts[-1][:-2])
    return "daemon" if path == "src/main.c" else parts[1]


def none(found, name):
    return ok(not found, name, "\n".join(found))


@test
def every_file_is_in_a_known_room():
    none([path for path in C_FILES
          if room_of(path) not in FLOOR and room_of(path) != "ctl"],
         "rooms are those of the table")
    ok(len(C_FILES) > 50, "the sources were found")


@test
def includes_go_down_only():
    wrong = []
    for path in C_FILES:
        own = room_of(path)
        for number, name, _ in includes(path):
            match = re.fullmatch(r"bindery/(\w+)\.h", name)
            if not match:
                continue
            other = room_of_door(match[1])
            if own == "ctl":
                fine = other == "base"
            else:
                fine = own == other or FLOOR[other] < FLOOR[own]
            if not fine and (path, other) not in ALLOWED:
                wrong.append(f"{path}:{number}: {own} must not know {other}")
    none(wrong, "no include goes up or sideways")


@test
def rooms_use_doors():
    wrong = []
    for path in C_FILES:
        folder = os.path.dirname(path)
        for number, name, angle in includes(path):
            if angle or name == "config.h" or path == "src/main.c":
                continue
            if name.startswith("bindery/"):
                fine = os.path.exists(os.path.join(TOP, "include", name))
            else:
                fine = "/" not in name and os.path.exists(
                    os.path.join(TOP, folder, name))
            if not fine:
                wrong.append(f"{path}:{number}: {name}")
    none(wrong, "private headers are their own room's")


@cases([(name, pattern, allowed) for name, pattern, allowed in LIBRARIES])
def libraries_stay_in_their_files(pattern, allowed):
    none([f"{path}:{number}: {name}" for path in C_FILES
          for number, name, angle in includes(path)
          if angle and re.match(pattern, name)
          and not re.match(allowed, path)],
         "it is named where it may be")


@test
def functions_that_crash_are_not_called():
    none([f"{path}:{number}: {name}" for path in C_FILES
          for number, line in enumerate(read(path).splitlines(), 1)
          for name in FORBIDDEN if re.search(rf"\b{name}\w*\s*\(", line)
          and path == "src/sip/grammar.c"],
         "none of the forbidden calls of Sofia")
    ok("msg_extract" not in read("src/sip/grammar.c"),
       "no message is given to Sofia as a whole")


@test
def a_source_begins_with_what_it_is_for():
    none([path for path in C_FILES + UNIT_FILES
          if not read(path).startswith("/*")], "a comment comes first")
    none([path for path in C_FILES + UNIT_FILES if path.endswith(".c")
          and path != "src/main.c"
          and next(includes(path), (0, ""))[1] != "config.h"],
         "then config.h")
    none([path for path in C_FILES if path.endswith(".h")
          and not re.search(r"^#ifndef (\w+)\n#define \1\n", read(path),
                            re.M)],
         "headers are guarded")


TEXTS = C_FILES + UNIT_FILES + files(
    "t/*.t", "t/lib/*.py", "t/sipp/*.xml", "etc/*", "contrib/**/*",
    ".ci/*", "src/**/*.[1-9]", "README", "ChangeLog", "Makefile.am",
    "configure.ac")
TEXTS = [path for path in TEXTS if os.path.isfile(os.path.join(TOP, path))]


@test
def texts_are_clean():
    none([f"{path}:{number}" for path in TEXTS
          for number, line in enumerate(read(path).split("\n"), 1)
          if line != line.rstrip()], "no white space at the end of a line")
    none([path for path in TEXTS if not read(path).endswith("\n")],
         "a line end at the end")
    none([path for path in TEXTS if "\r" in read(path)], "no CR")
    none([f"{path}:{number}" for path in ("README", "ChangeLog")
          for number, line in enumerate(read(path).splitlines(), 1)
          if len(line) > 80], "README and ChangeLog fit 80 columns")


@test
def scripts_can_be_run():
    none([path for path in SCRIPTS + files("t/*.t")
          if not os.access(os.path.join(TOP, path), os.X_OK)],
         "they have their executable bits")
    none([path for path in SCRIPTS + files("t/*.t")
          if not read(path).startswith("#!")], "and say what runs them")


@test
def shellcheck_has_nothing_to_say():
    if not shutil.which("shellcheck"):
        skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-x", "contrib/common.sh", *SCRIPTS],
                          cwd=TOP, capture_output=True, text=True)
    ok(done.returncode == 0, "the scripts are clean",
       done.stdout + done.stderr)


# --- settings, schema, sample, man page

def settings(schema, path=()):
    """Every setting of a schema: ("tls", "*", "key")."""
    for name, inner in schema.get("properties", {}).items():
        yield (*path, name), inner
        yield from settings(inner, (*path, name))
    for key in ("additionalProperties", "items"):
        if isinstance(schema.get(key), dict):
            yield from settings(schema[key], (*path, "*"))


def printed_schema():
    code, out, err = binderyd("--print-schema")
    is_((code, err), (0, ""), "the schema is printed")
    return out


@test
def the_schema_is_what_binderyd_prints():
    ok(printed_schema() == read("etc/bindery.schema.json"),
       "etc/bindery.schema.json is up to date",
       "binderyd --print-schema > etc/bindery.schema.json")


# Which section of bindery.json(5) has the settings of a table.
SECTIONS = {
    (): "Top level", ("listeners", "*"): "Listeners", ("tls", "*"): "TLS",
    ("directories", "*"): "Directories", ("domains", "*"): "Domains",
    ("registrar",): "Registrar", ("location",): "Location",
    ("control",): "Control", ("limits",): "Limits", ("log",): "Log",
}


def man_entries():
    """{section: {setting: its first line}} of bindery.json(5)."""
    found, section, lines = {}, None, read("etc/bindery.json.5").splitlines()
    for number, line in enumerate(lines):
        if line.startswith((".Ss ", ".Sh ")):
            section = found.setdefault(line[4:].strip('"'), {})
        elif line.startswith(".It Cm ") and section is not None:
            section[line[7:]] = lines[number + 1]
    return found


@test
def the_man_page_has_every_setting():
    missing, wrong = [], []
    man = man_entries()
    expected = {}
    for path, inner in settings(json.loads(printed_schema())):
        section = SECTIONS.get(path[:-1])
        if section is None:  # sni, whose two keys are those of tls
            if path[:-1] != ("tls", "*", "sni", "*"):
                missing.append(".".join(path))
            continue
        expected.setdefault(section, set()).add(path[-1])
        text = man.get(section, {}).get(path[-1])
        if text is None:
            missing.append(".".join(path))
            continue
        for key in ("default", "minimum", "maximum"):
            value = inner.get(key)
            if value is None or path[-1] == "port":
                continue
            if isinstance(value, bool):
                value = str(value).lower()
            if str(value) not in text:
                wrong.append(f"{'.'.join(path)}: {key} {value}: {text}")
    none(missing, "each has its entry")
    none(wrong, "with its range and default")
    none([f"{section}: {name}" for section in SECTIONS.values()
          for name in man.get(section, ())
          if name not in expected.get(section, ())],
         "and there are no others")


@test
def the_man_page_says_what_needs_a_restart():
    rows = re.findall(r'\{ "(\w+)", SETTING_[^}]*?\}',
                      read("src/daemon/conf.c"), re.S)
    restart = {name for name in rows if re.search(
        rf'\{{ "{name}", SETTING_[^}}]*\.restart = true',
        read("src/daemon/conf.c"))}
    said = {name for section in man_entries().values()
            for name, text in section.items() if "restart" in text}
    is_(said, restart, "the same settings")


@test
def the_order_is_that_of_the_tables():
    source = read("src/daemon/conf.c")
    man = man_entries()
    for table, section in (("root", "Top level"), ("listener", "Listeners"),
                           ("tls", "TLS"), ("domain", "Domains"),
                           ("registrar", "Registrar"), ("limit", "Limits"),
                           ("log", "Log")):
        rows = source.split(f"setting {table}_rows[] = {{")[1]
        rows = re.findall(r'\{ "(\w+)", SETTING_', rows.split("{ 0 }")[0])
        is_(list(man[section]), rows, section)


@test
def man_pages_are_well_formed():
    if not shutil.which("mandoc"):
        skip("mandoc is not installed")
    pages = files("src/**/*.[1-9]", "etc/*.[1-9]")
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "style", *pages],
                          cwd=TOP, capture_output=True, text=True)
    none([line for line in done.stdout.splitlines()
          if not re.search(r"referenced manual|date|mandoc\.db", line)],
         "mandoc finds nothing")
    ok(len(pages) >= 2, "there are pages")


@test
def the_sample_is_a_good_configuration():
    with tempfile.TemporaryDirectory(prefix="bindery-") as folder:
        os.mkdir(os.path.join(folder, "tls"))
        pem, key = make_certificate(folder, "sample")
        shutil.move(pem, os.path.join(folder, "tls", "fullchain.pem"))
        shutil.move(key, os.path.join(folder, "tls", "privkey.pem"))
        for name in ("bindery.json", "users.json"):
            shutil.copy(os.path.join(TOP, "etc", name), folder)
        code, out, err = binderyd(
            "--check", "-c", os.path.join(folder, "bindery.json"))
    ok(code == 0 and err == "", "binderyd --check likes it", out + err)
    users = json.loads(read("etc/users.json"))["users"]
    none([user["username"] for user in users if "password" in user],
         "no clear password in the sample")


@test
def readme_names_what_is_there():
    text = read("README")
    names = set(re.findall(
        r"(?<![\w/])((?:src|contrib|etc|t|include)/[\w./-]+[\w])", text))
    none([name for name in names
          if not os.path.exists(os.path.join(TOP, name))],
         "every path in the README exists")
    walk = text.split("The walk of a REGISTER")[1].split("Reporting bugs")[0]
    sources = "".join(read(path) for path in C_FILES)
    none([name for name in re.findall(r"\b([a-z]+(?:_[a-z]+)+)\b", walk)
          if not re.search(rf"\b{name}\b", sources)],
         "every function of the walk exists")


run()
