/* The network modes of this host: each rung of the ladder tried as a whole. */
#include "isolate/ladder.h"
#include "probe/probe_impl.h"

static char *words_of(enum rung r, const struct rung_report *t)
{
	if (!t->works) {
		const char *help = rung_help(r, t);
		return xasprintf("fails: %s%s%s", t->why.text, help ? "; would help: " : "",
				 help ? help : "");
	}
	_cleanup_free_ char *alone =
		t->no_own_pids.code == 0
			? xstrdup("own PID namespace")
			: xasprintf("no own PID namespace (%s)", t->no_own_pids.text);
	_cleanup_free_ char *view =
		t->shown.code == 0
			? xstrdup("own view of the file system")
			: xasprintf("no own view of the file system (%s)", t->shown.text);
	if (r == RUNG_HOST)
		return xasprintf("works; %s; %s; egress is observed, not enforced", alone, view);
	return xasprintf("works%s; %s; %s; a bypass is %s",
			 r == RUNG_USERNS && !t->mapped ? ", unmapped" : "", alone, view,
			 t->refuses ? "refused and logged" : "unreachable, unlogged");
}

void probe_ladder(cJSON *o)
{
	const char *takes = NULL;

	for (enum rung r = 0; r < RUNG_COUNT; r++) {
		struct rung_report t;
		rung_try(r, &t);
		_cleanup_free_ char *words = words_of(r, &t);
		json_put_str(o, rung_name(r), words);
		if (t.works && takes == NULL)
			takes = rung_name(r);
		if (t.works && t.lost.code != 0)
			json_put_str(o, "without_nf_tables", t.lost.text);
	}
	json_put_str(o, "auto_would_take", takes);
}
