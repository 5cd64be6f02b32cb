#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "proxy/process.h"
#include "supervisor/ssh_peer.h"

static int open_process(pid_t pid, struct err *e)
{
	char path[32];

	snprintf(path, sizeof path, "/proc/%d", pid);
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? err_sys(e, "process %d cannot be looked at", pid) : dir;
}

static bool has_ended(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return pidfd >= 0 && poll(&p, 1, 0) != 0;
}

static int parent_of(int dir, pid_t *parent)
{
	struct proc_stat stat;

	if (process_read_stat(dir, &stat) < 0 || process_is_dead(&stat))
		return -1;
	*parent = stat.ppid;
	return 0;
}

/* From a process to its parent: the one that is still its parent when the folder of that is open, and so no other that
 * was given its number. */
static int go_up(int *dir, pid_t *pid, struct err *e)
{
	for (int i = 0; i < SSH_PEER_LOOKS; i++) {
		pid_t parent, again;

		if (parent_of(*dir, &parent) < 0)
			return err_set(e, ESRCH, "process %d is gone", *pid);
		_cleanup_close_ int up = parent > 1 ? open_process(parent, e) : -1;
		if (parent > 1 && up < 0 && e->code != ENOENT)
			return -1;
		if (parent_of(*dir, &again) == 0 && again == parent && (up >= 0 || parent <= 1)) {
			close(*dir);
			*dir = steal_fd(&up);
			*pid = parent;
			return 0;
		}
	}
	return err_set(e, EAGAIN, "process %d has one parent after the other", *pid);
}

/* Whether the process, whose folder this is (taken), is below neither of them. */
static int look_above(int folder, pid_t pid, pid_t keeper, pid_t sshd, struct err *e)
{
	_cleanup_close_ int dir = folder;

	for (int i = 0; pid > 1 && pid != getpid(); i++) {
		if (pid == keeper)
			return err_set(e, EACCES, "it is of the sandbox");
		if (pid == sshd)
			return err_set(e, ESRCH, "it is gone");
		if (i == SSH_PEER_DEPTH_MAX)
			return err_set(e, ELOOP, "it has no end of parents");
		if (go_up(&dir, &pid, e) < 0)
			return -1;
	}
	return 0;
}

int ssh_peer_check(const struct unix_peer *peer, int pidfd, pid_t keeper, pid_t sshd, struct err *e)
{
	if (peer->uid != geteuid() && peer->uid != 0)
		return err_set(e, EACCES, "user %u is neither root nor the supervisor's",
			       peer->uid);
	if (peer->pid <= 1 || peer->pid == getpid())
		return 0;
	int dir = open_process(peer->pid, e);
	if (dir < 0)
		return err_wrap(e, "process %d, which connected", peer->pid);
	/* looked at once the folder is open: it is of that process then, and no later one of its number */
	if (has_ended(pidfd)) {
		close(dir);
		return err_set(e, ESRCH, "process %d, which connected: it is gone", peer->pid);
	}
	if (look_above(dir, peer->pid, keeper, sshd, e) < 0)
		return err_wrap(e, "process %d, which connected", peer->pid);
	return 0;
}
