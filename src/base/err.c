#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* A text cut in the middle of a UTF-8 sequence would make a gRPC message that peers refuse. */
static void trim_partial_character(char *text, size_t len)
{
	size_t back = 0;

	while (back < len && back < 4 && ((unsigned char)text[len - 1 - back] & 0xc0) == 0x80)
		back++;
	if (back == len || back == 4)
		return;
	unsigned char lead = (unsigned char)text[len - 1 - back];
	size_t want = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : lead >= 0xc0 ? 1 : 0;
	if (back < want)
		text[len - 1 - back] = '\0';
}

static size_t append(struct err *e, size_t at, const char *fmt, va_list ap)
{
	int n = vsnprintf(e->text + at, sizeof e->text - at, fmt, ap);

	if (n < 0)
		return at;
	if ((size_t)n >= sizeof e->text - at) {
		trim_partial_character(e->text, sizeof e->text - 1);
		return strlen(e->text);
	}
	return at + (size_t)n;
}

__attribute__((format(printf, 3, 4))) static size_t add(struct err *e, size_t at, const char *fmt,
							...)
{
	va_list ap;

	va_start(ap, fmt);
	at = append(e, at, fmt, ap);
	va_end(ap);
	return at;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	e->code = code;
	va_start(ap, fmt);
	append(e, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *e, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	e->code = saved;
	va_start(ap, fmt);
	size_t at = append(e, 0, fmt, ap);
	va_end(ap);
	add(e, at, ": %s", strerror(saved));
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	struct err inner = *e;
	va_list ap;

	va_start(ap, fmt);
	size_t at = append(e, 0, fmt, ap);
	va_end(ap);
	add(e, at, ": %s", inner.text);
	return -1;
}
