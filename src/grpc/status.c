#include <assert.h>
#include <string.h>

#include "base/util.h"
#include "grpc/status.h"

static const char *const names[] = {
	[GRPC_OK] = "OK",
	[GRPC_CANCELLED] = "CANCELLED",
	[GRPC_UNKNOWN] = "UNKNOWN",
	[GRPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[GRPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[GRPC_NOT_FOUND] = "NOT_FOUND",
	[GRPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[GRPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[GRPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[GRPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[GRPC_ABORTED] = "ABORTED",
	[GRPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[GRPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[GRPC_INTERNAL] = "INTERNAL",
	[GRPC_UNAVAILABLE] = "UNAVAILABLE",
	[GRPC_DATA_LOSS] = "DATA_LOSS",
	[GRPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};
static_assert(ARRAY_LEN(names) == GRPC_UNAUTHENTICATED + 1, "a name for every status");

const char *grpc_status_name(enum grpc_status s)
{
	return (size_t)s < ARRAY_LEN(names) ? names[s] : names[GRPC_UNKNOWN];
}

enum grpc_status grpc_status_parse(struct str s)
{
	uint64_t n;

	if (str_u64(s, &n))
		return n < ARRAY_LEN(names) ? (enum grpc_status)n : GRPC_UNKNOWN;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_is(s, names[i]))
			return (enum grpc_status)i;
	}
	return GRPC_UNKNOWN;
}

enum grpc_status grpc_status_of_http(int http)
{
	switch (http) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

/* Whether the i-th byte stands for itself. A blank at either end of a field's value would make the
 * message malformed (RFC 9113 8.2.1). */
static bool plain(struct str s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];

	if (c == ' ')
		return i > 0 && i < s.n - 1;
	return c > ' ' && c <= '~' && c != '%';
}

struct str grpc_message_encode(struct str text, struct arena *a)
{
	static const char hex[] = "0123456789ABCDEF";
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += plain(text, i) ? 1 : 3;
	char *out = arena_zalloc(a, n + 1), *to = out;
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		if (plain(text, i)) {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = hex[c >> 4];
		*to++ = hex[c & 15];
	}
	return (struct str){out, n};
}

struct str grpc_message_decode(struct str value, struct arena *a)
{
	char *out = arena_zalloc(a, value.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < value.n; i++) {
		int c = str_percent(str_sub(value.p + i, value.n - i));
		out[n++] = c < 0 ? value.p[i] : (char)c;
		if (c >= 0)
			i += 2;
	}
	return (struct str){out, n};
}
