#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/util.h"
#include "kube/error.h"

static const char *const fault_names[] = {
	[KUBE_NONE] = "None",
	[KUBE_TRANSPORT] = "Transport",
	[KUBE_TIMEOUT] = "Timeout",
	[KUBE_BAD_ANSWER] = "BadAnswer",
	[KUBE_BAD_REQUEST] = "BadRequest",
	[KUBE_UNAUTHORIZED] = "Unauthorized",
	[KUBE_FORBIDDEN] = "Forbidden",
	[KUBE_QUOTA] = "QuotaExceeded",
	[KUBE_NOT_FOUND] = "NotFound",
	[KUBE_NO_RESOURCE] = "NoResource",
	[KUBE_ALREADY_EXISTS] = "AlreadyExists",
	[KUBE_CONFLICT] = "Conflict",
	[KUBE_EXPIRED] = "Expired",
	[KUBE_INVALID] = "Invalid",
	[KUBE_BUSY] = "Busy",
	[KUBE_SERVER] = "ServerError",
};
_Static_assert(ARRAY_LEN(fault_names) == KUBE_SERVER + 1, "a name for each fault");

const char *kube_fault_name(enum kube_fault f)
{
	return fault_names[f];
}

bool kube_error_is_transient(const struct kube_error *e)
{
	return e->fault == KUBE_TRANSPORT || e->fault == KUBE_TIMEOUT || e->fault == KUBE_BUSY ||
	       e->fault == KUBE_SERVER;
}

/* By status and, where one status means several things, by the reason: the names of
 * k8s.io/apimachinery's metav1.StatusReason. */
static enum kube_fault fault_of(const struct kube_error *e)
{
	switch (e->http) {
	case 401:
		return KUBE_UNAUTHORIZED;
	case 403: /* "exceeded quota: NAME, requested: …" is what the ResourceQuota plugin says */
		return strstr(e->message, "exceeded quota") ? KUBE_QUOTA : KUBE_FORBIDDEN;
	case 404: /* an unknown path is answered without a name, and mostly as plain text */
		return e->name[0] || strstr(e->message, "\" not found") ? KUBE_NOT_FOUND
									: KUBE_NO_RESOURCE;
	case 409:
		return streq(e->reason, "AlreadyExists") ? KUBE_ALREADY_EXISTS : KUBE_CONFLICT;
	case 410:
		return KUBE_EXPIRED;
	case 422:
		return KUBE_INVALID;
	case 429:
	case 503:
		return KUBE_BUSY;
	case 504:
		return KUBE_TIMEOUT;
	default:
		break;
	}
	if (e->http >= 500)
		return streq(e->reason, "Timeout") ? KUBE_TIMEOUT : KUBE_SERVER;
	return e->http >= 400 ? KUBE_BAD_REQUEST : KUBE_BAD_ANSWER;
}

static void copy(char *to, size_t size, struct str s)
{
	snprintf(to, size, "%.*s", (int)MIN(s.n, size - 1), s.n ? s.p : "");
}

/* The first line of a body that is no Status, such as a proxy's page or "404 page not found". */
static struct str first_line(struct str text)
{
	struct str s = str_trim(text);

	return str_trim(str_cut(&s, '\n'));
}

void kube_error_from_status(struct kube_error *e, int http, const cJSON *body, struct str text)
{
	const cJSON *details = json_get(body, "details");

	*e = (struct kube_error){.http = http ? http : (int)json_int(body, "code", 0)};
	copy(e->reason, sizeof e->reason, str_of(json_str(body, "reason")));
	copy(e->kind, sizeof e->kind, str_of(json_str(details, "kind")));
	copy(e->name, sizeof e->name, str_of(json_str(details, "name")));
	copy(e->message, sizeof e->message, str_of(json_str(body, "message")));
	if (e->message[0] == '\0')
		copy(e->message, sizeof e->message, first_line(text));
	if (e->message[0] == '\0')
		snprintf(e->message, sizeof e->message, "the server answered with status %d",
			 e->http);
	e->retry_after_ms = MAX(json_int(details, "retryAfterSeconds", 0), (int64_t)0) * 1000;
	e->fault = fault_of(e);
}

void kube_error_set(struct kube_error *e, enum kube_fault fault, const char *fmt, ...)
{
	va_list ap;

	*e = (struct kube_error){.fault = fault};
	va_start(ap, fmt);
	vsnprintf(e->message, sizeof e->message, fmt, ap);
	va_end(ap);
}
