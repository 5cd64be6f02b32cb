#include <stdlib.h>
#include <string.h>

#include "ocsf/ocsf.h"

struct ocsf {
	bool json;
};

struct ocsf *ocsf_new(const struct ocsf_options *options)
{
	(void)options;
	return xcalloc(1, sizeof(struct ocsf));
}

void ocsf_free(struct ocsf *o)
{
	free(o);
}

void ocsf_set_json(struct ocsf *o, bool on)
{
	o->json = on;
}

void ocsf_set_proxy(struct ocsf *o, struct ocsf_endpoint proxy)
{
	(void)o, (void)proxy;
}

void ocsf_set_sink(struct ocsf *o, ocsf_sink_fn *fn, void *arg)
{
	(void)o, (void)fn, (void)arg;
}

void ocsf_emit(struct ocsf *o, const struct ocsf_event *ev)
{
	if (o)
		ocsf_log(o, LOG_INFO, "ocsf", ev->message);
}

void ocsf_log(struct ocsf *o, enum log_level level, const char *target, struct str text)
{
	(void)o;
	log_write(level, target, " text=%.*s", STR_FMT(text));
}

void ocsf_shorthand(const struct ocsf_event *ev, char out[OCSF_SHORTHAND_MAX])
{
	struct str s = str_utf8_prefix(ev->message, 120);

	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
}

bool ocsf_json(const struct ocsf_event *ev, const struct ocsf_context *c, struct buf *out)
{
	(void)ev, (void)c;
	return buf_cstr(out, "{}");
}
