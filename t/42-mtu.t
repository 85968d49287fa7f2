#!/usr/bin/env python3
"""UDP by a path that takes small packets alone, in a network of its own."""

import os
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import Server
from tap import is_, ok, run, skip, test

OWN_NETWORK = "BINDERY_TEST_OWN_NETWORK"
ENTER = ["unshare", "--map-root-user", "--net", "sh", "-c",
         'ip link set lo mtu 1300 up && exec "$@"', "sh"]
MTU = 1300


def is_allowed():
    try:
        return subprocess.run([*ENTER, "true"], capture_output=True,
                              check=False).returncode == 0
    except OSError:
        return False


@test
def an_answer_that_is_larger_than_the_path_takes_arrives_whole():
    if OWN_NETWORK not in os.environ:
        skip("a network of its own is not allowed here")
    with Server({"workers": 1}) as server:
        phone = server.fresh_phone("udp")
        contacts = [f"<sip:phone@192.0.2.{number}>;description="
                    + "x" * 200 for number in range(1, 8)]
        for contact in contacts:
            is_(phone.register(contact).status, 200, "a contact more")
        ok(len(phone.responses[-1].raw) > MTU, "a large answer",
           len(phone.responses[-1].raw))
        is_(len(phone.responses[-1].contacts), len(contacts), "all of them")
        is_(phone.register(contacts[0]).status, 200, "and once more")
        endpoint = server.connect("udp")
        is_(endpoint.exchange(sip.request(endpoint)).status, 200,
            "a small one")
        is_(server.counter("send_failed"), 0, "nothing failed")


if OWN_NETWORK not in os.environ and is_allowed():
    os.environ[OWN_NETWORK] = "yes"
    os.execvp(ENTER[0], [*ENTER, sys.executable, os.path.abspath(__file__)])
run()
