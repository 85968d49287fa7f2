/* The configuration file as a struct, and the tables that read it. */
#ifndef BINDERY_CONF_H
#define BINDERY_CONF_H

#include "bindery/net.h"
#include "bindery/registrar.h"
#include "bindery/settings.h"

struct listener_conf {
	int64_t transport; /* index into the table of transports */
	char *address;
	int64_t port; /* 0: the transport's own */
	char *tls;
	/* filled in when the file is checked */
	struct addr at;
	size_t tls_index;
};

struct tls_entry_conf {
	char *name;
	struct tls_conf tls;
	struct setting_list sni; /* struct tls_sni_conf */
};

struct directory_conf {
	char *name;
	int64_t type; /* 0: json */
	char *path;
};

struct domain_conf {
	char *name;
	char *realm;
	struct setting_list aliases; /* char * */
	char *directory;
	struct setting_list service_route; /* char * */
	bool allow_rfc2069;
	/* filled in when the file is checked */
	size_t directory_index;
};

struct control_conf {
	char *socket, *mode;
	unsigned mode_bits;
};

struct log_conf {
	int64_t level, format;
	char *file;
};

struct conf {
	int64_t workers, shutdown_grace;
	char *user;
	struct setting_list listeners, tls, directories, domains;
	struct registrar_conf registrar;
	int64_t nonce_lifetime;
	struct setting_list algorithm_names;
	enum digest_algorithm algorithms[DIGEST_ALGORITHMS];
	size_t algorithm_count;
	int64_t store; /* location.store: 0 memory, 1 sqlite */
	char *store_path;
	int64_t durability; /* enum journal_durability */
	int64_t on_failure; /* 0 serve, 1 refuse */
	struct control_conf control;
	struct net_conf limits;
	int64_t transactions;
	struct log_conf log;
};

extern const struct settings conf_settings;

/* False with faults; conf_free() in any case. */
bool conf_read(struct conf *conf, const char *path, struct faults *faults);
void conf_free(struct conf *conf);

#endif
