#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "proxy/answer.h"

static const char *phrase(unsigned status)
{
	static const struct {
		unsigned status;
		const char *text;
	} phrases[] = {
		{400, "Bad Request"},        {403, "Forbidden"},
		{404, "Not Found"},          {408, "Request Timeout"},
		{417, "Expectation Failed"}, {431, "Request Header Fields Too Large"},
		{502, "Bad Gateway"},        {503, "Service Unavailable"},
		{504, "Gateway Timeout"},
	};

	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].text;
	must(!"a status without a phrase");
	return NULL;
}

/* Paths of programs are bytes; JSON is UTF-8. */
static void put_text(cJSON *o, const char *key, struct str text)
{
	_cleanup_free_ char *copy = str_dup(text);

	if (!str_is_utf8(text))
		for (char *p = copy; *p != '\0'; p++)
			*p = (unsigned char)*p < 0x80 ? *p : '?';
	json_put_str(o, key, copy);
}

/* What a header field may hold of a text. */
static void put_value(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++)
		must(buf_char(out, *text >= ' ' && *text <= '~' ? *text : '?'));
}

/* policy: for its own header field, or NULL. Takes body. */
static void respond(struct buf *out, unsigned status, const char *policy, cJSON *body)
{
	_cleanup_free_ char *text = json_text(body);

	cJSON_Delete(body);
	must(buf_printf(out,
			"HTTP/1.1 %u %s\r\nContent-Type: application/json\r\n"
			"Content-Length: %zu\r\n",
			status, phrase(status), strlen(text)));
	if (policy != NULL) {
		must(buf_cstr(out, "X-OpenShell-Policy: "));
		put_value(out, policy);
		must(buf_cstr(out, "\r\n"));
	}
	must(buf_cstr(out, "Connection: close\r\n\r\n") && buf_cstr(out, text));
}

void answer_established(struct buf *out)
{
	must(buf_cstr(out, "HTTP/1.1 200 Connection Established\r\n\r\n"));
}

void answer_error(struct buf *out, unsigned status, const char *error, const char *detail,
		  const char *reason)
{
	cJSON *body = json_object();

	json_put_str(body, "error", error);
	put_text(body, "detail", str_of(detail));
	if (!str_empty(reason))
		put_text(body, "reason", str_of(reason));
	respond(out, status, NULL, body);
}

void answer_errorf(struct buf *out, unsigned status, const char *error, const char *format, ...)
{
	char detail[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(detail, sizeof detail, format, args);
	va_end(args);
	answer_error(out, status, error, detail, NULL);
}

void answer_text(struct buf *out, unsigned status, const char *text)
{
	must(buf_printf(out,
			"HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
			"Connection: close\r\n\r\n%s",
			status, phrase(status), strlen(text), text));
}

/* What both the body and its rule_missing have. */
static void put_request(cJSON *o, const struct answer_denial *d)
{
	put_text(o, "method", d->method);
	put_text(o, "path", d->path);
	if (!str_empty(d->host))
		json_put_str(o, "host", d->host);
	if (d->port != 0)
		json_put_int(o, "port", d->port);
	if (!str_empty(d->binary))
		put_text(o, "binary", str_of(d->binary));
}

void answer_denied(struct buf *out, const struct answer_denial *d)
{
	const char *policy = d->policy ? d->policy : "-";
	_cleanup_free_ char *rule = xasprintf("%.*s %.*s", STR_FMT(d->method), STR_FMT(d->path));
	cJSON *body = json_object();

	json_put_str(body, "error", "policy_denied");
	put_text(body, "policy", str_of(policy));
	put_text(body, "rule", str_of(rule));
	put_text(body, "detail", str_of(d->reason));
	json_put_str(body, "layer", "l7");
	json_put_str(body, "protocol", "rest");
	put_request(body, d);
	cJSON *missing = json_put_object(body, "rule_missing");
	json_put_str(missing, "type", "rest_allow");
	json_put_str(missing, "layer", "l7");
	put_request(missing, d);
	/* steps for an agent to take are those of policy.local's proposals (6.10), which are not on */
	json_put_array(body, "next_steps");
	respond(out, 403, policy, body);
}
