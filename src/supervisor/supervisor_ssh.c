/* The sandbox's sshd, and what its sessions ask for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/ssh_confine.h"
#include "supervisor/supervisor_impl.h"
#include "supervisor/tell.h"

/* ---- its start ---- */

static bool is_no_place(const struct err *e)
{
	return e->code == EACCES || e->code == EPERM || e->code == EROFS || e->code == ENOENT ||
	       e->code == ENOTDIR;
}

static int listen_at(struct supervisor *s, const char *socket, struct err *e)
{
	const struct sshd_config config = {.socket = socket, .confine = ssh_confine};

	if (sshd_start(&s->sshd, &config, e) < 0)
		return -1;
	keeper_spare(s->wall.keeper, sshd_pid(s->sshd));
	s->ssh_socket = xstrdup(socket);
	tell_ssh_listen(s->events, socket);
	return 0;
}

/* Where the folder is not ours to write, as for an unprivileged user without a /run of his own: an abstract socket of a
 * name that nobody knows, which nobody but us has to find. */
int supervisor_start_sshd(struct supervisor *s, struct err *e)
{
	char name[] = "@openshell-ssh-01234567-0123-0123-0123-0123456789ab";

	if (str_empty(s->o->ssh_socket_path))
		return 0;
	if (listen_at(s, s->o->ssh_socket_path, e) == 0)
		return 0;
	if (!is_no_place(e) || s->o->ssh_socket_path[0] == '@')
		return -1;
	tell_config(s->events, "degraded", OCSF_LOW,
		    "SSH socket without a path: an abstract one instead [reason:%s]", e->text);
	uuid_random(name + strlen(name) + 1 - UUID_TEXT);
	return listen_at(s, name, e);
}

/* ---- its clients ---- */

static void session(void *owner, int broker, const struct unix_peer *peer, int pidfd)
{
	struct supervisor *s = owner;

	ssh_broker_add(s->ssh, broker, peer, pidfd);
}

static void full(void *owner)
{
	const struct supervisor *s = owner;
	struct err e;

	err_set(&e, EAGAIN, "%d clients are connected", SSHD_SESSIONS_MAX);
	tell_ssh_refused(s->events, e.text);
}

/*
 * It parses no byte of a client's and holds next to nothing: what ends it is somebody's kill. It cannot be made again,
 * since what is forked of us by now would have all our secrets. What runs goes on; but nobody comes in any more, and a
 * sandbox of which that is not known would be called ready for ever.
 */
static void sshd_gone(void *owner, const struct err *why)
{
	struct supervisor *s = owner;

	if (s->wall.keeper != NULL)
		keeper_spare(s->wall.keeper, 0);
	if (s->state == ENDING)
		return;
	tell_config(s->events, "degraded", OCSF_HIGH,
		    "SSH server gone: no client comes in any more, and the gateway's session ends "
		    "[reason:%s]",
		    why->text);
	log_error("the sandbox's sshd is gone; the main process goes on, and nobody comes in",
		  "reason=%s", why->text);
	if (s->state == STARTING)
		supervisor_end(s, EXIT_FAILURE);
	else
		uplink_withdraw(&s->uplink);
}

static const struct sshd_events sshd_events = {.session = session, .full = full, .gone = sshd_gone};

static int make_environment(void *owner, const char *term, const char *shell,
			    struct environment *out, struct err *e)
{
	return supervisor_environment(owner, SUPERVISOR_SESSION, term, shell, out, e);
}

static void drained(void *owner)
{
	supervisor_drained(owner);
}

int supervisor_serve_ssh(struct supervisor *s, uid_t terminal_uid, struct err *e)
{
	if (s->sshd == NULL)
		return 0;
	const struct ssh_broker_config config = {
		.loop = s->loop,
		.keeper = s->wall.keeper,
		.sshd = sshd_pid(s->sshd),
		.main = s->main.session,
		.events = s->events,
		.cwd = s->prepared.cwd,
		.terminal_uid = terminal_uid,
		.bash = MAIN_SPEC_SHELL,
		.sh = MAIN_SPEC_SHELL_INSTEAD,
		.environment = make_environment,
		.drained = drained,
		.owner = s,
	};

	s->ssh = ssh_broker_new(&config);
	return sshd_attach(s->sshd, s->loop, &sshd_events, s, e);
}

void supervisor_free_ssh(struct supervisor *s)
{
	sshd_free(s->sshd);
	ssh_broker_free(s->ssh);
	free(s->ssh_socket);
}
