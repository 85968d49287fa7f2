/*
 * RFC 3261 10.3 steps 6 and 7 as bindery's pure update: bindings and a
 * REGISTER in, a plan out. Requests are real text; bindings lie in a real
 * table, whose hold gives them their order.
 */
#include "config.h"

#include "unit.h"

#include "bindery/registrar.h"

enum { NOW = 1000000 };

struct fixture {
	struct sip_parser *parser;
	struct net_shared *shared;
	struct location *location;
	struct location_hold hold;
	struct apply_policy policy;
	struct sip_contacts contacts;
	struct apply_plan plan;
	struct sip_message *m;
	bool ignore_reg_ids;
	char text[16384];
};

static bool
is_alive(void *shared, flow_id flow)
{
	return flow_is_alive(shared, flow);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);

	sip_init();
	f->parser = sip_parser_new();
	f->shared = net_shared_new(1);
	f->location = location_new(is_alive, f->shared);
	f->policy = (struct apply_policy){ .min_expires = 60,
		.default_expires = 1800, .max_expires = 7200, .max_contacts = 5 };
	location_hold(f->location, STR("alice@example.com"), NOW, &f->hold);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	location_release(&f->hold);
	location_free(f->location);
	net_shared_free(f->shared);
	sip_parser_free(f->parser);
	free(f);
	return 0;
}

/* ---- what is there already ---- */

struct given {
	const char *uri, *call_id, *instance;
	uint32_t cseq, reg_id;
	bool dead; /* its flow is */
};

/* Flows of these tests live if they have a name at all. */
static bool
has_flow(void *context, const struct binding *binding)
{
	assert_non_null(context);
	return binding->flow != FLOW_NONE;
}

static struct binding *
bind(struct fixture *f, struct given given)
{
	struct binding_data data = { .expires_at = NOW + 600000,
		.cseq = given.cseq, .reg_id = given.reg_id, .q = 1000 };

	data.text[BINDING_URI] = str_of(given.uri);
	data.text[BINDING_CALL_ID] =
	    str_of(given.call_id != NULL ? given.call_id : "call-1");
	data.text[BINDING_INSTANCE] = str_of(given.instance);
	data.hop.flow = given.dead ? FLOW_NONE : 7;
	return location_put(&f->hold, NULL, &data);
}

#define BIND(f, ...) bind((f), (struct given){ __VA_ARGS__ })

/* ---- what is asked ---- */

/* A REGISTER of Call-ID call-1 with these further lines. */
static const struct apply_plan *
ask(struct fixture *f, uint32_t cseq, const char *lines)
{
	struct apply_request request = { .contacts = &f->contacts,
		.cseq = cseq, .now = NOW, .ignore_reg_ids = f->ignore_reg_ids };
	struct sip_fault why;
	int n = snprintf(f->text, sizeof f->text,
	    "REGISTER sip:example.com SIP/2.0\r\n"
	    "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n"
	    "From: <sip:alice@example.com>;tag=1\r\n"
	    "To: <sip:alice@example.com>\r\n"
	    "Call-ID: call-1\r\nCSeq: %u REGISTER\r\n%s\r\n",
	    cseq, lines);

	f->m = sip_parser_read(f->parser,
	    (struct str){ f->text, (size_t)n });
	assert_int_equal(f->m->fault.status, 0);
	assert_true(sip_read_contacts(f->parser, f->m, &f->contacts, &why));
	request.has_expires = sip_read_expires(f->m, &request.expires);
	request.call_id = f->m->call_id;
	memset(&f->plan, 0xff, offsetof(struct apply_plan, steps));
	registrar_apply(f->parser, f->hold.first, &request, &f->policy, has_flow,
	    f, &f->plan);
	return &f->plan;
}

static void
check_refused(const struct apply_plan *plan, unsigned status)
{
	assert_int_equal(plan->fault.status, status);
	assert_int_equal(plan->count, 0);
}

static void
check_put(const struct apply_plan *plan, size_t i, const struct binding *old,
    size_t contact, uint32_t expires)
{
	assert_int_equal(plan->fault.status, 0);
	assert_true(i < plan->count);
	assert_int_equal(plan->steps[i].action, APPLY_PUT);
	assert_ptr_equal(plan->steps[i].old, old);
	assert_int_equal(plan->steps[i].contact, contact);
	assert_int_equal(plan->steps[i].expires, expires);
	assert_false(plan->steps[i].evicted);
}

static void
check_drop(const struct apply_plan *plan, size_t i, const struct binding *old,
    bool evicted)
{
	assert_int_equal(plan->fault.status, 0);
	assert_true(i < plan->count);
	assert_int_equal(plan->steps[i].action, APPLY_DROP);
	assert_ptr_equal(plan->steps[i].old, old);
	assert_int_equal(plan->steps[i].evicted, evicted);
}

/* Whoever carries a plan out frees what a step replaces or drops. */
static void
check_each_binding_once(const struct apply_plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		for (size_t j = i + 1; j < plan->count; j++)
			if (plan->steps[i].old != NULL &&
			    plan->steps[i].old == plan->steps[j].old)
				fail_msg("steps %zu and %zu have the same binding", i, j);
}

/* ---- tests ---- */

static void
no_contact_changes_nothing(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan;

	BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 9);
	plan = ask(f, 1, ""); /* a fetch, in any order */
	assert_int_equal(plan->fault.status, 0);
	assert_int_equal(plan->count, 0);
}

static void
a_new_contact_is_added(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan =
	    ask(f, 1, "Contact: <sip:a@192.0.2.1>\r\n");

	assert_int_equal(plan->count, 1);
	check_put(plan, 0, NULL, 0, 1800);
}

static void
several_contacts_are_added_in_their_order(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan = ask(f, 1,
	    "Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>;expires=100\r\n"
	    "Contact: sip:a@192.0.2.3\r\n");

	assert_int_equal(plan->count, 3);
	check_put(plan, 0, NULL, 0, 1800);
	check_put(plan, 1, NULL, 1, 100);
	check_put(plan, 2, NULL, 2, 1800);
}

static void
expiry_is_the_contacts_then_the_headers_then_the_default(void **state)
{
	struct fixture *f = *state;

	check_put(ask(f, 1, "Expires: 200\r\nContact: <sip:a@h>;expires=300\r\n"),
	    0, NULL, 0, 300);
	check_put(ask(f, 1, "Expires: 200\r\nContact: <sip:a@h>\r\n"), 0, NULL, 0,
	    200);
	check_put(ask(f, 1, "Contact: <sip:a@h>\r\n"), 0, NULL, 0, 1800);
}

static void
expiry_that_is_malformed_counts_as_an_hour(void **state)
{
	struct fixture *f = *state;

	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=soon\r\n"), 0, NULL, 0,
	    3600);
	check_put(ask(f, 1, "Expires: Thu, 01 Dec 1994 16:00:00 GMT\r\n"
	                    "Contact: <sip:a@h>\r\n"),
	    0, NULL, 0, 3600);
}

static void
expiry_is_cut_to_the_greatest(void **state)
{
	struct fixture *f = *state;

	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=7201\r\n"), 0, NULL, 0,
	    7200);
	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=4294967296\r\n"), 0, NULL,
	    0, 7200);
}

static void
expiry_is_spread_by_chance_but_never_too_short(void **state)
{
	struct fixture *f = *state;

	f->policy.spread = 10;
	f->policy.chance = 0;
	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=1000\r\n"), 0, NULL, 0,
	    1000);
	f->policy.chance = 100;
	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=1000\r\n"), 0, NULL, 0,
	    900);
	f->policy.chance = 101; /* begins anew */
	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=1000\r\n"), 0, NULL, 0,
	    1000);
	f->policy.chance = 6;
	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=62\r\n"), 0, NULL, 0, 60);
	for (uint32_t chance = 0; chance < 5000; chance += 7) {
		const struct apply_plan *plan;

		f->policy.chance = chance * 2654435761u;
		plan = ask(f, 1, "Contact: <sip:a@h>;expires=7200\r\n");
		assert_true(plan->steps[0].expires >= 6480 &&
		    plan->steps[0].expires <= 7200);
	}
	f->policy.spread = 100;
	f->policy.chance = UINT32_MAX;
	assert_true(ask(f, 1, "Contact: <sip:a@h>\r\n")->steps[0].expires >= 60);
}

static void
too_short_an_expiry_is_refused_with_423(void **state)
{
	struct fixture *f = *state;

	check_refused(ask(f, 1, "Contact: <sip:a@h>;expires=59\r\n"), 423);
	check_refused(ask(f, 1, "Expires: 1\r\nContact: <sip:a@h>\r\n"), 423);
	check_put(ask(f, 1, "Contact: <sip:a@h>;expires=60\r\n"), 0, NULL, 0, 60);
}

static void
an_hour_is_never_too_short(void **state)
{
	struct fixture *f = *state;

	/* 10.3 step 7: only less than an hour may be refused */
	f->policy.min_expires = 5000;
	f->policy.default_expires = 6000;
	check_refused(ask(f, 1, "Contact: <sip:a@h>;expires=3599\r\n"), 423);
	assert_int_equal(
	    ask(f, 1, "Contact: <sip:a@h>;expires=3600\r\n")->fault.status, 0);
}

static void
one_brief_contact_refuses_all(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.9", .cseq = 1);
	check_refused(ask(f, 2,
	                  "Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>;expires=5,"
	                  " <sip:a@192.0.2.9>;expires=0\r\n"),
	    423);
}

static void
zero_removes_a_binding(void **state)
{
	struct fixture *f = *state;
	struct binding *one = BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 1);
	const struct apply_plan *plan;

	BIND(f, .uri = "sip:a@192.0.2.2", .cseq = 1);
	plan = ask(f, 2, "Contact: <sip:a@192.0.2.1>;expires=0\r\n");
	assert_int_equal(plan->count, 1);
	check_drop(plan, 0, one, false);
	plan = ask(f, 2, "Expires: 0\r\nContact: <sip:a@192.0.2.1>\r\n");
	assert_int_equal(plan->count, 1);
	check_drop(plan, 0, one, false);
}

static void
removing_what_is_not_there_does_nothing(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan =
	    ask(f, 1, "Contact: <sip:a@192.0.2.1>;expires=0\r\n");

	assert_int_equal(plan->fault.status, 0);
	assert_int_equal(plan->count, 0);
}

static void
an_equal_uri_refreshes_its_binding(void **state)
{
	struct fixture *f = *state;
	struct binding *one =
	    BIND(f, .uri = "sip:%61lice@AtLanTa.CoM;Transport=tcp", .cseq = 1);
	const struct apply_plan *plan =
	    ask(f, 2, "Contact: <sip:alice@atlanta.com;transport=TCP>\r\n");

	assert_int_equal(plan->count, 1);
	check_put(plan, 0, one, 0, 1800);
}

static void
an_unequal_uri_is_another_binding(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:alice@192.0.2.1:5060", .cseq = 1);
	BIND(f, .uri = "sip:alice@192.0.2.1;transport=tcp", .cseq = 1);
	BIND(f, .uri = "sip:Alice@192.0.2.1", .cseq = 1);
	BIND(f, .uri = "sips:alice@192.0.2.1", .cseq = 1);
	check_put(ask(f, 2, "Contact: <sip:alice@192.0.2.1>\r\n"), 0, NULL, 0,
	    1800);
}

static void
refresh_with_lower_or_equal_cseq_is_refused(void **state)
{
	struct fixture *f = *state;
	struct binding *one = BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 5);

	check_refused(ask(f, 4, "Contact: <sip:a@192.0.2.1>\r\n"), 500);
	check_refused(ask(f, 5, "Contact: <sip:a@192.0.2.1>\r\n"), 500);
	check_put(ask(f, 6, "Contact: <sip:a@192.0.2.1>\r\n"), 0, one, 0, 1800);
}

static void
removal_with_lower_or_equal_cseq_is_refused(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 5);
	check_refused(ask(f, 5, "Contact: <sip:a@192.0.2.1>;expires=0\r\n"), 500);
	check_refused(ask(f, 5, "Expires: 0\r\nContact: *\r\n"), 500);
	assert_int_equal(ask(f, 6, "Expires: 0\r\nContact: *\r\n")->count, 1);
}

static void
another_call_id_is_not_ordered(void **state)
{
	struct fixture *f = *state;
	struct binding *one = BIND(f, .uri = "sip:a@192.0.2.1",
	    .call_id = "another", .cseq = 5);

	check_put(ask(f, 1, "Contact: <sip:a@192.0.2.1>\r\n"), 0, one, 0, 1800);
	check_drop(ask(f, 1, "Expires: 0\r\nContact: *\r\n"), 0, one, false);
}

static void
a_cseq_without_a_binding_is_not_ordered(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 5);
	check_put(ask(f, 1, "Contact: <sip:a@192.0.2.2>\r\n"), 0, NULL, 0, 1800);
}

static void
one_contact_out_of_order_refuses_all(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 5);
	check_refused(ask(f, 5, "Contact: <sip:a@192.0.2.2>\r\n"
	                        "Contact: <sip:a@192.0.2.1>\r\n"),
	    500);
}

static void
star_removes_all_bindings(void **state)
{
	struct fixture *f = *state;
	struct binding *one = BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 1);
	struct binding *two = BIND(f, .uri = "sip:a@192.0.2.2",
	    .instance = "<urn:x>", .reg_id = 1, .cseq = 1);
	const struct apply_plan *plan = ask(f, 2, "Expires: 0\r\nContact: *\r\n");

	assert_int_equal(plan->count, 2);
	check_drop(plan, 0, one, false);
	check_drop(plan, 1, two, false);
}

static void
star_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 1);
	BIND(f, .uri = "sip:a@192.0.2.2", .cseq = 9);
	check_refused(ask(f, 5, "Expires: 0\r\nContact: *\r\n"), 500);
}

static void
star_stands_alone_and_with_expires_zero(void **state)
{
	struct fixture *f = *state;

	check_refused(ask(f, 1, "Contact: *\r\n"), 400);
	check_refused(ask(f, 1, "Expires: 1\r\nContact: *\r\n"), 400);
	check_refused(ask(f, 1, "Expires: 0\r\nContact: *\r\n"
	                        "Contact: <sip:a@192.0.2.1>\r\n"),
	    400);
	check_refused(ask(f, 1, "Expires: 0\r\n"
	                        "Contact: <sip:a@192.0.2.1>, *\r\n"),
	    400);
}

static void
star_with_nothing_bound_is_fine(void **state)
{
	const struct apply_plan *plan =
	    ask(*state, 1, "Expires: 0\r\nContact: *\r\n");

	assert_int_equal(plan->fault.status, 0);
	assert_int_equal(plan->count, 0);
}

static void
a_contact_said_twice_counts_once(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan = ask(f, 1,
	    "Contact: <sip:a@192.0.2.1>;expires=100\r\n"
	    "Contact: <sip:a@192.0.2.1>;expires=200\r\n");

	assert_int_equal(plan->count, 1);
	check_put(plan, 0, NULL, 1, 200);
}

/* ---- instances and flows, RFC 5626 ---- */

#define PHONE ";+sip.instance=\"<urn:x>\""

static void
instance_and_reg_id_name_a_binding_whatever_its_uri(void **state)
{
	struct fixture *f = *state;
	struct binding *one = BIND(f, .uri = "sip:a@192.0.2.1",
	    .instance = "<urn:x>", .reg_id = 1, .cseq = 1);
	const struct apply_plan *plan;

	plan = ask(f, 2, "Contact: <sip:a@192.0.2.77>" PHONE ";reg-id=1\r\n");
	assert_int_equal(plan->count, 1);
	check_put(plan, 0, one, 0, 1800);
}

static void
another_reg_id_is_another_binding(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.1", .instance = "<urn:x>", .reg_id = 1,
	    .cseq = 1);
	check_put(ask(f, 2, "Contact: <sip:a@192.0.2.1>" PHONE ";reg-id=2\r\n"), 0,
	    NULL, 0, 1800);
}

static void
another_instance_is_another_binding(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.1", .instance = "<urn:y>", .reg_id = 1,
	    .cseq = 1);
	check_put(ask(f, 2, "Contact: <sip:a@192.0.2.1>" PHONE ";reg-id=1\r\n"), 0,
	    NULL, 0, 1800);
}

static void
two_reg_ids_in_one_request_are_two_bindings(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan = ask(f, 1,
	    "Contact: <sip:a@192.0.2.1>" PHONE ";reg-id=1\r\n"
	    "Contact: <sip:a@192.0.2.1>" PHONE ";reg-id=2\r\n");

	assert_int_equal(plan->count, 2);
	check_put(plan, 0, NULL, 0, 1800);
	check_put(plan, 1, NULL, 1, 1800);
}

static void
reg_ids_that_are_ignored_leave_the_uri(void **state)
{
	struct fixture *f = *state;
	struct binding *one = BIND(f, .uri = "sip:a@192.0.2.1", .cseq = 1);

	f->ignore_reg_ids = true;
	check_put(ask(f, 2, "Contact: <sip:a@192.0.2.1>" PHONE ";reg-id=1\r\n"), 0,
	    one, 0, 1800);
}

static void
an_instance_whose_flow_died_gives_its_place_to_itself(void **state)
{
	struct fixture *f = *state;
	struct binding *one = BIND(f, .uri = "sip:a@192.0.2.1:1111",
	    .instance = "<urn:x>", .call_id = "before", .cseq = 1, .dead = true);

	check_put(ask(f, 2, "Contact: <sip:a@192.0.2.1:2222>" PHONE "\r\n"), 0, one,
	    0, 1800);
}

static void
an_instance_whose_flow_lives_keeps_its_place(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.1:1111", .instance = "<urn:x>",
	    .call_id = "before", .cseq = 1);
	check_put(ask(f, 2, "Contact: <sip:a@192.0.2.1:2222>" PHONE "\r\n"), 0,
	    NULL, 0, 1800);
}

/* ---- one step a binding ---- */

static void
contacts_that_equal_one_binding_but_not_each_other_share_no_step(void **state)
{
	struct fixture *f = *state;

	/* 19.1.4 is not transitive: its own example */
	BIND(f, .uri = "sip:carol@chicago.com", .cseq = 1);
	check_each_binding_once(ask(f, 2,
	    "Contact: <sip:carol@chicago.com;security=on>,"
	    " <sip:carol@chicago.com;security=off>\r\n"));
}

static void
a_contact_with_a_parameter_twice_said_twice_shares_no_step(void **state)
{
	struct fixture *f = *state;

	/* by 19.1.4 it would not even equal itself */
	BIND(f, .uri = "sip:a@192.0.2.1;x=1;x=2", .cseq = 1);
	check_each_binding_once(ask(f, 2,
	    "Contact: <sip:a@192.0.2.1;x=1;x=2>, <sip:a@192.0.2.1;x=1;x=2>\r\n"));
}

static void
an_heir_and_an_equal_uri_share_no_step(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:a@192.0.2.2", .instance = "<urn:x>",
	    .call_id = "before", .cseq = 1, .dead = true);
	check_each_binding_once(ask(f, 2,
	    "Contact: <sip:a@192.0.2.1>" PHONE "\r\n"
	    "Contact: <sip:a@192.0.2.2>" PHONE "\r\n"));
}

static void
a_binding_is_not_dropped_and_refreshed_in_one_plan(void **state)
{
	struct fixture *f = *state;

	BIND(f, .uri = "sip:carol@chicago.com", .cseq = 1);
	check_each_binding_once(ask(f, 2,
	    "Contact: <sip:carol@chicago.com;security=on>;expires=0,"
	    " <sip:carol@chicago.com;security=off>\r\n"));
}

/* ---- max_contacts ---- */

static void
bind_many(struct fixture *f, int count, bool dead)
{
	for (int i = 0; i < count; i++) {
		char uri[64];

		snprintf(uri, sizeof uri, "sip:a@198.51.100.%d", i + 1);
		f->hold.now = NOW - 1000 + 10 * i;
		BIND(f, .uri = uri, .cseq = 1, .dead = dead);
	}
	f->hold.now = NOW;
}

static void
beyond_max_contacts_a_new_one_is_refused(void **state)
{
	struct fixture *f = *state;

	bind_many(f, 5, false);
	check_refused(ask(f, 2, "Contact: <sip:a@192.0.2.1>\r\n"), 403);
}

static void
max_contacts_may_be_reached(void **state)
{
	struct fixture *f = *state;

	bind_many(f, 4, false);
	check_put(ask(f, 2, "Contact: <sip:a@192.0.2.1>\r\n"), 0, NULL, 0, 1800);
}

static void
at_max_contacts_a_refresh_is_fine(void **state)
{
	struct fixture *f = *state;

	bind_many(f, 5, false);
	check_put(ask(f, 2, "Contact: <sip:a@198.51.100.3>\r\n"), 0,
	    f->hold.first->next->next, 0, 1800);
	f->policy.max_contacts = 2; /* was lowered */
	check_put(ask(f, 2, "Contact: <sip:a@198.51.100.3>\r\n"), 0,
	    f->hold.first->next->next, 0, 1800);
}

static void
at_max_contacts_one_may_take_anothers_place(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan;

	bind_many(f, 5, false);
	plan = ask(f, 2, "Contact: <sip:a@198.51.100.1>;expires=0,"
	                 " <sip:a@192.0.2.1>\r\n");
	assert_int_equal(plan->count, 2);
	check_drop(plan, 0, f->hold.first, false);
	check_put(plan, 1, NULL, 1, 1800);
}

static void
the_oldest_unreachable_binding_gives_way(void **state)
{
	struct fixture *f = *state;
	struct binding *old;
	const struct apply_plan *plan;

	bind_many(f, 3, false);
	f->hold.now = NOW - 50;
	BIND(f, .uri = "sip:a@203.0.113.1", .cseq = 1, .dead = true);
	f->hold.now = NOW - 60;
	old = BIND(f, .uri = "sip:a@203.0.113.2", .cseq = 1, .dead = true);
	f->hold.now = NOW;
	plan = ask(f, 2, "Contact: <sip:a@192.0.2.1>\r\n");
	assert_int_equal(plan->count, 2);
	check_put(plan, 0, NULL, 0, 1800);
	check_drop(plan, 1, old, true);
}

static void
several_unreachable_bindings_may_give_way(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan;

	bind_many(f, 5, true);
	plan = ask(f, 2, "Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>\r\n");
	assert_int_equal(plan->count, 4);
	check_drop(plan, 2, f->hold.first, true);
	check_drop(plan, 3, f->hold.first->next, true);
}

static void
who_is_refreshed_does_not_give_way(void **state)
{
	struct fixture *f = *state;
	const struct apply_plan *plan;

	bind_many(f, 5, true);
	plan = ask(f, 2, "Contact: <sip:a@198.51.100.1>, <sip:a@192.0.2.1>\r\n");
	assert_int_equal(plan->count, 3);
	check_drop(plan, 2, f->hold.first->next, true);
}

static void
when_too_few_can_give_way_nobody_does(void **state)
{
	struct fixture *f = *state;

	bind_many(f, 4, false);
	BIND(f, .uri = "sip:a@203.0.113.1", .cseq = 1, .dead = true);
	check_refused(
	    ask(f, 2, "Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>\r\n"), 403);
}

static void
more_contacts_than_the_limit_in_one_request_are_refused(void **state)
{
	struct fixture *f = *state;

	f->policy.max_contacts = 2;
	check_refused(ask(f, 1, "Contact: <sip:a@192.0.2.1>, <sip:a@192.0.2.2>,"
	                        " <sip:a@192.0.2.3>\r\n"),
	    403);
}

/* ---- whatever is asked ---- */

static size_t
put_random_contact(char *to, size_t size, uint64_t *seed)
{
	static const char *const params[] = { "", ";x=1", ";x=2", ";transport=tcp" };
	static const char *const instances[] = { "", PHONE,
		";+sip.instance=\"<urn:y>\"" };
	static const char *const reg_ids[] = { "", "", ";reg-id=1", ";reg-id=2" };
	static const char *const times[] = { "", ";expires=0", ";expires=90" };

	return (size_t)snprintf(to, size, "Contact: <sip:a@192.0.2.%u%s>%s%s%s\r\n",
	    (unsigned)random_up_to(seed, 3) + 1, params[random_up_to(seed, 4)],
	    instances[random_up_to(seed, 3)], reg_ids[random_up_to(seed, 4)],
	    times[random_up_to(seed, 3)]);
}

static void
bind_at_random(struct fixture *f, uint64_t *seed)
{
	static const char *const uris[] = { "sip:a@192.0.2.1",
		"sip:a@192.0.2.1;x=1", "sip:a@192.0.2.2", "sip:a@192.0.2.2;x=2",
		"sip:a@192.0.2.3;transport=tcp", "sip:a@192.0.2.9" };
	static const char *const instances[] = { NULL, "<urn:x>", "<urn:y>" };
	const char *instance = instances[random_up_to(seed, 3)];

	BIND(f, .uri = uris[random_up_to(seed, 6)], .instance = instance,
	    .reg_id = instance != NULL ? (uint32_t)random_up_to(seed, 3) : 0,
	    .cseq = 1, .dead = random_up_to(seed, 2) == 0);
}

static void
a_plan_is_sound_whatever_is_asked(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = 1;

	f->policy.max_contacts = 4;
	for (int round = 0; round < 8000; round++) {
		char lines[2048];
		size_t n = 0, before, after;
		const struct apply_plan *plan;

		while (f->hold.first != NULL)
			location_drop(&f->hold, f->hold.first);
		for (uint64_t i = random_up_to(&seed, 5); i > 0; i--)
			bind_at_random(f, &seed);
		for (uint64_t i = random_up_to(&seed, 5) + 1; i > 0; i--)
			n += put_random_contact(lines + n, sizeof lines - n, &seed);
		before = after = f->hold.count;
		plan = ask(f, 2, lines);
		if (plan->fault.status != 0) {
			assert_int_equal(plan->count, 0);
			continue;
		}
		for (size_t i = 0; i < plan->count; i++) {
			const struct apply_step *step = &plan->steps[i];

			after += step->action == APPLY_PUT && step->old == NULL;
			after -= step->action == APPLY_DROP;
			if (step->action == APPLY_PUT) {
				assert_true(step->contact < f->contacts.count);
				assert_true(step->expires > 0 && step->expires <= 7200);
			} else {
				assert_non_null(step->old);
			}
		}
		assert_true(after <= before || after <= f->policy.max_contacts);
		check_each_binding_once(plan);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(no_contact_changes_nothing),
		TEST(a_new_contact_is_added),
		TEST(several_contacts_are_added_in_their_order),
		TEST(expiry_is_the_contacts_then_the_headers_then_the_default),
		TEST(expiry_that_is_malformed_counts_as_an_hour),
		TEST(expiry_is_cut_to_the_greatest),
		TEST(expiry_is_spread_by_chance_but_never_too_short),
		TEST(too_short_an_expiry_is_refused_with_423),
		TEST(an_hour_is_never_too_short),
		TEST(one_brief_contact_refuses_all),
		TEST(zero_removes_a_binding),
		TEST(removing_what_is_not_there_does_nothing),
		TEST(an_equal_uri_refreshes_its_binding),
		TEST(an_unequal_uri_is_another_binding),
		TEST(refresh_with_lower_or_equal_cseq_is_refused),
		TEST(removal_with_lower_or_equal_cseq_is_refused),
		TEST(another_call_id_is_not_ordered),
		TEST(a_cseq_without_a_binding_is_not_ordered),
		TEST(one_contact_out_of_order_refuses_all),
		TEST(star_removes_all_bindings),
		TEST(star_is_all_or_nothing),
		TEST(star_stands_alone_and_with_expires_zero),
		TEST(star_with_nothing_bound_is_fine),
		TEST(a_contact_said_twice_counts_once),
		TEST(instance_and_reg_id_name_a_binding_whatever_its_uri),
		TEST(another_reg_id_is_another_binding),
		TEST(another_instance_is_another_binding),
		TEST(two_reg_ids_in_one_request_are_two_bindings),
		TEST(reg_ids_that_are_ignored_leave_the_uri),
		TEST(an_instance_whose_flow_died_gives_its_place_to_itself),
		TEST(an_instance_whose_flow_lives_keeps_its_place),
		TEST(contacts_that_equal_one_binding_but_not_each_other_share_no_step),
		TEST(a_contact_with_a_parameter_twice_said_twice_shares_no_step),
		TEST(an_heir_and_an_equal_uri_share_no_step),
		TEST(a_binding_is_not_dropped_and_refreshed_in_one_plan),
		TEST(beyond_max_contacts_a_new_one_is_refused),
		TEST(max_contacts_may_be_reached),
		TEST(at_max_contacts_a_refresh_is_fine),
		TEST(at_max_contacts_one_may_take_anothers_place),
		TEST(the_oldest_unreachable_binding_gives_way),
		TEST(several_unreachable_bindings_may_give_way),
		TEST(who_is_refreshed_does_not_give_way),
		TEST(when_too_few_can_give_way_nobody_does),
		TEST(more_contacts_than_the_limit_in_one_request_are_refused),
		TEST(a_plan_is_sound_whatever_is_asked),
	};

	return cmocka_run_group_tests_name("registrar/apply", tests, NULL, NULL);
}
