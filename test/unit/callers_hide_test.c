/* proxy/callers: processes that hide, and such as may not be looked into. */
#include <linux/capability.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "callers.h"

/* A kernel that has no lists of children, or one that misses what it should have so often. */
static bool no_lists;
static int misses;

static ssize_t read_or_not(int dir, const char *name, char *text, size_t size)
{
	bool list = str_ends(str_of(name), "/children");

	if (list && no_lists) {
		errno = ENOENT;
		return -1;
	}
	return list && misses-- > 0 ? 0 : process_read(dir, name, text, size);
}

#define process_read read_or_not
#include "../../src/proxy/owners.c"
#undef process_read

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

TEST(callers_a_descriptor_on_its_way_is_nobodys)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one);
	int fd = connected(&b, &a);
	tell(&a, "pack");
	is_refused(&b, fd, "no process of the sandbox holds socket ");
	tell(&a, "parent %s", two);
	tell(&a, "unpack");
	struct caller *c = who(&b, fd);
	STREQ(c->exe, two);
	EQ(c->ancestors_n, 1);
	STREQ(c->ancestors[0], one);
	caller_unref(c);
	stop(&a);
	close_box(&b);
}

TEST(callers_a_process_that_is_never_the_same_is_never_a_mixture)
{
	enum { TIMES = 300 };
	char of_one[CALLER_SHA256_TEXT], of_two[CALLER_SHA256_TEXT];
	int seen_one = 0, seen_two = 0;
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	hash_file(one, of_one);
	hash_file(two, of_two);
	struct actor a = start(one);
	int fd = connected(&b, &a);
	tell(&a, "storm %s", two);
	for (int i = 0; i < TIMES || seen_one == 0 || seen_two == 0; i++) {
		struct question x = ask(&b, fd);
		if (x.why.code != 0) {
			/* it did not stand still for long enough, and nothing worse */
			HAS(x.why.text, "failed to resolve peer binary: ");
		} else if (streq(x.caller->exe, one)) {
			STREQ(x.caller->sha256, of_one);
			seen_one++;
		} else {
			STREQ(x.caller->exe, two);
			STREQ(x.caller->sha256, of_two);
			seen_two++;
		}
		caller_unref(x.caller);
	}
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
	OK(open != NULL && process_look(open, 0, &e) == 0);
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

static void hide_and_wait(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	for (;;)
		pause();
}

TEST(callers_the_helpers_of_the_keeper_need_not_be_looked_into)
{
	struct box b;

	become_nobody();
	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	/* forked and hidden, as the nursery is: before us, so that it is hidden when it is there */
	OK(prctl(PR_SET_DUMPABLE, 0) == 0);
	pid_t helper = actor_fork();
	if (helper == 0)
		hide_and_wait();
	OK(prctl(PR_SET_DUMPABLE, 1) == 0);
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	caller_unref(c);
	/* who became a program and hides might hold any socket */
	struct actor hidden = start(tool);
	tell(&hidden, "hide");
	struct question x = ask(&b, fd);
	if (x.why.code == 0)
		FAIL("nobody may look into what hides");
	HAS(x.why.text, "failed to resolve peer binary: process ");
	HAS(x.why.text, "(this needs CAP_SYS_PTRACE)");
	stop(&hidden);
	caller_unref(who(&b, fd));
	become_root_again();
	kill(helper, SIGKILL);
	stop(&a);
	close_box(&b);
}

TEST(callers_the_init_of_a_sandbox_is_asked_for_its_children_alone)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor init = start(one);
	int fd = connected(&b, &init);
	b.callers->c.init = init.pid;
	is_refused(&b, fd, "no process of the sandbox holds socket ");
	tell(&init, "parent %s", two);
	fd = connected(&b, &init);
	for (int i = 0; i < 2; i++) {
		no_lists = i > 0;
		struct caller *c = who(&b, fd);
		STREQ(c->exe, two);
		EQ(c->ancestors_n, 0);
		caller_unref(c);
	}
	no_lists = false;
	stop(&init);
	close_box(&b);
}

/* ---- lists of children ---- */

TEST(callers_a_kernel_without_lists_of_children)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one), other = start(two);
	tell(&a, "parent %s", two);
	int fd = connected(&b, &a);
	no_lists = true;
	struct caller *c = who(&b, fd);
	STREQ(c->exe, two);
	EQ(c->ancestors_n, 1);
	STREQ(c->ancestors[0], one);
	caller_unref(c);
	b.callers->c.root = other.pid;
	is_refused(&b, fd, "no process of the sandbox holds socket ");
	stop(&a);
	stop(&other);
	close_box(&b);
}

TEST(callers_a_list_that_missed_a_child_is_read_again)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one);
	tell(&a, "parent %s", two);
	int fd = connected(&b, &a);
	caller_unref(who(&b, fd)); /* its image is known from now on: what follows is one look */
	misses = SEARCH_TRIES - 1;
	caller_unref(who(&b, fd));
	misses = SEARCH_TRIES;
	is_refused(&b, fd, "no process of the sandbox holds socket ");
	stop(&a);
	close_box(&b);
}
