/* src/sftp as the builtin workload that it is: behind Landlock, the filter of calls and an identity, where a client
 * tries to get at what the policy does not give. All files are the workload's own and open to all: nothing but the wall
 * protects them. */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "isolate/landlock.h"
#include "keeper.h"
#include "sftp.h"
#include "sftp/sftp.h"

enum { ID = 12345 };

static const struct identity someone = {.uid = ID, .gid = ID};
static char top[] = "/tmp/sftp-wall-XXXXXX";
static struct landlock landlock;
static pid_t server;

static const char *in_top(const char *name)
{
	static char paths[4][128];
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof paths[0], "%s/%s", top, name);
	return path;
}

static void make_folder(const char *name)
{
	OK(mkdir(in_top(name), 0777) == 0 && chmod(in_top(name), 0777) == 0);
	OK(chown(in_top(name), ID, ID) == 0);
}

static void make_file(const char *name)
{
	int fd = open(in_top(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

	OK(fd >= 0 && write(fd, "secret", 6) == 6 && fchmod(fd, 0666) == 0);
	OK(fchown(fd, ID, ID) == 0);
	close(fd);
}

static void make_world(void)
{
	if (getuid() != 0)
		SKIP("needs root, to become somebody else");
	NOT_EMULATED("Landlock");
	if (landlock_abi() < 3)
		SKIP("no Landlock that knows of shortening and moving");
	OK(mkdtemp(top) != NULL && chmod(top, 0755) == 0);
	make_folder("ro");
	make_folder("rw");
	make_folder("outside");
	make_folder("outside/folder");
	make_file("ro/file");
	make_file("rw/file");
	make_file("outside/file");
	OK(symlink("../outside/file", in_top("rw/link")) == 0);
	OK(symlink("../outside", in_top("rw/way")) == 0);
	OK(lchown(in_top("rw/link"), ID, ID) == 0);
}

static void start_server(void)
{
	static char ro[64], rw[64];
	const char *const read_only[] = {ro}, *const read_write[] = {rw};
	const struct landlock_policy policy = {.read_only = read_only,
					       .n_read_only = 1,
					       .read_write = read_write,
					       .n_read_write = 1,
					       .scoped = true};
	struct keeper_config c = plain(RUNG_HOST);
	static struct seccomp_filter filter;
	char *argv[] = {"sftp-server", NULL}, *env[] = {"HOME=/", NULL};
	int in[2], back[2];
	struct err e;

	make_world();
	snprintf(ro, sizeof ro, "%s/ro", top);
	snprintf(rw, sizeof rw, "%s/rw", top);
	if (landlock_build(&policy, NULL, NULL, &landlock, &e) < 0)
		FAIL("%s", e.text);
	seccomp_make(SECCOMP_CHILD, &filter);
	c.confine = (struct confine){
		.identity = &someone, .landlock_fd = landlock.fd, .filter = &filter};
	c.builtins[KEEPER_SFTP] = sftp_serve;
	start_with(&c);
	OK(pipe2(in, O_CLOEXEC) == 0 && pipe2(back, O_CLOEXEC) == 0);
	struct keeper_spawn what = {.argv = argv,
				    .env = env,
				    .cwd = rw,
				    .stdio = {in[0], back[1], STDERR_FILENO},
				    .builtin = KEEPER_SFTP};
	struct try t = TRY;
	OK(keeper_spawn(rig.keeper, &what, &t.call, &e) == 0);
	AWAIT(t.done);
	if (t.result < 0)
		FAIL("%s", t.why.text);
	server = t.result;
	close(in[0]);
	close(back[1]);
	to = in[1];
	from = back[0];
	struct buf none = BUF_INIT(0);
	queue(INIT, 3, &none);
	flush();
	receive();
	EQ(got.type, SFTP_REPLY_VERSION);
}

/* It has seen everything, and ends as it should. */
static void end_server(void)
{
	char command[64];

	close(to);
	EQ(end_of(server), 0);
	landlock_fini(&landlock);
	stop();
	snprintf(command, sizeof command, "rm -rf %s", top);
	OK(system(command) == 0);
}

#define DENIED SFTP_STATUS_PERMISSION_DENIED

static const char *const ways[] = {"../outside/file", "way/file", "link", "../ro/../outside/file",
				   "/proc/self/cwd/../outside/file"};

TEST(sftp_behind_the_wall_reads_and_writes_what_it_may)
{
	start_server();
	EQ(try_open("file", SFTP_OPEN_READ | SFTP_OPEN_WRITE), SFTP_REPLY_HANDLE);
	EQ(try_open("../ro/file", SFTP_OPEN_READ), SFTP_REPLY_HANDLE);
	EQ(ask_paths(MKDIR, "d", ""), SFTP_STATUS_OK);
	EQ(ask_paths(RENAME, "file", "d/file"), SFTP_STATUS_OK);
	EQ(ask_paths(SYMLINK, "d/file", "l"), SFTP_STATUS_OK);
	EQ(ask_extension("hardlink@openssh.com", "d/file", "h"), SFTP_STATUS_OK);
	EQ(ask_path(OPENDIR, "."), SFTP_REPLY_HANDLE);
	EQ(ask_path(REMOVE, "h"), SFTP_STATUS_OK);
	end_server();
}

TEST(sftp_behind_the_wall_opens_nothing_else)
{
	start_server();
	for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
		EQ(try_open(ways[i], SFTP_OPEN_READ), DENIED);
		EQ(try_open(ways[i], SFTP_OPEN_WRITE), DENIED);
		EQ(try_open(ways[i], SFTP_OPEN_WRITE | SFTP_OPEN_APPEND), DENIED);
		EQ(try_open(ways[i], SFTP_OPEN_WRITE | SFTP_OPEN_TRUNCATE), DENIED);
	}
	EQ(try_open("../ro/file", SFTP_OPEN_WRITE), DENIED);
	EQ(try_open("/etc/passwd", SFTP_OPEN_READ), DENIED);
	EQ(try_open("/dev/null", SFTP_OPEN_READ), DENIED);
	EQ(try_open("/proc/self/mem", SFTP_OPEN_READ), DENIED);
	EQ(try_open("/proc/1/environ", SFTP_OPEN_READ), DENIED);
	EQ(try_open("../outside/new", SFTP_OPEN_WRITE | SFTP_OPEN_CREATE), DENIED);
	EQ(try_open("../ro/new", SFTP_OPEN_WRITE | SFTP_OPEN_CREATE), DENIED);
	EQ(try_open("way/new", SFTP_OPEN_WRITE | SFTP_OPEN_CREATE), DENIED);
	EQ(ask_path(OPENDIR, "../outside"), DENIED);
	EQ(ask_path(OPENDIR, "way"), DENIED);
	EQ(ask_path(OPENDIR, "/"), DENIED);
	EQ(ask_path(OPENDIR, "/proc/self/fd"), DENIED);
	end_server();
}

TEST(sftp_behind_the_wall_changes_nothing_else)
{
	struct stat st;

	start_server();
	EQ(ask_path(REMOVE, "../outside/file"), DENIED);
	EQ(ask_path(REMOVE, "../ro/file"), DENIED);
	EQ(ask_path(RMDIR, "../outside/folder"), DENIED);
	EQ(ask_paths(MKDIR, "way/d", ""), DENIED);
	EQ(ask_paths(SYMLINK, "x", "../outside/l"), DENIED);
	/* between folders with other rights it is EXDEV, or EACCES */
	OK(ask_paths(RENAME, "../outside/file", "mine") != SFTP_STATUS_OK);
	OK(ask_paths(RENAME, "file", "../outside/mine") != SFTP_STATUS_OK);
	OK(ask_extension("posix-rename@openssh.com", "file", "../ro/file") != SFTP_STATUS_OK);
	OK(ask_extension("posix-rename@openssh.com", "file", "way/file") != SFTP_STATUS_OK);
	OK(ask_extension("hardlink@openssh.com", "../outside/file", "mine") != SFTP_STATUS_OK);
	OK(ask_extension("hardlink@openssh.com", "link", "../ro/mine") != SFTP_STATUS_OK);
	/* a link itself is a name as any other; what it leads to stays out of reach */
	EQ(ask_extension("hardlink@openssh.com", "link", "mine"), SFTP_STATUS_OK);
	EQ(try_open("mine", SFTP_OPEN_READ), DENIED);
	EQ(ask_attrs(NULL, "../outside/file", SFTP_ATTR_SIZE), DENIED);
	EQ(ask_attrs(NULL, "link", SFTP_ATTR_SIZE), DENIED);
	OK(stat(in_top("outside/file"), &st) == 0);
	EQ(st.st_size, 6);
	EQ(st.st_nlink, 1);
	end_server();
}

/* A file may get the bits; whoever runs it has no_new_privs, and the owner is whom we are. */
TEST(sftp_behind_the_wall_gives_no_rights)
{
	struct buf b = BUF_INIT(64);
	struct stat st;

	start_server();
	put_text(&b, "file");
	put_u32(&b, SFTP_ATTR_OWNER);
	put_u32(&b, 0);
	put_u32(&b, 0);
	EQ(asked(SETSTAT, &b), DENIED);
	b = BUF_INIT(64);
	put_text(&b, "own");
	put_u32(&b, SFTP_OPEN_WRITE | SFTP_OPEN_CREATE);
	put_u32(&b, SFTP_ATTR_PERMISSIONS);
	put_u32(&b, S_IFBLK | 06755);
	EQ(asked(OPEN, &b), SFTP_REPLY_HANDLE);
	OK(stat(in_top("rw/own"), &st) == 0);
	EQ(st.st_mode & ~0022u, S_IFREG | 0755u);
	EQ(st.st_uid, ID);
	end_server();
}
