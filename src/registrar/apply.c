/* RFC 3261 10.3 steps 6 and 7 as a pure function: bindings and a request in, a plan out. */
#include "config.h"

#include "bindery/registrar.h"

#include <stdio.h>

struct application {
	struct sip_parser *parser;
	const struct binding *first;
	const struct apply_request *request;
	const struct apply_policy *policy;
	bool (*reachable)(void *context, const struct binding *binding);
	void *context;
	struct apply_plan *plan;
};

static void
refuse(struct apply_plan *plan, unsigned status, const char *reason)
{
	if (plan->fault.status != 0)
		return;
	plan->fault.status = status;
	snprintf(plan->fault.reason, sizeof plan->fault.reason, "%s", reason);
}

static void
add_step(struct application *a, struct apply_step step)
{
	if (a->plan->count < APPLY_STEPS_MAX)
		a->plan->steps[a->plan->count++] = step;
	else
		refuse(a->plan, 403, "Too Many Contacts");
}

static struct binding *
touchable(const struct binding *binding)
{
	return (struct binding *)(uintptr_t)binding;
}

static bool
is_touched(const struct application *a, const struct binding *binding)
{
	for (size_t i = 0; i < a->plan->count; i++)
		if (a->plan->steps[i].old == binding)
			return true;
	return false;
}

static bool
has_reg_id(const struct application *a, const struct sip_contact *contact)
{
	return contact->reg_id != 0 && contact->instance.n > 0 &&
	    !a->request->ignore_reg_ids;
}

static bool
same_uri(const struct application *a, struct str text, const struct sip_uri *uri,
    struct str other)
{
	struct sip_uri other_uri;

	return str_eq(text, other) ||
	    (sip_read_uri(a->parser, other, &other_uri) &&
	        sip_uri_equal(uri, &other_uri));
}

/*
 * The binding that a contact is for: by instance and reg-id where both are
 * given (RFC 5626), else by URI; an instance whose old flow is dead gives its
 * place to the same instance's new contact.
 */
static struct binding *
find_binding(const struct application *a, const struct sip_contact *contact)
{
	const struct sip_address *address = &contact->address;
	bool by_reg_id = has_reg_id(a, contact);
	const struct binding *b, *heir = NULL;

	for (b = a->first; b != NULL; b = b->next) {
		bool same_instance = contact->instance.n > 0 &&
		    str_eq(binding_text(b, BINDING_INSTANCE), contact->instance);

		if (by_reg_id || b->reg_id != 0) {
			if (by_reg_id && same_instance && b->reg_id == contact->reg_id)
				return touchable(b);
			continue;
		}
		if (same_uri(a, address->uri_text, &address->uri,
		        binding_text(b, BINDING_URI)))
			return touchable(b);
		if (same_instance && !a->reachable(a->context, b) &&
		    !is_touched(a, b))
			heir = b;
	}
	return touchable(heir);
}

static bool
is_in_order(const struct application *a, const struct binding *binding)
{
	return !str_eq(binding_text(binding, BINDING_CALL_ID),
	           a->request->call_id) ||
	    a->request->cseq > binding->cseq;
}

static uint32_t
wished_expires(const struct application *a, const struct sip_contact *contact)
{
	return contact->has_expires     ? contact->expires
	    : a->request->has_expires   ? a->request->expires
	                                : a->policy->default_expires;
}

/* The last of several equal contacts in one request is the one that counts. */
static bool
is_said_again(const struct application *a, size_t index)
{
	const struct sip_contacts *contacts = a->request->contacts;
	const struct sip_contact *contact = &contacts->list[index];

	for (size_t i = index + 1; i < contacts->count; i++) {
		const struct sip_contact *other = &contacts->list[i];

		if (has_reg_id(a, contact) && has_reg_id(a, other)
		        ? contact->reg_id == other->reg_id &&
		            str_eq(contact->instance, other->instance)
		        : has_reg_id(a, contact) == has_reg_id(a, other) &&
		            sip_uri_equal(&contact->address.uri, &other->address.uri))
			return true;
	}
	return false;
}

/*
 * Phones that came all at once, as after an outage, would come back all at
 * once for ever: each is given a little less time than it asked for.
 */
static uint32_t
spread(const struct apply_policy *policy, uint32_t expires)
{
	uint64_t most = (uint64_t)expires * policy->spread / 100;
	uint32_t less = most > 0 ? policy->chance % (uint32_t)(most + 1) : 0;

	return expires - less >= policy->min_expires ? expires - less
	                                             : policy->min_expires;
}

static void
apply_contact(struct application *a, size_t index)
{
	const struct sip_contact *contact = &a->request->contacts->list[index];
	uint32_t expires = wished_expires(a, contact);
	struct binding *old = find_binding(a, contact);

	if (is_said_again(a, index))
		return;
	if (old != NULL && !is_in_order(a, old)) {
		refuse(a->plan, 500, "CSeq Out of Order");
		return;
	}
	/*
	 * Equality of URIs is not transitive: what another contact of this
	 * request has taken is not taken again.
	 */
	if (old != NULL && is_touched(a, old))
		old = NULL;
	if (expires == 0) {
		if (old != NULL)
			add_step(a, (struct apply_step){ .action = APPLY_DROP,
			                .old = old });
		return;
	}
	if (expires < a->policy->min_expires && expires < 3600) {
		refuse(a->plan, 423, "Interval Too Brief");
		return;
	}
	if (expires > a->policy->max_expires)
		expires = a->policy->max_expires;
	expires = spread(a->policy, expires);
	add_step(a, (struct apply_step){ .action = APPLY_PUT, .old = old,
	                .contact = index, .expires = expires });
}

static void
apply_star(struct application *a)
{
	const struct apply_request *request = a->request;

	if (request->contacts->count > 0 || !request->has_expires ||
	    request->expires != 0) {
		refuse(a->plan, 400, "Bad Contact: * Only Alone With Expires 0");
		return;
	}
	for (const struct binding *b = a->first; b != NULL; b = b->next) {
		if (!is_in_order(a, b))
			refuse(a->plan, 500, "CSeq Out of Order");
		add_step(a, (struct apply_step){ .action = APPLY_DROP,
		                .old = touchable(b) });
	}
}

/* The unreachable binding that was refreshed longest ago and is not asked for. */
static struct binding *
oldest_unreachable(const struct application *a)
{
	const struct binding *oldest = NULL;

	for (const struct binding *b = a->first; b != NULL; b = b->next)
		if (!is_touched(a, b) && !a->reachable(a->context, b) &&
		    (oldest == NULL || b->refreshed < oldest->refreshed))
			oldest = b;
	return touchable(oldest);
}

static void
make_room(struct application *a)
{
	size_t count = 0;
	bool added = false;

	for (const struct binding *b = a->first; b != NULL; b = b->next)
		count++;
	for (size_t i = 0; i < a->plan->count; i++) {
		const struct apply_step *step = &a->plan->steps[i];

		if (step->action == APPLY_DROP)
			count--;
		else if (step->old == NULL) {
			count++;
			added = true;
		}
	}
	/* a limit that was lowered takes nothing from who only refreshes */
	while (added && count > a->policy->max_contacts &&
	    a->plan->fault.status == 0) {
		struct binding *old = oldest_unreachable(a);

		if (old == NULL) {
			refuse(a->plan, 403, "Too Many Contacts");
			return;
		}
		add_step(a, (struct apply_step){ .action = APPLY_DROP, .old = old,
		                .evicted = true });
		count--;
	}
}

void
registrar_apply(struct sip_parser *parser, const struct binding *first,
    const struct apply_request *request, const struct apply_policy *policy,
    bool (*reachable)(void *context, const struct binding *binding),
    void *context, struct apply_plan *plan)
{
	struct application a = { parser, first, request, policy, reachable,
		context, plan };

	plan->fault.status = 0;
	plan->count = 0;
	if (request->contacts->star)
		apply_star(&a);
	for (size_t i = 0;
	     i < request->contacts->count && plan->fault.status == 0; i++)
		apply_contact(&a, i);
	if (plan->fault.status == 0)
		make_room(&a);
	if (plan->fault.status != 0)
		plan->count = 0;
}
