/* proxy/callers: who holds a real connection; many questions, and none. */
#include <sys/resource.h>

#include "callers.h"

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

/* It may take a while until the second program is there. */
static void is_ambiguous_soon(struct box *b, int fd, const char *one, const char *two)
{
	for (int i = 0; i < 200; i++) {
		struct question x = ask(b, fd);
		caller_unref(x.caller);
		if (x.why.code != 0) {
			HAS(x.why.text, "ambiguous shared socket ownership: inode ");
			HAS(x.why.text, one);
			HAS(x.why.text, two);
			return;
		}
		usleep(10000);
	}
	FAIL("the second program was never seen");
}

TEST(callers_a_socket_of_two_programs_is_ambiguous)
{
	struct box b;

	open_box(&b, false);
	char *one = program(&b, "one", "1"), *two = program(&b, "two", "2");
	struct actor a = start(one);
	int fd = connected(&b, &a);
	tell(&a, "spawn %s", two);
	is_ambiguous_soon(&b, fd, one, two);
	stop(&a);
	close_box(&b);
}

/* Where it was found before says nothing of where it is, nor of who else has it. */
TEST(callers_a_socket_goes_from_number_to_number)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "1"), *other = program(&b, "other", "2");
	struct actor a = start(tool);
	tell(&a, "crowd 600");
	static const int numbers[] = {900, 5, 20, 610, 899, 901, 500};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		int fd = connected(&b, &a);
		caller_unref(who(&b, fd)); /* as number 5 */
		if (numbers[i] != 5)
			tell(&a, "move %d", numbers[i]);
		struct caller *c = who(&b, fd);
		STREQ(c->exe, tool);
		EQ(c->pid, a.pid);
		caller_unref(c);
		close(fd);
	}
	/* the child's number 5 is its parent's 950 */
	int fd = connected(&b, &a);
	tell(&a, "spawn %s", other);
	tell(&a, "move 950");
	is_ambiguous_soon(&b, fd, tool, other);
	stop(&a);
	close(fd);
	close_box(&b);
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

/* ---- many, none, and no more ---- */

TEST(callers_a_kernel_that_finds_no_socket_has_a_table)
{
	struct box b;

	open_box(&b, false);
	char *tool = program(&b, "tool", "");
	struct actor a = start(tool);
	int fd = connected(&b, &a);
	no_diag = true;
	struct caller *c = who(&b, fd);
	STREQ(c->exe, tool);
	caller_unref(c);
	tell(&a, "drop");
	is_refused(&b, fd, "failed to resolve peer binary: the other end of the connection: ");
	stop(&a);
	close_box(&b);
}

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
