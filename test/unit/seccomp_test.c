/*
 * isolate/seccomp: the instructions themselves, what they answer to every call on both architectures
 * (by an interpreter of the few instructions that there are), and what this kernel then does.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../src/isolate/seccomp.c"
#include "test.h"

#define LD_NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0)
#define LD_ARCH BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 4)
#define LD_ARG(i) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16 + 8 * (i))
#define JEQ(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, yes, no)
#define JGE(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, k, yes, no)
#define JSET(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, k, yes, no)
#define RET(k) BPF_STMT(BPF_RET | BPF_K, k)

enum {
	GO = 0x7fff0000,
	NO = 0x00050001,    /* SECCOMP_RET_ERRNO, EPERM */
	NOSYS = 0x00050026, /* … ENOSYS */
	DEAD = (int)0x80000000,
};

static struct seccomp_filter f;

static void build(enum arch arch, enum seccomp_kind kind)
{
	struct rules tables[TABLES_MAX];

	seccomp_build(arch, tables, seccomp_tables(kind, tables), &f);
}

/* What the filter answers; checks on the way that no instruction is one that it should not have. */
static uint32_t answer(const struct seccomp_data *d)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < f.n; pc++) {
		const struct sock_filter *i = &f.insn[pc];
		bool yes = false;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			OK(i->k % 4 == 0 && i->k + 4 <= sizeof *d);
			memcpy(&a, (const char *)d + i->k, 4);
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = a & i->k;
			break;
		default:
			FAIL("instruction %zu has the code %#x", pc, i->code);
		}
		pc += yes ? i->jt : i->jf;
	}
	FAIL("the filter ends without an answer");
}

/* The own architecture's call with these first arguments. */
static uint32_t asked(enum arch arch, enum call call, uint64_t a0, uint64_t a1, uint64_t a2)
{
	struct seccomp_data d = {.nr = (int)seccomp_calls[call].nr[arch],
				 .arch = audit_of[arch],
				 .args = {a0, a1, a2}};

	return answer(&d);
}

static uint32_t asked_nr(uint32_t audit, uint32_t nr)
{
	struct seccomp_data d = {.nr = (int)nr, .arch = audit};

	return answer(&d);
}

static void same_program(const struct sock_filter *want, size_t n)
{
	EQ(f.n, n);
	for (size_t i = 0; i < n; i++)
		if (memcmp(&f.insn[i], &want[i], sizeof want[i]) != 0)
			FAIL("instruction %zu is {%#x, %u, %u, %#x}, not {%#x, %u, %u, %#x}", i,
			     f.insn[i].code, f.insn[i].jt, f.insn[i].jf, f.insn[i].k, want[i].code,
			     want[i].jt, want[i].jf, want[i].k);
}

static const struct rule sample[] = {
	{.call = CALL_MOUNT, .otherwise = REFUSE},
	{.call = CALL_CLONE3, .otherwise = ABSENT},
	{CALL_UNSHARE, ALLOW, {{ANY_BIT, 0, 0x10000000, REFUSE}}},
	{CALL_SOCKET,
	 ALLOW,
	 {{EQUAL, 0, 1, ALLOW}, {DIFFERENT, 0, 16, REFUSE}, {DIFFERENT, 2, 0, REFUSE}}},
};
static const struct rules samples = {sample, ARRAY_LEN(sample)};

TEST(seccomp_instructions_of_x86_64)
{
	const struct sock_filter want[] = {
		LD_ARCH,
		JEQ(0xc000003e, 1, 0),
		RET(DEAD),
		LD_NR,
		JEQ(0xffffffff, 2, 0),
		JGE(0x40000000, 0, 1),
		RET(DEAD),
		JEQ(165, 0, 1), /* mount */
		RET(NO),
		JEQ(435, 0, 1), /* clone3 */
		RET(NOSYS),
		JEQ(272, 0, 4), /* unshare */
		LD_ARG(0),
		JSET(0x10000000, 0, 1),
		RET(NO),
		RET(GO),
		JEQ(41, 0, 9), /* socket */
		LD_ARG(0),
		JEQ(1, 0, 1),
		RET(GO),
		JEQ(16, 1, 0),
		RET(NO),
		LD_ARG(2),
		JEQ(0, 1, 0),
		RET(NO),
		RET(GO),
		RET(GO),
	};

	seccomp_build(ARCH_X86_64, &samples, 1, &f);
	same_program(want, ARRAY_LEN(want));
}

TEST(seccomp_instructions_of_aarch64)
{
	const struct sock_filter want[] = {
		LD_ARCH,        JEQ(0xc00000b7, 1, 0),
		RET(DEAD),      LD_NR,
		JEQ(40, 0, 1),  RET(NO), /* mount */
		JEQ(435, 0, 1), RET(NOSYS),
		JEQ(97, 0, 4), /* clone3; unshare */
		LD_ARG(0),      JSET(0x10000000, 0, 1),
		RET(NO),        RET(GO),
		JEQ(198, 0, 9), LD_ARG(0), /* socket */
		JEQ(1, 0, 1),   RET(GO),
		JEQ(16, 1, 0),  RET(NO),
		LD_ARG(2),      JEQ(0, 1, 0),
		RET(NO),        RET(GO),
		RET(GO),
	};

	seccomp_build(ARCH_AARCH64, &samples, 1, &f);
	same_program(want, ARRAY_LEN(want));
}

TEST(seccomp_calls_have_the_numbers_of_the_headers)
{
	static const struct {
		enum call call;
		long nr;
	} known[] = {
		{CALL_ADD_KEY, SYS_add_key},
		{CALL_BPF, SYS_bpf},
		{CALL_CLONE, SYS_clone},
		{CALL_CLONE3, SYS_clone3},
		{CALL_DELETE_MODULE, SYS_delete_module},
		{CALL_EXECVEAT, SYS_execveat},
		{CALL_FINIT_MODULE, SYS_finit_module},
		{CALL_FSCONFIG, SYS_fsconfig},
		{CALL_FSMOUNT, SYS_fsmount},
		{CALL_FSOPEN, SYS_fsopen},
		{CALL_FSPICK, SYS_fspick},
		{CALL_INIT_MODULE, SYS_init_module},
		{CALL_IOCTL, SYS_ioctl},
		{CALL_IO_URING_ENTER, SYS_io_uring_enter},
		{CALL_IO_URING_REGISTER, SYS_io_uring_register},
		{CALL_IO_URING_SETUP, SYS_io_uring_setup},
		{CALL_KEXEC_FILE_LOAD, SYS_kexec_file_load},
		{CALL_KEXEC_LOAD, SYS_kexec_load},
		{CALL_KEYCTL, SYS_keyctl},
		{CALL_MEMFD_CREATE, SYS_memfd_create},
		{CALL_MOUNT, SYS_mount},
		{CALL_MOUNT_SETATTR, SYS_mount_setattr},
		{CALL_MOVE_MOUNT, SYS_move_mount},
		{CALL_OPEN_TREE, SYS_open_tree},
		{CALL_OPEN_TREE_ATTR, 467}, /* newer than Debian 12's headers */
		{CALL_PERF_EVENT_OPEN, SYS_perf_event_open},
		{CALL_PIDFD_GETFD, SYS_pidfd_getfd},
		{CALL_PIDFD_OPEN, SYS_pidfd_open},
		{CALL_PIDFD_SEND_SIGNAL, SYS_pidfd_send_signal},
		{CALL_PIVOT_ROOT, SYS_pivot_root},
		{CALL_PRLIMIT64, SYS_prlimit64},
		{CALL_PROCESS_VM_READV, SYS_process_vm_readv},
		{CALL_PROCESS_VM_WRITEV, SYS_process_vm_writev},
		{CALL_PTRACE, SYS_ptrace},
		{CALL_REQUEST_KEY, SYS_request_key},
		{CALL_SECCOMP, SYS_seccomp},
		{CALL_SETNS, SYS_setns},
		{CALL_SOCKET, SYS_socket},
		{CALL_UMOUNT2, SYS_umount2},
		{CALL_UNSHARE, SYS_unshare},
		{CALL_USERFAULTFD, SYS_userfaultfd},
	};
	_Static_assert(ARRAY_LEN(known) == CALL_COUNT, "each call");

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		OK(seccomp_calls[i].name != NULL);
		if (seccomp_calls[known[i].call].nr[ARCH_OWN] != known[i].nr)
			FAIL("%s is %ld here, not %u", seccomp_calls[known[i].call].name,
			     known[i].nr, seccomp_calls[known[i].call].nr[ARCH_OWN]);
	}
}

/* … and those of a server's; the ones that an architecture alone has are left out. */
TEST(seccomp_server_has_the_numbers_of_the_headers)
{
	static const struct {
		const char *name;
		long nr;
	} known[] = {
		{"read", SYS_read},
		{"write", SYS_write},
		{"ppoll", SYS_ppoll},
		{"recvmsg", SYS_recvmsg},
		{"sendmsg", SYS_sendmsg},
		{"recvfrom", SYS_recvfrom},
		{"sendto", SYS_sendto},
		{"readv", SYS_readv},
		{"writev", SYS_writev},
		{"pwrite64", SYS_pwrite64},
		{"clock_gettime", SYS_clock_gettime},
		{"gettimeofday", SYS_gettimeofday},
		{"getrandom", SYS_getrandom},
		{"ioctl", SYS_ioctl},
		{"fcntl", SYS_fcntl},
		{"close", SYS_close},
		{"shutdown", SYS_shutdown},
		{"brk", SYS_brk},
		{"mmap", SYS_mmap},
		{"munmap", SYS_munmap},
		{"mremap", SYS_mremap},
		{"mprotect", SYS_mprotect},
		{"madvise", SYS_madvise},
		{"memfd_create", SYS_memfd_create},
		{"ftruncate", SYS_ftruncate},
		{"lseek", SYS_lseek},
		{"accept4", SYS_accept4},
		{"socketpair", SYS_socketpair},
		{"getsockopt", SYS_getsockopt},
		{"setsockopt", SYS_setsockopt},
		{"getsockname", SYS_getsockname},
		{"getpeername", SYS_getpeername},
		{"clone", SYS_clone},
		{"wait4", SYS_wait4},
		{"getpid", SYS_getpid},
		{"getppid", SYS_getppid},
		{"gettid", SYS_gettid},
		{"set_tid_address", SYS_set_tid_address},
		{"set_robust_list", SYS_set_robust_list},
		{"prctl", SYS_prctl},
		{"rt_sigaction", SYS_rt_sigaction},
		{"rt_sigprocmask", SYS_rt_sigprocmask},
		{"rt_sigreturn", SYS_rt_sigreturn},
		{"restart_syscall", SYS_restart_syscall},
		{"futex", SYS_futex},
		{"setitimer", SYS_setitimer},
		{"nanosleep", SYS_nanosleep},
		{"clock_nanosleep", SYS_clock_nanosleep},
		{"exit", SYS_exit},
		{"exit_group", SYS_exit_group},
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		bool found = false;
		for (size_t k = 0; k < seccomp_server_calls_n; k++)
			found |= strcmp(seccomp_server_calls[k].name, known[i].name) == 0 &&
				 seccomp_server_calls[k].nr[ARCH_OWN] == known[i].nr;
		if (!found)
			FAIL("%s is %ld here", known[i].name, known[i].nr);
	}
}

TEST(seccomp_server_allows_its_list_and_nothing_else)
{
	for (enum arch arch = 0; arch < ARCH_COUNT; arch++) {
		seccomp_build_allowed(arch, seccomp_server_calls, seccomp_server_calls_n, &f);
		for (uint32_t nr = 0; nr < 1024; nr++) {
			bool named = false;
			for (size_t i = 0; i < seccomp_server_calls_n; i++)
				named |= seccomp_server_calls[i].nr[arch] == nr;
			EQ(asked_nr(audit_of[arch], nr), named ? GO : NO);
		}
		EQ(asked_nr(audit_of[!arch], 0), (uint32_t)DEAD);
	}
}

static bool refused_to_all(enum call call)
{
	static const enum call calls[] = {
		CALL_MOUNT,           CALL_FSOPEN,        CALL_FSCONFIG,        CALL_FSMOUNT,
		CALL_FSPICK,          CALL_MOVE_MOUNT,    CALL_OPEN_TREE,       CALL_PIVOT_ROOT,
		CALL_UMOUNT2,         CALL_BPF,           CALL_PERF_EVENT_OPEN, CALL_USERFAULTFD,
		CALL_INIT_MODULE,     CALL_FINIT_MODULE,  CALL_DELETE_MODULE,   CALL_KEXEC_LOAD,
		CALL_KEXEC_FILE_LOAD, CALL_MOUNT_SETATTR, CALL_OPEN_TREE_ATTR,
	};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i] == call)
			return true;
	return false;
}

static bool refused_to_children(enum call call)
{
	static const enum call calls[] = {
		CALL_MEMFD_CREATE,      CALL_PTRACE,     CALL_PROCESS_VM_READV,
		CALL_PROCESS_VM_WRITEV, CALL_PIDFD_OPEN, CALL_PIDFD_GETFD,
		CALL_PIDFD_SEND_SIGNAL, CALL_SETNS,      CALL_IO_URING_SETUP,
		CALL_IO_URING_ENTER,    CALL_ADD_KEY,    CALL_IO_URING_REGISTER,
		CALL_REQUEST_KEY,       CALL_KEYCTL,
	};

	for (size_t i = 0; i < ARRAY_LEN(calls); i++)
		if (calls[i] == call)
			return true;
	return refused_to_all(call);
}

TEST(seccomp_prelude_refuses_its_list_and_nothing_else)
{
	for (enum arch arch = 0; arch < ARCH_COUNT; arch++) {
		build(arch, SECCOMP_PRELUDE);
		for (enum call call = 0; call < CALL_COUNT; call++)
			EQ(asked(arch, call, ~0ull, ~0ull, ~0ull), refused_to_all(call) ? NO : GO);
	}
}

TEST(seccomp_child_refuses_its_list)
{
	for (enum arch arch = 0; arch < ARCH_COUNT; arch++) {
		build(arch, SECCOMP_CHILD);
		for (enum call call = 0; call < CALL_COUNT; call++)
			if (refused_to_children(call))
				EQ(asked(arch, call, 0, 0, 0), NO);
		EQ(asked(arch, CALL_CLONE3, 0, 0, 0), NOSYS);
	}
}

TEST(seccomp_every_other_number_is_allowed)
{
	for (enum arch arch = 0; arch < ARCH_COUNT; arch++) {
		build(arch, SECCOMP_CHILD);
		for (uint32_t nr = 0; nr < 1024; nr++) {
			bool named = false;
			for (size_t i = 0; i < CALL_COUNT; i++)
				named |= seccomp_calls[i].nr[arch] == nr;
			if (!named)
				EQ(asked_nr(audit_of[arch], nr), GO);
		}
	}
}

TEST(seccomp_child_looks_at_arguments)
{
	const uint64_t user = CLONE_NEWUSER, high = 0xffffffff00000000;

	for (enum arch arch = 0; arch < ARCH_COUNT; arch++) {
		build(arch, SECCOMP_CHILD);
		EQ(asked(arch, CALL_CLONE, SIGCHLD, 0, 0), GO);
		EQ(asked(arch, CALL_CLONE, SIGCHLD | user, 0, 0), NO);
		EQ(asked(arch, CALL_CLONE, high | SIGCHLD | user, 0, 0), NO);
		EQ(asked(arch, CALL_UNSHARE, CLONE_NEWNET, 0, 0), GO);
		EQ(asked(arch, CALL_UNSHARE, CLONE_NEWNET | user, 0, 0), NO);
		EQ(asked(arch, CALL_SECCOMP, SECCOMP_GET_ACTION_AVAIL, 0, 0), GO);
		EQ(asked(arch, CALL_SECCOMP, SECCOMP_SET_MODE_FILTER, 0, 0), NO);
		EQ(asked(arch, CALL_SECCOMP, high | SECCOMP_SET_MODE_FILTER, 0, 0), NO);
		EQ(asked(arch, CALL_IOCTL, 0, 0x5401, 0), GO);
		EQ(asked(arch, CALL_IOCTL, 0, 0x5412, 0), NO);
		EQ(asked(arch, CALL_IOCTL, 0, high | 0x5412, 0), NO);
		EQ(asked(arch, CALL_IOCTL, 0, 0x541c, 0), NO);

		struct seccomp_data d = {.nr = (int)seccomp_calls[CALL_EXECVEAT].nr[arch],
					 .arch = audit_of[arch]};
		EQ(answer(&d), GO);
		d.args[4] = AT_SYMLINK_NOFOLLOW;
		EQ(answer(&d), GO);
		d.args[4] = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
		EQ(answer(&d), NO);
	}
}

TEST(seccomp_child_has_the_sockets_that_the_walls_know)
{
	const uint64_t high = 0xffffffff00000000;

	for (enum arch arch = 0; arch < ARCH_COUNT; arch++) {
		for (enum seccomp_kind k = SECCOMP_CHILD; k <= SECCOMP_CHILD_NO_NETWORK; k++) {
			const uint32_t inet = k == SECCOMP_CHILD ? GO : NO;

			build(arch, k);
			for (uint64_t family = 0; family < 64; family++)
				EQ(asked(arch, CALL_SOCKET, family, SOCK_STREAM, 0),
				   family == AF_UNIX || family == AF_NETLINK ? GO
				   : family == AF_INET || family == AF_INET6 ? inet
									     : NO);
			EQ(asked(arch, CALL_SOCKET, high | AF_VSOCK, SOCK_STREAM, 0), NO);
			EQ(asked(arch, CALL_SOCKET, high | AF_INET, SOCK_STREAM, 0), inet);
			EQ(asked(arch, CALL_SOCKET, AF_INET, SOCK_STREAM, 6), inet);
			for (uint64_t protocol = 1; protocol < 32; protocol++)
				EQ(asked(arch, CALL_SOCKET, AF_NETLINK, SOCK_RAW, protocol), NO);
			EQ(asked(arch, CALL_SOCKET, AF_NETLINK, SOCK_RAW, high), GO);
		}
	}
}

TEST(seccomp_foreign_architectures_are_deadly)
{
	const uint32_t i386 = 0x40000003, arm = 0x40000028;

	for (enum seccomp_kind k = 0; k < SECCOMP_KIND_COUNT; k++) {
		build(ARCH_X86_64, k);
		EQ(asked_nr(i386, 20), (uint32_t)DEAD);
		EQ(asked_nr(AUDIT_AARCH64, 20), (uint32_t)DEAD);
		EQ(asked_nr(AUDIT_X86_64, 39), GO);
		EQ(asked_nr(AUDIT_X86_64, X32_BIT | 39), (uint32_t)DEAD);
		EQ(asked_nr(AUDIT_X86_64, 0x80000000), (uint32_t)DEAD);
		EQ(asked_nr(AUDIT_X86_64, UINT32_MAX), GO); /* a tracer's way to skip a call */
		build(ARCH_AARCH64, k);
		EQ(asked_nr(arm, 20), (uint32_t)DEAD);
		EQ(asked_nr(AUDIT_X86_64, 20), (uint32_t)DEAD);
		EQ(asked_nr(AUDIT_AARCH64, 172), GO);
	}
}

/* --- what the kernel does --------------------------------------------------------------------- */

static void put_on(enum seccomp_kind kind)
{
	NOT_EMULATED("seccomp");
	seccomp_make(kind, &f);
	EQ(seccomp_install(&f), 0);
}

/* The errno of a call whose arguments are all -1, so that it would do nothing if it were let in. */
static int tried(enum call call)
{
	errno = 0;
	return syscall(seccomp_calls[call].nr[ARCH_OWN], -1, -1, -1, -1, -1, -1) < 0 ? errno : 0;
}

/* Whether a call can be tried that way: it would not wait, end or change something. */
static bool harmless(enum call call)
{
	return call != CALL_CLONE && call != CALL_CLONE3 && call != CALL_EXECVEAT;
}

TEST(seccomp_kernel_refuses_each_call_of_the_prelude)
{
	unsigned other = 0;

	NOT_EMULATED("seccomp");
	for (enum call call = 0; call < CALL_COUNT; call++)
		other += refused_to_all(call) && tried(call) != EPERM;
	if (getuid() == 0)
		OK(other > 5); /* so the filter is what makes the difference */
	put_on(SECCOMP_PRELUDE);
	for (enum call call = 0; call < CALL_COUNT; call++) {
		if (!harmless(call) || !refused_to_all(call))
			continue;
		if (tried(call) != EPERM)
			FAIL("%s: %s", seccomp_calls[call].name, strerror(errno));
	}
	EQ(tried(CALL_SETNS), EBADF); /* what the keeper and the supervisor still do */
	EQ(unshare(0), 0);
	EQ(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 12) >= 0, 1);
	EQ(seccomp_install(&f), 0); /* and again: the child's comes on top */
}

TEST(seccomp_kernel_refuses_each_call_of_the_child)
{
	unsigned other = 0;

	NOT_EMULATED("seccomp");
	for (enum call call = 0; call < CALL_COUNT; call++)
		other += harmless(call) && refused_to_children(call) && tried(call) != EPERM;
	OK(other > 10);
	put_on(SECCOMP_PRELUDE);
	put_on(SECCOMP_CHILD);
	for (enum call call = 0; call < CALL_COUNT; call++) {
		if (!harmless(call) || !refused_to_children(call))
			continue;
		if (tried(call) != EPERM)
			FAIL("%s: %s", seccomp_calls[call].name, strerror(errno));
	}
	EQ(syscall(seccomp_calls[CALL_CLONE3].nr[ARCH_OWN], NULL, 0), -1);
	EQ(errno, ENOSYS);
	EQ(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0), -1);
	EQ(errno, EPERM);
	EQ(unshare(CLONE_NEWUSER), -1);
	EQ(errno, EPERM);
	struct rlimit limit;
	EQ(syscall(SYS_prlimit64, 0, RLIMIT_CPU, NULL, &limit), 0);
	EQ(syscall(SYS_prlimit64, getppid(), RLIMIT_CPU, NULL, &limit), -1);
	EQ(errno, EPERM);
	EQ(seccomp_install(&f), -1);
	EQ(errno, EPERM);
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	EQ(syscall(SYS_ioctl, terminal, 0xffffffff00005412, "x"), -1);
	EQ(errno, EPERM);
	char *const argv[] = {"true", NULL};
	int program = open("/bin/true", O_PATH | O_CLOEXEC);
	EQ(syscall(SYS_execveat, program, "", argv, NULL, AT_EMPTY_PATH), -1);
	EQ(errno, EPERM);
}

static int family_error(int family, int type, int protocol)
{
	int fd = socket(family, type | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

TEST(seccomp_kernel_refuses_sockets)
{
	put_on(SECCOMP_CHILD);
	EQ(family_error(AF_UNIX, SOCK_STREAM, 0), 0);
	EQ(family_error(AF_INET, SOCK_STREAM, 0), 0);
	EQ(family_error(AF_NETLINK, SOCK_RAW, 0), 0);
	EQ(family_error(AF_NETLINK, SOCK_RAW, 12), EPERM);
	EQ(family_error(AF_PACKET, SOCK_RAW, 0), EPERM);
	EQ(family_error(AF_VSOCK, SOCK_STREAM, 0), EPERM);
	EQ(family_error(AF_BLUETOOTH, SOCK_RAW, 0), EPERM);
	EQ(family_error(AF_ALG, SOCK_SEQPACKET, 0), EPERM);
	int pair[2];
	EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
}

TEST(seccomp_kernel_without_network)
{
	put_on(SECCOMP_CHILD_NO_NETWORK);
	EQ(family_error(AF_UNIX, SOCK_STREAM, 0), 0);
	EQ(family_error(AF_INET, SOCK_STREAM, 0), EPERM);
	EQ(family_error(AF_INET6, SOCK_DGRAM, 0), EPERM);
}

static void *no_work(void *arg)
{
	return arg;
}

TEST(seccomp_child_lives)
{
	pthread_t thread;
	int status = -1;

	put_on(SECCOMP_PRELUDE);
	put_on(SECCOMP_CHILD);
	EQ(pthread_create(&thread, NULL, no_work, NULL), 0);
	EQ(pthread_join(thread, NULL), 0);
	pid_t pid = fork();
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", "echo x | grep -q x && exit 7", NULL);
		_exit(1);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(WEXITSTATUS(status), 7);
}

TEST(seccomp_an_x32_call_ends_the_process)
{
	int status = 0;

	if (ARCH_OWN != ARCH_X86_64) /* which alone has such calls */
		return;
	NOT_EMULATED("seccomp");
	pid_t pid = fork();
	if (pid == 0) {
		put_on(SECCOMP_CHILD);
		syscall(X32_BIT | SYS_getpid);
		_exit(0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	OK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

static int gate[2];

static void *mount_in_a_thread(void *arg)
{
	char c;

	OK(read(gate[0], &c, 1) == 1);
	*(int *)arg = tried(CALL_MOUNT);
	return NULL;
}

TEST(seccomp_on_all_threads)
{
	pthread_t thread;
	int error = 0;

	NOT_EMULATED("seccomp");
	OK(pipe2(gate, O_CLOEXEC) == 0);
	EQ(pthread_create(&thread, NULL, mount_in_a_thread, &error), 0);
	seccomp_make(SECCOMP_PRELUDE, &f);
	EQ(seccomp_install_on_all_threads(&f), 0);
	OK(write(gate[1], "x", 1) == 1);
	EQ(pthread_join(thread, NULL), 0);
	EQ(error, EPERM);
}

static void *own_filter(void *arg)
{
	char c;

	EQ(seccomp_install(arg), 0);
	OK(write(gate[1], "x", 1) == 1);
	OK(read(gate[1], &c, 1) == 1); /* lives on */
	return NULL;
}

TEST(seccomp_a_thread_that_went_its_own_way_is_an_error)
{
	pthread_t thread;
	char c;

	NOT_EMULATED("seccomp");
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) == 0);
	seccomp_make(SECCOMP_PRELUDE, &f);
	EQ(pthread_create(&thread, NULL, own_filter, &f), 0);
	OK(read(gate[0], &c, 1) == 1);
	EQ(seccomp_install_on_all_threads(&f), -1);
	EQ(errno, EBUSY);
}
