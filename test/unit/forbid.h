/* A host whose kernel, or seccomp profile, refuses a call. Included by tests that start something which makes it. */
#ifndef OPENSHELL_TEST_FORBID_H
#define OPENSHELL_TEST_FORBID_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>

#include "base/util.h"
#include "test.h"

/* Makes this system call fail for us and our children, where its argument (or any, -1) has the value. */
static UNUSED void forbid(int call, int argument, unsigned value, int error)
{
	unsigned offset = argument < 0
				  ? offsetof(struct seccomp_data, nr)
				  : offsetof(struct seccomp_data, args) + 8 * (unsigned)argument;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argument < 0 ? (unsigned)call : value, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = ARRAY_LEN(code), .filter = code};

	NOT_EMULATED("seccomp");
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

#endif
