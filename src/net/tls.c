/*
 * TLS over OpenSSL: contexts made from the configuration, and the stream
 * operations. To stream.c an encrypted connection looks like a plain one.
 */
#include "config.h"

#include "net_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "bindery/alloc.h"
#include "bindery/clock.h"
#include "bindery/log.h"
#include "bindery/rand.h"

struct tls_name {
	char *name; /* as in SNI, lower case */
	SSL_CTX *context;
};

struct tls_context {
	_Atomic int references;
	SSL_CTX *context;
	struct tls_name *names;
	size_t name_count;
};

/* ---- session tickets: keys shared by all contexts, renewed twice a day ---- */

enum { TICKET_LIFE_MS = 12 * 3600 * 1000 };

struct ticket_key {
	unsigned char name[16], cipher[32], mac[32];
	int64_t since;
};

static struct {
	pthread_mutex_t lock;
	struct ticket_key keys[2]; /* the current one, and the one before */
} tickets = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
rotate_tickets(int64_t now)
{
	if (tickets.keys[0].since != 0 &&
	    now - tickets.keys[0].since < TICKET_LIFE_MS)
		return;
	tickets.keys[1] = tickets.keys[0];
	random_bytes(&tickets.keys[0], sizeof tickets.keys[0]);
	tickets.keys[0].since = now;
}

/* OpenSSL's results: 0 no such key, 1 use it, 2 use it and issue a new ticket. */
static int
choose_ticket_key(const unsigned char name[16], bool issue,
    struct ticket_key *key)
{
	int found = 0;

	pthread_mutex_lock(&tickets.lock);
	rotate_tickets(clock_mono_ms());
	for (int i = 0; i < 2 && found == 0; i++)
		if (tickets.keys[i].since != 0 &&
		    (issue || memcmp(name, tickets.keys[i].name, 16) == 0)) {
			*key = tickets.keys[i];
			found = i + 1;
		}
	pthread_mutex_unlock(&tickets.lock);
	return found;
}

static int
on_ticket(SSL *ssl, unsigned char name[16], unsigned char *iv,
    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int issue)
{
	struct ticket_key key;
	char sha256[] = "SHA256";
	OSSL_PARAM parameters[3];
	int found = choose_ticket_key(name, issue, &key);

	(void)ssl;
	if (found == 0)
		return 0;
	parameters[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
	    key.mac, sizeof key.mac);
	parameters[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
	    sha256, 0);
	parameters[2] = OSSL_PARAM_construct_end();
	if (issue) {
		memcpy(name, key.name, sizeof key.name);
		random_bytes(iv, 16);
	}
	if (EVP_MAC_CTX_set_params(mac, parameters) != 1 ||
	    EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv,
	        issue) != 1)
		return -1;
	return found;
}

/* ---- contexts ---- */

/* What is wrong with a setting, as the configuration's reader wants it. */
struct trouble {
	const char *key;
	char *why;
};

static bool
refuse(struct trouble *trouble, const char *key, const char *file)
{
	unsigned long code = ERR_peek_error();
	const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;

	if (code != 0 && ERR_SYSTEM_ERROR(code))
		text = strerror(ERR_GET_REASON(code));
	trouble->key = key;
	trouble->why = xasprintf("%s: %s", file,
	    text != NULL ? text : "cannot be used");
	ERR_clear_error();
	return false;
}

static int
choose_by_sni(SSL *ssl, int *alert, void *argument)
{
	const struct tls_context *tls = argument;
	const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	for (size_t i = 0; asked != NULL && i < tls->name_count; i++)
		if (str_caseeq(str_of(asked), str_of(tls->names[i].name))) {
			SSL_set_SSL_CTX(ssl, tls->names[i].context);
			break;
		}
	return SSL_TLSEXT_ERR_OK;
}

static bool
load_pair(SSL_CTX *context, const char *certificate, const char *key,
    struct trouble *trouble)
{
	if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return refuse(trouble, "certificate", certificate);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(context) != 1)
		return refuse(trouble, "key", key);
	if (X509_cmp_current_time(
	        X509_get0_notAfter(SSL_CTX_get0_certificate(context))) < 0)
		log_event(LOG_WARNING, "tls", "certificate_expired",
		    LOG_Z("file", certificate));
	return true;
}

static bool
set_clients(SSL_CTX *context, const struct tls_conf *conf,
    struct trouble *trouble)
{
	static const unsigned char session_context[] = "bindery";
	int mode = SSL_VERIFY_PEER;

	SSL_CTX_set_session_id_context(context, session_context,
	    sizeof session_context - 1);
	if (conf->verify_client == TLS_VERIFY_OFF || conf->client_ca == NULL)
		return true;
	if (conf->verify_client == TLS_VERIFY_REQUIRE)
		mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
	if (SSL_CTX_load_verify_locations(context, conf->client_ca, NULL) != 1)
		return refuse(trouble, "client_ca", conf->client_ca);
	SSL_CTX_set_client_CA_list(context,
	    SSL_load_client_CA_file(conf->client_ca));
	SSL_CTX_set_verify(context, mode, NULL);
	return true;
}

static SSL_CTX *
new_ssl_ctx(const struct tls_conf *conf, const char *certificate,
    const char *key, struct trouble *trouble)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());

	if (context == NULL) {
		refuse(trouble, "certificate", certificate);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context,
	    conf->min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS |
	        SSL_MODE_ENABLE_PARTIAL_WRITE |
	        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION |
	        SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	        SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* tickets carry the session: nothing is kept for one that may return */
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket);
	SSL_CTX_set_num_tickets(context, 1);
	SSL_CTX_set_read_ahead(context, 1);
	if (conf->ciphers != NULL &&
	    SSL_CTX_set_cipher_list(context, conf->ciphers) != 1)
		refuse(trouble, "ciphers", conf->ciphers);
	else if (load_pair(context, certificate, key, trouble) &&
	    set_clients(context, conf, trouble))
		return context;
	SSL_CTX_free(context);
	return NULL;
}

static bool
add_names(struct tls_context *tls, const struct tls_conf *conf,
    struct trouble *trouble, const char **name)
{
	for (size_t i = 0; i < conf->sni_count; i++) {
		const struct tls_sni_conf *sni = &conf->sni[i];
		SSL_CTX *context =
		    new_ssl_ctx(conf, sni->certificate, sni->key, trouble);

		if (context == NULL) {
			*name = sni->name;
			return false;
		}
		tls->names[tls->name_count++] = (struct tls_name){
			xstrdup(sni->name), context
		};
	}
	return true;
}

struct tls_context *
tls_context_new(const struct tls_conf *conf, char **why, const char **key,
    const char **name)
{
	struct tls_context *tls = xcalloc(1, sizeof *tls);
	struct trouble trouble = { 0 };

	*name = NULL;
	atomic_init(&tls->references, 1);
	tls->names = xcalloc(conf->sni_count, sizeof *tls->names);
	tls->context = new_ssl_ctx(conf, conf->certificate, conf->key, &trouble);
	if (tls->context == NULL || !add_names(tls, conf, &trouble, name)) {
		*why = trouble.why;
		*key = trouble.key;
		tls_context_unref(tls);
		return NULL;
	}
	SSL_CTX_set_tlsext_servername_callback(tls->context, choose_by_sni);
	SSL_CTX_set_tlsext_servername_arg(tls->context, tls);
	return tls;
}

struct tls_context *
tls_context_ref(struct tls_context *tls)
{
	atomic_fetch_add(&tls->references, 1);
	return tls;
}

void
tls_context_unref(struct tls_context *tls)
{
	if (tls == NULL || atomic_fetch_sub(&tls->references, 1) > 1)
		return;
	for (size_t i = 0; i < tls->name_count; i++) {
		SSL_CTX_free(tls->names[i].context);
		free(tls->names[i].name);
	}
	SSL_CTX_free(tls->context);
	free(tls->names);
	free(tls);
}

/* ---- connections ---- */

/* The context must outlive a handshake that chooses by SNI. */
struct tls_session {
	SSL *ssl;
	struct tls_context *context;
	unsigned empty; /* records in a row that brought no data */
};

enum { EMPTY_MAX = 16 };

/*
 * New keys and the like cost their sender little and us much, and OpenSSL
 * reads on until data comes, however long that takes. Who sends too many in a
 * row has ended the connection.
 */
static void
on_record(int sent, int version, int type, const void *bytes, size_t n,
    SSL *ssl, void *argument)
{
	struct connection *c = argument;
	bool is_1_3 = SSL_version(ssl) == TLS1_3_VERSION;

	(void)version;
	/* in TLS 1.3 the header of a record does not tell what is in it */
	if (sent != 0 || !c->ready || n == 0 ||
	    type != (is_1_3 ? SSL3_RT_INNER_CONTENT_TYPE : SSL3_RT_HEADER))
		return;
	if (*(const unsigned char *)bytes == SSL3_RT_APPLICATION_DATA)
		c->tls->empty = 0;
	else if (++c->tls->empty > EMPTY_MAX)
		SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
}

static bool
tls_start(struct connection *c, struct tls_context *tls)
{
	SSL *ssl = tls != NULL ? SSL_new(tls->context) : NULL;

	if (ssl == NULL || SSL_set_fd(ssl, c->flow.fd) != 1) {
		SSL_free(ssl);
		ERR_clear_error();
		return false;
	}
	SSL_set_accept_state(ssl);
	SSL_set_msg_callback(ssl, on_record);
	SSL_set_msg_callback_arg(ssl, c);
	c->tls = xcalloc(1, sizeof *c->tls);
	c->tls->ssl = ssl;
	c->tls->context = tls_context_ref(tls);
	return true;
}

static int
outcome(SSL *ssl, int result)
{
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return IO_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return IO_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return IO_END;
	default:
		return IO_FAILED;
	}
}

static void
tell_failure(struct connection *c, int error)
{
	struct net *net = c->flow.net;
	unsigned long code = ERR_peek_error();
	const char *why = code != 0 ? ERR_reason_error_string(code) : NULL;
	char address[ADDR_HOST_SIZE];

	if (why == NULL)
		why = error != 0 ? strerror(error) : "the peer closed the connection";
	count(tls_handshakes_failed);
	if (told_lately(net->shared, loop_now(net->loop), &c->peer, 1))
		return;
	log_event(LOG_NOTICE, "tls", "handshake_failed",
	    LOG_Z("address", addr_bare_host(&c->peer, address)),
	    LOG_I("port", c->peer.port), LOG_Z("reason", why));
}

static int
tls_handshake(struct connection *c)
{
	int done, error, result;

	ERR_clear_error();
	errno = 0;
	done = SSL_do_handshake(c->tls->ssl);
	error = errno;
	if (done == 1) {
		count(tls_handshakes);
		if (SSL_session_reused(c->tls->ssl))
			count(tls_handshakes_resumed);
		return 1;
	}
	result = outcome(c->tls->ssl, done);
	if (result == IO_END || result == IO_FAILED) {
		tell_failure(c, error);
		result = IO_FAILED;
	}
	ERR_clear_error();
	return result;
}

static ssize_t
tls_read(struct connection *c, void *to, size_t n)
{
	size_t got;
	int result;

	if (SSL_read_ex(c->tls->ssl, to, n, &got) == 1)
		return (ssize_t)got;
	result = outcome(c->tls->ssl, 0);
	ERR_clear_error();
	return result;
}

static ssize_t
tls_write(struct connection *c, const void *from, size_t n)
{
	size_t put;
	int result;

	if (SSL_write_ex(c->tls->ssl, from, n, &put) == 1)
		return (ssize_t)put;
	result = outcome(c->tls->ssl, 0);
	ERR_clear_error();
	return result == IO_END ? IO_FAILED : result;
}

static bool
tls_has_pending(struct connection *c)
{
	return SSL_has_pending(c->tls->ssl) == 1;
}

static void
tls_end(struct connection *c)
{
	if (c->tls == NULL)
		return;
	if (c->ready)
		SSL_shutdown(c->tls->ssl); /* one way: nobody waits for theirs */
	ERR_clear_error();
	SSL_free(c->tls->ssl);
	tls_context_unref(c->tls->context);
	free(c->tls);
	c->tls = NULL;
}

static void
tls_describe(struct connection *c, struct connection_info *info)
{
	static _Thread_local char subject[256];
	X509 *peer = SSL_get0_peer_certificate(c->tls->ssl);

	info->tls_version = SSL_get_version(c->tls->ssl);
	info->tls_cipher = SSL_get_cipher_name(c->tls->ssl);
	if (peer != NULL)
		info->tls_peer = X509_NAME_oneline(X509_get_subject_name(peer),
		    subject, sizeof subject);
}

static const struct stream_ops tls_stream = {
	.start = tls_start,
	.handshake = tls_handshake,
	.read = tls_read,
	.write = tls_write,
	.has_pending = tls_has_pending,
	.costly = true,
	.end = tls_end,
	.describe = tls_describe,
	.gauge = COUNT_connections_tls,
};

const struct transport_ops tls_ops = {
	.socket_type = SOCK_STREAM,
	.listen = stream_listen,
	.unlisten = stream_unlisten,
	.send = stream_send,
	.stream = &tls_stream,
};
