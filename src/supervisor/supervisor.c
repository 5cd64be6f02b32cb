#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "base/version.h"
#include "isolate/accounts.h"
#include "isolate/capabilities.h"
#include "net/resolver.h"
#include "proxy/callers.h"
#include "proxy/proxy.h"
#include "supervisor/bypass.h"
#include "supervisor/environment.h"
#include "supervisor/hosts.h"
#include "supervisor/main_process.h"
#include "supervisor/prepare.h"
#include "supervisor/supervisor.h"
#include "supervisor/tell.h"
#include "supervisor/uplink.h"
#include "supervisor/upstream.h"
#include "supervisor/wall.h"

enum {
	EXIT_TIMEOUT = 124, /* contract 1.2 */
	GRACE_MS = 100,     /* contract 1.10: from SIGTERM to SIGKILL when the time is up */
	KILL_MS = 5000,  /* ours: from SIGKILL until we go without waiting for the end any longer */
	DRAIN_MS = 2000, /* contract 1.10: for the last output to get through */
	HOST_NAME_MAX_TEXT = 256,
	DESCRIPTORS = 8192, /* of ours, where the hard limit allows it */
};

/*
 *   STARTING --it runs--> RUNNING --time is up--> TERMINATING --100 ms--> KILLING
 *      |                     |                        |                      |
 *      \--it cannot be run---+----------- it ended, or the keeper is gone ---+--> ENDING --> (exit)
 *
 *   ENDING: all that is inside is killed; what was written gets through, 2 s at most; then the gateway is told,
 *   until it knows or we are told to end.
 */
enum state { STARTING, RUNNING, TERMINATING, KILLING, ENDING };

struct supervisor {
	const struct sandbox_options *o;
	enum state state;
	struct ocsf *events;
	struct main_spec spec;
	struct uplink uplink;
	struct upstream upstream;
	bool by_upstream;
	struct prepared prepared;
	struct wall wall;
	struct loop *loop;
	struct resolver *resolver;
	struct callers *callers;
	struct proxy *proxy;
	struct address gateway;
	bool has_gateway;
	struct bypasses bypasses;
	struct environment environment;
	struct main_process main;
	struct keeper_call spawn;
	pid_t pid;        /* of the main process, once it is RUNNING */
	sigset_t waiting; /* signals that came while it was STARTING */
	struct timer limit;
	struct later end;
	int status;
};

/* ---- the end ---- */

static void reported(void *owner)
{
	struct supervisor *s = owner;

	loop_stop(s->loop, s->status);
}

static void stop(struct supervisor *s)
{
	timer_stop(s->loop, &s->limit);
	if (s->uplink.session == NULL) /* none was opened, or it is told already */
		loop_stop(s->loop, s->status);
	else
		uplink_report(&s->uplink, s->loop, s->status, reported, s);
}

static void drained(void *owner)
{
	stop(owner);
}

/* All inside goes first: then nobody is left who could write. */
static void run_end(struct later *l)
{
	struct supervisor *s = container_of(l, struct supervisor, end);

	keeper_free(s->wall.keeper);
	s->wall.keeper = NULL;
	tell_config(s->events, "cleaned_up", OCSF_INFORMATIONAL,
		    "Sandbox ended and its processes are gone [rung:%s]", rung_name(s->wall.rung));
	timer_set(s->loop, &s->limit, DRAIN_MS);
	main_process_drain(&s->main);
}

static void end(struct supervisor *s, int status)
{
	if (s->state == ENDING)
		return;
	s->state = ENDING;
	s->status = status;
	timer_stop(s->loop, &s->limit);
	loop_later(s->loop, &s->end);
}

/* Sends the signal, and is back after ms; where that cannot be, it ends without. */
static void signal_and_wait(struct supervisor *s, int signo, enum state next, int64_t ms)
{
	struct err e;

	if (s->state == STARTING || keeper_signal(s->wall.keeper, s->pid, signo, &e) < 0) {
		end(s, EXIT_TIMEOUT);
		return;
	}
	s->state = next;
	timer_set(s->loop, &s->limit, ms);
}

static void time_is_up(struct timer *t)
{
	struct supervisor *s = container_of(t, struct supervisor, limit);

	switch (s->state) {
	case STARTING:
	case RUNNING:
		tell_terminate(s->events, s->spec.argv[0], s->pid, EXIT_TIMEOUT,
			       "Process timed out, killing", OCSF_CRITICAL);
		signal_and_wait(s, SIGTERM, TERMINATING, GRACE_MS);
		break;
	case TERMINATING:
		signal_and_wait(s, SIGKILL, KILLING, KILL_MS);
		break;
	case KILLING: /* what cannot be killed ends with the keeper, or never */
		end(s, EXIT_TIMEOUT);
		break;
	case ENDING:
		stop(s);
		break;
	}
}

/* ---- what the keeper tells ---- */

static void exited(void *owner, pid_t pid, int status)
{
	struct supervisor *s = owner;
	int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);

	if (pid != s->pid || s->state == STARTING || s->state == ENDING)
		return;
	if (s->state != RUNNING)
		code = EXIT_TIMEOUT;
	tell_terminate(s->events, s->spec.argv[0], pid, code, "", OCSF_INFORMATIONAL);
	end(s, code);
}

static void bypass(void *owner, const struct bypass *b)
{
	struct supervisor *s = owner;

	bypasses_add(&s->bypasses, b);
}

static void bypasses_were_lost(void *owner, uint64_t n)
{
	struct supervisor *s = owner;

	bypasses_lost(&s->bypasses, n);
}

static void gone(void *owner, const struct err *why)
{
	struct supervisor *s = owner;

	tell_config(s->events, "failed", OCSF_CRITICAL,
		    "Sandbox lost its keeper, and was ended [reason:%s]", why->text);
	log_error("the sandbox's keeper is gone; everything inside was ended", "reason=%s",
		  why->text);
	end(s, EXIT_FAILURE);
}

static const struct keeper_events keeper_events = {
	.exited = exited,
	.bypass = bypass,
	.bypasses_lost = bypasses_were_lost,
	.gone = gone,
};

/* ---- signals ---- */

static const int forwarded[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

/* What is sent to us is meant for it (contract 1.10); it may take its time, as its runtime allows. While it
 * is being started the signal waits for it: it may run already, and we have not heard. */
static void forward(int signo, void *arg)
{
	struct supervisor *s = arg;
	struct err e;

	if (s->state == STARTING)
		sigaddset(&s->waiting, signo);
	else if (s->uplink.report != NULL)
		reported(s);
	else if (s->state != ENDING && keeper_signal(s->wall.keeper, s->pid, signo, &e) < 0)
		log_warn("a signal was not forwarded", "signal=%d reason=%s", signo, e.text);
}

/* Orphans fall to a container's first process. The keeper is left to those who wait for it. */
static void reap(int signo UNUSED, void *arg)
{
	struct supervisor *s = arg;

	for (;;) {
		siginfo_t info = {0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
			return;
		if (s->wall.keeper != NULL && info.si_pid == keeper_pid(s->wall.keeper))
			return;
		waitpid(info.si_pid, NULL, WNOHANG);
	}
}

/* From here on they wait until the loop hears them: the first process of a container, to which the kernel
 * does not deliver what has no handler, would never know that it is to end. */
static void hold_signals(void)
{
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		sigaddset(&held, forwarded[i]);
	sigprocmask(SIG_BLOCK, &held, NULL);
}

static int take_signals(struct supervisor *s, struct err *e)
{
	sigemptyset(&s->waiting);
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		if (loop_signal(s->loop, forwarded[i], forward, s, e) < 0)
			return -1;
	return loop_signal(s->loop, SIGCHLD, reap, s, e);
}

/* ---- the main process ---- */

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* An image without bash gets what it has instead. */
static int choose_shell(struct supervisor *s, const char **shell, struct err *e)
{
	*shell = exists(MAIN_SPEC_SHELL) ? MAIN_SPEC_SHELL : MAIN_SPEC_SHELL_INSTEAD;
	if (!main_spec_is_login_shell(&s->spec) || exists(MAIN_SPEC_SHELL))
		return 0;
	if (!exists(MAIN_SPEC_SHELL_INSTEAD))
		return err_set(e, ENOENT,
			       "the image has neither " MAIN_SPEC_SHELL
			       " nor " MAIN_SPEC_SHELL_INSTEAD ", and no command is given");
	tell_config(s->events, "fallback", OCSF_INFORMATIONAL,
		    "No " MAIN_SPEC_SHELL " in the image; " MAIN_SPEC_SHELL_INSTEAD " instead");
	free(s->spec.argv[0]);
	s->spec.argv[0] = xstrdup(MAIN_SPEC_SHELL_INSTEAD);
	return 0;
}

static int make_environment(struct supervisor *s, const char *shell, struct err *e)
{
	const struct who *who = &s->prepared.who;
	bool ours = s->main.plan.typed && isatty(STDIN_FILENO);
	const char *term = getenv("TERM");
	const struct environment_source from = {
		.own = environ,
		.user = getenv("OPENSHELL_USER_ENVIRONMENT"),
		.home = who_home(who, s->o->workdir, baseline_exists),
		.name = who_name(who),
		.shell = shell,
		.term = !main_process_has_terminal(&s->main) ? NULL
			: ours && !str_empty(term)           ? term
							     : "xterm-256color",
		.proxy = &s->wall.started.proxy,
	};

	return environment_make(&s->environment, &from, e);
}

static void spawned(struct keeper_call *c, int result, const struct err *why)
{
	struct supervisor *s = container_of(c, struct supervisor, spawn);
	struct err e;

	main_process_started(&s->main);
	if (s->state != STARTING)
		return;
	if (result < 0) {
		if (str_empty(s->o->workdir) && str_starts(str_of(why->text), "chdir "))
			log_warn("--workdir names another folder to start in");
		log_error("the sandbox's command cannot be run", "error=%s", why->text);
		tell_config(s->events, "failed", OCSF_HIGH, "Main process not started [reason:%s]",
			    why->text);
		end(s, EXIT_FAILURE);
		return;
	}
	s->state = RUNNING;
	s->pid = result;
	tell_launch(s->events, s->spec.argv[0], s->pid);
	if (s->uplink.used && uplink_start(&s->uplink, s->loop, &e) < 0) {
		log_error("no session with the gateway", "reason=%s", e.text);
		end(s, EXIT_FAILURE);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(forwarded); i++)
		if (sigismember(&s->waiting, forwarded[i]) == 1)
			forward(forwarded[i], s);
}

static int start_main(struct supervisor *s, struct err *e)
{
	const struct who *who = &s->prepared.who;
	uid_t owner = who->changes ? who->id.uid : (uid_t)-1;
	_cleanup_free_ char *here = NULL;
	const char *shell;

	s->main.drained = drained;
	s->main.owner = s;
	if (choose_shell(s, &shell, e) < 0 ||
	    main_process_open(&s->main, s->loop, &s->spec, s->o->interactive, owner, e) < 0 ||
	    make_environment(s, shell, e) < 0)
		return -1;
	if (str_empty(s->o->workdir) && (here = getcwd(NULL, 0)) == NULL)
		return err_sys(e, "the working directory");
	const struct keeper_spawn what = {
		.argv = s->spec.argv,
		.env = s->environment.v,
		.cwd = here ? here : s->o->workdir,
		.stdio = {s->main.theirs[0], s->main.theirs[1], s->main.theirs[2]},
		.terminal = main_process_has_terminal(&s->main),
	};
	s->spawn.done = spawned;
	if (s->o->timeout > 0)
		timer_set(s->loop, &s->limit, s->o->timeout * 1000);
	return keeper_spawn(s->wall.keeper, &what, &s->spawn, e);
}

/* ---- the beginning ---- */

/* Secrets will be in this memory: no core file, and no other process of this user may look. What was
 * inherited beyond the standard streams is nobody's; a stream that is missing must not become a socket. */
static int harden(struct err *e)
{
	const struct rlimit none = {0, 0};
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
		if (fd < 0) /* an image may have none: what can be neither read nor written */
			fd = open("/", O_PATH);
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

static void open_events(struct supervisor *s)
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
	if (sandbox_options_gateway(s->o) && !str_empty(s->o->policy_data))
		tell_config(s->events, "skipped", OCSF_MEDIUM,
			    "Gateway not called: the policy is a local file "
			    "[endpoint:%s]",
			    s->o->endpoint);
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

static int raise_wall(struct supervisor *s, struct err *e)
{
	const struct wall_config config = {
		.mode = s->o->network_mode,
		.mode_from = s->o->network_mode_from,
		.min_rung = s->o->min_rung,
		.landlock_fd = s->prepared.landlock.fd,
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

static int start_proxy(struct supervisor *s, struct err *e)
{
	const struct prepared *p = &s->prepared;
	/* of a user namespace that we made we may see everybody */
	bool strangers = s->wall.rung != RUNG_USERNS && p->who.changes && !p->rights.look;
	const struct callers_config callers = {
		.loop = s->loop,
		.diag_fd = steal_fd(&s->wall.started.sock_diag),
		.root = keeper_pid(s->wall.keeper),
		.relaxed = s->o->identity_relaxed,
		.look_as_them = strangers,
		.uid = p->who.id.uid,
		.gid = p->who.id.gid,
	};

	if (callers_new(&s->callers, &callers, e) < 0 || resolver_new(&s->resolver, s->loop, e) < 0)
		return -1;
	find_gateway(s);
	bypasses_init(&s->bypasses, s->events, s->callers);
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

/* A policy that is given as a file is the whole policy, whether a gateway is named or not. */
static int configure(struct supervisor *s, struct err *e)
{
	Openshell__Sandbox__V1__GetSandboxConfigResponse *config = NULL;

	if (str_empty(s->o->policy_data) && sandbox_options_gateway(s->o) &&
	    uplink_configure(&s->uplink, s->o, s->events, &config, e) < 0)
		return -1;
	int r = prepare(&s->prepared, s->o, config, s->events, e);
	openshell__sandbox__v1__get_sandbox_config_response__free_unpacked(config, NULL);
	return r;
}

static int start(struct supervisor *s, struct err *e)
{
	if (harden(e) < 0)
		return -1;
	open_events(s);
	if (main_spec_resolve(&s->spec, s->o->command, getenv("OPENSHELL_MAIN_PROCESS_SPEC"), e) <
		    0 ||
	    prepare_workspace(s->events, e) < 0 || configure(s, e) < 0)
		return -1;
	hold_signals();
	if (raise_wall(s, e) < 0 || loop_new(&s->loop, e) < 0 || take_signals(s, e) < 0 ||
	    keeper_attach(s->wall.keeper, s->loop, &keeper_events, s, e) < 0)
		return -1;
	/* secrets are read now: what is inside was forked without them */
	if (check_upstream(s, e) < 0 || start_proxy(s, e) < 0)
		return -1;
	return start_main(s, e);
}

static void release(struct supervisor *s)
{
	keeper_free(s->wall.keeper);
	main_process_fini(&s->main);
	environment_fini(&s->environment);
	bypasses_fini(&s->bypasses);
	proxy_free(s->proxy);
	callers_free(s->callers);
	resolver_free(s->resolver);
	uplink_fini(&s->uplink);
	if (s->loop != NULL)
		loop_later_cancel(&s->end);
	loop_free(s->loop);
	prepared_fini(&s->prepared);
	upstream_fini(&s->upstream);
	main_spec_fini(&s->spec);
	ocsf_free(s->events);
}

int supervisor_run(const struct sandbox_options *o)
{
	struct supervisor s = {.o = o,
			       .status = EXIT_FAILURE,
			       .limit = {.fire = time_is_up},
			       .end = {.run = run_end},
			       .prepared = {.landlock = LANDLOCK_NONE},
			       .wall = {.started = {.listener = -1, .sock_diag = -1}}};
	struct err e;

	if (start(&s, &e) < 0) {
		log_error("the sandbox cannot start", "error=%s", e.text);
	} else {
		s.status = loop_run(s.loop);
	}
	release(&s);
	return s.status;
}
