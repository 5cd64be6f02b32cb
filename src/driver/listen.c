#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "driver/listen.h"
#include "net/unix.h"

enum { BACKLOG = 128 };

bool listen_admit(void *arg, int fd)
{
	const struct listen_users *users = arg;
	struct unix_peer peer;
	struct err e;

	if (unix_peer(fd, &peer, &e) < 0) {
		log_warn("connection refused", "reason=%s", e.text);
		return false;
	}
	if (peer.uid == geteuid())
		return true;
	for (size_t i = 0; i < users->n; i++) {
		if (peer.uid == users->uids[i])
			return true;
	}
	log_warn("connection refused: its user is neither ours nor one of --allow-uid",
		 "uid=%u pid=%d", peer.uid, peer.pid);
	return false;
}

union address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* Reads HOST:PORT. False when it is no such thing; *loopback says whether it is one that others
 * cannot reach. */
static bool parse_address(const char *text, union address *out, socklen_t *n, bool *loopback)
{
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN];
	uint64_t port;

	*out = (union address){0};
	if (colon == NULL || !str_u64(str_of(colon + 1), &port) || port > 65535)
		return false;
	struct str s = str_sub(text, (size_t)(colon - text));
	bool six = str_starts(s, "[") && str_ends(s, "]");
	if (six)
		s = str_sub(s.p + 1, s.n - 2);
	if (s.n == 0 || s.n >= sizeof host)
		return false;
	memcpy(host, s.p, s.n);
	host[s.n] = '\0';
	if (six) {
		*n = sizeof out->in6;
		out->in6.sin6_family = AF_INET6;
		out->in6.sin6_port = htons((uint16_t)port);
		if (inet_pton(AF_INET6, host, &out->in6.sin6_addr) != 1)
			return false;
		*loopback = IN6_IS_ADDR_LOOPBACK(&out->in6.sin6_addr);
		return true;
	}
	*n = sizeof out->in;
	out->in.sin_family = AF_INET;
	out->in.sin_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, streq(host, "localhost") ? "127.0.0.1" : host, &out->in.sin_addr) !=
	    1)
		return false;
	*loopback = ntohl(out->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return true;
}

int listen_loopback(int *out, const char *text, struct err *e)
{
	union address address;
	socklen_t n = 0;
	bool loopback = false;
	int on = 1;

	if (!parse_address(text, &address, &n, &loopback))
		return err_set(e, EINVAL, "--bind-address '%s' is not of the form HOST:PORT", text);
	if (!loopback)
		return err_set(e, EPERM,
			       "--bind-address '%s' is no loopback address: whoever reaches it "
			       "commands this driver",
			       text);
	_cleanup_close_ int fd =
		socket(address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(fd, &address.sa, n) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(e, "--bind-address '%s'", text);
	*out = steal_fd(&fd);
	return 0;
}
