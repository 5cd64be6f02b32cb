/* Hosts that lack something: a filter of calls gives the answer of a kernel that was built without it. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "attack.h"

/* the same on every architecture */
enum { LANDLOCK_CREATE_RULESET = 444, FSOPEN = 430 };

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define GO_ON_IF(value, otherwise) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, otherwise)
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, what)

/* What a host may lack, by the call that begins with it. */
static const struct {
	const char *what;
	unsigned call;
	int error;
} lacks[] = {
	{"landlock", LANDLOCK_CREATE_RULESET, ENOSYS},
	{"mounts", FSOPEN, EPERM}, /* neither a view nor a /proc of one's own */
	{"pivot_root", SYS_pivot_root, EPERM},
};

/* The lower half of an argument comes first: our machines are little-endian. */
static struct sock_filter no_nf_tables[] = {
	LOAD(nr),
	GO_ON_IF(SYS_socket, 5),
	LOAD(args[0]),
	GO_ON_IF(AF_NETLINK, 3),
	LOAD(args[2]),
	GO_ON_IF(NETLINK_NETFILTER, 1),
	ANSWER(SECCOMP_RET_ERRNO | EPROTONOSUPPORT),
	ANSWER(SECCOMP_RET_ALLOW),
};

int run_without(const char *what, char **argv)
{
	struct sock_filter no_call[] = {
		LOAD(nr),
		GO_ON_IF(0, 1),
		ANSWER(SECCOMP_RET_ERRNO),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(no_nf_tables), no_nf_tables};

	for (size_t i = 0; i < ARRAY_LEN(lacks); i++) {
		if (strcmp(what, lacks[i].what) != 0)
			continue;
		no_call[1].k = lacks[i].call;
		no_call[2].k |= (unsigned)lacks[i].error;
		program = (struct sock_fprog){ARRAY_LEN(no_call), no_call};
	}
	/* as root, and without no_new_privs, so that nothing else changes */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0)
		execvp(argv[0], argv);
	perror(what);
	return 125;
}
