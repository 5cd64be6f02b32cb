#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void must_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, what);
	abort();
}

static void *or_die(void *p)
{
	if (p == NULL)
		die("out of memory");
	return p;
}

void *xmalloc(size_t n)
{
	return or_die(malloc(n ? n : 1));
}

void *xcalloc(size_t count, size_t size)
{
	return or_die(count && size ? calloc(count, size) : calloc(1, 1));
}

void *xrealloc(void *p, size_t n)
{
	return or_die(realloc(p, n ? n : 1));
}

char *xstrdup(const char *s)
{
	return or_die(strdup(s));
}

char *xstrndup(const char *s, size_t n)
{
	return or_die(strndup(s, n));
}

char *xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		die("out of memory");
	va_end(ap);
	return s;
}

void free_secret(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	free(s);
}

void cleanup_freep(void *p)
{
	free(*(void **)p);
}

void cleanup_secretp(char **s)
{
	free_secret(*s);
}

void cleanup_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

void cleanup_filep(FILE **f)
{
	if (*f != NULL)
		fclose(*f);
}

void *steal_pointer(void *pp)
{
	void *p = *(void **)pp;

	*(void **)pp = NULL;
	return p;
}

int steal_fd(int *fd)
{
	int n = *fd;

	*fd = -1;
	return n;
}

static int64_t now_ms(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t mono_ms(void)
{
	return now_ms(CLOCK_MONOTONIC);
}

int64_t wall_ms(void)
{
	return now_ms(CLOCK_REALTIME);
}

void random_bytes(void *p, size_t n)
{
	char *at = p;

	while (n > 0) {
		ssize_t got = getrandom(at, n, 0);
		if (got < 0) {
			must(errno == EINTR);
			continue;
		}
		at += got;
		n -= (size_t)got;
	}
}

void uuid_random(char out[UUID_TEXT])
{
	unsigned char b[16];

	random_bytes(b, sizeof b);
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(out, UUID_TEXT,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		 b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		 b[15]);
}

int64_t with_jitter(int64_t d)
{
	uint32_t r;

	random_bytes(&r, sizeof r);
	return d - d / 5 + (int64_t)((uint64_t)r * (uint64_t)(d * 2 / 5) >> 32);
}

int64_t backoff_ms(unsigned failures, int64_t first_ms, int64_t max_ms)
{
	int64_t ms = failures > 0 ? first_ms : 0;

	for (; failures > 1 && ms < max_ms; failures--)
		ms *= 2;
	return with_jitter(MIN(ms, max_ms));
}
