#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/supervisor_impl.h"
#include "supervisor/tell.h"

enum { OWN_MAX = 3 }; /* variables of ours that a session has */

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

/* What a session has of our own environment: where programs are, and who it is where nobody says so. */
static void own_of_session(const struct supervisor *s, char *own[OWN_MAX + 1])
{
	static const char *const names[OWN_MAX] = {"PATH=", "HOME=", "USER="};
	size_t n = 0;

	for (char **v = environ; *v != NULL; v++)
		for (size_t i = 0; i < (s->prepared.who.changes ? 1 : OWN_MAX) && n < OWN_MAX; i++)
			if (str_starts(str_of(*v), names[i]))
				own[n++] = *v;
	own[n] = NULL;
}

int supervisor_environment(const struct supervisor *s, enum supervisor_who which, const char *term,
			   const char *shell, struct environment *out, struct err *e)
{
	const struct who *who = &s->prepared.who;
	char *own[OWN_MAX + 1];
	struct environment_source from = {
		.own = which == SUPERVISOR_MAIN ? environ : own,
		.user = getenv("OPENSHELL_USER_ENVIRONMENT"),
		.providers = s->uplink.providers.variables.v,
		.home = who_home(who, s->o->workdir, baseline_exists),
		.name = who_name(who),
		.shell = shell,
		.term = term,
		.proxy = &s->wall.started.proxy,
	};

	own_of_session(s, own);
	if (which == SUPERVISOR_SESSION && from.home == NULL && getenv("HOME") == NULL)
		from.home = s->prepared.cwd;
	return environment_make(out, &from, e);
}

static int make_environment(struct supervisor *s, const char *shell, struct err *e)
{
	bool ours = s->main.plan.typed && isatty(STDIN_FILENO);
	const char *term = getenv("TERM");

	if (!main_process_has_terminal(&s->main))
		term = NULL;
	else if (!ours || str_empty(term))
		term = "xterm-256color";
	return supervisor_environment(s, SUPERVISOR_MAIN, term, shell, &s->environment, e);
}

/* What comes from who is attached. */
static void signal_main(void *owner, int signo)
{
	struct supervisor *s = owner;
	struct err e;

	if (s->state == RUNNING && keeper_signal(s->wall.keeper, s->pid, signo, &e) < 0)
		log_warn("a signal was not forwarded", "signal=%d reason=%s", signo, e.text);
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
		supervisor_end(s, EXIT_FAILURE);
		return;
	}
	s->state = RUNNING;
	s->pid = result;
	tell_launch(s->events, s->spec.argv[0], s->pid);
	if (s->uplink.used && uplink_start(&s->uplink, s->loop, &s->prepared, s->wall.keeper,
					   s->ssh_socket, &e) < 0) {
		log_error("no session with the gateway", "reason=%s", e.text);
		supervisor_end(s, EXIT_FAILURE);
		return;
	}
	supervisor_forward_waiting(s);
}

int supervisor_start_main(struct supervisor *s, struct err *e)
{
	const struct who *who = &s->prepared.who;
	uid_t owner = who->changes ? who->id.uid : (uid_t)-1;
	enum operator by = s->o->interactive ? OPERATOR_TYPES
	: s->sshd != NULL                    ? OPERATOR_ATTACHES
					     : OPERATOR_NONE;
	const char *shell;

	s->main.signal = signal_main;
	if (choose_shell(s, &shell, e) < 0 ||
	    main_process_open(&s->main, s->loop, &s->spec, by, owner, e) < 0 ||
	    make_environment(s, shell, e) < 0 || supervisor_serve_ssh(s, owner, e) < 0)
		return -1;
	const struct keeper_spawn what = {
		.argv = s->spec.argv,
		.env = s->environment.v,
		.cwd = s->prepared.cwd,
		.stdio = {s->main.theirs[0], s->main.theirs[1], s->main.theirs[2]},
		.terminal = main_process_has_terminal(&s->main),
	};
	s->spawn.done = spawned;
	if (s->o->timeout > 0)
		timer_set(s->loop, &s->limit, s->o->timeout * 1000);
	return keeper_spawn(s->wall.keeper, &what, &s->spawn, e);
}
