/* What the attempts have in common: addresses, connections, small files, and how to say what came of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack.h"

enum {
	CONNECT_MS = 1000,
	ANSWER_MS = 3000,
	QUIET_MS = 300, /* after which an answer is whole */
};

static char words[240];

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
}

const char *noted(void)
{
	return words;
}

enum result no(const char *call)
{
	int e = errno;

	note("%s: %s", call, strerror(e));
	switch (e) {
	case ENOSYS:
	case EAFNOSUPPORT:
	case EPFNOSUPPORT:
	case EPROTONOSUPPORT:
	case ESOCKTNOSUPPORT:
		return ABSENT;
	default:
		return REFUSED;
	}
}

enum result got_if(long r, const char *call)
{
	if (r < 0)
		return no(call);
	note("%s succeeded", call);
	return GOT;
}

const char *token_of(const struct attempt *a)
{
	static char token[80];

	snprintf(token, sizeof token, "xx-%s-xx", a->name);
	return token;
}

socklen_t address(struct sockaddr_storage *out, const char *text, uint16_t port)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_in *four = (struct sockaddr_in *)out;

	memset(out, 0, sizeof *out);
	if (strchr(text, ':')) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
		must(inet_pton(AF_INET6, text, &six->sin6_addr) == 1);
		return sizeof *six;
	}
	four->sin_family = AF_INET;
	four->sin_port = htons(port);
	must(inet_pton(AF_INET, text, &four->sin_addr) == 1);
	return sizeof *four;
}

int connect_soon(int fd, const struct sockaddr_storage *to, socklen_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t size = sizeof error;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (connect(fd, (const struct sockaddr *)to, n) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -1;
	if (poll(&p, 1, CONNECT_MS) != 1) {
		errno = ETIMEDOUT;
		return -1;
	}
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	errno = error;
	return error ? -1 : 0;
}

static int connected(const struct sockaddr_storage *to, socklen_t n)
{
	_cleanup_close_ int fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || connect_soon(fd, to, n) < 0 ? -1 : steal_fd(&fd);
}

int tcp_to(const char *text, uint16_t port)
{
	struct sockaddr_storage to;
	socklen_t n = address(&to, text, port);

	return connected(&to, n);
}

/* http://ADDRESS:PORT, with or without a slash behind. */
bool proxy_address(struct sockaddr_storage *out, socklen_t *n)
{
	const char *url = getenv("http_proxy");
	char host[64];
	unsigned port;

	if (!url || sscanf(url, "http://%63[0-9.]:%u", host, &port) != 2 || port > UINT16_MAX)
		return false;
	*n = address(out, host, (uint16_t)port);
	return true;
}

int tcp_to_proxy(void)
{
	struct sockaddr_storage to;
	socklen_t n;

	if (!proxy_address(&to, &n)) {
		errno = EDESTADDRREQ;
		return -1;
	}
	return connected(&to, n);
}

bool send_all(int fd, const void *p, size_t n)
{
	struct pollfd poller = {.fd = fd, .events = POLLOUT};
	const char *from = p;

	while (n > 0) {
		ssize_t sent = send(fd, from, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN && poll(&poller, 1, CONNECT_MS) == 1)
			continue;
		if (sent <= 0)
			return false;
		from += sent;
		n -= (size_t)sent;
	}
	return true;
}

size_t read_for(int fd, char *p, size_t room, int quiet_ms)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	size_t n = 0;

	while (n + 1 < room && poll(&poller, 1, quiet_ms) == 1) {
		ssize_t got = read(fd, p + n, room - 1 - n);

		if (got < 0 && errno == EAGAIN)
			continue;
		if (got <= 0)
			break;
		n += (size_t)got;
	}
	p[n] = '\0';
	return n;
}

size_t read_answer(int fd, char *p, size_t room)
{
	struct pollfd poller = {.fd = fd, .events = POLLIN};

	p[0] = '\0';
	return poll(&poller, 1, ANSWER_MS) == 1 ? read_for(fd, p, room, QUIET_MS) : 0;
}

ssize_t slurp(const char *path, char *p, size_t room)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, p, room - 1);

	if (n >= 0)
		p[n] = '\0';
	return n;
}

enum result read_a_byte(const char *path)
{
	char bytes[9]; /* some files of /proc have words */
	ssize_t n = slurp(path, bytes, sizeof bytes);

	if (n < 0)
		return no(path);
	note("%s: %s", path, n ? "a byte was read" : "empty");
	return n ? GOT : REFUSED;
}

enum result write_a_byte(const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? no(path) : got_if(write(fd, "x", 1), path);
}
