/* The kernel's own ways out: namespaces, mounts, programs in the kernel, key rings, devices. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attack.h"

enum { KLOG_READ_ALL = 3 };

/* ---- namespaces ---- */

static enum result new_namespace(const struct attempt *a)
{
	return got_if(unshare(*(const int *)a->with), "unshare");
}

static enum result clone_user(const struct attempt *a UNUSED)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return got_if(pid, "clone(NEWUSER)");
}

static enum result clone3_user(const struct attempt *a UNUSED)
{
	uint64_t args[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
	long pid = syscall(SYS_clone3, args, sizeof args);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return got_if(pid, "clone3(NEWUSER)");
}

/* Into the namespaces of a process outside: its folder of /proc, a file of it, a pidfd. */
static enum result enter(const struct attempt *a)
{
	const pid_t all[] = {cast.supervisor, cast.keeper, cast.victim, cast.sshd, cast.session};
	enum result r = ABSENT;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char path[40];

		if (all[i] == 0)
			continue;
		snprintf(path, sizeof path, "/proc/%d/%s", all[i], (const char *)a->with);
		_cleanup_close_ int fd = *(const char *)a->with
						 ? open(path, O_RDONLY | O_CLOEXEC)
						 : (int)syscall(SYS_pidfd_open, all[i], 0);
		if (fd < 0) {
			r = no("opening the namespace");
			continue;
		}
		r = got_if(setns(fd, CLONE_NEWNET), "setns");
		if (r == GOT)
			return GOT;
	}
	return r;
}

/* ---- mounts and roots ---- */

static enum result mount_tmpfs(const struct attempt *a UNUSED)
{
	return got_if(mount("none", TOP "/rw", "tmpfs", 0, NULL), "mount(tmpfs)");
}

static enum result mount_bind(const struct attempt *a UNUSED)
{
	return got_if(mount(TOP "/outside", TOP "/rw", NULL, MS_BIND, NULL), "mount(MS_BIND)");
}

static enum result mount_proc(const struct attempt *a UNUSED)
{
	return got_if(mount("none", TOP "/rw", "proc", 0, NULL), "mount(proc)");
}

static enum result unmount(const struct attempt *a UNUSED)
{
	return got_if(umount2("/proc", MNT_DETACH), "umount2");
}

static enum result mount_anew(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", 0);

	if (fs < 0)
		return no("fsopen");
	syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0);
	_cleanup_close_ int m = (int)syscall(SYS_fsmount, fs, 0, 0);
	return got_if(m, "fsmount");
}

static enum result clone_tree(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fd =
		(int)syscall(SYS_open_tree, AT_FDCWD, TOP "/outside", OPEN_TREE_CLONE | O_CLOEXEC);

	return got_if(fd, "open_tree(CLONE)");
}

static enum result remount(const struct attempt *a UNUSED)
{
	struct mount_attr attr = {.attr_clr = MOUNT_ATTR_NODEV};

	return got_if(syscall(SYS_mount_setattr, AT_FDCWD, TOP, 0, &attr, sizeof attr),
		      "mount_setattr");
}

static enum result pivot(const struct attempt *a UNUSED)
{
	/* a mount point, as it must be */
	return got_if(syscall(SYS_pivot_root, TOP, TOP "/rw"), "pivot_root");
}

static enum result change_root(const struct attempt *a UNUSED)
{
	return got_if(chroot(TOP "/rw"), "chroot");
}

static enum result make_device(const struct attempt *a UNUSED)
{
	/* 1:1 is the machine's memory */
	unlink(TOP "/rw/mem");
	if (mknod(TOP "/rw/mem", S_IFCHR | 0666, makedev(1, 1)) < 0)
		return no("mknod");
	unlink(TOP "/rw/mem");
	note("a device node was made");
	return GOT;
}

static enum result open_device(const struct attempt *a)
{
	const char *path = a->with;
	_cleanup_close_ int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		note("there is no %s", path);
		return ABSENT;
	}
	return got_if(fd, path);
}

static enum result open_for_writing(const struct attempt *a)
{
	const char *path = a->with;
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT) {
		note("there is no %s", path);
		return ABSENT;
	}
	return got_if(fd, path);
}

static enum result read_file(const struct attempt *a)
{
	enum result r = read_a_byte(a->with);

	return r == REFUSED && errno == ENOENT ? ABSENT : r;
}

/* ---- programs and rings of the kernel ---- */

static enum result bpf_map(const struct attempt *a UNUSED)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
	_cleanup_close_ int fd = (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr);

	return got_if(fd, "bpf(MAP_CREATE)");
}

static enum result bpf_program(const struct attempt *a UNUSED)
{
	const struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}}; /* r0 = 0; exit */
	union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
			       .insn_cnt = ARRAY_LEN(code),
			       .insns = (uint64_t)(uintptr_t)code,
			       .license = (uint64_t)(uintptr_t) "GPL"};
	_cleanup_close_ int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);

	return got_if(fd, "bpf(PROG_LOAD)");
}

static enum result user_faults(const struct attempt *a UNUSED)
{
	_cleanup_close_ int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	return got_if(fd, "userfaultfd");
}

/* Far enough that the kernel looks at the module: what it finds is none. */
static enum result load_module(const struct attempt *a UNUSED)
{
	static const char module[64] = "no module";
	long r = syscall(SYS_init_module, module, sizeof module, "");

	if (r < 0 && errno == ENOEXEC) {
		note("the kernel looked at the module");
		return GOT;
	}
	return got_if(r, "init_module");
}

static enum result load_kernel(const struct attempt *a UNUSED)
{
	long r = syscall(SYS_kexec_load, 0, 0, NULL, 0UL);

	return got_if(r, "kexec_load");
}

/* ---- key rings ---- */

static enum result add_key(const struct attempt *a UNUSED)
{
	return got_if(syscall(SYS_add_key, "user", "attack", "x", 1, KEY_SPEC_PROCESS_KEYRING),
		      "add_key");
}

static enum result search_keys(const struct attempt *a UNUSED)
{
	long r = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1);

	return got_if(r < 0 ? -1 : 0, "keyctl");
}

static enum result request_key(const struct attempt *a UNUSED)
{
	long r = syscall(SYS_request_key, "user", "no such key", NULL, KEY_SPEC_PROCESS_KEYRING);

	if (r < 0 && errno == ENOKEY) {
		note("the kernel searched the key rings");
		return GOT;
	}
	return got_if(r, "request_key");
}

/* ---- the wall itself ---- */

static enum result new_filter(const struct attempt *a UNUSED)
{
	/* one call is answered by a listener: the only kind of filter that may allow more */
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_vhangup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {ARRAY_LEN(code), code};
	long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
			  &program);

	return got_if(fd, "seccomp(NEW_LISTENER)");
}

static enum result kernel_log(const struct attempt *a UNUSED)
{
	static char text[1 << 16];

	return got_if(klogctl(KLOG_READ_ALL, text, sizeof text), "syslog");
}

static enum result name_host(const struct attempt *a UNUSED)
{
	char name[65];

	gethostname(name, sizeof name);
	return got_if(sethostname(name, strlen(name)), "sethostname");
}

#define INT(n)                                                                                     \
	&(const int)                                                                               \
	{                                                                                          \
		n                                                                                  \
	}

static const struct attempt kernel[] = {
	{.name = "unshare-user",
	 .what = "make a user namespace",
	 .try = new_namespace,
	 .with = INT(CLONE_NEWUSER)},
	{.name = "unshare-net",
	 .what = "make a network namespace",
	 .try = new_namespace,
	 .with = INT(CLONE_NEWNET)},
	{.name = "unshare-mount",
	 .what = "make a mount namespace",
	 .try = new_namespace,
	 .with = INT(CLONE_NEWNS)},
	{.name = "unshare-pid",
	 .what = "make a pid namespace",
	 .try = new_namespace,
	 .with = INT(CLONE_NEWPID)},
	{.name = "clone-user", .what = "make a user namespace by clone", .try = clone_user},
	{.name = "clone3-user",
	 .what = "make a user namespace by clone3, whose flags no filter sees",
	 .try = clone3_user},
	{.name = "setns-net",
	 .what = "enter the network namespace of a process outside",
	 .try = enter,
	 .with = "ns/net"},
	{.name = "setns-pidfd", .what = "the same by a pidfd", .try = enter, .with = ""},
	{.name = "mount-tmpfs", .what = "mount a tmpfs", .try = mount_tmpfs},
	{.name = "mount-bind",
	 .what = "bind what the policy does not give to where it does",
	 .try = mount_bind},
	{.name = "mount-proc", .what = "mount a proc of one's own", .try = mount_proc},
	{.name = "umount", .what = "uncover what a mount hides", .try = unmount},
	{.name = "fsmount", .what = "mount by fsopen and fsmount", .try = mount_anew},
	{.name = "open-tree", .what = "clone a tree of mounts", .try = clone_tree},
	{.name = "mount-setattr", .what = "change a mount's attributes", .try = remount},
	{.name = "pivot-root", .what = "change the root of all", .try = pivot},
	{.name = "chroot", .what = "change the own root", .try = change_root},
	{.name = "mknod-device", .what = "make a device node", .try = make_device},
	{.name = "dev-mem",
	 .what = "open the machine's memory",
	 .try = open_device,
	 .with = "/dev/mem"},
	{.name = "dev-kmsg",
	 .what = "open the kernel's messages",
	 .try = open_device,
	 .with = "/dev/kmsg"},
	{.name = "dev-fuse", .what = "open FUSE", .try = open_device, .with = "/dev/fuse"},
	{.name = "dev-tty",
	 .what = "open the controlling terminal, or the console",
	 .try = open_device,
	 .with = "/dev/console"},
	{.name = "dev-pts",
	 .what = "make a terminal of one's own, outside of the policy's paths",
	 .try = open_device,
	 .with = "/dev/ptmx",
	 .against = LANDLOCK | VIEW},
	{.name = "kcore",
	 .what = "open the kernel's memory",
	 .try = read_file,
	 .with = "/proc/kcore"},
	{.name = "sysrq",
	 .what = "write to sysrq-trigger",
	 .try = open_for_writing,
	 .with = "/proc/sysrq-trigger"},
	{.name = "core-pattern",
	 .what = "name a program that the kernel starts as root",
	 .try = open_for_writing,
	 .with = "/proc/sys/kernel/core_pattern"},
	{.name = "cgroup-procs",
	 .what = "move to another cgroup",
	 .try = open_for_writing,
	 .with = "/sys/fs/cgroup/pids/cgroup.procs"},
	{.name = "bpf-map", .what = "make a BPF map", .try = bpf_map},
	{.name = "bpf-program", .what = "load a BPF program", .try = bpf_program},
	{.name = "userfaultfd", .what = "handle page faults (userfaultfd)", .try = user_faults},
	{.name = "init-module", .what = "load a module", .try = load_module},
	{.name = "kexec", .what = "load another kernel", .try = load_kernel},
	{.name = "add-key", .what = "put a key into a key ring", .try = add_key},
	{.name = "keyctl", .what = "find the key ring of the uid", .try = search_keys},
	{.name = "request-key", .what = "search the key rings", .try = request_key},
	{.name = "seccomp-listener",
	 .what = "answer calls by a filter of one's own",
	 .try = new_filter},
	{.name = "syslog", .what = "read the kernel's log", .try = kernel_log},
	{.name = "sethostname", .what = "rename the machine", .try = name_host},
};
GROUP(group_kernel, "Namespaces, mounts and the kernel", kernel);
