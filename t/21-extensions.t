#!/usr/bin/env python3
"""Extensions of the registrar: Path, Outbound, Service-Route, GRUU."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "lib"))

import sip
from bindery import USERS, Server
from tap import cases, is_, like, ok, run, test

ONE, TWO = "<sip:phone@192.0.2.1>", "<sip:phone@192.0.2.2>"
EDGE = "<sip:token@edge.example.net;lr;ob>"
PROXY = "<sip:p1.example.net;lr>"


def instance(number=1, reg_id=None):
    text = ('+sip.instance="<urn:uuid:00000000-0000-1000-8000-'
            f'{number:012x}>"')
    return f";{text}" + ("" if reg_id is None else f";reg-id={reg_id}")


def supported(*tags):
    return ("Supported", ", ".join(tags))


OUTBOUND = supported("path", "outbound")


# --- Path (RFC 3327)

@cases([("one line", [f"{EDGE}, {PROXY}"]), ("two lines", [EDGE, PROXY])])
def path_is_kept_and_given_back_in_order(server, lines):
    phone = server.fresh_phone()
    response = phone.register(ONE, headers=[
        supported("path"), *(("Path", line) for line in lines)])
    is_(response.status, 200, "status")
    is_(response.values("Path"), [EDGE, PROXY], "in the 200")
    told = str(server.bindings(phone.user)[0]["path"])
    ok(0 <= told.find("token@edge.example.net;lr;ob")
       < told.find("p1.example.net;lr"), "in the binding", told)


@test
def path_that_the_phone_does_not_support_is_420(server):
    phone = server.fresh_phone()
    response = phone.register(ONE, headers=[("Path", PROXY)])
    is_(response.status, 420, "status")
    is_(response.tags("Unsupported"), {"path"}, "Unsupported")
    is_(server.bindings(phone.user), [], "nothing was bound")


@test
def require_path_is_granted(server):
    response = server.fresh_phone().register(ONE, headers=[
        supported("path"), ("Require", "path"), ("Path", PROXY)])
    is_(response.status, 200, "status")
    is_(response.values("Path"), [PROXY], "Path")


@test
def a_registration_without_path_has_none(server):
    phone = server.fresh_phone()
    phone.register(ONE, headers=[supported("path"), ("Path", PROXY)])
    response = phone.register(ONE, headers=[supported("path")])
    is_(response.all("Path"), [], "in the 200")
    ok(not server.bindings(phone.user)[0]["path"], "in the binding")


@test
def each_binding_has_its_own_path(server):
    phone = server.fresh_phone()
    phone.register(ONE, headers=[supported("path"), ("Path", PROXY)])
    phone.register(TWO, headers=[supported("path"), ("Path", EDGE)])
    told = {b["uri"]: str(b["path"]) for b in server.bindings(phone.user)}
    ok("p1.example.net" in told[ONE.strip("<>")], "the first", told)
    ok("edge.example.net" in told[TWO.strip("<>")], "the second", told)


@test
def a_bad_path_is_400(server):
    response = server.fresh_phone().register(ONE, headers=[
        supported("path"), ("Path", "no address")])
    is_(response.status, 400, "status")
    like(response.reason, "(?i)path", "the reason names it")


# --- Outbound (RFC 5626)

@cases([(transport, transport) for transport in sip.ENDPOINTS])
def a_direct_flow_is_outbound(server, transport):
    phone = server.fresh_phone(transport)
    response = phone.register(ONE + instance(1, 1), headers=[OUTBOUND])
    is_(response.status, 200, "status")
    ok("outbound" in response.tags("Require"), "Require: outbound", response)
    like(response.get("Flow-Timer"), r"^[1-9]\d*$", "Flow-Timer")
    contact, = response.contacts
    is_(contact.params.get("reg-id"), "1", "reg-id comes back")
    is_(contact.params.get("+sip.instance"),
        sip.Address("<>" + instance(1)).params["+sip.instance"],
        "+sip.instance comes back")
    binding, = server.bindings(phone.user)
    is_(binding["reg_id"], 1, "reg_id of the binding")
    ok("00000001" in str(binding["instance"]), "its instance", binding)


@cases([
    ("no Supported: outbound", instance(1, 1), supported("path")),
    ("no reg-id", instance(1), OUTBOUND),
    ("no instance", ";reg-id=1", OUTBOUND),
])
def what_is_not_outbound_says_so(server, params, header):
    response = server.fresh_phone("tcp").register(ONE + params,
                                                  headers=[header])
    is_(response.status, 200, "status")
    ok("outbound" not in response.tags("Require"), "no Require: outbound")
    is_(response.all("Flow-Timer"), [], "no Flow-Timer")


@test
def reg_id_is_a_key_even_without_the_option_tag(server):
    phone = server.fresh_phone("tcp")
    for contact in (ONE, TWO):
        response = phone.register(contact + instance(1, 1),
                                  headers=[supported("path")])
    is_(len(response.contacts), 1, "the second takes the first's place")
    ok("outbound" not in response.tags("Require"), "but nothing is required")


def by_proxy(phone, params, *headers):
    """The final response to a REGISTER that came by a proxy."""
    message = phone.build(ONE + params, headers=headers)
    message.set("Via", message.get("Via"),
                "SIP/2.0/TCP phone.invalid;branch=z9hG4bKbehind")
    return phone.submit(message)


@cases([("no Path", []), ("a Path without ob", [("Path", PROXY)])])
def a_first_hop_without_outbound_is_439(server, path):
    phone = server.fresh_phone()
    is_(by_proxy(phone, instance(1, 1), OUTBOUND, *path).status, 439,
        "status")
    is_(server.bindings(phone.user), [], "nothing was bound")


@test
def a_first_hop_with_outbound_is_fine(server):
    response = by_proxy(server.fresh_phone(), instance(1, 1), OUTBOUND,
                        ("Path", EDGE))
    is_(response.status, 200, "status")
    ok("outbound" in response.tags("Require"), "Require: outbound")


@cases([("no Supported: outbound", instance(1, 1), supported("path")),
        ("no reg-id", instance(1), OUTBOUND),
        ("no instance", ";reg-id=1", OUTBOUND)])
def behind_a_proxy_without_outbound_it_is_an_old_registration(
        server, params, header):
    response = by_proxy(server.fresh_phone(), params, header)
    if params == ";reg-id=1":
        ok(response.status in (200, 439), "no instance, no outbound")
    else:
        is_(response.status, 200, "status")
    ok("outbound" not in response.tags("Require"), "no Require: outbound")


@test
def two_flows_in_one_request_are_400(server):
    phone = server.fresh_phone("tcp")
    response = phone.register([ONE + instance(1, 1), TWO + instance(1, 2)],
                              600, headers=[OUTBOUND])
    is_(response.status, 400, "status")
    is_(server.bindings(phone.user), [], "nothing was bound")


@test
def a_flow_may_be_bound_while_others_are_removed(server):
    phone = server.fresh_phone("tcp")
    phone.register(TWO, 600)
    response = phone.register([ONE + instance(1, 1), f"{TWO};expires=0"],
                              headers=[OUTBOUND])
    is_((response.status, [c.uri for c in response.contacts]),
        (200, [ONE.strip("<>")]), "one for the other")


@test
def a_restarted_phone_replaces_its_binding(server):
    first = server.fresh_phone("tls")
    first.register(instance_contact(first), headers=[OUTBOUND])
    again = server.phone(first.user, "tls")
    response = again.register(instance_contact(again), headers=[OUTBOUND])
    is_([c.uri for c in response.contacts],
        [again.endpoint.contact(again.user).strip("<>")],
        "the same instance and reg-id over a new flow")
    first.endpoint.close()
    other = server.phone(first.user, "tls")
    response = other.register(other.endpoint.contact(other.user)
                              + instance(1, 2), headers=[OUTBOUND])
    is_(len(response.contacts), 2, "another reg-id is a second flow")
    is_([b["reachable"] for b in server.bindings(first.user)], [True, True],
        "the end of the replaced flow changes nothing")


def instance_contact(phone):
    return phone.endpoint.contact(phone.user) + instance(1, 1)


@test
def a_binding_of_a_flow_is_removed_by_its_key(server):
    phone = server.fresh_phone("tcp")
    phone.register(ONE + instance(1, 1), 600, headers=[OUTBOUND])
    response = phone.register(TWO + instance(1, 1), 0, headers=[OUTBOUND])
    is_((response.status, response.all("Contact")), (200, []),
        "whatever its URI is now")


# --- Service-Route (RFC 3608)

ROUTES = ["sip:edge.example.com;lr", "sip:core.example.com;transport=tcp;lr"]


@test
def service_route_is_given_in_order():
    config = {"domains": {"example.com": {"service_route": ROUTES},
                          "example.org": {"directory": "users"}}}
    users = USERS + [dict(USERS[0], domain="example.org")]
    with Server(config, users) as server:
        phone = server.phone()
        response = phone.register()
        is_(response.values("Service-Route"), [f"<{r}>" for r in ROUTES],
            "in the 200")
        is_(phone.responses[0].all("Service-Route"), [], "not in the 401")
        is_(phone.fetch().values("Service-Route"), [f"<{r}>" for r in ROUTES],
            "in that of a fetch")
        other = server.phone(domain="example.org").register()
        is_(other.all("Service-Route"), [], "not in another domain")


# --- GRUU (RFC 5627)

def gruus(response):
    """{contact URI: (pub-gruu, temp-gruu)}, unquoted."""
    return {contact.uri: tuple(
        (contact.params.get(name) or "").strip('"') or None
        for name in ("pub-gruu", "temp-gruu"))
        for contact in response.contacts}


@test
def gruus_are_assigned(server):
    phone = server.fresh_phone()
    response = phone.register(ONE + instance(1), headers=[supported("gruu")])
    is_(response.status, 200, "status")
    (public, temporary), = gruus(response).values()
    like(public, rf"^sips?:{phone.user}@example\.com;gr=", "pub-gruu: the AOR")
    like(public, r"gr=urn:uuid:00000000-0000-1000-8000-000000000001$",
         "and the instance")
    like(temporary, r"^sips?:[^@]+@example\.com;gr$", "temp-gruu")
    ok(phone.user not in temporary.partition("@")[0],
       "which does not tell the user", temporary)


@test
def the_public_gruu_stays_and_the_temporary_is_fresh(server):
    phone = server.fresh_phone()
    seen = [gruus(phone.register(ONE + instance(1),
                                 headers=[supported("gruu")]))
            for _ in range(3)]
    restarted = server.phone(phone.user)
    seen.append(gruus(restarted.register(ONE + instance(1),
                                         headers=[supported("gruu")])))
    pairs = [pair for found in seen for pair in found.values()]
    is_(len({public for public, _ in pairs}), 1, "one public")
    is_(len({temporary for _, temporary in pairs}), 4, "each temporary anew")


@test
def each_instance_has_its_own(server):
    phone = server.fresh_phone()
    phone.register(ONE + instance(1), headers=[supported("gruu")])
    found = gruus(phone.register(TWO + instance(2),
                                 headers=[supported("gruu")]))
    is_(len(found), 2, "two bindings")
    is_(len({public for public, _ in found.values()}), 2, "two public")
    ok(all(public and temporary for public, temporary in found.values()),
       "and temporary ones for both", found)


@cases([("no Supported: gruu", instance(1), supported("path")),
        ("no instance", "", supported("gruu"))])
def without_a_wish_there_is_no_gruu(server, params, header):
    response = server.fresh_phone().register(ONE + params, headers=[header])
    is_(response.status, 200, "status")
    is_(list(gruus(response).values()), [(None, None)], "none")


@test
def require_gruu_is_granted(server):
    response = server.fresh_phone().register(ONE + instance(1), headers=[
        ("Require", "gruu"), supported("gruu")])
    is_(response.status, 200, "status")


@test
def a_phone_cannot_bind_what_leads_back(server):
    phone = server.fresh_phone()
    response = phone.register(ONE + instance(1), headers=[supported("gruu")])
    (public, temporary), = gruus(response).values()
    for name, uri in (("the AOR", phone.aor), ("the public GRUU", public),
                      ("the temporary GRUU", temporary)):
        is_(phone.register(f"<{uri}>" + instance(2),
                           headers=[supported("gruu")]).status, 403, name)
    is_(len(server.bindings(phone.user)), 1, "nothing was bound")


@test
def what_a_phone_says_of_gruus_is_not_believed(server):
    phone = server.fresh_phone()
    response = phone.register(
        f'{ONE}{instance(1)};pub-gruu="sip:bob@example.com;gr=x"'
        ';temp-gruu="sip:x@example.com;gr"', headers=[supported("gruu")])
    if response.status == 200:
        (public, temporary), = gruus(response).values()
        ok(public.startswith(f"sip:{phone.user}@"), "the server's own public")
        ok(temporary != "sip:x@example.com;gr", "and temporary")
        is_(response.get("Contact").count("pub-gruu"), 1, "once")


@test
def outbound_and_gruu_go_together(server):
    phone = server.fresh_phone("tls")
    response = phone.register(ONE + instance(1, 1), headers=[
        supported("path", "outbound", "gruu")])
    is_(response.status, 200, "status")
    ok("outbound" in response.tags("Require"), "outbound")
    (public, temporary), = gruus(response).values()
    ok(public and temporary, "GRUUs")


run(Server())
