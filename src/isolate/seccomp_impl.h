/*
 * What src/isolate/seccomp*.c and their test share: calls and their numbers, rules, the builder.
 */
#ifndef OPENSHELL_ISOLATE_SECCOMP_IMPL_H
#define OPENSHELL_ISOLATE_SECCOMP_IMPL_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "isolate/seccomp.h"

enum arch {
	ARCH_X86_64,
	ARCH_AARCH64,
	ARCH_COUNT,
};

#if defined(__x86_64__)
#define ARCH_OWN ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_OWN ARCH_AARCH64
#endif

/* AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 of linux/audit.h */
enum {
	AUDIT_X86_64 = 0xc000003e,
	AUDIT_AARCH64 = 0xc00000b7,
};

/* Added to the numbers of x32, which has the architecture of x86_64. */
enum { X32_BIT = 0x40000000 };

/* The calls that the rules name; seccomp_calls.c has their numbers. */
enum call {
	CALL_ADD_KEY,
	CALL_BPF,
	CALL_CLONE,
	CALL_CLONE3,
	CALL_DELETE_MODULE,
	CALL_EXECVEAT,
	CALL_FINIT_MODULE,
	CALL_FSCONFIG,
	CALL_FSMOUNT,
	CALL_FSOPEN,
	CALL_FSPICK,
	CALL_INIT_MODULE,
	CALL_IOCTL,
	CALL_IO_URING_ENTER,
	CALL_IO_URING_REGISTER,
	CALL_IO_URING_SETUP,
	CALL_KEXEC_FILE_LOAD,
	CALL_KEXEC_LOAD,
	CALL_KEYCTL,
	CALL_MEMFD_CREATE,
	CALL_MOUNT,
	CALL_MOUNT_SETATTR,
	CALL_MOVE_MOUNT,
	CALL_OPEN_TREE,
	CALL_OPEN_TREE_ATTR,
	CALL_PERF_EVENT_OPEN,
	CALL_PIDFD_GETFD,
	CALL_PIDFD_OPEN,
	CALL_PIDFD_SEND_SIGNAL,
	CALL_PIVOT_ROOT,
	CALL_PRLIMIT64,
	CALL_PROCESS_VM_READV,
	CALL_PROCESS_VM_WRITEV,
	CALL_PTRACE,
	CALL_REQUEST_KEY,
	CALL_SECCOMP,
	CALL_SETNS,
	CALL_SOCKET,
	CALL_UMOUNT2,
	CALL_UNSHARE,
	CALL_USERFAULTFD,
	CALL_COUNT,
};

struct call_info {
	const char *name;
	uint32_t nr[ARCH_COUNT];
};
extern const struct call_info seccomp_calls[CALL_COUNT];

enum verdict {
	ALLOW,
	REFUSE, /* EPERM */
	ABSENT, /* ENOSYS */
	KILL,   /* the process */
};

/*
 * One look at an argument. The kernel takes all the arguments that rules look at as 32 bits wide, or
 * knows only flags there that are: the upper half is never looked at, so that nobody hides behind it.
 */
struct step {
	enum {
		STEP_END, /* of a rule's steps */
		EQUAL,
		DIFFERENT,
		ANY_BIT,
	} test;
	uint8_t arg;
	uint32_t value;
	enum verdict verdict; /* when the test is true */
};

enum { STEPS_MAX = 5 };

struct rule {
	enum call call;
	enum verdict otherwise; /* when no step decides */
	struct step steps[STEPS_MAX + 1];
};

struct rules {
	const struct rule *rule;
	size_t n;
};

/* The tables that make up a filter of this kind. */
enum { TABLES_MAX = 3 };
size_t seccomp_tables(enum seccomp_kind kind, struct rules tables[TABLES_MAX]);

/* Makes the filter of these tables for an architecture. */
void seccomp_build(enum arch arch, const struct rules *tables, size_t n, struct seccomp_filter *f);

/* A call that the architecture does not have. */
enum { NO_CALL = 0x7fffffff };

/* … of those calls alone, for an architecture. */
void seccomp_build_allowed(enum arch arch, const struct call_info *calls, size_t n,
			   struct seccomp_filter *f);
extern const struct call_info seccomp_server_calls[];
extern const size_t seccomp_server_calls_n;

#endif
