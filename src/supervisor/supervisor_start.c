#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/accounts.h"
#include "isolate/capabilities.h"
#include "supervisor/hosts.h"
#include "supervisor/supervisor_impl.h"
#include "supervisor/tell.h"

enum {
	HOST_NAME_MAX_TEXT = 256,
	DESCRIPTORS = 8192, /* of ours, where the hard limit allows it */
};

/* What stands where a stream is missing. An image may have no /dev/null: then the end of a pipe that nobody writes
 * to, which reads as empty, and cannot be written. */
static int open_nothing(void)
{
	int fd = open("/dev/null", O_RDWR), end[2];

	if (fd < 0 && pipe(end) == 0) {
		fd = end[0];
		close(end[1]);
	}
	return fd;
}

/* Secrets will be in this memory: no core file, and no other process of this user may look. What was
 * inherited beyond the standard streams is nobody's; a stream that is missing must not become a socket. */
int supervisor_harden(struct err *e)
{
	const struct rlimit none = {0, 0};
	int fd;

	do {
		fd = open_nothing();
		if (fd < 0)
			return err_sys(e, "open /dev/null");
	} while (fd <= STDERR_FILENO);
	close(fd);
	syscall(SYS_close_range, STDERR_FILENO + 1, ~0u, 0);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "forbid core files");
	return 0;
}

void supervisor_open_events(struct supervisor *s)
{
	char host[HOST_NAME_MAX_TEXT] = "";

	gethostname(host, sizeof host - 1);
	const struct ocsf_options options = {
		.sandbox_id = s->o->sandbox_id,
		.sandbox_name = s->o->sandbox,
		.image = getenv("OPENSHELL_CONTAINER_IMAGE"),
		.hostname = host,
		.folder = s->o->log_dir,
		.stderr_level = s->o->log_level,
	};
	s->events = ocsf_new(&options);
	ocsf_set_json(s->events, s->o->ocsf_json);
	ocsf_divert_log(s->events);
	if (!s->o->identity_relaxed &&
	    caller_identity_relaxed(getenv("OPENSHELL_NETWORK_BINARY_IDENTITY")))
		tell_config(s->events, "skipped", OCSF_MEDIUM,
			    "OPENSHELL_NETWORK_BINARY_IDENTITY is not followed, since an image "
			    "could set it: use --binary-identity [mode:required]");
}

static int check_upstream(struct supervisor *s, struct err *e)
{
	int r = upstream_read(&s->upstream, s->o, e);

	if (r < 0)
		tell_config(s->events, "invalid", OCSF_HIGH,
			    "Upstream corporate proxy configuration invalid [reason:%s]", e->text);
	else if (r > 0)
		tell_config(s->events, "enabled", OCSF_INFORMATIONAL,
			    "Upstream corporate proxy enabled [proxy:%s]", s->o->upstream_proxy);
	s->by_upstream = r > 0;
	return r < 0 ? -1 : 0;
}

/* The proxy's connections need descriptors; what is inside has been started with the limit it was given. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= DESCRIPTORS)
		return;
	limit.rlim_cur = MIN(limit.rlim_max, (rlim_t)DESCRIPTORS);
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* What root keeps once the wall is up, in a process that reads what a sandbox sends: to see who holds a socket
 * (callers.h), to end what is inside without the keeper, and to give the sandbox a terminal. */
static int drop_capabilities(struct err *e)
{
	const uint64_t has = capabilities_effective();
	uint64_t kept = CAPABILITY(CAP_SYS_PTRACE) | CAPABILITY(CAP_DAC_READ_SEARCH) |
			CAPABILITY(CAP_KILL) | CAPABILITY(CAP_CHOWN);

	/* what engines give a container instead: callers.h then looks with the sandbox's own ids, and
	 * keeper.h kills with them */
	if (!(has & CAPABILITY(CAP_DAC_READ_SEARCH)))
		kept |= CAPABILITY(CAP_DAC_OVERRIDE);
	if (!(has & CAPABILITY(CAP_SYS_PTRACE)) || !(has & CAPABILITY(CAP_KILL)))
		kept |= CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID);
	return capabilities_keep(kept, e);
}

int supervisor_raise_wall(struct supervisor *s, struct err *e)
{
	const struct wall_config config = {
		.mode = s->o->network_mode,
		.mode_from = s->o->network_mode_from,
		.min_rung = s->o->min_rung,
		.landlock_fd = s->prepared.landlock.fd,
		.view = &s->prepared.view,
		.filter = &s->prepared.filter,
		.rights = &s->prepared.rights,
		.events = s->events,
	};
	static struct seccomp_filter prelude;

	if (wall_up(&s->wall, &config, &s->prepared.who, e) < 0)
		return -1;
	if (s->prepared.who.kept.code != 0)
		tell_config(s->events, "degraded", OCSF_MEDIUM,
			    "Sandbox runs as the supervisor's own user [uid:%u reason:%s]",
			    s->prepared.who.id.uid, s->prepared.who.kept.text);
	landlock_fini(&s->prepared.landlock); /* the keeper has its own */
	if (supervisor_start_sshd(s, e) < 0)
		return -1;
	raise_limit();
	if (drop_capabilities(e) < 0)
		return -1;
	seccomp_make(SECCOMP_PRELUDE, &prelude);
	return seccomp_install(&prelude) < 0 ? err_sys(e, "install the seccomp prelude") : 0;
}

static void find_gateway(struct supervisor *s)
{
	_cleanup_free_ char *text = NULL;
	size_t n;
	struct err ignored;

	_cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0 && accounts_read(root, "etc/hosts", &text, &n, &ignored) == 0)
		s->has_gateway = hosts_gateway(str_sub(text, n), &s->gateway);
}

int supervisor_start_proxy(struct supervisor *s, struct err *e)
{
	const struct prepared *p = &s->prepared;
	/* of a user namespace that we made we may see everybody */
	bool strangers = s->wall.rung != RUNG_USERNS && p->who.changes && !p->rights.look;
	const struct callers_config callers = {
		.loop = s->loop,
		.diag_fd = steal_fd(&s->wall.started.sock_diag),
		.root = keeper_pid(s->wall.keeper),
		.init = s->wall.started.init,
		.mounts = s->wall.started.mounts,
		.relaxed = s->o->identity_relaxed,
		.look_as_them = strangers,
		.uid = p->who.id.uid,
		.gid = p->who.id.gid,
	};

	if (check_upstream(s, e) < 0 || callers_new(&s->callers, &callers, e) < 0 ||
	    resolver_new(&s->resolver, s->loop, e) < 0)
		return -1;
	find_gateway(s);
	bypasses_init(&s->bypasses, s->events, s->callers, s->wall.keeper);
	const struct proxy_config config = {
		.loop = s->loop,
		.resolver = s->resolver,
		.policy = &s->prepared.policy,
		.callers = s->callers,
		.events = s->events,
		.observe = s->wall.rung == RUNG_HOST,
		.upstream = s->by_upstream ? &s->upstream.proxy : NULL,
		.host_gateway = s->has_gateway ? &s->gateway : NULL,
	};
	return proxy_start(&s->proxy, &config, steal_fd(&s->wall.started.listener), e);
}

/* A policy that is given as a file is the whole policy, whether a gateway is named or not: that has the rest. */
int supervisor_configure(struct supervisor *s, struct err *e)
{
	bool by_file = !str_empty(s->o->policy_data);

	if (!sandbox_options_gateway(s->o))
		gateway_token_forget();
	else if (uplink_configure(&s->uplink, s->o, s->events, e) < 0)
		return -1;
	return prepare(&s->prepared, s->o, by_file ? NULL : s->uplink.boot.config, s->events, e);
}
