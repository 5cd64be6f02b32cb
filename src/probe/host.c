/* What the host says of itself in /proc, /sys and the like. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "probe/probe_impl.h"

enum { FILE_MAX_BYTES = 65536 };

char *probe_read_file(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	_cleanup_free_ char *text = xmalloc(FILE_MAX_BYTES + 1);
	size_t n = 0;
	ssize_t got;
	while (n < FILE_MAX_BYTES && (got = read(fd, text + n, FILE_MAX_BYTES - n)) > 0)
		n += (size_t)got;
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\0'))
		n--;
	text[n] = '\0';
	return steal(&text);
}

static void put_words(cJSON *o, const char *key, struct str text, char sep)
{
	cJSON *list = json_put_array(o, key);

	while (text.p != NULL) {
		struct str word = str_trim(str_cut(&text, sep));
		_cleanup_free_ char *s = str_dup(word);
		if (word.n > 0)
			json_add_str(list, s);
	}
}

void probe_kernel(cJSON *o)
{
	struct utsname u;
	_cleanup_free_ char *lsm = probe_read_file("/sys/kernel/security/lsm");

	uname(&u);
	json_put_str(o, "release", u.release);
	json_put_str(o, "machine", u.machine);
	if (lsm != NULL)
		put_words(o, "security_modules", str_of(lsm), ',');
	else
		json_put_str(o, "security_modules", "unknown (securityfs is not mounted)");
}

/* The last line of mountinfo whose mount point is "/" is the root we see. Its form (proc(5)):
 * id parent maj:min root mountpoint options optional... - type source superoptions */
struct root_mount {
	struct str device, type, source;
};

static void read_mount(struct str line, struct root_mount *root)
{
	str_cut(&line, ' ');
	str_cut(&line, ' ');
	struct str device = str_cut(&line, ' ');
	str_cut(&line, ' ');
	if (!str_is(str_cut(&line, ' '), "/"))
		return;
	while (line.p != NULL && !str_is(str_cut(&line, ' '), "-"))
		;
	root->device = device;
	root->type = str_cut(&line, ' ');
	root->source = str_cut(&line, ' ');
}

/* cryptsetup names the kind of a device-mapper target in its uuid. */
static bool is_verity(struct str device)
{
	_cleanup_free_ char *path = xasprintf("/sys/dev/block/%.*s/dm/uuid", STR_FMT(device));
	_cleanup_free_ char *uuid = probe_read_file(path);

	return str_starts(str_of(uuid), "CRYPT-VERITY-");
}

static void put_cut(cJSON *o, const char *key, struct str s)
{
	_cleanup_free_ char *text = str_dup(s);

	json_put_str(o, key, text);
}

void probe_root(cJSON *o)
{
	struct statvfs vfs;
	_cleanup_free_ char *mounts = probe_read_file("/proc/self/mountinfo");
	struct str rest = str_of(mounts);
	struct root_mount root = {
		.device = STR("?"), .type = STR("unknown"), .source = STR("unknown")};

	if (statvfs("/", &vfs) == 0)
		json_put_bool(o, "read_only", vfs.f_flag & ST_RDONLY);
	while (rest.p != NULL)
		read_mount(str_cut(&rest, '\n'), &root);
	put_cut(o, "file_system", root.type);
	put_cut(o, "source", root.source);
	json_put_bool(o, "dm_verity", is_verity(root.device));
	json_put_bool(o, "writable_run", access("/run", W_OK) == 0);
	json_put_bool(o, "writable_tmp", access("/tmp", W_OK) == 0);
}

/* Names by number, capability.h of Linux 6.12; the numbers are ABI. */
static const char *const capability_names[] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};
_Static_assert(ARRAY_LEN(capability_names) == 41, "CAP_LAST_CAP + 1 of Linux 5.9 and later");

/* The value of a "Key:\tvalue" line of /proc/self/status. */
static struct str status_line(struct str status, const char *key)
{
	while (status.p != NULL) {
		struct str line = str_cut(&status, '\n');
		if (str_is(str_cut(&line, ':'), key))
			return str_trim(line);
	}
	return STR_NONE;
}

static void put_capabilities(cJSON *o, const char *key, struct str hex)
{
	_cleanup_free_ char *text = str_dup(hex);
	uint64_t set = strtoull(text, NULL, 16);
	cJSON *list = json_put_array(o, key);

	for (size_t i = 0; i < ARRAY_LEN(capability_names); i++) {
		if (set >> i & 1)
			json_add_str(list, capability_names[i]);
	}
}

void probe_capabilities(cJSON *o)
{
	_cleanup_free_ char *text = probe_read_file("/proc/self/status");
	struct str status = str_of(text);

	json_put_int(o, "uid", geteuid());
	json_put_int(o, "gid", getegid());
	put_capabilities(o, "effective", status_line(status, "CapEff"));
	put_capabilities(o, "bounding", status_line(status, "CapBnd"));
	json_put_bool(o, "no_new_privs", str_is(status_line(status, "NoNewPrivs"), "1"));
}

void probe_cgroups(cJSON *o)
{
	_cleanup_free_ char *unified = probe_read_file("/sys/fs/cgroup/cgroup.controllers");
	_cleanup_free_ char *v1 = probe_read_file("/proc/cgroups");
	_cleanup_free_ char *own = probe_read_file("/proc/self/cgroup");

	if (unified != NULL) {
		json_put_str(o, "version", "2");
		put_words(o, "controllers", str_of(unified), ' ');
		struct str path = str_of(own);
		str_skip(&path, "0::");
		_cleanup_free_ char *dir = xasprintf("/sys/fs/cgroup%.*s", STR_FMT(path));
		json_put_bool(o, "delegated", access(dir, W_OK) == 0);
	} else if (access("/sys/fs/cgroup/memory", F_OK) == 0) {
		bool hybrid = access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) == 0;
		json_put_str(o, "version", hybrid ? "1 (hybrid)" : "1");
		json_put_bool(o, "delegated", access("/sys/fs/cgroup/memory", W_OK) == 0);
	} else {
		json_put_str(o, "version", v1 ? "not mounted" : "none in this kernel");
	}
}

void probe_devices(cJSON *o)
{
	_cleanup_free_ char *cpu = probe_read_file("/proc/cpuinfo");
	bool flags = cpu != NULL && (strstr(cpu, " vmx") != NULL || strstr(cpu, " svm") != NULL);
	bool x86 = cpu != NULL && strstr(cpu, "\nflags") != NULL;

	json_put_bool(o, "tun", access("/dev/net/tun", R_OK | W_OK) == 0);
	/* /dev/kvm opens on hosts where no kernel boots with it (a software KVM without the CPU's
	 * virtualization): the CPU's flags decide, podman-and-vm contract B.9 */
	json_put_bool(o, "kvm", access("/dev/kvm", R_OK | W_OK) == 0 && (flags || !x86));
	if (x86)
		json_put_bool(o, "cpu_virtualization", flags);
	json_put_bool(o, "kvm_device", access("/dev/kvm", F_OK) == 0);
	json_put_bool(o, "fuse", access("/dev/fuse", R_OK | W_OK) == 0);
}
