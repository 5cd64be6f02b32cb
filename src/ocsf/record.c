/*
 * The record for a program: one JSON object, contract 7.2. It is written straight into the buffer, in
 * the order of its keys, without a tree in between: an event costs a few microseconds.
 */
#include <string.h>

#include "ocsf/ocsf_impl.h"

enum {
	TEXT_MAX = 4096, /* bytes of a text; the rest is cut and "..." put there */
};

struct out {
	struct buf *b;
	bool first; /* nothing was put into the innermost object yet */
	bool ok;
};

static void put(struct out *o, const char *p, size_t n)
{
	o->ok = o->ok && buf_add(o->b, p, n);
}

static void put_literal(struct out *o, const char *s)
{
	put(o, s, strlen(s));
}

static void put_key(struct out *o, const char *key)
{
	put_literal(o, o->first ? "\"" : ",\"");
	put_literal(o, key);
	put_literal(o, "\":");
	o->first = false;
}

static void open_object(struct out *o, const char *key)
{
	if (key)
		put_key(o, key);
	put_literal(o, "{");
	o->first = true;
}

static void close_object(struct out *o)
{
	put_literal(o, "}");
	o->first = false;
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* A character that may not, or should not, stand in a string as it is. Those beyond the basic plane
 * are two escapes (RFC 8259 section 7). */
static void put_escaped(struct out *o, uint32_t c)
{
	char text[16];
	int n;

	if (c == '"' || c == '\\')
		n = sprintf(text, "\\%c", (char)c);
	else if (c == OCSF_BAD_BYTE)
		n = sprintf(text, "\\ufffd");
	else if (c < 0x10000)
		n = sprintf(text, "\\u%04x", (unsigned)c);
	else
		n = sprintf(text, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((c - 0x10000) >> 10)),
			    (unsigned)(0xdc00 + (c & 0x3ff)));
	put(o, text, (size_t)n);
}

static void put_string(struct out *o, struct str s)
{
	const char *end = s.p + MIN(s.n, (size_t)TEXT_MAX);

	put_literal(o, "\"");
	while (s.n > 0) {
		size_t n = 0;
		uint32_t c;
		while (s.p + n < end && is_plain((unsigned char)s.p[n]))
			n++;
		put(o, s.p, n);
		s = str_sub(s.p + n, s.n - n);
		if (s.n == 0)
			break;
		n = ocsf_next_char(s, &c);
		if (s.p + n > end) {
			put_literal(o, "...");
			break;
		}
		if (c == '"' || c == '\\' || c == OCSF_BAD_BYTE || ocsf_unprintable(c))
			put_escaped(o, c);
		else
			put(o, s.p, n);
		s = str_sub(s.p + n, s.n - n);
	}
	put_literal(o, "\"");
}

/* A text that is there. */
static void put_text(struct out *o, const char *key, struct str s)
{
	if (s.n == 0)
		return;
	put_key(o, key);
	put_string(o, s);
}

static void put_int(struct out *o, const char *key, int64_t i)
{
	char digits[24];

	put_key(o, key);
	put(o, digits, (size_t)snprintf(digits, sizeof digits, "%lld", (long long)i));
}

/* An enum as its label and its number, when it is there: "action":"Denied","action_id":2. */
static void put_enum(struct out *o, const char *key, const char *label, int id)
{
	char id_key[32];

	if (!label)
		return;
	put_text(o, key, str_of(label));
	snprintf(id_key, sizeof id_key, "%s_id", key);
	put_int(o, id_key, id);
}

static bool has_process(const struct ocsf_event *ev)
{
	return ev->process.name.n > 0 || ev->process.pid > 0;
}

static void put_process(struct out *o, const struct ocsf_process *p)
{
	open_object(o, "process");
	put_text(o, "cmd_line", p->cmd_line);
	put_text(o, "name", p->name.n ? p->name : STR("unknown"));
	if (p->parent_name.n > 0 || p->parent_pid > 0) {
		open_object(o, "parent_process");
		put_text(o, "name", p->parent_name.n ? p->parent_name : STR("unknown"));
		put_int(o, "pid", p->parent_pid);
		close_object(o);
	}
	put_int(o, "pid", p->pid);
	close_object(o);
}

static void put_endpoint(struct out *o, const char *key, const struct ocsf_endpoint *e)
{
	bool v6;

	if (e->host.n == 0 && e->port == 0)
		return;
	open_object(o, key);
	put_text(o, ocsf_is_ip(e->host, &v6) ? "ip" : "domain", e->host);
	if (e->port)
		put_int(o, "port", e->port);
	close_object(o);
}

static void put_app(struct out *o, const char *key, const struct ocsf_context *c)
{
	open_object(o, key);
	put_text(o, "name", STR(OCSF_APP));
	put_text(o, "vendor_name", STR(OCSF_VENDOR));
	put_text(o, "version", c->version);
	close_object(o);
}

/* The keys from "activity_id" to "class_uid". */
static void put_beginning(struct out *o, const struct ocsf_event *ev, const struct ocsf_context *c)
{
	const struct ocsf_class_info *class = ocsf_class_info(ev->class);

	put_enum(o, "action", ocsf_action_name(ev->action), ev->action);
	put_int(o, "activity_id", ocsf_activity_of(ev));
	put_text(o, "activity_name", str_of(ocsf_activity_name(ev)));
	if (has_process(ev) && ev->class != OCSF_PROC) {
		open_object(o, "actor");
		put_process(o, &ev->process);
		close_object(o);
	}
	if (ev->api.model.n > 0) {
		open_object(o, "ai_model");
		put_text(o, "ai_provider", ev->api.provider);
		put_text(o, "name", ev->api.model);
		close_object(o);
	}
	if (ev->class == OCSF_API) {
		open_object(o, "api");
		put_text(o, "operation", ev->api.operation);
		close_object(o);
	}
	if (ev->class == OCSF_LIFECYCLE)
		put_app(o, "app", c);
	if (ev->auth.n > 0) {
		put_text(o, "auth_type", ev->auth);
		put_int(o, "auth_type_id", OCSF_OTHER);
	}
	put_text(o, "category_name", str_of(class->category_name));
	put_int(o, "category_uid", class->category);
	put_text(o, "class_name", str_of(class->name));
	put_int(o, "class_uid", class->uid);
}

/* "container" and "device": where it happened. */
static void put_place(struct out *o, const struct ocsf_context *c)
{
	if (c->sandbox_id.n + c->sandbox_name.n + c->image.n > 0) {
		open_object(o, "container");
		if (c->image.n > 0) {
			open_object(o, "image");
			put_text(o, "name", c->image);
			close_object(o);
		}
		put_text(o, "name", c->sandbox_name);
		put_text(o, "uid", c->sandbox_id);
		close_object(o);
	}
	open_object(o, "device");
	put_text(o, "hostname", c->hostname);
	open_object(o, "os");
	put_text(o, "name", STR("Linux"));
	close_object(o);
	close_object(o);
}

static void put_http_request(struct out *o, const struct ocsf_event *ev)
{
	if (ev->http.method.n == 0)
		return;
	open_object(o, "http_request");
	put_text(o, "http_method", ev->http.method);
	if (ev->http.host.n > 0) {
		open_object(o, "url");
		put_text(o, "hostname", ev->http.host);
		put_text(o, "path", ev->http.path);
		if (ev->http.port)
			put_int(o, "port", ev->http.port);
		put_text(o, "scheme", ev->http.scheme);
		close_object(o);
	}
	close_object(o);
}

/* The keys from "confidence" to "launch_type_id". */
static void put_middle(struct out *o, const struct ocsf_event *ev, const struct ocsf_context *c)
{
	put_enum(o, "confidence", ocsf_confidence_name(ev->finding.confidence),
		 ev->finding.confidence);
	if (ev->protocol.n > 0) {
		open_object(o, "connection_info");
		put_text(o, "protocol_name", ev->protocol);
		close_object(o);
	}
	put_place(o, c);
	put_enum(o, "disposition", ocsf_disposition_name(ev->disposition), ev->disposition);
	put_endpoint(o, "dst_endpoint", &ev->dst);
	if (ev->exit_code)
		put_int(o, "exit_code", *ev->exit_code);
	if (ev->class == OCSF_FINDING) {
		open_object(o, "finding_info");
		put_text(o, "title", ev->finding.title);
		put_text(o, "uid", ev->finding.uid);
		close_object(o);
	}
	if (ev->rule.policy.n > 0 || ev->rule.engine.n > 0) {
		open_object(o, "firewall_rule");
		put_text(o, "name", ev->rule.policy);
		put_text(o, "type", ev->rule.engine);
		close_object(o);
	}
	put_http_request(o, ev);
	if (ev->class == OCSF_NET || ev->class == OCSF_HTTP) {
		put_key(o, "is_src_dst_assignment_known");
		put_literal(o, "true");
	}
	if (ev->class == OCSF_PROC && ocsf_activity_of(ev) == OCSF_PROC_LAUNCH)
		put_enum(o, "launch_type", "Spawn", 1);
}

static void put_metadata(struct out *o, const struct ocsf_event *ev, const struct ocsf_context *c)
{
	open_object(o, "metadata");
	put_app(o, "product", c);
	put_key(o, "profiles");
	put_literal(o, ocsf_class_info(ev->class)->profiles);
	put_text(o, "uid", c->sandbox_id);
	put_text(o, "version", STR(OCSF_SCHEMA));
	close_object(o);
}

/* The keys from "observation_point_id" to "state_id". */
static void put_end(struct out *o, const struct ocsf_event *ev, const struct ocsf_context *c)
{
	const char *state = ev->state.label ? ev->state.label : ocsf_state_name(ev->state.id);

	if (ev->class == OCSF_HTTP)
		put_int(o, "observation_point_id", 2); /* at the destination: the proxy is it */
	put_enum(o, "prev_security_level", ocsf_security_level_name(ev->prev_security_level),
		 ev->prev_security_level);
	if (ev->class == OCSF_PROC)
		put_process(o, &ev->process);
	if (ev->class == OCSF_NET || ev->class == OCSF_HTTP)
		put_endpoint(o, "proxy_endpoint", &c->proxy);
	put_enum(o, "security_level", ocsf_security_level_name(ev->security_level),
		 ev->security_level);
	put_enum(o, "severity", ocsf_severity_name(ocsf_severity_of(ev)), ocsf_severity_of(ev));
	put_endpoint(o, "src_endpoint", &ev->src);
	if (ev->class == OCSF_CONFIG)
		put_enum(o, "state", state, ev->state.id ? ev->state.id : OCSF_STATE_OTHER);
}

/* The keys from "status" to "unmapped". */
static void put_rest(struct out *o, const struct ocsf_event *ev)
{
	const struct ocsf_class_info *class = ocsf_class_info(ev->class);
	const struct ocsf_pair *pairs[OCSF_PAIRS_MAX];
	size_t n = ocsf_pairs(ev, pairs);
	char type[64];

	/* "status_detail" stands between the two of the enum */
	put_text(o, "status", str_of(ocsf_status_name(ev->status)));
	put_text(o, "status_detail", ev->status_detail);
	if (ocsf_status_name(ev->status))
		put_int(o, "status_id", ev->status);
	put_int(o, "time", ev->time_ms);
	snprintf(type, sizeof type, "%s: %s", class->name, ocsf_activity_name(ev));
	put_text(o, "type_name", str_of(type));
	put_int(o, "type_uid", class->uid * 100 + (int)ocsf_activity_of(ev));
	if (n > 0) {
		open_object(o, "unmapped");
		for (size_t i = 0; i < n; i++)
			put_text(o, pairs[i]->key, pairs[i]->value);
		close_object(o);
	}
}

bool ocsf_json(const struct ocsf_event *ev, const struct ocsf_context *c, struct buf *out)
{
	struct out o = {.b = out, .ok = true};
	size_t before = out->n;

	open_object(&o, NULL);
	put_beginning(&o, ev, c);
	put_middle(&o, ev, c);
	put_text(&o, "message", ev->message);
	put_metadata(&o, ev, c);
	put_end(&o, ev, c);
	put_rest(&o, ev);
	close_object(&o);
	if (!o.ok)
		out->n = before;
	return o.ok;
}
