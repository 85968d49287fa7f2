"""TAP for the system tests.

A test file is a list of functions, each named as the behaviour that it proves:

    @test
    def refresh_with_lower_cseq_is_refused(server):
        ok(...)

    run(Server())

Each function runs by itself; an exception in one is a failed test, not the
end of the file. Names given as arguments to the file select the functions.
"""

import contextlib
import functools
import inspect
import os
import re
import signal
import sys
import traceback

SLOW = bool(os.environ.get("BINDERY_SLOW"))
TEST_SECONDS = 600 if SLOW else 120

_tests = []
_count = 0
_failed = 0
_current = None

# Called without arguments when something failed; each returns text that helps.
diagnostics = []


def _emit(good, name, diag=None, directive=""):
    global _count, _failed
    _count += 1
    name = " ".join(str(name).split()).replace("#", "\\#")
    if _current and not name.startswith(_current):
        name = f"{_current}: {name}"
    print(f"{'ok' if good else 'not ok'} {_count} - {name}{directive}",
          flush=True)
    if not good:
        _failed += 1
        say(diag if diag is not None else "")
        for source in diagnostics:
            say(source())


def say(text):
    """Print diagnostics."""
    for line in str(text).splitlines():
        print(f"# {line}", flush=True)


def ok(cond, name, diag=None):
    _emit(bool(cond), name, diag)
    return bool(cond)


def is_(got, want, name):
    return ok(got == want, name, f"got:  {got!r}\nwant: {want!r}")


def like(text, regex, name):
    return ok(text is not None and re.search(regex, text), name,
              f"got:  {text!r}\nwant: /{regex}/")


def skip_all(reason):
    print(f"1..0 # SKIP {reason}")
    sys.exit(0)


def skip(reason):
    """Leave the running test function."""
    raise _Skip(reason)


def done():
    print(f"1..{_count}", flush=True)
    sys.exit(1 if _failed else 0)


def test(function):
    _tests.append(function)
    return function


def cases(table):
    """Run the test once for each row: (name, arguments...)."""
    def wrap(function):
        for name, *arguments in table:
            bound = _bind(function, arguments)
            bound.__name__ = f"{function.__name__}[{name}]"
            _tests.append(bound)
        return function
    return wrap


def _bind(function, arguments):
    takes = len(inspect.signature(function).parameters)
    if takes > len(arguments):
        return lambda fixture: function(fixture, *arguments)
    return lambda: function(*arguments)


def run(fixture=None):
    """Run all tests; fixture is a context manager that they share."""
    chosen = [t for t in _tests if not sys.argv[1:]
              or any(part in t.__name__ for part in sys.argv[1:])]
    shared = fixture if fixture is not None else contextlib.nullcontext()
    try:
        with shared as value:
            for function in chosen:
                takes_it = inspect.signature(function).parameters
                _run_one(functools.partial(function, value) if takes_it
                         else function, function.__name__)
        if fixture is not None:
            _emit(True, "the shared server stops cleanly")
    except Exception as error:
        _emit(False, "the shared server starts and stops cleanly",
              _describe(error))
    done()


class _Skip(Exception):
    pass


class _OutOfTime(Exception):
    """No TimeoutError: a test may expect one of those."""


def _run_one(function, name):
    global _current
    _current = name
    before = _count
    previous = signal.signal(signal.SIGALRM, _out_of_time)
    signal.alarm(TEST_SECONDS)
    try:
        function()
        if _count == before:
            _emit(True, name)
    except _Skip as why:
        _emit(True, name, directive=f" # SKIP {why}")
    except Exception as error:
        _emit(False, name, _describe(error))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        _current = None


def _out_of_time(_signal, _frame):
    raise _OutOfTime(f"the test took more than {TEST_SECONDS} s")


def _describe(error):
    return "".join(traceback.format_exception(error))
