/*
 * System call filters, written in the kernel's own BPF by hand: no library, nothing allocated, and
 * every instruction under test. Two are made (supervisor contract 4.6, 4.7):
 *
 *   the prelude   for the supervisor and the keeper once they are set up, and for all that they start:
 *                 no mounts, no BPF, no modules, no kexec
 *   the child's   for the sandbox's processes, on top of it: neither debugging nor other processes'
 *                 memory and files, no user namespaces, no io_uring, only sockets that the walls know
 *
 * Each filter looks at the architecture first, since the same number means another call elsewhere: a
 * call of a foreign architecture ends the process, as one of x32 on x86_64 does. A call that is refused
 * fails with EPERM; clone3, whose flags lie in memory where no filter can read them, with ENOSYS, on
 * which C libraries fall back to clone. What the filters do not name is allowed.
 *
 * Stricter than the peers, on purpose: socket families are a list of what is allowed and not of what
 * is refused, since vsock, Bluetooth, QRTR and others know no network namespace; key rings, the two
 * terminal ioctls that put words into somebody's shell, limits of other processes, and the later twins of refused calls
 * (mount_setattr, open_tree_attr, io_uring_enter and _register) are refused too.
 */
#ifndef OPENSHELL_ISOLATE_SECCOMP_H
#define OPENSHELL_ISOLATE_SECCOMP_H

#include <linux/filter.h>

enum seccomp_kind {
	SECCOMP_PRELUDE,
	SECCOMP_CHILD,            /* network by way of the proxy */
	SECCOMP_CHILD_NO_NETWORK, /* no IPv4 and IPv6 sockets at all: the policy's mode "block" */
	SECCOMP_KIND_COUNT,
};

enum { SECCOMP_INSNS_MAX = 256 };

struct seccomp_filter {
	unsigned short n;
	struct sock_filter insn[SECCOMP_INSNS_MAX];
};

/* Makes the filter for the architecture this binary is built for. */
void seccomp_make(enum seccomp_kind kind, struct seccomp_filter *out);

/* … of a process that serves what others have opened for it, and does nothing else (src/ssh): not what is refused is
 * listed there but what is allowed; all else fails with EPERM. */
void seccomp_make_server(struct seccomp_filter *out);

/* Puts the filter on the calling thread, for good, with no_new_privs, which it needs. Safe between fork
 * and exec; the child's filter must be the last one put on, for it refuses more. 0, or -1 with errno. */
int seccomp_install(const struct seccomp_filter *f);
/* … on all threads of the process. EBUSY when some thread has a filter of its own. */
int seccomp_install_on_all_threads(const struct seccomp_filter *f);

#endif
