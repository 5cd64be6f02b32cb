/* proxy/callers: who holds a real connection, of real processes that try to look like others. */
#include <limits.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <mbedtls/sha256.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "actor.h"
#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "net/sock_diag.h"
#include "test.h"

#include "../../src/proxy/callers.c"
#include "../../src/proxy/images.c"

/* ---- a sandbox: this process is its keeper ---- */

struct box {
	char folder[64];
	char *paths[16]; /* of programs */
	size_t paths_n;
	struct loop *loop;
	struct callers *callers;
	int server;
	int port;
	int asked; /* that are open */
};

struct question {
	struct caller_query q;
	struct box *box;
	struct caller *caller;
	struct err why; /* code 0: none */
	int calls;
};

/* An actor, and what is accepted of it. */
struct actor {
	pid_t pid;
	int commands;
};

/* A path, which lives as long as the box. */
static char *in_folder(struct box *b, const char *name)
{
	OK(b->paths_n < ARRAY_LEN(b->paths));
	return b->paths[b->paths_n++] = xasprintf("%s/%s", b->folder, name);
}

/* A copy of this program, with something behind it that makes it another. */
static char *program(struct box *b, const char *name, const char *tail)
{
	char *path = in_folder(b, name), *bytes;
	struct err e;
	size_t n;

	if (file_read("/proc/self/exe", 64 << 20, &bytes, &n, &e) < 0)
		FAIL("%s", e.text);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	OK(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
	OK(write(fd, tail, strlen(tail)) == (ssize_t)strlen(tail));
	OK(fchmod(fd, 0755) == 0);
	close(fd);
	free(bytes);
	return path;
}

static void hash_file(const char *path, char out[CALLER_SHA256_TEXT])
{
	unsigned char hash[32];
	char *bytes;
	struct err e;
	size_t n;

	if (file_read(path, 64 << 20, &bytes, &n, &e) < 0)
		FAIL("%s", e.text);
	OK(mbedtls_sha256((unsigned char *)bytes, n, hash, 0) == 0);
	for (size_t i = 0; i < sizeof hash; i++)
		snprintf(out + 2 * i, 3, "%02x", hash[i]);
	free(bytes);
}

static void open_box(struct box *b, bool relaxed)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof sa;
	struct err e;

	NOT_EMULATED("sock_diag's netlink");
	memset(b, 0, sizeof *b);
	strcpy(b->folder, "/tmp/callers-test-XXXXXX");
	OK(mkdtemp(b->folder) != NULL && chmod(b->folder, 0755) == 0);
	b->server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	OK(bind(b->server, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(b->server, 128) == 0 &&
	   getsockname(b->server, (struct sockaddr *)&sa, &n) == 0);
	b->port = ntohs(sa.sin_port);
	OK(loop_new(&b->loop, &e) == 0);
	struct callers_config c = {.loop = b->loop, .root = getpid(), .relaxed = relaxed};
	c.diag_fd = sock_diag_open(&e);
	OK(c.diag_fd >= 0);
	if (callers_new(&b->callers, &c, &e) < 0)
		FAIL("%s", e.text);
}

static void close_box(struct box *b)
{
	_cleanup_free_ char *command = xasprintf("rm -rf %s", b->folder);

	callers_free(b->callers);
	loop_free(b->loop);
	close(b->server);
	for (size_t i = 0; i < b->paths_n; i++)
		free(b->paths[i]);
	OK(system(command) == 0);
}

static void tell(const struct actor *a, const char *fmt, ...)
{
	char line[ACTOR_TEXT];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	OK(send(a->commands, line, strlen(line), MSG_NOSIGNAL) > 0);
	ssize_t n = recv(a->commands, line, sizeof line - 1, 0);
	OK(n > 0);
	line[n] = '\0';
	STREQ(line, "ok");
}

/* Starts a program as our child. */
static struct actor start(const char *path)
{
	int pair[2];
	char line[8];

	OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	struct actor a = {.commands = pair[0], .pid = actor_fork()};
	if (a.pid == 0) {
		dup2(pair[1], 20);
		dup2(20, ACTOR_COMMANDS);
		for (int fd = ACTOR_COMMANDS + 1; fd < 30; fd++)
			close(fd);
		setenv("ACTOR", "obeys", 1);
		execl(path, path, "/a/script", "/a/script", NULL);
		_exit(1);
	}
	close(pair[1]);
	OK(a.pid > 0 && recv(a.commands, line, sizeof line, 0) == 2);
	return a;
}

static void stop(struct actor *a)
{
	kill(a->pid, SIGKILL);
	waitpid(a->pid, NULL, 0);
	close(a->commands);
}

static int accept_one(struct box *b)
{
	int fd = accept4(b->server, NULL, NULL, SOCK_CLOEXEC);

	OK(fd >= 0);
	return fd;
}

static int connected(struct box *b, const struct actor *a)
{
	tell(a, "connect %d", b->port);
	return accept_one(b);
}

/* ---- questions ---- */

static void done(struct caller_query *q, struct caller *c, const struct err *why)
{
	struct question *x = container_of(q, struct question, q);

	x->calls++;
	x->caller = c != NULL ? caller_ref(c) : NULL;
	if (why != NULL)
		x->why = *why;
	if (--x->box->asked == 0)
		loop_stop(x->box->loop, 0);
}

static void begin(struct box *b, struct question *x, int fd)
{
	*x = (struct question){.q.done = done, .box = b};
	b->asked++;
	callers_ask(b->callers, &x->q, fd);
	EQ(x->calls, 0);
}

static struct question ask(struct box *b, int fd)
{
	struct question x;

	begin(b, &x, fd);
	loop_run(b->loop);
	EQ(x.calls, 1);
	return x;
}

/* Its caller, which must be known. */
static struct caller *who(struct box *b, int fd)
{
	struct question x = ask(b, fd);

	if (x.why.code != 0)
		FAIL("%s", x.why.text);
	OK(x.caller != NULL);
	return x.caller;
}

static void is_refused(struct box *b, int fd, const char *reason)
{
	struct question x = ask(b, fd);

	OK(x.why.code != 0);
	HAS(x.why.text, reason);
	caller_unref(x.caller);
}

/* ---- programs ---- */

TEST(callers_the_program_of_a_connection)
{
	char hash[CALLER_SHA256_TEXT];
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	EQ(c->pid, a.pid);
	EQ(c->uid, geteuid());
	EQ(c->ancestors_n, 0);
	EQ(c->cmdline_n, 1); /* once, and not the program itself */
	STREQ(c->cmdline[0], "/a/script");
	hash_file(tool, hash);
	STREQ(c->sha256, hash);
	OK(c->started > 0 && !c->relaxed);
	caller_unref(c);
	close(fd);
	stop(&a);
	close_box(&b);
}

TEST(callers_ancestors_the_parent_first)
{
	struct policy_caller p;
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	char *three = program(&b, "three", "3");
	struct actor a = start(one);
	tell(&a, "parent %s", two);
	tell(&a, "parent %s", three);
	int fd = connected(&b, &a);
	struct caller *c = who(&b, fd);
	caller_for_policy(c, &p);
	STREQ(p.exe, three);
	EQ(p.ancestors_n, 2);
	STREQ(p.ancestors[0], two);
	STREQ(p.ancestors[1], one);
	EQ(c->ancestors[2] == NULL, 1);
	/* "/a/script" is an argument of the first alone, whose own name is told already */
	EQ(p.cmdline_n, 1);
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

static void drop_ptrace(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	OK(syscall(SYS_capget, &head, data) == 0);
	data[0].effective &= ~(1u << CAP_SYS_PTRACE);
	OK(syscall(SYS_capset, &head, data) == 0);
}

TEST(callers_of_another_user_without_the_right_to_look_at_them)
{
	enum { THEM = 65533 };
	struct box b;

	if (geteuid() != 0)
		SKIP("to have another user takes root");
	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	tell(&a, "become %d", THEM);
	tell(&a, "exec %s", tool);
	int fd = connected(&b, &a);
	drop_ptrace();
	is_refused(&b, fd, "fd: Permission denied (this needs CAP_SYS_PTRACE)");
	b.callers->c.look_as_them = true;
	b.callers->c.uid = b.callers->c.gid = THEM;
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	EQ(c->uid, THEM);
	caller_unref(c);
	/* and is itself again; these only ask */
	EQ(setfsuid((uid_t)-1), 0);
	EQ(setfsgid((gid_t)-1), (int)getegid());
	close(fd);
	stop(&a);
	close_box(&b);
}

TEST(callers_what_a_process_forked_is_alike)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	tell(&a, "fork");
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	EQ(c->pid, a.pid); /* the smaller number, unless they began anew */
	caller_unref(c);
	tell(&a, "drop");
	c = who(&b, fd);
	EQ(c->pid, a.pid);
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

TEST(callers_a_socket_of_two_programs_is_ambiguous)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one);
	int fd = connected(&b, &a);
	tell(&a, "spawn %s", two);
	/* it may take a while until the other one is */
	for (int i = 0; i < 200; i++) {
		struct question x = ask(&b, fd);
		caller_unref(x.caller);
		if (x.why.code != 0) {
			HAS(x.why.text, "ambiguous shared socket ownership: inode ");
			HAS(x.why.text, one);
			HAS(x.why.text, two);
			stop(&a);
			close_box(&b);
			return;
		}
		usleep(10000);
	}
	FAIL("the second program was never seen");
}

TEST(callers_exec_after_connect_is_another_program)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one);
	int fd = connected(&b, &a);
	struct caller *before = who(&b, fd);
	tell(&a, "exec %s", two);
	struct caller *after = who(&b, fd);
	STREQ(before->exe, one);
	STREQ(after->exe, two);
	EQ(before->pid, after->pid);
	EQ(before->started, after->started);
	OK(strcmp(before->sha256, after->sha256) != 0);
	caller_unref(before);
	caller_unref(after);
	/* a socket that exec closes is nobody's any more */
	tell(&a, "closed %d", b.port);
	int other = accept_one(&b);
	tell(&a, "exec %s", one);
	is_refused(&b, other, "failed to resolve peer binary: the other end of the connection: ");
	stop(&a);
	close_box(&b);
}

/* ---- names of images ---- */

TEST(callers_a_deleted_image_keeps_its_name)
{
	char hash[CALLER_SHA256_TEXT];
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	hash_file(tool, hash);
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	OK(unlink(tool) == 0);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	STREQ(c->sha256, hash);
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

TEST(callers_a_name_that_ends_like_a_deleted_one_is_kept)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool (deleted)", "");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	caller_unref(c);
	OK(unlink(tool) == 0);
	c = who(&b, fd);
	STREQ(c->exe, tool);
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

TEST(callers_a_deleted_name_of_a_file_that_has_another_is_not_cut)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", ""), *other = in_folder(&b, "other");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	OK(link(tool, other) == 0 && unlink(tool) == 0);
	struct caller *c = who(&b, fd);
	OK(str_starts(str_of(c->exe), tool) && str_ends(str_of(c->exe), " (deleted)"));
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

TEST(callers_the_hash_is_of_what_runs_not_of_what_is_there)
{
	char hash[CALLER_SHA256_TEXT];
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "good"), *evil = program(&b, "evil", "evil");
	hash_file(tool, hash);
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	OK(rename(evil, tool) == 0);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	STREQ(c->sha256, hash);
	caller_unref(c);
	/* and who runs what is there now is refused: it is not what was first seen */
	struct actor second = start(tool);
	int other = connected(&b, &second);
	struct question x = ask(&b, other);
	HAS(x.why.text, "binary integrity check failed: ");
	HAS(x.why.text, "is not the program that was first seen there");
	STREQ(x.caller->exe, tool); /* for the event */
	EQ(x.caller->pid, second.pid);
	caller_unref(x.caller);
	/* what it starts is refused, too */
	char *child = program(&b, "child", "c");
	tell(&second, "parent %s", child);
	int third = connected(&b, &second);
	x = ask(&b, third);
	HAS(x.why.text, "ancestor integrity check failed for ");
	STREQ(x.caller->exe, child);
	caller_unref(x.caller);
	/* the first one still runs, and is still what it was */
	c = who(&b, fd);
	STREQ(c->sha256, hash);
	caller_unref(c);
	stop(&a);
	stop(&second);
	close_box(&b);
}

TEST(callers_the_same_bytes_at_a_path_again_are_the_same_program)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "good");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	caller_unref(who(&b, fd));
	stop(&a);
	OK(unlink(tool) == 0);
	program(&b, "tool", "good");
	a = start(tool);
	fd = connected(&b, &a);
	caller_unref(who(&b, fd));
	stop(&a);
	close_box(&b);
}

/* ---- processes that hide ---- */

TEST(callers_who_is_not_of_the_sandbox_is_nobody)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor keeper = start(tool), a = start(tool);
	int fd = connected(&b, &a);
	b.callers->c.root = keeper.pid;
	is_refused(&b, fd, "no process of the sandbox holds socket ");
	/* the keeper itself is not of the sandbox either */
	b.callers->c.root = a.pid;
	is_refused(&b, fd, "no process of the sandbox holds socket ");
	stop(&a);
	is_refused(&b, fd, "failed to resolve peer binary: the other end of the connection: ");
	stop(&keeper);
	close_box(&b);
}

TEST(callers_a_thread_with_a_table_of_its_own)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	tell(&a, "thread %d", b.port);
	int fd = accept_one(&b);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	EQ(c->pid, a.pid);
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

TEST(callers_a_process_whose_first_thread_has_ended)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one);
	tell(&a, "leave");
	int fd = connected(&b, &a);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, one);
	EQ(c->pid, a.pid);
	caller_unref(c);
	/* and as an ancestor */
	tell(&a, "parent %s", two);
	fd = connected(&b, &a);
	c = who(&b, fd);
	STREQ(c->exe, two);
	EQ(c->ancestors_n, 1);
	STREQ(c->ancestors[0], one);
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

TEST(callers_a_process_in_another_mount_namespace)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	if (geteuid() == 0)
		tell(&a, "unshare %d", CLONE_NEWNS);
	else
		tell(&a, "unshare %d", CLONE_NEWUSER | CLONE_NEWNS);
	int fd = connected(&b, &a);
	is_refused(&b, fd, "it is in another mount namespace");
	stop(&a);
	close_box(&b);
}

/* A child with this very number; -1 when the kernel or our rights do not give it. */
static pid_t fork_as(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1};

	return (pid_t)syscall(SYS_clone3, &args, sizeof args);
}

TEST(callers_a_number_that_is_used_again_is_another_process)
{
	struct proc_stat s;
	struct box b;
	struct err e;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one), helper = start(two);
	int fd = connected(&b, &a);
	struct caller *before = who(&b, fd);
	struct process *open = process_open(a.pid, &e);
	OK(open != NULL && process_look(open, &e) == 0);
	stop(&a);
	pid_t pid = fork_as(a.pid);
	if (pid < 0)
		SKIP("a process with a chosen number: %s", strerror(errno));
	if (pid == 0) {
		if (!actor_connect(b.port, 0))
			_exit(1);
		setenv("ACTOR", "holds", 1);
		execl(two, two, NULL);
		_exit(1);
	}
	EQ(pid, a.pid);
	int other = accept_one(&b);
	is_refused(&b, fd, "failed to resolve peer binary: ");
	/* the old one's folder is not the new one's */
	EQ(process_read_stat(open->dir, &s), -1);
	EQ(errno, ESRCH);
	process_free(open);
	struct caller *after = who(&b, other);
	EQ(after->pid, before->pid);
	OK(after->started >= before->started);
	caller_unref(before);
	caller_unref(after);
	kill(pid, SIGKILL);
	stop(&helper);
	close_box(&b);
}

/* ---- without rights ---- */

/* Of root nothing but the way back is left. */
static void become_nobody(void)
{
	if (geteuid() != 0)
		return;
	OK(setresgid(65534, 65534, 0) == 0 && setresuid(65534, 65534, 0) == 0);
	OK(prctl(PR_SET_DUMPABLE, 1) == 0);
}

static void become_root_again(void)
{
	uid_t real, effective, saved;

	OK(getresuid(&real, &effective, &saved) == 0);
	if (saved == 0)
		OK(setresuid(0, 0, 0) == 0 && setresgid(0, 0, 0) == 0);
}

TEST(callers_without_rights_a_child_user_namespace_may_be_looked_into)
{
	struct box b;

	become_nobody();
	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one);
	char line[64];
	snprintf(line, sizeof line, "unshare %d", CLONE_NEWUSER);
	OK(send(a.commands, line, strlen(line), 0) > 0);
	ssize_t n = recv(a.commands, line, sizeof line - 1, 0);
	line[n > 0 ? n : 0] = '\0';
	if (!streq(line, "ok"))
		SKIP("no user namespace to be had: %s", line);
	tell(&a, "exec %s", two);
	int fd = connected(&b, &a);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, two);
	caller_unref(c);
	become_root_again();
	stop(&a);
	close_box(&b);
}

TEST(callers_what_may_not_be_looked_into_names_the_right)
{
	struct box b;

	if (geteuid() != 0)
		SKIP("a process that is another's needs root");
	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	become_nobody();
	is_refused(&b, fd, "fd: Permission denied (this needs CAP_SYS_PTRACE)");
	become_root_again();
	caller_unref(who(&b, fd));
	stop(&a);
	close_box(&b);
}

TEST(callers_an_image_that_may_not_be_read_is_no_program)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	struct rlimit none = {.rlim_cur = 0, .rlim_max = 4096}, before;
	OK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none.rlim_max = before.rlim_max;
	OK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	is_refused(&b, fd, "failed to resolve peer binary: ");
	OK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	caller_unref(who(&b, fd));
	stop(&a);
	close_box(&b);
}

/* ---- many, none, and no more ---- */

TEST(callers_many_questions_of_one_turn)
{
	enum { N = 40 };
	struct question x[N];
	struct actor a[4];
	struct box b;
	int fds[N];

	open_box(&b, false);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		char name[8];
		snprintf(name, sizeof name, "t%zu", i);
		a[i] = start(program(&b, name, name));
	}
	/* the last ones have a socket that is gone by then */
	for (size_t i = 0; i < N; i++)
		fds[i] = connected(&b, &a[i % ARRAY_LEN(a)]);
	for (size_t i = 0; i < N; i++)
		begin(&b, &x[i], fds[i]);
	callers_cancel(&x[0].q);
	callers_cancel(&x[0].q);
	b.asked--;
	loop_run(b.loop);
	EQ(x[0].calls, 0);
	for (size_t i = 1; i < N; i++) {
		EQ(x[i].calls, 1);
		/* each actor holds its newest connection alone */
		if (i < N - ARRAY_LEN(a)) {
			HAS(x[i].why.text, "failed to resolve peer binary: ");
			continue;
		}
		EQ(x[i].why.code, 0);
		EQ(x[i].caller->pid, a[i % ARRAY_LEN(a)].pid);
		caller_unref(x[i].caller);
	}
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		stop(&a[i]);
	close_box(&b);
}

TEST(callers_who_sent_a_datagram)
{
	struct sockaddr_storage src = {0}, dst = {0};
	struct sockaddr_in *in = (void *)&src, *to = (void *)&dst;
	socklen_t n = sizeof *in;
	struct question x = {.q.done = done};
	struct box b;

	open_box(&b, false);
	b.asked = 1;
	x.box = &b;
	/* the sender is a child that is forked with the socket */
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	in->sin_family = AF_INET;
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	OK(bind(fd, (struct sockaddr *)in, n) == 0);
	OK(getsockname(fd, (struct sockaddr *)in, &n) == 0);
	pid_t sender = actor_fork();
	if (sender == 0)
		for (;;)
			pause();
	*to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(53)};
	OK(inet_pton(AF_INET, "192.0.2.1", &to->sin_addr) == 1);
	callers_ask_sender(b.callers, &x.q, IPPROTO_UDP, &src, &dst);
	loop_run(b.loop);
	EQ(x.why.code, 0);
	EQ(x.caller->pid, sender);
	caller_unref(x.caller);
	x = (struct question){.q.done = done, .box = &b};
	b.asked = 1;
	callers_ask_sender(b.callers, &x.q, IPPROTO_ICMP, &src, &dst);
	loop_run(b.loop);
	HAS(x.why.text, "neither by TCP nor by UDP");
	kill(sender, SIGKILL);
	close(fd);
	close_box(&b);
}

TEST(callers_relaxed_looks_for_nobody)
{
	struct box b;

	open_box(&b, true);
	struct caller *c = who(&b, -1);
	OK(c->relaxed);
	STREQ(c->exe, "");
	STREQ(c->sha256, "");
	EQ(c->ancestors_n, 0);
	caller_unref(c);
	close_box(&b);
}

TEST(callers_words_for_relaxed)
{
	OK(!caller_identity_relaxed(NULL));
	OK(!caller_identity_relaxed(""));
	OK(!caller_identity_relaxed("required"));
	OK(!caller_identity_relaxed("1"));
	OK(!caller_identity_relaxed("true"));
	OK(caller_identity_relaxed("relaxed"));
	OK(caller_identity_relaxed("Disabled"));
	OK(caller_identity_relaxed("endpoint-only"));
	OK(caller_identity_relaxed("false"));
	OK(caller_identity_relaxed("0"));
}

TEST(callers_before_there_is_a_sandbox)
{
	struct box b;

	open_box(&b, false);
	b.callers->c.root = 0;
	struct question x = ask(&b, -1);
	STREQ(x.why.text, "entrypoint process not yet spawned");
	b.callers->c.root = getpid();
	is_refused(&b, b.server,
		   "failed to resolve peer binary: the addresses of the connection: ");
	close_box(&b);
}

TEST(callers_an_image_that_is_never_read_is_given_up)
{
	struct question x;
	struct box b;

	open_box(&b, false);
	begin(&b, &x, b.server);
	struct caller_ask *a = x.q.ask;
	/* as if its image were being read, for too long */
	a->why.code = 0;
	a->deadline = mono_ms() - 1;
	look_again(a, &b.callers->reading);
	loop_run(b.loop);
	EQ(x.calls, 1);
	EQ(x.why.code, ETIMEDOUT);
	HAS(x.why.text, "failed to resolve peer binary: its image was not read within 30 s");
	close_box(&b);
}

TEST(callers_more_questions_than_there_may_be)
{
	enum { N = CALLER_WAITING_MAX + 1 };
	struct question *x = xcalloc(N, sizeof *x);
	struct box b;

	open_box(&b, false);
	for (size_t i = 0; i < N; i++)
		begin(&b, &x[i], b.server);
	loop_run(b.loop);
	EQ(x[N - 1].calls, 1);
	HAS(x[N - 1].why.text, "more than 1024 questions are open");
	close_box(&b);
	free(x);
}
