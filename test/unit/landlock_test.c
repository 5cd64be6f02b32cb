/* isolate/landlock: what each kernel is asked for, and that the kernel at hand then refuses it. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "../../src/isolate/landlock.c"
#include "isolate/seccomp.h"
#include "test.h"

static char top[PATH_MAX]; /* a folder with ro/ and rw/ and what is in them */

static const char *at(const char *name)
{
	static char paths[8][PATH_MAX * 2];
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof paths[0], "%s/%s", top, name);
	return path;
}

static void put_file(const char *name)
{
	int fd = open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	OK(fd >= 0 && write(fd, "x\n", 2) == 2);
	close(fd);
}

static void end_folder(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof command, "rm -rf %s", top);
	if (system(command) != 0)
		fprintf(stderr, "%s stays\n", top);
}

/* Another process takes the folder away, since this one may soon no longer be able to. */
static void make_folder(void)
{
	int fds[2];
	char c;

	snprintf(top, sizeof top, "/tmp/landlock-test-XXXXXX");
	OK(mkdtemp(top) && chmod(top, 0777) == 0 && pipe2(fds, O_CLOEXEC) == 0);
	const char *folders[] = {"ro", "rw", "rw/deep", "other"};
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		OK(mkdir(at(folders[i]), 0777) == 0 && chmod(at(folders[i]), 0777) == 0);
	const char *files[] = {"ro/file", "rw/file", "other/file"};
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		put_file(files[i]);
		OK(chmod(at(files[i]), 0666) == 0);
	}
	OK(symlink("other", at("link")) == 0);
	if (fork() == 0) {
		close(fds[1]);
		setsid();
		while (read(fds[0], &c, 1) > 0)
			;
		end_folder();
		_exit(0);
	}
	close(fds[0]); /* the other end closes with this process */
}

static void need_abi(int abi)
{
	NOT_EMULATED("landlock_create_ruleset");
	if (landlock_abi() < abi)
		SKIP("this kernel's Landlock ABI is %d, %d is needed", landlock_abi(), abi);
}

static struct landlock_path seen[16];
static size_t n_seen;

static void see(void *arg UNUSED, const struct landlock_path *path)
{
	OK(n_seen < ARRAY_LEN(seen));
	seen[n_seen++] = *path;
}

static struct landlock_policy policy_of(const char *const *ro, size_t n_ro, const char *const *rw,
					size_t n_rw)
{
	return (struct landlock_policy){.read_only = ro,
					.n_read_only = n_ro,
					.read_write = rw,
					.n_read_write = n_rw,
					.scoped = true};
}

/* Builds and puts on a ruleset that gives ro/ and rw/. */
static void wall_in(void)
{
	const char *ro[] = {at("ro")}, *rw[] = {at("rw")};
	struct landlock_policy p = policy_of(ro, 1, rw, 1);
	struct landlock l;
	struct err e;

	EQ(landlock_build(&p, NULL, NULL, &l, &e), 0);
	EQ(l.state, LANDLOCK_READY);
	EQ(l.applied, 2);
	EQ(landlock_restrict(l.fd), 0);
	landlock_fini(&l);
	EQ(l.fd, -1);
}

static int open_error(const char *name, int flags)
{
	int fd = open(at(name), flags | O_CLOEXEC, 0666);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

#define REFUSED(call, error)                                                                       \
	do {                                                                                       \
		EQ(call, -1);                                                                      \
		EQ(errno, error);                                                                  \
	} while (0)

TEST(landlock_asks_each_kernel_for_what_it_knows)
{
	EQ(handled(1, true).handled_fs, 0x1fff);
	EQ(handled(2, true).handled_fs, 0x3fff);
	EQ(handled(3, true).handled_fs, 0x7fff);
	EQ(handled(4, true).handled_fs, 0x7fff);
	EQ(handled(5, true).handled_fs, 0xffff);
	EQ(handled(5, true).scoped, 0);
	EQ(handled(6, true).scoped, 3);
	EQ(handled(6, false).scoped, 0);
	EQ(handled(8, true).handled_fs, 0xffff);
	EQ(handled(9, true).handled_fs, 0x1ffff);
	EQ(handled(99, true).handled_fs, 0x1ffff); /* a kernel from the future */
	for (int abi = 1; abi <= LANDLOCK_ABI_KNOWN; abi++) {
		EQ(handled(abi, true).handled_net, 0);
		OK(handled(abi, true).handled_fs != 0); /* no hole in the table */
	}
}

TEST(landlock_gives_files_no_rights_of_folders)
{
	struct ruleset_attr all = handled(9, true), first = handled(1, true);

	EQ(rights_of(&all, true, true), 0x1ffff);
	EQ(rights_of(&all, false, true), 0x1000d);
	EQ(rights_of(&all, true, false), 0x1c007);
	EQ(rights_of(&all, false, false), 0x10005);
	EQ(rights_of(&first, true, false), 0x7);
	EQ(rights_of(&first, false, true), 0xd);
}

TEST(landlock_names_what_a_kernel_lacks)
{
	const char *names[8];

	EQ(landlock_missing(0, names, 8), 1);
	STREQ(names[0], "everything");
	EQ(landlock_missing(1, names, 8), 6);
	STREQ(names[0], "refer");
	EQ(landlock_missing(3, names, 8), 4);
	STREQ(names[0], "ioctl_dev");
	STREQ(names[3], "resolve_unix");
	EQ(landlock_missing(3, names, 2), 2);
	EQ(landlock_missing(9, names, 8), 0);
	EQ(landlock_missing(12, names, 8), 0);
}

TEST(landlock_modes)
{
	enum landlock_mode mode = LANDLOCK_HARD_REQUIREMENT;
	struct err e;

	EQ(landlock_mode_parse("", &mode, &e), 0);
	EQ(mode, LANDLOCK_BEST_EFFORT);
	EQ(landlock_mode_parse("hard_requirement", &mode, &e), 0);
	EQ(mode, LANDLOCK_HARD_REQUIREMENT);
	EQ(landlock_mode_parse("best_effort", &mode, &e), 0);
	EQ(mode, LANDLOCK_BEST_EFFORT);
	EQ(landlock_mode_parse("hard", &mode, &e), -1);
	HAS(e.text, "hard: neither best_effort nor hard_requirement");
	STREQ(landlock_result_name(LANDLOCK_SYMLINK), "symlink");
}

TEST(landlock_policy_without_paths_enforces_nothing)
{
	struct landlock_policy p = policy_of(NULL, 0, NULL, 0);
	struct landlock l;
	struct err e;

	p.mode = LANDLOCK_HARD_REQUIREMENT;
	EQ(landlock_build(&p, NULL, NULL, &l, &e), 0);
	EQ(l.state, LANDLOCK_NO_PATHS);
	EQ(l.fd, -1);
}

TEST(landlock_refuses_policies_that_make_no_sense)
{
	static const char *many[LANDLOCK_PATHS_MAX + 1];
	const char *relative[] = {"etc"};
	struct landlock_policy p = policy_of(NULL, 0, relative, 1);
	struct landlock l;
	struct err e;

	EQ(landlock_build(&p, NULL, NULL, &l, &e), -1);
	HAS(e.text, "etc: not absolute");
	for (size_t i = 0; i < ARRAY_LEN(many); i++)
		many[i] = "/";
	p = policy_of(many, ARRAY_LEN(many), NULL, 0);
	EQ(landlock_build(&p, NULL, NULL, &l, &e), -1);
	EQ(e.code, E2BIG);
	EQ(l.fd, -1);
}

TEST(landlock_read_only_is_read_only)
{
	need_abi(3);
	make_folder();
	wall_in();
	EQ(open_error("ro/file", O_RDONLY), 0);
	EQ(open_error("ro", O_RDONLY | O_DIRECTORY), 0);
	EQ(open_error("ro/file", O_WRONLY), EACCES);
	EQ(open_error("ro/file", O_RDONLY | O_TRUNC), EACCES);
	EQ(open_error("ro/new", O_WRONLY | O_CREAT), EACCES);
	REFUSED(truncate(at("ro/file"), 0), EACCES);
	REFUSED(unlink(at("ro/file")), EACCES);
	REFUSED(mkdir(at("ro/new"), 0777), EACCES);
	REFUSED(symlink("x", at("ro/new")), EACCES);
	REFUSED(rename(at("ro/file"), at("ro/new")), EACCES);
}

TEST(landlock_read_write_is_everything)
{
	need_abi(3);
	make_folder();
	wall_in();
	EQ(open_error("rw/file", O_RDWR), 0);
	EQ(open_error("rw/new", O_WRONLY | O_CREAT | O_TRUNC), 0);
	EQ(truncate(at("rw/file"), 0), 0);
	EQ(rename(at("rw/file"), at("rw/deep/file")), 0); /* between folders: refer */
	EQ(link(at("rw/deep/file"), at("rw/linked")), 0);
	EQ(mkfifo(at("rw/fifo"), 0666), 0);
	EQ(unlink(at("rw/linked")), 0);
	EQ(mkdir(at("rw/folder"), 0777), 0);
	EQ(rmdir(at("rw/folder")), 0);
}

TEST(landlock_nothing_else_is_there)
{
	need_abi(2);
	make_folder();
	int fd = open(at("other"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	wall_in();
	EQ(open_error("other/file", O_RDONLY), EACCES);
	EQ(open_error("link/file", O_RDONLY), EACCES);
	EQ(open_error("ro/../other/file", O_RDONLY), EACCES);
	EQ(open("/etc/passwd", O_RDONLY | O_CLOEXEC), -1);
	EQ(open("/proc/self/root/etc/passwd", O_RDONLY | O_CLOEXEC), -1);
	REFUSED(openat(fd, "file", O_RDONLY | O_CLOEXEC), EACCES); /* below a folder that is held */
	/* nothing is brought to where it may be changed, and nothing taken from there */
	REFUSED(rename(at("other/file"), at("rw/file2")), EACCES);
	REFUSED(link(at("ro/file"), at("rw/file2")), EXDEV);
	EQ(symlink(at("other"), at("rw/link")), 0);
	EQ(open_error("rw/link/file", O_RDONLY), EACCES);
	OK(execl("/bin/true", "true", NULL) == -1 && errno == EACCES);
}

TEST(landlock_works_without_any_right)
{
	need_abi(2);
	make_folder();
	if (getuid() == 0)
		OK(setgid(65534) == 0 && setuid(65534) == 0);
	wall_in();
	EQ(open_error("rw/file", O_RDWR), 0);
	EQ(open_error("ro/file", O_RDWR), EACCES);
	EQ(open_error("other/file", O_RDONLY), EACCES);
}

TEST(landlock_tells_of_each_path)
{
	need_abi(2);
	make_folder();
	const char *ro[] = {at("ro"), at("link"), at("nowhere"), "/proc/self/cwd"};
	const char *rw[] = {at("rw"), at("link"), at("link/file"), at("rw/file/x"), "/dev//null/"};
	struct landlock_policy p = policy_of(ro, ARRAY_LEN(ro), rw, ARRAY_LEN(rw));
	struct landlock l;
	struct err e;

	EQ(landlock_build(&p, see, NULL, &l, &e), 0);
	EQ(n_seen, 9);
	EQ(l.applied, 4);
	EQ(seen[0].result, LANDLOCK_APPLIED);
	OK(!seen[0].write);
	EQ(seen[1].result, LANDLOCK_APPLIED); /* reading may lead over links */
	EQ(seen[2].result, LANDLOCK_MISSING);
	EQ(seen[2].error, 0);
	EQ(seen[3].result, LANDLOCK_INACCESSIBLE); /* … but not over those of /proc */
	EQ(seen[3].error, ELOOP);
	OK(seen[4].write);
	EQ(seen[4].result, LANDLOCK_APPLIED);
	EQ(seen[5].result, LANDLOCK_SYMLINK);
	EQ(seen[5].error, ELOOP);
	EQ(seen[6].result, LANDLOCK_SYMLINK);
	EQ(seen[7].result, LANDLOCK_MISSING);
	STREQ(seen[8].path, "/dev//null/");
	EQ(seen[8].result, LANDLOCK_APPLIED);
	landlock_fini(&l);
}

TEST(landlock_hard_requirement_takes_no_excuse)
{
	need_abi(2);
	make_folder();
	const char *ro[] = {at("ro"), at("nowhere")}, *rw[] = {at("link")};
	struct landlock_policy p = policy_of(ro, 2, rw, 1);
	struct landlock l;
	struct err e;

	p.mode = LANDLOCK_HARD_REQUIREMENT;
	EQ(landlock_build(&p, see, NULL, &l, &e), -1);
	EQ(n_seen, 3);
	HAS(e.text, "hard_requirement mode: read-write over a symbolic link");
	EQ(l.fd, -1);
	p.n_read_write = 0;
	EQ(landlock_build(&p, NULL, NULL, &l, &e), 0); /* a missing path is no failure */
	EQ(l.applied, 1);
	landlock_fini(&l);
	p.read_only = &ro[1];
	p.n_read_only = 1;
	EQ(landlock_build(&p, NULL, NULL, &l, &e), -1);
	HAS(e.text, "hard_requirement mode: none of the policy's paths can be used");
	p.mode = LANDLOCK_BEST_EFFORT;
	EQ(landlock_build(&p, NULL, NULL, &l, &e), 0);
	EQ(l.state, LANDLOCK_UNAVAILABLE);
	HAS(l.why.text, "none of the policy's paths");
}

TEST(landlock_devices_obey_only_where_they_are_writable)
{
	need_abi(5);
	const char *ro[] = {"/dev/ptmx"}, *rw[] = {"/dev/null"};
	struct landlock_policy p = policy_of(ro, 1, rw, 1);
	struct landlock l;
	struct err e;
	int n = 0;

	if (access("/dev/ptmx", R_OK) != 0)
		SKIP("no /dev/ptmx here");
	EQ(landlock_build(&p, NULL, NULL, &l, &e), 0);
	EQ(landlock_restrict(l.fd), 0);
	int fd = open("/dev/ptmx", O_RDONLY | O_NOCTTY | O_CLOEXEC);
	OK(fd >= 0);
	REFUSED(ioctl(fd, TIOCGPTN, &n), EACCES);
}

TEST(landlock_scopes_signals_and_abstract_sockets)
{
	need_abi(6);
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int len = snprintf(name.sun_path, sizeof name.sun_path, "%clandlock-test-%d", 0, getpid());
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
	int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	OK(bind(server, (struct sockaddr *)&name, size) == 0 && listen(server, 1) == 0);
	pid_t outside = getppid();
	make_folder();
	wall_in();
	REFUSED(kill(outside, 0), EPERM);
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REFUSED(connect(client, (struct sockaddr *)&name, size), EPERM);

	pid_t inside = fork(); /* within the domain both are free */
	if (inside == 0) {
		pause();
		_exit(0);
	}
	EQ(kill(inside, SIGKILL), 0);
	EQ(waitpid(inside, NULL, 0), inside);
}

/* As on a host whose kernel, boot parameters or container engine's profile leave no Landlock. */
static void take_landlock_away(int error)
{
	struct sock_filter insn[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALL_CREATE_RULESET, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0x00050000u | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, 0x7fff0000),
	};
	struct seccomp_filter f = {.n = ARRAY_LEN(insn)};

	NOT_EMULATED("seccomp");
	memcpy(f.insn, insn, sizeof insn);
	EQ(seccomp_install(&f), 0);
}

static void without_landlock(int error, const char *words)
{
	const char *ro[] = {"/usr"};
	struct landlock_policy p = policy_of(ro, 1, NULL, 0);
	struct landlock l;
	struct err e;

	take_landlock_away(error);
	EQ(landlock_build(&p, see, NULL, &l, &e), 0);
	EQ(l.state, LANDLOCK_UNAVAILABLE);
	EQ(l.abi, 0);
	EQ(l.fd, -1);
	EQ(l.why.code, error);
	HAS(l.why.text, words);
	p.mode = LANDLOCK_HARD_REQUIREMENT;
	EQ(landlock_build(&p, see, NULL, &l, &e), -1);
	EQ(e.code, error);
	HAS(e.text, "Landlock unavailable in hard_requirement mode: ");
	HAS(e.text, words);
	EQ(n_seen, 0);
}

TEST(landlock_of_a_kernel_without_it)
{
	without_landlock(ENOSYS, "the kernel has none");
}

TEST(landlock_that_is_not_enabled)
{
	without_landlock(EOPNOTSUPP, "not enabled at boot");
}

TEST(landlock_that_a_profile_refuses)
{
	without_landlock(EPERM, "refused, as a seccomp profile does");
}
