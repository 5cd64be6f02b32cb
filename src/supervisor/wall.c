#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "sftp/sftp.h"
#include "supervisor/tell.h"
#include "supervisor/wall.h"

enum {
	REASON_MAX = 120, /* bytes of one rung's, within an error's text */
	REASONS_MAX = RUNG_COUNT * (REASON_MAX + 16), /* of all, with their names */
};

struct descent {
	const struct wall_config *config;
	struct who *who;
	struct wall *wall;
	struct buf reasons; /* "pocket: …; userns: …" */
	bool may_pass; /* one that enforces failed for a reason that is not the host's nature */
};

static bool allowed(const struct wall_config *c, enum rung r)
{
	if (r > c->min_rung)
		return false;
	switch (c->mode) {
	case NETWORK_ISOLATED:
		return r != RUNG_HOST;
	case NETWORK_AUTO:
		return true;
	case NETWORK_HOST:
		return r == RUNG_HOST;
	case NETWORK_MODE_COUNT:
		break;
	}
	must(!"network mode");
	return false;
}

static int start(struct descent *d, enum rung r, struct err *e)
{
	const struct keeper_config config = {
		.rung = r,
		.confine = {.identity = d->who->changes ? &d->who->id : NULL,
			    .landlock_fd = d->config->landlock_fd,
			    .filter = d->config->filter},
		.view = d->config->view,
		/* the host's network is everybody's: any port that is free */
		.port = r == RUNG_HOST ? 0 : WALL_PROXY_PORT,
		.builtins = {[KEEPER_SFTP] = sftp_serve},
	};

	d->wall->started = (struct keeper_started){.listener = -1, .sock_diag = -1};
	return keeper_start(&d->wall->keeper, &config, &d->wall->started, e);
}

/* One rung. Where a user namespace cannot be given another identity, the process stays who it is, if
 * that is good enough. */
static int try(struct descent *d, enum rung r, struct err *e)
{
	struct who stays = *d->who;
	struct err why;

	if (start(d, r, e) == 0)
		return 0;
	if (r != RUNG_USERNS || !d->wall->started.rung.works || !d->who->changes)
		return -1;
	if (who_stay(&stays, d->config->rights, e, &why) < 0) {
		*e = why;
		return -1;
	}
	struct who changes = *d->who;
	*d->who = stays;
	if (start(d, r, e) == 0)
		return 0;
	*d->who = changes;
	return -1;
}

/* What another attempt may find otherwise, unlike a right or a part of the kernel that is not there. A load
 * that somebody makes must not take the wall away: that would be to fail open (contract 7.6, 2). */
static bool may_pass(int code)
{
	switch (code) {
	case EAGAIN:
	case ENOMEM:
	case ENOBUFS:
	case EMFILE:
	case ENFILE:
	case ETIMEDOUT:
	case ECONNRESET: /* it was killed */
	case EPIPE:
	case EINTR:
		return true;
	default:
		return false;
	}
}

static void remember(struct descent *d, enum rung r, const struct err *why)
{
	const struct rung_report *report = &d->wall->started.rung;

	if (!report->works && report->why.code != 0)
		why = &report->why; /* the same, without the rung's name */
	must(buf_printf(&d->reasons, "%s%s: %.*s", d->reasons.n > 0 ? "; " : "", rung_name(r),
			REASON_MAX, why->text));
	d->may_pass = d->may_pass || may_pass(why->code);
}

/* Who is there besides. */
static void tell_company(const struct descent *d)
{
	const struct err *why = &d->wall->started.rung.no_own_pids;

	if (why->code == 0)
		tell_config(d->config->events, "created", OCSF_INFORMATIONAL,
			    "PID namespace created [rung:%s]", rung_name(d->wall->rung));
	else
		tell_config(d->config->events, "degraded", OCSF_LOW,
			    "No PID namespace of the sandbox's own: it sees the processes around "
			    "it [reason:%s]",
			    why->text);
}

/* What is there besides. */
static void tell_view(const struct descent *d)
{
	const struct err *why = &d->wall->started.rung.shown;

	if (why->code == 0)
		tell_config(d->config->events, "created", OCSF_INFORMATIONAL,
			    "View of the file system created [rung:%s]", rung_name(d->wall->rung));
	else if (why->code == VIEW_OF_ALL)
		tell_config(d->config->events, "skipped", OCSF_INFORMATIONAL,
			    "View of the file system skipped: %s", why->text);
	else
		tell_config(d->config->events, "degraded", OCSF_LOW,
			    "No view of the file system of the sandbox's own: what the policy does "
			    "not give can be seen [reason:%s]",
			    why->text);
}

static void tell_taken(const struct descent *d)
{
	const struct wall *w = d->wall;
	struct ocsf *o = d->config->events;
	const struct keeper_started *s = &w->started;

	if (w->rung == RUNG_HOST) {
		_cleanup_free_ char *reasons =
			xstrndup(d->reasons.p ? d->reasons.p : "", d->reasons.n);
		_cleanup_free_ char *asked = xasprintf("asked for by %s", d->config->mode_from);
		tell_host_mode(o, d->config->mode,
			       d->config->mode == NETWORK_HOST ? asked : reasons);
	} else {
		tell_config(o, "created", OCSF_INFORMATIONAL,
			    "Network namespace created [rung:%s mapped:%s]", rung_name(w->rung),
			    w->rung == RUNG_POCKET || s->rung.mapped ? "true" : "false");
		if (s->rung.refuses)
			tell_config(o, "installed", OCSF_INFORMATIONAL,
				    "Bypass detection rules installed [rung:%s held:%s]",
				    rung_name(w->rung), s->not_held.code == 0 ? "true" : "false");
		else
			tell_config(o, "degraded", OCSF_MEDIUM,
				    "Bypass detection rules not installed: an attempt finds no "
				    "route and is not told [reason:%s]",
				    s->rung.lost.text);
		if (s->rung.refuses && s->not_logged.code != 0)
			tell_config(o, "degraded", OCSF_MEDIUM,
				    "Bypass attempts are refused and not told [reason:%s]",
				    s->not_logged.text);
	}
	tell_company(d);
	tell_view(d);
	if (s->confined.lost_groups != 0)
		tell_config(o, "degraded", OCSF_MEDIUM,
			    "Supplementary groups kept: they cannot be changed here [reason:%s]",
			    strerror(s->confined.lost_groups));
	if (s->confined.lost_bounding != 0)
		tell_config(o, "degraded", OCSF_LOW,
			    "Capability bounding set kept; without effect under no_new_privs "
			    "[reason:%s]",
			    strerror(s->confined.lost_bounding));
}

static int none_works(struct descent *d, struct err *e)
{
	const char *mode = network_mode_name(d->config->mode);
	_cleanup_free_ char *reasons = xstrndup(d->reasons.p ? d->reasons.p : "", d->reasons.n);

	tell_config(d->config->events, "failed", OCSF_HIGH,
		    "Network isolation unavailable; nothing is started [mode:%s min_rung:%s "
		    "reason:%s]",
		    mode, rung_name(d->config->min_rung), reasons);
	return err_set(e, EPERM,
		       "network mode %s with --min-rung %s: no rung of the ladder can be had: %s "
		       "(see openshell-static probe)",
		       mode, rung_name(d->config->min_rung), reasons);
}

int wall_up(struct wall *w, const struct wall_config *c, struct who *who, struct err *e)
{
	struct descent d = {c, who, w, BUF_INIT(REASONS_MAX), false};
	struct err why;
	int result = -1;

	*w = (struct wall){0};
	for (enum rung r = RUNG_POCKET; r < RUNG_COUNT && result < 0; r++) {
		if (!allowed(c, r) || (r == RUNG_HOST && d.may_pass))
			continue;
		if (r != RUNG_HOST)
			tell_config(c->events, "creating", OCSF_INFORMATIONAL,
				    "Creating network namespace [rung:%s]", rung_name(r));
		w->rung = r;
		result = try(&d, r, &why);
		if (result < 0)
			remember(&d, r, &why);
	}
	if (result == 0)
		tell_taken(&d);
	else
		none_works(&d, e);
	buf_fini(&d.reasons);
	return result;
}
