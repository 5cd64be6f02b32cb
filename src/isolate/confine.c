#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/confine.h"
#include "isolate/landlock.h"

enum {
	FIRST_FD = 3,
	FDS_MAX =
		1 << 20, /* the kernel's own limit, fs.nr_open, unless an administrator raised it */
	GROUPS_LOOK_MAX = 1024, /* of those we have, when they cannot be changed */
	OVERFLOW_ID = 65534,    /* /proc/sys/kernel/overflowgid */
	CAPS_MAX = 64,
	CLOSE_RANGE_SETS_CLOEXEC = 1 << 2, /* linux/close_range.h, Linux 5.11 */
};

static const char *const step_names[] = {
	[CONFINE_GROUPS] = "set the groups",
	[CONFINE_BOUNDING] = "empty the capability bounding set",
	[CONFINE_GID] = "set the gid",
	[CONFINE_UID] = "set the uid",
	[CONFINE_CAPS] = "drop the capabilities",
	[CONFINE_ROOT] = "make sure that root is out of reach",
	[CONFINE_DUMPABLE] = "forbid core files",
	[CONFINE_PRIVS] = "set no_new_privs",
	[CONFINE_FILES] = "close inherited files",
	[CONFINE_LANDLOCK] = "apply the Landlock ruleset",
	[CONFINE_SECCOMP] = "install the seccomp filter",
};
_Static_assert(ARRAY_LEN(step_names) == CONFINE_STEP_COUNT, "a name for each step");

const char *confine_step_name(enum confine_step step)
{
	must(step >= 0 && step < CONFINE_STEP_COUNT);
	return step_names[step];
}

/*
 * Identity is set by the bare calls: those of the C library go round all threads by signals, of which
 * there are none between fork and exec, and take locks that somebody may have held at the fork.
 */

/*
 * Whether all the groups we have are wanted, so that there is nothing to lose. One without a name in
 * this user namespace reads as OVERFLOW_ID, which may be any group.
 */
static bool only_wanted_groups(const struct identity *id)
{
	gid_t have[GROUPS_LOOK_MAX];
	long n = syscall(SYS_getgroups, GROUPS_LOOK_MAX, have);
	gid_t own = id ? id->gid : (gid_t)syscall(SYS_getegid);

	if (n < 0)
		return false;
	for (long i = 0; i < n; i++) {
		bool wanted = have[i] == own;

		for (size_t k = 0; id && k < id->n_groups && !wanted; k++)
			wanted = have[i] == id->groups[k];
		if (!wanted || have[i] == OVERFLOW_ID)
			return false;
	}
	return true;
}

static bool is_already(const struct identity *id)
{
	return !id ||
	       (syscall(SYS_geteuid) == (long)id->uid && syscall(SYS_getegid) == (long)id->gid);
}

static int set_groups(const struct confine *c, struct confine_result *out)
{
	const struct identity *id = c->identity;

	if (syscall(SYS_setgroups, id ? id->n_groups : 0, id ? id->groups : NULL) == 0)
		return 0;
	int error = errno;
	if (only_wanted_groups(id))
		return 0;
	errno = error;
	if (!is_already(id))
		return -1;
	out->lost_groups = error;
	return 0;
}

static int empty_bounding_set(const struct confine *c UNUSED, struct confine_result *out)
{
	for (int cap = 0; cap < CAPS_MAX; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0) /* one more than the kernel has */
			break;
		if (has && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			out->lost_bounding = errno;
			break;
		}
	}
	return 0;
}

static int all_equal(long r, unsigned want, unsigned real, unsigned effective, unsigned saved)
{
	if (r < 0)
		return -1;
	errno = EPERM;
	return real == want && effective == want && saved == want ? 0 : -1;
}

static int set_gid(const struct confine *c, struct confine_result *out UNUSED)
{
	gid_t real = 0, effective = 0, saved = 0;

	if (!c->identity)
		return 0;
	gid_t gid = c->identity->gid;
	if (syscall(SYS_setresgid, gid, gid, gid) < 0)
		return -1;
	long r = syscall(SYS_getresgid, &real, &effective, &saved);
	return all_equal(r, gid, real, effective, saved);
}

static int set_uid(const struct confine *c, struct confine_result *out UNUSED)
{
	uid_t real = 0, effective = 0, saved = 0;

	if (!c->identity)
		return 0;
	uid_t uid = c->identity->uid;
	if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || syscall(SYS_setresuid, uid, uid, uid) < 0)
		return -1;
	long r = syscall(SYS_getresuid, &real, &effective, &saved);
	return all_equal(r, uid, real, effective, saved);
}

static int drop_caps(const struct confine *c UNUSED, struct confine_result *out UNUSED)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	/* EINVAL: older than Linux 4.3, which has no ambient set */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -1;
	return (int)syscall(SYS_capset, &head, none);
}

static int check_root(const struct confine *c, struct confine_result *out UNUSED)
{
	if (!c->identity || c->identity->uid == 0)
		return 0;
	if (syscall(SYS_setresuid, 0, 0, 0) < 0)
		return 0;
	errno = EPERM;
	return -1;
}

static int forbid_dumps(const struct confine *c UNUSED, struct confine_result *out UNUSED)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return -1;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static int set_no_new_privs(const struct confine *c UNUSED, struct confine_result *out UNUSED)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Before Linux 5.11 each number is tried: a tenth of a second at worst. */
static int close_files(const struct confine *c UNUSED, struct confine_result *out UNUSED)
{
	if (syscall(SYS_close_range, FIRST_FD, ~0u, CLOSE_RANGE_SETS_CLOEXEC) == 0)
		return 0;
	for (int fd = FIRST_FD; fd < FDS_MAX; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 && errno != EBADF)
			return -1;
	return 0;
}

static int apply_landlock(const struct confine *c, struct confine_result *out UNUSED)
{
	return c->landlock_fd < 0 ? 0 : landlock_restrict(c->landlock_fd);
}

static int apply_seccomp(const struct confine *c, struct confine_result *out UNUSED)
{
	return c->filter ? seccomp_install(c->filter) : 0;
}

static int (*const steps[])(const struct confine *, struct confine_result *) = {
	[CONFINE_GROUPS] = set_groups,     [CONFINE_BOUNDING] = empty_bounding_set,
	[CONFINE_GID] = set_gid,           [CONFINE_UID] = set_uid,
	[CONFINE_CAPS] = drop_caps,        [CONFINE_ROOT] = check_root,
	[CONFINE_DUMPABLE] = forbid_dumps, [CONFINE_PRIVS] = set_no_new_privs,
	[CONFINE_FILES] = close_files,     [CONFINE_LANDLOCK] = apply_landlock,
	[CONFINE_SECCOMP] = apply_seccomp,
};
_Static_assert(ARRAY_LEN(steps) == CONFINE_STEP_COUNT, "each step");

int confine_self(const struct confine *c, struct confine_result *out)
{
	*out = (struct confine_result){0};
	for (enum confine_step s = 0; s < CONFINE_STEP_COUNT; s++) {
		if (steps[s](c, out) == 0)
			continue;
		out->failed = s;
		out->error = errno;
		return -1;
	}
	return 0;
}

/* What only the supervisor is told: credentials and where they are, and who the sandbox is. */
static const char *const supervisor_only[] = {
	"OPENSHELL_OCI_IMAGE_USER",
	"OPENSHELL_SANDBOX_UID",
	"OPENSHELL_SANDBOX_GID",
	"OPENSHELL_SANDBOX_TOKEN",
	"OPENSHELL_SANDBOX_TOKEN_FILE",
	"OPENSHELL_K8S_SA_TOKEN_FILE",
	"OPENSHELL_TLS_CA",
	"OPENSHELL_TLS_CERT",
	"OPENSHELL_TLS_KEY",
	"OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET",
	"OPENSHELL_NETWORK_RUNTIME_CAPABILITIES",
	/* ours */
	"OPENSHELL_NETWORK_MODE",
	"OPENSHELL_PREPARE_WORKSPACE",
};

static bool for_supervisor_only(const char *variable)
{
	struct str rest = str_of(variable);
	struct str name = str_cut(&rest, '=');

	for (size_t i = 0; i < ARRAY_LEN(supervisor_only); i++)
		if (str_is(name, supervisor_only[i]))
			return true;
	return false;
}

bool confine_environment(char *const *from, char **to, size_t max)
{
	size_t n = 0;

	for (; *from; from++) {
		if (for_supervisor_only(*from))
			continue;
		if (n + 1 >= max)
			return false;
		to[n++] = *from;
	}
	if (n >= max)
		return false;
	to[n] = NULL;
	return true;
}
