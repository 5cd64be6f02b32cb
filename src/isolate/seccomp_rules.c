/* What is refused to whom, as tables. */
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#include "base/util.h"
#include "isolate/seccomp_impl.h"

enum {
	/* asm-generic/ioctls.h: types into the terminal; the same on the Linux console, by selection */
	IOCTL_TIOCSTI = 0x5412,
	IOCTL_TIOCLINUX = 0x541c,
};

#define NEVER(name)                                                                                \
	{                                                                                          \
		.call = CALL_##name, .otherwise = REFUSE                                           \
	}

/* To everybody, once the supervisor is set up. */
static const struct rule common[] = {
	NEVER(MOUNT),           NEVER(FSOPEN),      NEVER(FSCONFIG),        NEVER(FSMOUNT),
	NEVER(FSPICK),          NEVER(MOVE_MOUNT),  NEVER(OPEN_TREE),       NEVER(OPEN_TREE_ATTR),
	NEVER(MOUNT_SETATTR),   NEVER(PIVOT_ROOT),  NEVER(UMOUNT2),         NEVER(BPF),
	NEVER(PERF_EVENT_OPEN), NEVER(USERFAULTFD), NEVER(INIT_MODULE),     NEVER(FINIT_MODULE),
	NEVER(DELETE_MODULE),   NEVER(KEXEC_LOAD),  NEVER(KEXEC_FILE_LOAD),
};

/* To the sandbox's processes. */
static const struct rule child[] = {
	/* other processes, by whatever name */
	NEVER(PTRACE),
	NEVER(PROCESS_VM_READV),
	NEVER(PROCESS_VM_WRITEV),
	NEVER(PIDFD_OPEN),
	NEVER(PIDFD_GETFD),
	NEVER(PIDFD_SEND_SIGNAL),
	NEVER(SETNS),
	/* limits of others of the same uid: RLIMIT_CPU would end them; 0 is the caller */
	{CALL_PRLIMIT64, ALLOW, {{DIFFERENT, 0, 0, REFUSE}}},
	/* programs that no path names, and so no policy of paths and binaries */
	NEVER(MEMFD_CREATE),
	{CALL_EXECVEAT, ALLOW, {{ANY_BIT, 4, AT_EMPTY_PATH, REFUSE}}},
	/* calls that go round a filter, and the filters themselves */
	NEVER(IO_URING_SETUP),
	NEVER(IO_URING_ENTER),
	NEVER(IO_URING_REGISTER),
	{CALL_SECCOMP, ALLOW, {{EQUAL, 0, SECCOMP_SET_MODE_FILTER, REFUSE}}},
	/* a user namespace of one's own comes with all capabilities in it */
	{CALL_UNSHARE, ALLOW, {{ANY_BIT, 0, CLONE_NEWUSER, REFUSE}}},
	{CALL_CLONE, ALLOW, {{ANY_BIT, 0, CLONE_NEWUSER, REFUSE}}},
	{.call = CALL_CLONE3, .otherwise = ABSENT},
	/* key rings are shared by all processes of a uid */
	NEVER(ADD_KEY),
	NEVER(REQUEST_KEY),
	NEVER(KEYCTL),
	{CALL_IOCTL,
	 ALLOW,
	 {{EQUAL, 1, IOCTL_TIOCSTI, REFUSE}, {EQUAL, 1, IOCTL_TIOCLINUX, REFUSE}}},
};

/* netlink: only NETLINK_ROUTE, number 0, which C libraries ask for the interfaces' addresses. */
#define ONLY_ROUTE                                                                                 \
	{DIFFERENT, 0, AF_NETLINK, REFUSE},                                                        \
	{                                                                                          \
		DIFFERENT, 2, 0, REFUSE                                                            \
	}

static const struct rule sockets[] = {
	{CALL_SOCKET,
	 ALLOW,
	 {{EQUAL, 0, AF_UNIX, ALLOW},
	  {EQUAL, 0, AF_INET, ALLOW},
	  {EQUAL, 0, AF_INET6, ALLOW},
	  ONLY_ROUTE}},
};

static const struct rule local_sockets[] = {
	{CALL_SOCKET, ALLOW, {{EQUAL, 0, AF_UNIX, ALLOW}, ONLY_ROUTE}},
};

#define TABLE(t) ((struct rules){t, ARRAY_LEN(t)})

size_t seccomp_tables(enum seccomp_kind kind, struct rules tables[TABLES_MAX])
{
	size_t n = 0;

	must(kind >= 0 && kind < SECCOMP_KIND_COUNT);
	tables[n++] = TABLE(common);
	if (kind == SECCOMP_PRELUDE)
		return n;
	tables[n++] = TABLE(child);
	if (kind == SECCOMP_CHILD)
		tables[n++] = TABLE(sockets);
	else
		tables[n++] = TABLE(local_sockets);
	return n;
}
