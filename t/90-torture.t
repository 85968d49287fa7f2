#!/usr/bin/env python3
"""The torture messages of RFC 4475 and RFC 5118, each sent as one datagram."""
import hashlib
import json
import os
import sys

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "lib"))

from bindery import Server
from sip import Udp
from tap import cases, is_, ok, run

FOLDER = os.path.join(HERE, "torture")
with open(os.path.join(FOLDER, "expected.json"), encoding="utf-8") as file:
    EXPECTED = json.load(file)
# Each has an address of its own, as its answer goes to the port in its Via.
MESSAGES = [(entry["name"], number, entry)
            for number, entry in enumerate(EXPECTED["messages"], 1)]


def configuration():
    return {"domains": {name: {"directory": "users"}
                        for name in EXPECTED["domains"]}}


def answers_to(server, number, entry, data):
    """What came back before the server answered a request sent after it."""
    with Udp(("127.0.0.1", server.udp),
             local=(f"127.0.7.{number}", entry["reply_port"] or 0)) as endpoint:
        endpoint.send_bytes(data)
        return endpoint.fence()


@cases(MESSAGES)
def a_message_gets_what_the_rfc_asks(server, number, entry):
    with open(os.path.join(FOLDER, entry["name"] + ".dat"), "rb") as file:
        data = file.read()
    is_(hashlib.sha256(data).hexdigest(), entry["sha256"], "the bytes")
    # some messages share a branch: that is no retransmission here
    data = data.replace(b"branch=z9hG4bK.", b"branch=z9hG4bK%d." % number)
    found = answers_to(server, number, entry, data)
    wanted = entry["udp"]
    if wanted.get("silent"):
        is_([message.start for message in found], [], "silence")
    else:
        is_(len(found), 1, "one answer")
        ok(found and found[0].status in wanted["answer"],
           f"one of {wanted['answer']}", found[0].start if found else "nothing")
    ok(server.process.poll() is None, "the server lives")


run(Server(configuration()))
