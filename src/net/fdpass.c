#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/fdpass.h"

union control {
	struct cmsghdr h;
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

int fdpass_send(int channel, const void *p, size_t n, const int *fds, size_t n_fds)
{
	struct iovec io = {.iov_base = (void *)p, .iov_len = n};
	union control control = {{0}};
	struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
	ssize_t sent;

	must(n_fds <= FDPASS_MAX);
	if (n_fds > 0) {
		m.msg_control = &control;
		m.msg_controllen = (socklen_t)CMSG_SPACE(n_fds * sizeof *fds);
		struct cmsghdr *h = CMSG_FIRSTHDR(&m);
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = (socklen_t)CMSG_LEN(n_fds * sizeof *fds);
		memcpy(CMSG_DATA(h), fds, n_fds * sizeof *fds);
	}
	do {
		sent = sendmsg(channel, &m, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -1 : 0;
}

/* What does not fit into this process's table of files, the kernel leaves out. */
static void collect(struct msghdr *m, struct fdpass *out)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_CREDENTIALS)
			out->sender = ((const struct ucred *)(const void *)CMSG_DATA(h))->pid;
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		must(out->n + n <= FDPASS_MAX);
		memcpy(out->fd + out->n, CMSG_DATA(h), n * sizeof(int));
		out->n += n;
	}
	out->lost = (m->msg_flags & MSG_CTRUNC) != 0;
	if (out->lost)
		fdpass_close(out);
}

ssize_t fdpass_receive(int channel, void *p, size_t n, struct fdpass *fds)
{
	struct iovec io = {.iov_base = p, .iov_len = n};
	union control control;
	struct msghdr m = {.msg_iov = &io,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof control.bytes};
	ssize_t got;

	*fds = (struct fdpass){.n = 0};
	do {
		got = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	collect(&m, fds);
	if (m.msg_flags & MSG_TRUNC) {
		fdpass_close(fds);
		errno = EMSGSIZE;
		return -1;
	}
	return got;
}

ssize_t fdpass_receive_within(int channel, void *p, size_t n, struct fdpass *fds, int ms)
{
	struct pollfd poller = {.fd = channel, .events = POLLIN};

	*fds = (struct fdpass){.n = 0};
	int ready = poll(&poller, 1, ms);
	if (ready == 0)
		errno = ETIMEDOUT;
	return ready == 1 ? fdpass_receive(channel, p, n, fds) : -1;
}

int fdpass_ask_sender(int channel)
{
	int on = 1;

	return setsockopt(channel, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
}

bool fdpass_is_closed(int channel)
{
	struct pollfd poller = {.fd = channel};

	return poll(&poller, 1, 0) == 1 && (poller.revents & POLLHUP) != 0;
}

int fdpass_take(struct fdpass *fds, size_t i)
{
	must(i < fds->n);
	return steal_fd(&fds->fd[i]);
}

void fdpass_close(struct fdpass *fds)
{
	for (size_t i = 0; i < fds->n; i++)
		if (fds->fd[i] >= 0)
			close(fds->fd[i]);
	fds->n = 0;
}
