/* What the kernel allows, found out by doing it in a child that then ends. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolate/nfqueue.h"
#include "isolate/pocket.h"
#include "probe/probe_impl.h"

enum {
	CHILD_MS = 5000,
	/* numbers of kernel ABIs (linux/landlock.h, linux/seccomp.h) */
	LANDLOCK_VERSION_FLAG = 1,
	SECCOMP_ACTION_AVAIL = 2,
};

int probe_in_child(int (*fn)(void))
{
	int fds[2], answer = -1;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		int r = fn();
		_exit(write(fds[1], &r, sizeof r) == sizeof r ? 0 : 1);
	}
	close(fds[1]);
	struct pollfd p = {.fd = fds[0], .events = POLLIN};
	if (pid > 0 && poll(&p, 1, CHILD_MS) == 1 &&
	    read(fds[0], &answer, sizeof answer) != sizeof answer)
		answer = -1;
	close(fds[0]);
	if (pid > 0) {
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	}
	return answer;
}

static int make(int flags)
{
	return unshare(flags) < 0 ? errno : 0;
}

static int make_user(void)
{
	return make(CLONE_NEWUSER);
}

static int make_net(void)
{
	return make(CLONE_NEWNET);
}

static int make_mount(void)
{
	return make(CLONE_NEWNS);
}

static int make_pid(void)
{
	return make(CLONE_NEWPID);
}

static int make_user_net(void)
{
	return make(CLONE_NEWUSER | CLONE_NEWNET);
}

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 || write(fd, text, strlen(text)) < 0 ? errno : 0;
}

/* A map of the own uid is refused to a process without CAP_SETFCAP for uid 0, and by some LSMs. */
static int map_user(void)
{
	uid_t uid = geteuid();
	char map[64];
	int r = make(CLONE_NEWUSER);

	if (r != 0)
		return r;
	snprintf(map, sizeof map, "%u %u 1", uid, uid);
	return write_file("/proc/self/uid_map", map);
}

static void put_tried(cJSON *o, const char *key, int r)
{
	if (r == 0)
		json_put_str(o, key, "works");
	else
		json_put_str(o, key, r < 0 ? "unknown (no answer)" : strerror(r));
}

void probe_namespaces(cJSON *o)
{
	_cleanup_free_ char *max = probe_read_file("/proc/sys/user/max_user_namespaces");

	put_tried(o, "net", probe_in_child(make_net));
	put_tried(o, "mount", probe_in_child(make_mount));
	put_tried(o, "pid", probe_in_child(make_pid));
	put_tried(o, "user", probe_in_child(make_user));
	put_tried(o, "user_mapped", probe_in_child(map_user));
	put_tried(o, "user_net", probe_in_child(make_user_net));
	json_put_str(o, "max_user_namespaces", max ? max : "unknown");
}

void probe_landlock(cJSON *o)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);

	json_put_int(o, "abi", abi < 0 ? 0 : abi);
	if (abi < 0)
		json_put_str(o, "why",
			     errno == EOPNOTSUPP ? "disabled at boot (lsm=)" : strerror(errno));
}

static bool action_available(uint32_t action)
{
	return syscall(SYS_seccomp, SECCOMP_ACTION_AVAIL, 0, &action) == 0;
}

void probe_seccomp(cJSON *o)
{
	static const char *const modes[] = {"none", "strict", "filtered"};
	int mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0);

	json_put_bool(o, "filter", action_available(0x7fff0000u)); /* SECCOMP_RET_ALLOW */
	json_put_bool(o, "user_notification", action_available(0x7fc00000u)); /* …_USER_NOTIF */
	json_put_str(o, "own_mode", mode >= 0 && mode <= 2 ? modes[mode] : "unknown");
}

/* In a network namespace of our own we have the right to. */
static int refuse_by_nftables(void)
{
	struct err why = {0}, e = {0};
	bool refuses;

	int r = make(CLONE_NEWNET) == 0 ? 0 : make_user_net();
	if (r != 0)
		return r;
	if (pocket_set_up(&refuses, &why, &e) < 0)
		return e.code;
	return refuses ? 0 : why.code;
}

static int hold_by_queue(void)
{
	int queue, r = refuse_by_nftables();
	struct err e = {0};

	if (r == 0 && (nfqueue_open(1, &queue, &e) < 0 || pocket_hold_connections(queue, &e) < 0))
		return e.code;
	return r;
}

void probe_netfilter(cJSON *o)
{
	put_tried(o, "nf_tables", probe_in_child(refuse_by_nftables));
	put_tried(o, "nfnetlink_queue", probe_in_child(hold_by_queue));
}
