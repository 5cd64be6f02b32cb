#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/util.h"
#include "proxy/process.h"
#include "supervisor/ssh_peer.h"

static int parent_of(pid_t pid, pid_t *parent, struct err *e)
{
	char path[32];
	struct proc_stat stat;

	snprintf(path, sizeof path, "/proc/%d", pid);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || process_read_stat(dir, &stat) < 0)
		return err_sys(e, "process %d, which connected, cannot be looked at", pid);
	if (process_is_dead(&stat))
		return err_set(e, ESRCH, "process %d, which connected, is gone", pid);
	*parent = stat.ppid;
	return 0;
}

int ssh_peer_check(const struct unix_peer *peer, pid_t keeper, pid_t sshd, struct err *e)
{
	pid_t pid = peer->pid;

	if (peer->uid != geteuid() && peer->uid != 0)
		return err_set(e, EACCES, "user %u is neither root nor the supervisor's",
			       peer->uid);
	for (int i = 0; pid > 1 && pid != getpid(); i++) {
		if (pid == keeper)
			return err_set(e, EACCES, "process %d is of the sandbox", peer->pid);
		if (pid == sshd)
			return err_set(e, ESRCH, "process %d, which connected, is gone", peer->pid);
		if (i == SSH_PEER_DEPTH_MAX)
			return err_set(e, ELOOP, "process %d has no end of parents", peer->pid);
		if (parent_of(pid, &pid, e) < 0)
			return -1;
	}
	return 0;
}
