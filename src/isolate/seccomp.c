#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/seccomp_impl.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "an argument's lower half comes first");

static const uint32_t audit_of[] = {
	[ARCH_X86_64] = AUDIT_X86_64,
	[ARCH_AARCH64] = AUDIT_AARCH64,
};
_Static_assert(ARRAY_LEN(audit_of) == ARCH_COUNT, "each architecture");

static const uint32_t action_of[] = {
	[ALLOW] = SECCOMP_RET_ALLOW,
	[REFUSE] = SECCOMP_RET_ERRNO | EPERM,
	[ABSENT] = SECCOMP_RET_ERRNO | ENOSYS,
	[KILL] = SECCOMP_RET_KILL_PROCESS,
};

static void emit(struct seccomp_filter *f, unsigned short code, uint32_t k, uint8_t yes, uint8_t no)
{
	must(f->n < SECCOMP_INSNS_MAX);
	f->insn[f->n++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void load(struct seccomp_filter *f, size_t offset)
{
	emit(f, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void give(struct seccomp_filter *f, enum verdict v)
{
	emit(f, BPF_RET | BPF_K, action_of[v], 0, 0);
}

/* The next instruction when equal, else the one `past` further on. */
static void when_equal(struct seccomp_filter *f, uint32_t value, size_t past)
{
	must(past <= UINT8_MAX);
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, value, 0, (uint8_t)past);
}

static void emit_step(struct seccomp_filter *f, const struct step *s)
{
	if (s->test == ANY_BIT)
		emit(f, BPF_JMP | BPF_JSET | BPF_K, s->value, 0, 1);
	else if (s->test == EQUAL)
		emit(f, BPF_JMP | BPF_JEQ | BPF_K, s->value, 0, 1);
	else
		emit(f, BPF_JMP | BPF_JEQ | BPF_K, s->value, 1, 0);
	give(f, s->verdict);
}

/* Whether the step's argument is not what the step before it has loaded. */
static bool must_load(const struct step *steps, size_t i)
{
	return i == 0 || steps[i].arg != steps[i - 1].arg;
}

/*
 * A rule is a block of its own which the number is compared with first; inside it the number is gone
 * from the accumulator, so that every way through it ends there.
 */
static void emit_rule(struct seccomp_filter *f, enum arch arch, const struct rule *r)
{
	size_t length = 1;

	for (size_t i = 0; r->steps[i].test != STEP_END; i++)
		length += 2 + must_load(r->steps, i);
	when_equal(f, seccomp_calls[r->call].nr[arch], length);
	for (size_t i = 0; r->steps[i].test != STEP_END; i++) {
		if (must_load(r->steps, i))
			load(f, offsetof(struct seccomp_data, args) +
					r->steps[i].arg * sizeof(uint64_t));
		emit_step(f, &r->steps[i]);
	}
	give(f, r->otherwise);
}

static void begin(enum arch arch, struct seccomp_filter *f)
{
	f->n = 0;
	load(f, offsetof(struct seccomp_data, arch));
	emit(f, BPF_JMP | BPF_JEQ | BPF_K, audit_of[arch], 1, 0);
	give(f, KILL);
	load(f, offsetof(struct seccomp_data, nr));
	if (arch == ARCH_X86_64) {
		/* -1 is no call of x32 but none at all, which fails with ENOSYS */
		emit(f, BPF_JMP | BPF_JEQ | BPF_K, UINT32_MAX, 2, 0);
		emit(f, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
		give(f, KILL);
	}
}

void seccomp_build(enum arch arch, const struct rules *tables, size_t n, struct seccomp_filter *f)
{
	begin(arch, f);
	for (size_t t = 0; t < n; t++)
		for (size_t i = 0; i < tables[t].n; i++)
			emit_rule(f, arch, &tables[t].rule[i]);
	give(f, ALLOW);
}

void seccomp_build_allowed(enum arch arch, const struct call_info *calls, size_t n,
			   struct seccomp_filter *f)
{
	begin(arch, f);
	for (size_t i = 0; i < n; i++) {
		if (calls[i].nr[arch] == NO_CALL)
			continue;
		when_equal(f, calls[i].nr[arch], 1);
		give(f, ALLOW);
	}
	give(f, REFUSE);
}

void seccomp_make_server(struct seccomp_filter *out)
{
	seccomp_build_allowed(ARCH_OWN, seccomp_server_calls, seccomp_server_calls_n, out);
}

void seccomp_make(enum seccomp_kind kind, struct seccomp_filter *out)
{
	struct rules tables[TABLES_MAX];
	size_t n = seccomp_tables(kind, tables);

	seccomp_build(ARCH_OWN, tables, n, out);
}

static int install(const struct seccomp_filter *f, unsigned flags)
{
	/* the kernel only reads it */
	struct sock_fprog prog = {.len = f->n, .filter = (struct sock_filter *)f->insn};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	long r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
	if (r > 0) /* the thread that could not be brought into line */
		errno = EBUSY;
	return r == 0 ? 0 : -1;
}

int seccomp_install(const struct seccomp_filter *f)
{
	return install(f, 0);
}

int seccomp_install_on_all_threads(const struct seccomp_filter *f)
{
	return install(f, SECCOMP_FILTER_FLAG_TSYNC);
}
