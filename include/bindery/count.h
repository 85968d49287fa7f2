/*
 * Counters and gauges. Each thread counts in an array of its own, without
 * locks; who asks adds them up. One row here makes a counter known to the
 * `status` method under its own name.
 */
#ifndef BINDERY_COUNT_H
#define BINDERY_COUNT_H

#include <stdint.h>

/* clang-format off */
#define COUNT_ROWS(X) \
	X(requests,                      "requests received") \
	X(responses,                     "responses received") \
	X(answers,                       "responses sent") \
	X(retransmissions_absorbed,      "repeated requests answered by their transaction") \
	X(dropped_junk,                  "bytes that are not SIP, dropped") \
	X(dropped_unanswerable,          "broken messages that left nobody to answer") \
	X(dropped_stray_responses,       "responses without a transaction, dropped") \
	X(dropped_acks,                  "ACKs without a transaction, dropped") \
	X(refused_bad_request,           "requests answered 400") \
	X(refused_merged,                "requests answered 482") \
	X(refused_too_large,             "messages answered 413 or 513") \
	X(stun_answered,                 "STUN Binding requests answered") \
	X(pings_answered,                "CRLF keep-alives answered") \
	X(auth_challenged,               "requests without credentials, challenged") \
	X(auth_stale,                    "right credentials with an aged nonce") \
	X(auth_replayed,                 "right credentials with a used nonce count") \
	X(auth_bad_credentials,          "wrong passwords and forged nonces") \
	X(auth_unknown_user,             "credentials of users that do not exist") \
	X(auth_forbidden,                "users that asked for another's AOR") \
	X(auth_ok,                       "right credentials") \
	X(bindings_added,                "bindings made") \
	X(bindings_refreshed,            "bindings refreshed") \
	X(bindings_removed,              "bindings removed by their user or an operator") \
	X(bindings_expired,              "bindings that were not refreshed") \
	X(bindings_replaced,             "unreachable bindings that gave way to newer ones") \
	X(connections_accepted,          "stream connections accepted") \
	X(connections_closed,            "stream connections closed") \
	X(tls_handshakes,                "TLS handshakes that succeeded") \
	X(tls_handshakes_resumed,        "of these, by a session ticket") \
	X(tls_handshakes_failed,         "TLS handshakes that failed") \
	X(limit_connections,             "connections refused: limits.connections") \
	X(limit_connections_per_address, "connections refused: limits.connections_per_address") \
	X(limit_unauthenticated,         "connections refused: limits.unauthenticated") \
	X(limit_unauthenticated_seconds, "connections closed: limits.unauthenticated_seconds") \
	X(limit_header_seconds,          "connections closed: limits.header_seconds") \
	X(limit_idle_seconds,            "connections closed: limits.idle_seconds") \
	X(limit_message_size,            "messages refused: limits.message_size") \
	X(limit_send_queue,              "connections closed: limits.send_queue") \
	X(limit_transactions,            "requests answered without a transaction: limits.transactions") \
	X(limit_queue_seconds,           "connections refused: limits.queue_seconds") \
	X(refused_late,                  "newcomers answered 503: limits.queue_seconds") \
	X(limit_max_contacts,            "registrations refused: max_contacts") \
	X(limit_control_clients,         "control clients refused: too many") \
	X(send_failed,                   "messages that the network did not take") \
	X(unreachable_flows,             "messages for connections that were gone") \
	X(events_lost,                   "events that a slow control client did not get") \
	X(log_lines_lost,                "log lines that could not be written in time") \
	X(transactions_server,           "gauge: server transactions now") \
	X(transactions_client,           "gauge: client transactions now") \
	X(connections_tcp,               "gauge: TCP connections now") \
	X(connections_tls,               "gauge: TLS connections now") \
	X(transactions_pending,          "gauge: transactions without a final response now") \
	X(connections_sending,           "gauge: connections that wait to send") \
	X(connections_unproven,          "gauge: connections that proved no user yet")
/* clang-format on */

enum count {
#define COUNT_ENUM(name, help) COUNT_##name,
	COUNT_ROWS(COUNT_ENUM)
#undef COUNT_ENUM
	COUNTS
};

struct count_row {
	const char *name, *help;
};
extern const struct count_row count_rows[COUNTS];

/* Adds one, or `by`, to the calling thread's own counter. */
#define count(name) count_add(COUNT_##name, 1)
#define count_by(name, by) count_add(COUNT_##name, (by))
void count_add(enum count which, int64_t by);

/* The sum over all threads that ever counted. */
int64_t count_total(enum count which);

#endif
