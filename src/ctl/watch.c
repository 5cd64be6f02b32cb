/* `watch`: what the driver tells, as it tells it. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "compute_driver.pb-c.h"
#include "ctl/ctl_impl.h"

static const struct ctl_rpc rpc_watch = {
	"WatchSandboxes",
	&openshell__compute__v1__watch_sandboxes_request__descriptor,
	&openshell__compute__v1__watch_sandboxes_event__descriptor,
};

enum { NEWS = 8 }; /* lines of events under the live table */

struct watching {
	struct ctl *ctl;
	cJSON *sandboxes; /* what the table shows */
	char *news[NEWS];
	size_t told;
};

/* One line an event, for a pipe and for the news under the table; the caller's. */
static char *line_of(const cJSON *event)
{
	const cJSON *s = json_at(event, "sandbox", "sandbox", NULL);
	const cJSON *gone = json_get(event, "deleted");
	const cJSON *p = json_get(event, "platformEvent");

	if (s != NULL) {
		_cleanup_free_ char *reason = ctl_reason(s);
		return xasprintf("sandbox %s %s %s %s", json_str_or_empty(s, "id"),
				 json_str_or_empty(s, "name"), ctl_phase(s), reason);
	}
	if (gone != NULL)
		return xasprintf("deleted %s", json_str_or_empty(gone, "sandboxId"));
	const cJSON *e = json_get(p, "event");
	return xasprintf("event   %s %s %s: %s", json_str_or_empty(p, "sandboxId"),
			 json_str_or_empty(e, "type"), json_str_or_empty(e, "reason"),
			 json_str_or_empty(e, "message"));
}

static cJSON *find(const struct watching *w, const char *id)
{
	cJSON *it;

	cJSON_ArrayForEach(it, w->sandboxes) {
		if (streq(json_str(it, "id"), id))
			return it;
	}
	return NULL;
}

static void apply(struct watching *w, const cJSON *event)
{
	const cJSON *s = json_at(event, "sandbox", "sandbox", NULL);
	const char *id = s ? json_str(s, "id") : json_str(json_get(event, "deleted"), "sandboxId");
	cJSON *old = id ? find(w, id) : NULL;

	if (s != NULL && old != NULL)
		cJSON_ReplaceItemViaPointer(w->sandboxes, old, json_copy(s));
	else if (s != NULL)
		json_add(w->sandboxes, json_copy(s));
	else if (old != NULL)
		cJSON_Delete(cJSON_DetachItemViaPointer(w->sandboxes, old));
}

static void redraw(const struct watching *w)
{
	fputs("\033[H\033[2J", stdout);
	ctl_print_sandboxes(w->sandboxes);
	putchar('\n');
	for (size_t i = w->told > NEWS ? w->told - NEWS : 0; i < w->told; i++)
		puts(w->news[i % NEWS]);
	fflush(stdout);
}

static void live(void *arg, const cJSON *event)
{
	struct watching *w = arg;
	char **place = &w->news[w->told++ % NEWS];

	free(*place);
	*place = line_of(event);
	apply(w, event);
	redraw(w);
}

static void plain(void *arg, const cJSON *event)
{
	struct watching *w = arg;

	if (w->ctl->json) {
		ctl_print_json(event, true);
	} else {
		_cleanup_free_ char *line = line_of(event);
		puts(line);
	}
	fflush(stdout);
}

int ctl_watch(struct ctl *c)
{
	struct watching w = {.ctl = c, .sandboxes = json_array()};
	_cleanup_json_ cJSON *request = json_object();
	bool terminal = isatty(STDOUT_FILENO) && !c->json;

	int code = ctl_stream(c, &rpc_watch, request, terminal ? live : plain, &w);
	for (size_t i = 0; i < NEWS; i++)
		free(w.news[i]);
	cJSON_Delete(w.sandboxes);
	return code;
}
