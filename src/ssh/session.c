/*
 * A session: speaks SSH with one client, by libssh, in a process that can do nothing else. It begins when the
 * supervisor says so, and ends with the client's connection or the supervisor's pair. Forked by D (sshd.h).
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "ssh/session_impl.h"
#include "ssh/sshd_impl.h"

/* What the gateway's client, the CLI's and OpenSSH have in common (contract 3.6); before it, what OpenSSH 10 warns of the
 * lack of; after it, for clients without that curve. */
#define KEX                                                                                        \
	"mlkem768x25519-sha256,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256"
#define MACS "hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com,hmac-sha2-256"
/* For a client without any cipher that authenticates by itself, as paramiko before 3.5. It is the client's list that
 * decides, and OpenSSH before 9.9 would take it although it has better: that is not offered it. */
#define CIPHER_PLAIN "aes256-ctr"

/* ---- the supervisor ---- */

void session_ask(struct session *s, const struct ssh_packet *p, int fd)
{
	if (fdpass_send(s->broker, p, sizeof *p, &fd, fd >= 0) < 0)
		_exit(0);
}

/* The next packet; ends the process at the end of the pair. */
static void receive(struct session *s, struct ssh_packet *p, struct fdpass *fds)
{
	if (fdpass_receive(s->broker, p, sizeof *p, fds) != sizeof *p)
		_exit(0);
}

static struct channel *find(struct session *s, uint32_t number)
{
	for (size_t i = 0; i < SSH_CHANNELS_MAX; i++)
		if (s->channels[i].number == number && s->channels[i].state != CHANNEL_FREE)
			return &s->channels[i];
	return NULL;
}

static void hear(struct session *s)
{
	struct ssh_packet p;
	_cleanup_fdpass_ struct fdpass fds = {.n = 0};

	receive(s, &p, &fds);
	struct channel *c = p.channel ? find(s, p.channel) : NULL;
	if (!c)
		return;
	switch (p.message) {
	case SSH_STARTED:
		channel_started(c, &fds);
		break;
	case SSH_REFUSED:
		p.refused.why[sizeof p.refused.why - 1] = '\0';
		channel_refused(c, p.refused.code, p.refused.why);
		break;
	case SSH_EXITED:
		channel_exited(c, p.status);
		break;
	default:
		break;
	}
}

/* ---- the login ---- */

/* Whoever reaches the socket is who may (sshd_events.session); SSH has nobody else to ask. */
static int on_none(ssh_session ssh UNUSED, const char *user UNUSED, void *arg)
{
	struct session *s = arg;

	s->logged_in = true;
	alarm(0);
	return SSH_AUTH_SUCCESS;
}

static int on_key(ssh_session ssh, const char *user, struct ssh_key_struct *key UNUSED,
		  char signature, void *arg)
{
	if (signature == SSH_PUBLICKEY_STATE_NONE)
		return SSH_AUTH_SUCCESS; /* it would do */
	return signature == SSH_PUBLICKEY_STATE_VALID ? on_none(ssh, user, arg) : SSH_AUTH_DENIED;
}

static ssh_channel on_session(ssh_session ssh UNUSED, void *arg)
{
	struct channel *c = channel_open(arg, CHANNEL_PROCESS);

	return c ? c->ssh : NULL;
}

static ssh_channel on_direct(ssh_session ssh UNUSED, const char *host, int port,
			     const char *from UNUSED, int from_port UNUSED, void *arg)
{
	char name[SESSION_HOST_MAX];

	if (port < 1 || port > UINT16_MAX || !session_loopback(host, name))
		return NULL;
	struct channel *c = channel_open(arg, CHANNEL_STREAM);
	if (c)
		channel_connect(c, name, (uint16_t)port);
	return c ? c->ssh : NULL;
}

static bool set(ssh_bind bind, enum ssh_bind_options_e option, const void *value)
{
	return ssh_bind_options_set(bind, option, value) == 0;
}

/* The client has said what it is: it is told what we have only after that. */
static void on_status(void *arg, float status UNUSED)
{
	struct session *s = arg;
	_cleanup_free_ char *ciphers = NULL;

	if (s->knows_client || ssh_get_clientbanner(s->ssh) == NULL)
		return;
	s->knows_client = true;
	if (strstr(ssh_get_clientbanner(s->ssh), "OpenSSH") != NULL)
		return;
	ciphers = xasprintf("%s," CIPHER_PLAIN, s->ciphers);
	if (ssh_options_set(s->ssh, SSH_OPTIONS_CIPHERS_C_S, ciphers) < 0 ||
	    ssh_options_set(s->ssh, SSH_OPTIONS_CIPHERS_S_C, ciphers) < 0 ||
	    ssh_server_init_kex(s->ssh) != SSH_OK)
		_exit(1);
}

/* The bind is not released: the key in it is the process's. */
static bool accept_client(struct session *s, const struct sshd_identity *id)
{
	ssh_bind bind = ssh_bind_new();
	bool no = false;

	s->ssh = ssh_new();
	return bind && s->ssh && set(bind, SSH_BIND_OPTIONS_PROCESS_CONFIG, &no) &&
	       set(bind, SSH_BIND_OPTIONS_BANNER, SSHD_BANNER) &&
	       set(bind, SSH_BIND_OPTIONS_IMPORT_KEY, id->key) &&
	       set(bind, SSH_BIND_OPTIONS_HOSTKEY_ALGORITHMS, "ssh-ed25519") &&
	       set(bind, SSH_BIND_OPTIONS_KEY_EXCHANGE, KEX) &&
	       set(bind, SSH_BIND_OPTIONS_CIPHERS_C_S, id->ciphers) &&
	       set(bind, SSH_BIND_OPTIONS_CIPHERS_S_C, id->ciphers) &&
	       set(bind, SSH_BIND_OPTIONS_HMAC_C_S, MACS) &&
	       set(bind, SSH_BIND_OPTIONS_HMAC_S_C, MACS) &&
	       ssh_bind_accept_fd(bind, s->ssh, s->client) == SSH_OK;
}

/* Until the keys are exchanged it blocks: what takes too long is ended by the alarm. */
static void greet(struct session *s, const struct sshd_identity *id)
{
	s->callbacks = (struct ssh_server_callbacks_struct){
		.userdata = s,
		.auth_none_function = on_none,
		.auth_pubkey_function = on_key,
		.channel_open_request_session_function = on_session,
		.channel_open_request_direct_tcpip_function = on_direct,
	};
	s->progress =
		(struct ssh_callbacks_struct){.userdata = s, .connect_status_function = on_status};
	ssh_callbacks_init(&s->callbacks);
	ssh_callbacks_init(&s->progress);
	s->ciphers = id->ciphers;
	/* seeds the generator, whose state all sessions have by the fork: aloud, where libssh does so silently */
	if (ssh_finalize() < 0 || ssh_init() < 0 || !accept_client(s, id) ||
	    ssh_set_server_callbacks(s->ssh, &s->callbacks) < 0 ||
	    ssh_set_callbacks(s->ssh, &s->progress) < 0)
		_exit(1);
	ssh_set_auth_methods(s->ssh, SSH_AUTH_METHOD_NONE | SSH_AUTH_METHOD_PUBLICKEY);
	s->event = ssh_event_new();
	if (!s->event || ssh_handle_key_exchange(s->ssh) != SSH_OK ||
	    ssh_event_add_session(s->event, s->ssh) != SSH_OK)
		_exit(1);
	ssh_set_blocking(s->ssh, 0);
}

/* ---- the loop ---- */

bool session_is_blocked(const struct session *s)
{
	return ssh_get_poll_flags(s->ssh) & SSH_WRITE_PENDING;
}

static size_t gather(struct session *s, struct pollfd *p, int *ms)
{
	size_t n = 0;

	p[n++] = (struct pollfd){.fd = s->client,
				 .events = (short)(POLLIN | (session_is_blocked(s) ? POLLOUT : 0))};
	p[n++] = (struct pollfd){.fd = s->broker, .events = POLLIN};
	*ms = -1;
	for (size_t i = 0; i < SSH_CHANNELS_MAX; i++) {
		const struct channel *c = &s->channels[i];
		int patience = channel_is_restless(c) ? 0 : channel_patience(c);

		if (patience >= 0 && (*ms < 0 || patience < *ms))
			*ms = patience;
		n += channel_wait_for(c, p + n);
	}
	return n;
}

/* Each turn begins with another channel: the first one may take all that the client's connection does. */
static void move_all(struct session *s, size_t turn)
{
	for (size_t i = 0; i < SSH_CHANNELS_MAX; i++)
		channel_move(&s->channels[(turn + i) % SSH_CHANNELS_MAX]);
	for (size_t i = 0; i < SSH_CHANNELS_MAX; i++)
		channel_settle(&s->channels[i]);
}

_Noreturn static void serve(struct session *s)
{
	struct pollfd p[SESSION_POLL_MAX];

	for (size_t turn = 0;; turn++) {
		int ms;
		size_t n = gather(s, p, &ms);

		if (poll(p, n, ms) < 0) {
			if (errno == EINTR)
				continue;
			_exit(1);
		}
		if (p[0].revents && ssh_event_dopoll(s->event, 0) == SSH_ERROR)
			_exit(0);
		if (!ssh_is_connected(s->ssh))
			_exit(0);
		if (p[1].revents)
			hear(s);
		move_all(s, turn);
	}
}

void session_live(const struct sshd_identity *id, int client, int broker)
{
	static struct session s;
	struct ssh_packet begin;
	struct fdpass fds;

	s.client = client;
	s.broker = broker;
	alarm(SESSION_LOGIN_S);
	receive(&s, &begin, &fds);
	fdpass_close(&fds);
	if (begin.message != SSH_BEGIN)
		_exit(1);
	greet(&s, id);
	serve(&s);
}
