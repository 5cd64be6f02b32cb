/*
 * The line for a person, contract 7.3:
 *
 *	NET:<ACT> [SEV] <ACTION> proc(pid) -> host:port[/proto] [policy:P engine:E] [reason:…] [msg:…]
 *	HTTP:<METHOD> [SEV] <ACTION> proc(pid) -> METHOD url [policy:P engine:E] [k:v … reason:…]
 *	SSH:<ACT> [SEV] <ACTION> peer [auth:…]
 *	PROC:<ACT> [SEV] name(pid) [exit:N] [cmd:…]
 *	FINDING:<DISPOSITION or ACT> [SEV] "title" [type:uid k:v … confidence:high]
 *	LIFECYCLE:<ACT> [SEV] <app> <status>
 *	CONFIG:<STATE> [SEV] message [auto:… source:… … version:… hash:…]
 *	API:INFERENCE [SEV] <status> model via provider 12ms [operation]
 *	EVENT [SEV] message [k:v k:v k:v]
 *
 * What is observed or fails has its reason like what is denied. Two things differ from the peers' lines, to
 * be unambiguous: an IPv6 address before a port is in brackets, and a blank within a word is escaped.
 */
#include <string.h>

#include "ocsf/ocsf_impl.h"

enum {
	REASON_MAX = 256,    /* contract 7.3 */
	MESSAGE_MAX = 120,   /* contract 7.3 */
	SENTENCE_MAX = 1024, /* a message that is the line's content */
	WORD_MAX = 256,
	PATH_SHOWN = 1024,
	PROGRAM_SHOWN = 512,
	BASE_PAIRS_SHOWN = 3,
};

static void put_process(struct ocsf_line *l, const struct ocsf_process *p)
{
	ocsf_put_text(l, p->name.n ? p->name : STR("unknown"), PROGRAM_SHOWN, OCSF_WORD);
	ocsf_put(l, "(");
	ocsf_put_int(l, p->pid);
	ocsf_put(l, ")");
}

static void put_host(struct ocsf_line *l, struct str host)
{
	bool v6;

	if (host.n == 0)
		host = STR("unknown");
	ocsf_is_ip(host, &v6);
	ocsf_put(l, v6 ? "[" : "");
	ocsf_put_text(l, host, WORD_MAX, OCSF_WORD);
	ocsf_put(l, v6 ? "]" : "");
}

static void put_port(struct ocsf_line *l, uint16_t port)
{
	ocsf_put(l, ":");
	ocsf_put_int(l, port);
}

static bool is_there(const struct ocsf_endpoint *e)
{
	return e->host.n > 0 || e->port > 0;
}

static void put_endpoint(struct ocsf_line *l, const struct ocsf_endpoint *e)
{
	put_host(l, e->host);
	if (e->port)
		put_port(l, e->port);
}

static void put_action(struct ocsf_line *l, const struct ocsf_event *ev)
{
	const char *name = ocsf_action_name(ev->action);

	if (!name)
		return;
	ocsf_put(l, " ");
	ocsf_put_upper(l, name);
}

static void put_rule(struct ocsf_line *l, const struct ocsf_event *ev)
{
	if (ev->rule.policy.n == 0 && ev->rule.engine.n == 0)
		return;
	ocsf_put(l, " [policy:");
	ocsf_put_text(l, ev->rule.policy, WORD_MAX, OCSF_VALUE);
	ocsf_put(l, " engine:");
	ocsf_put_text(l, ev->rule.engine, WORD_MAX, OCSF_VALUE);
	ocsf_put(l, "]");
}

/* Why it was denied, or would have been, or failed; empty for what has no reason. */
static struct str reason_of(const struct ocsf_event *ev)
{
	if (ev->action != OCSF_DENIED && ev->action != OCSF_OBSERVED && ev->status != OCSF_FAILURE)
		return STR_NONE;
	return ev->status_detail.n ? ev->status_detail : ev->message;
}

static void put_pair(struct ocsf_line *l, const char *key, struct str value)
{
	ocsf_put(l, key);
	ocsf_put(l, ":");
	ocsf_put_text(l, value, REASON_MAX, OCSF_VALUE);
}

/* " [" before the first thing of a group, a blank before the others. */
static void put_gap(struct ocsf_line *l, bool *first)
{
	ocsf_put(l, *first ? " [" : " ");
	*first = false;
}

static void put_pairs(struct ocsf_line *l, const struct ocsf_event *ev, size_t max, bool *first)
{
	const struct ocsf_pair *sorted[OCSF_PAIRS_MAX];
	size_t n = ocsf_pairs(ev, sorted);

	for (size_t i = 0; i < MIN(n, max); i++) {
		put_gap(l, first);
		put_pair(l, sorted[i]->key, sorted[i]->value);
	}
}

static void put_net(struct ocsf_line *l, const struct ocsf_event *ev)
{
	struct str reason = reason_of(ev);
	bool who = ev->process.name.n > 0 || ev->process.pid > 0, where = is_there(&ev->dst);
	size_t before = l->n;

	put_action(l, ev);
	if (who) {
		ocsf_put(l, " ");
		put_process(l, &ev->process);
	}
	if (where) {
		ocsf_put(l, who ? " -> " : " ");
		put_endpoint(l, &ev->dst);
	}
	if (where && ev->protocol.n > 0) {
		ocsf_put(l, "/");
		ocsf_put_text(l, ev->protocol, WORD_MAX, OCSF_WORD);
	}
	put_rule(l, ev);
	if (reason.n > 0) {
		ocsf_put(l, " [reason:");
		ocsf_put_text(l, reason, REASON_MAX, OCSF_SENTENCE);
		ocsf_put(l, "]");
	}
	if (l->n == before && ev->message.n > 0) {
		ocsf_put(l, " [msg:");
		ocsf_put_text(l, ev->message, MESSAGE_MAX, OCSF_SENTENCE);
		ocsf_put(l, "]");
	}
}

static void put_url(struct ocsf_line *l, const struct ocsf_event *ev)
{
	struct str scheme = ev->http.scheme.n ? ev->http.scheme : STR("https");
	uint16_t port = ev->http.port;

	if ((port == 443 && str_is(scheme, "https")) || (port == 80 && str_is(scheme, "http")))
		port = 0;
	ocsf_put_text(l, scheme, WORD_MAX, OCSF_WORD);
	ocsf_put(l, "://");
	put_host(l, ev->http.host);
	if (port)
		put_port(l, port);
	ocsf_put_text(l, ev->http.path.n ? ev->http.path : STR("/"), PATH_SHOWN, OCSF_WORD);
}

static void put_http(struct ocsf_line *l, const struct ocsf_event *ev)
{
	struct str reason = reason_of(ev);
	bool first = true;

	put_action(l, ev);
	ocsf_put(l, " ");
	if (ev->process.name.n > 0 || ev->process.pid > 0) {
		put_process(l, &ev->process);
		ocsf_put(l, " -> ");
	}
	ocsf_put_text(l, ev->http.method, WORD_MAX, OCSF_WORD);
	ocsf_put(l, " ");
	put_url(l, ev);
	put_rule(l, ev);
	put_pairs(l, ev, OCSF_PAIRS_MAX, &first);
	if (reason.n > 0) {
		put_gap(l, &first);
		ocsf_put(l, "reason:");
		ocsf_put_text(l, reason, REASON_MAX, OCSF_SENTENCE);
	}
	ocsf_put(l, first ? "" : "]");
}

static void put_ssh(struct ocsf_line *l, const struct ocsf_event *ev)
{
	put_action(l, ev);
	if (is_there(&ev->src)) {
		ocsf_put(l, " ");
		put_endpoint(l, &ev->src);
	}
	if (ev->auth.n > 0) {
		ocsf_put(l, " [auth:");
		ocsf_put_text(l, ev->auth, WORD_MAX, OCSF_VALUE);
		ocsf_put(l, "]");
	}
}

static void put_proc(struct ocsf_line *l, const struct ocsf_event *ev)
{
	ocsf_put(l, " ");
	put_process(l, &ev->process);
	if (ev->exit_code) {
		ocsf_put(l, " [exit:");
		ocsf_put_int(l, *ev->exit_code);
		ocsf_put(l, "]");
	}
	if (ev->process.cmd_line.n > 0) {
		ocsf_put(l, " [cmd:");
		ocsf_put_text(l, ev->process.cmd_line, SENTENCE_MAX, OCSF_SENTENCE);
		ocsf_put(l, "]");
	}
}

static void put_finding(struct ocsf_line *l, const struct ocsf_event *ev)
{
	bool first = true;

	ocsf_put(l, " \"");
	ocsf_put_text(l, ev->finding.title, MESSAGE_MAX, OCSF_QUOTED);
	ocsf_put(l, "\"");
	put_gap(l, &first);
	put_pair(l, "type", ev->finding.uid);
	put_pairs(l, ev, OCSF_PAIRS_MAX, &first);
	if (ocsf_confidence_name(ev->finding.confidence)) {
		ocsf_put(l, " confidence:");
		ocsf_put_lower(l, ocsf_confidence_name(ev->finding.confidence));
	}
	ocsf_put(l, "]");
}

static void put_lifecycle(struct ocsf_line *l, const struct ocsf_event *ev)
{
	const char *status = ocsf_status_name(ev->status);

	ocsf_put(l, " " OCSF_APP);
	if (status) {
		ocsf_put(l, " ");
		ocsf_put_lower(l, status);
	}
}

/* Where a configuration came from, in this order. */
static void put_config(struct ocsf_line *l, const struct ocsf_event *ev)
{
	static const struct {
		const char *key, *shown;
	} origins[] = {
		{"auto", "auto"},
		{"source", "source"},
		{"prover_delta", "prover_delta"},
		{"resolved_from", "resolved_from"},
		{"policy_version", "version"},
		{"policy_hash", "hash"},
	};
	bool first = true;

	ocsf_put(l, " ");
	ocsf_put_text(l, ev->message.n ? ev->message : STR("config"), SENTENCE_MAX, OCSF_SENTENCE);
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		for (size_t j = 0; j < OCSF_PAIRS_MAX && ev->unmapped[j].key; j++) {
			if (!streq(ev->unmapped[j].key, origins[i].key))
				continue;
			put_gap(l, &first);
			put_pair(l, origins[i].shown, ev->unmapped[j].value);
		}
	}
	ocsf_put(l, first ? "" : "]");
}

static void put_api(struct ocsf_line *l, const struct ocsf_event *ev)
{
	const char *status = ocsf_status_name(ev->status);

	if (status) {
		ocsf_put(l, " ");
		ocsf_put(l, status);
	}
	if (ev->api.model.n > 0) {
		ocsf_put(l, " ");
		ocsf_put_text(l, ev->api.model, WORD_MAX, OCSF_VALUE);
		ocsf_put(l, " via ");
		ocsf_put_text(l, ev->api.provider, WORD_MAX, OCSF_VALUE);
	}
	for (size_t i = 0; i < OCSF_PAIRS_MAX && ev->unmapped[i].key; i++) {
		if (!streq(ev->unmapped[i].key, "latency_ms"))
			continue;
		ocsf_put(l, " ");
		ocsf_put_text(l, ev->unmapped[i].value, WORD_MAX, OCSF_VALUE);
		ocsf_put(l, "ms");
	}
	ocsf_put(l, " [");
	ocsf_put_text(l, ev->api.operation, WORD_MAX, OCSF_VALUE);
	ocsf_put(l, "]");
}

static void put_base(struct ocsf_line *l, const struct ocsf_event *ev)
{
	bool first = true;

	ocsf_put(l, " ");
	ocsf_put_text(l, ev->message, SENTENCE_MAX, OCSF_SENTENCE);
	put_pairs(l, ev, BASE_PAIRS_SHOWN, &first);
	ocsf_put(l, first ? "" : "]");
}

/* What stands behind the colon of the class. */
static void put_what(struct ocsf_line *l, const struct ocsf_event *ev)
{
	const char *state = ev->state.label ? ev->state.label : ocsf_state_name(ev->state.id);
	const char *disposition = ocsf_disposition_name(ev->disposition);

	if (ev->class == OCSF_BASE)
		return;
	ocsf_put(l, ":");
	if (ev->class == OCSF_HTTP)
		ocsf_put_text(l, ev->http.method.n ? ev->http.method : STR("UNKNOWN"), WORD_MAX,
			      OCSF_WORD);
	else if (ev->class == OCSF_API)
		ocsf_put(l, "INFERENCE");
	else if (ev->class == OCSF_CONFIG)
		ocsf_put_upper(l, state ? state : "unknown");
	else if (ev->class == OCSF_FINDING && disposition)
		ocsf_put_upper(l, disposition);
	else
		ocsf_put_upper(l, ocsf_activity_name(ev));
}

size_t ocsf_shorthand(const struct ocsf_event *ev, char out[OCSF_SHORTHAND_MAX])
{
	static void (*const put[])(struct ocsf_line *, const struct ocsf_event *) = {
		[OCSF_NET] = put_net,         [OCSF_HTTP] = put_http,
		[OCSF_SSH] = put_ssh,         [OCSF_PROC] = put_proc,
		[OCSF_FINDING] = put_finding, [OCSF_LIFECYCLE] = put_lifecycle,
		[OCSF_CONFIG] = put_config,   [OCSF_API] = put_api,
		[OCSF_BASE] = put_base,
	};
	_Static_assert(ARRAY_LEN(put) == OCSF_CLASS_COUNT, "each class has its grammar");
	struct ocsf_line l = {.p = out, .max = OCSF_SHORTHAND_MAX};

	ocsf_put(&l, ocsf_class_info(ev->class)->tag);
	put_what(&l, ev);
	ocsf_put(&l, " [");
	ocsf_put(&l, ocsf_severity_tag(ocsf_severity_of(ev)));
	ocsf_put(&l, "]");
	put[ev->class](&l, ev);
	return l.n;
}
