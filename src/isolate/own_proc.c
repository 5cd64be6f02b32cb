#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/own_proc.h"

static int move(int mount, int folder, const char *at)
{
	return (int)syscall(SYS_move_mount, mount, "", folder, at, MOVE_MOUNT_F_EMPTY_PATH);
}

int own_proc_put(const struct own_proc *p, const char *at, struct err *e)
{
	if (move(p->mount, AT_FDCWD, at) < 0)
		return err_sys(e, "mount the sandbox's own /proc");
	for (size_t i = 0; i < p->n_masks; i++) {
		const struct own_proc_mask *mask = &p->masks[i];

		/* what is not there needs no mask */
		if (move(mask->mount, p->mount, mask->path) == 0 || errno == ENOENT)
			continue;
		err_sys(e, "mount over the sandbox's own /proc/%s", mask->path);
		must(umount2(at, MNT_DETACH) == 0);
		return -1;
	}
	return 0;
}
