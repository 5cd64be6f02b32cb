/*
 * Hosts that lack something: the kernel's answer to the calls that would use it is the one of a kernel
 * that was built without. What a call's numbers tell is refused by a seccomp filter. That a message asks
 * for veth is in its bytes: there the filter asks us (seccomp user notification), and we read them.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <linux/veth.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/str.h"
#include "base/util.h"
#include "hosts_impl.h"
#include "net/netlink.h"

enum {
	NO_SUCH_HOST = 125,
	MESSAGE_MAX = 4096,
	NAMESPACES = CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS |
		     CLONE_NEWIPC,
};

#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + 8 * (n))

/* Without nf_tables there is no such family: netlink_create() says EPROTONOSUPPORT. */
static const struct sock_filter no_netfilter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_NETLINK, 0, 3),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(2)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NETLINK_NETFILTER, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* As in a container whose seccomp profile keeps namespaces for those who have CAP_SYS_ADMIN. */
static const struct sock_filter no_namespaces[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 6, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_unshare, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 2),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARGUMENT(0)), /* its flags, of both */
	BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
};

/* As where a seccomp profile lets nobody mount. */
static const struct sock_filter no_mounts[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fsopen, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* A message may be sent by these. */
static const struct sock_filter ask_about_messages[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 1, 0),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

/* A host that lacks something; asks: we are asked about each call. */
struct lack {
	const char *name;
	struct sock_fprog filter;
	bool asks;
};

#define FILTER(code)                                                                               \
	{                                                                                          \
		.len = ARRAY_LEN(code), .filter = (struct sock_filter *)(code)                     \
	}
static const struct lack lacks[] = {
	{"mounts", FILTER(no_mounts), false},
	{"namespaces", FILTER(no_namespaces), false},
	{"nf_tables", FILTER(no_netfilter), false},
	{"veth", FILTER(ask_about_messages), true},
};

/* ---- veth ---- */

int try_veth(void)
{
	struct ifinfomsg nothing = {0};
	struct nl_batch b;
	struct err e;

	if (unshare(CLONE_NEWNET) < 0)
		return errno;
	_cleanup_close_ int fd = nl_open(NETLINK_ROUTE, &e);
	if (fd < 0)
		return e.code;
	nl_begin(&b);
	nl_message(&b, "make a pair", RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, &nothing,
		   sizeof nothing);
	size_t info = nl_nest(&b, IFLA_LINKINFO);
	nl_attr(&b, IFLA_INFO_KIND, "veth", sizeof "veth");
	nl_nest_end(&b, info);
	return nl_exchange(fd, &b, &e) < 0 ? e.code : 0;
}

/* Whether the n bytes at that place of the process ask for a veth device; what cannot be read does not. */
static bool asks_for_veth(pid_t pid, uint64_t at, uint64_t n)
{
	char bytes[MESSAGE_MAX];
	struct nlmsghdr head;
	_cleanup_free_ char *path = xasprintf("/proc/%d/mem", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? -1 : pread(fd, bytes, MIN(n, sizeof bytes), (off_t)at);

	if (got < (ssize_t)sizeof head)
		return false;
	memcpy(&head, bytes, sizeof head);
	return head.nlmsg_type == RTM_NEWLINK && memmem(bytes, (size_t)got, "veth", 4) != NULL;
}

static bool is_refused(const struct seccomp_notif *call)
{
	pid_t pid = (pid_t)call->pid;
	struct iovec part;
	struct msghdr message;

	if (call->data.nr == SYS_sendto)
		return asks_for_veth(pid, call->data.args[1], call->data.args[2]);
	_cleanup_free_ char *path = xasprintf("/proc/%d/mem", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 ||
	    pread(fd, &message, sizeof message, (off_t)call->data.args[1]) != sizeof message ||
	    message.msg_iovlen == 0 ||
	    pread(fd, &part, sizeof part, (off_t)(uintptr_t)message.msg_iov) != sizeof part)
		return false;
	return asks_for_veth(pid, (uintptr_t)part.iov_base, part.iov_len);
}

static void answer_call(int listener)
{
	struct seccomp_notif call = {0};
	struct seccomp_notif_resp answer = {0};

	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0)
		return; /* who asked is gone */
	answer.id = call.id;
	if (is_refused(&call))
		answer.error = -EOPNOTSUPP;
	else
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

/* Until the last process that has the filter is gone. */
static void answer_calls(int listener)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	while (poll(&p, 1, -1) == 1 && !(p.revents & POLLHUP))
		answer_call(listener);
}

/* ---- all of them ---- */

/* The child: waits, once it has the filter, for whoever is to answer. It tells the number of the
 * listener by a pipe, since a message would already be asked about. */
static _Noreturn void become(const struct lack *l, int to, int from, char **command)
{
	unsigned flags = l->asks ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
	int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &l->filter);
	char go;

	if (listener < 0 || write(to, &listener, sizeof listener) != sizeof listener ||
	    read(from, &go, 1) != 1) {
		fprintf(stderr, "hosts: seccomp: %s\n", strerror(errno));
		_exit(NO_SUCH_HOST);
	}
	if (l->asks)
		close(listener);
	execvp(command[0], command);
	fprintf(stderr, "hosts: %s: %s\n", command[0], strerror(errno));
	_exit(NO_SUCH_HOST);
}

/* The parent: takes the listener, lets the child go on, and answers. */
static int serve(const struct lack *l, pid_t pid, int to, int from)
{
	int number;

	if (read(from, &number, sizeof number) != sizeof number)
		return -1;
	_cleanup_close_ int process = (int)syscall(SYS_pidfd_open, pid, 0);
	_cleanup_close_ int listener =
		l->asks ? (int)syscall(SYS_pidfd_getfd, process, number, 0) : -1;
	if ((l->asks && listener < 0) || write(to, "", 1) != 1)
		return -1;
	if (l->asks)
		answer_calls(listener);
	return 0;
}

static const struct lack *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(lacks); i++)
		if (streq(lacks[i].name, name))
			return &lacks[i];
	return NULL;
}

int run_without(const char *what, char **command)
{
	const struct lack *l = find(what);
	int up[2], down[2], status;

	if (l == NULL || pipe2(up, O_CLOEXEC) < 0 || pipe2(down, O_CLOEXEC) < 0)
		return NO_SUCH_HOST;
	pid_t pid = fork();
	if (pid == 0)
		become(l, up[1], down[0], command);
	close(up[1]);
	close(down[0]);
	if (pid < 0 || serve(l, pid, down[1], up[0]) < 0) {
		fprintf(stderr, "hosts: no host without %s here: %s\n", what, strerror(errno));
		return NO_SUCH_HOST;
	}
	if (waitpid(pid, &status, 0) != pid)
		return NO_SUCH_HOST;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
