/* isolate/keeper: the table of messages, a workload's text; net/fdpass: what carries them. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "isolate/keeper_impl.h"
#include "isolate/nursery.h"
#include "net/fdpass.h"
#include "test.h"

/* ---- the table ---- */

static const char *verdict(enum keeper_side from, uint32_t message, size_t n, size_t fds)
{
	static struct err e;
	struct keeper_packet p = {.message = message, .why = {.code = message == KEEPER_FAILED}};
	struct fdpass pass = {.n = fds};

	e.text[0] = '\0';
	OK(keeper_check(from, &p, n, &pass, &e) == (e.text[0] ? -1 : 0));
	return e.text;
}

TEST(keeper_knows_its_messages_and_no_others)
{
	STREQ(verdict(KEEPER_ASKS, KEEPER_SPAWN, keeper_size(KEEPER_SPAWN), 4), "");
	STREQ(verdict(KEEPER_ASKS, KEEPER_SPAWN, keeper_size(KEEPER_SPAWN), 3),
	      "the supervisor sent message spawn with 3 descriptors");
	STREQ(verdict(KEEPER_ASKS, KEEPER_SIGNAL, keeper_size(KEEPER_SIGNAL) - 1, 0),
	      "the supervisor sent message signal of 15 bytes instead of 16");
	STREQ(verdict(KEEPER_ASKS, KEEPER_EXITED, keeper_size(KEEPER_EXITED), 0),
	      "the supervisor sent message exited, which is not its to send");
	STREQ(verdict(KEEPER_TELLS, KEEPER_SPAWN, keeper_size(KEEPER_SPAWN), 4),
	      "the keeper sent message spawn, which is not its to send");
	STREQ(verdict(KEEPER_TELLS, KEEPER_MESSAGE_COUNT, 16, 0),
	      "the keeper sent message 11, which there is not");
	STREQ(verdict(KEEPER_TELLS, KEEPER_EXITED, 7, 0), "the keeper sent a message of 7 bytes");
	STREQ(verdict(KEEPER_TELLS, KEEPER_EXITED, 0, 0), "the keeper sent a message of 0 bytes");
	STREQ(verdict(KEEPER_TELLS, KEEPER_DONE, keeper_size(KEEPER_DONE), 0), "");
	STREQ(verdict(KEEPER_TELLS, KEEPER_DONE, keeper_size(KEEPER_DONE), 1), "");
	STREQ(verdict(KEEPER_TELLS, KEEPER_DONE, keeper_size(KEEPER_DONE), 2),
	      "the keeper sent message done with 2 descriptors");
}

TEST(keeper_every_message_belongs_to_one_side)
{
	for (uint32_t m = 0; m < KEEPER_MESSAGE_COUNT; m++) {
		size_t fds = m == KEEPER_SPAWN ? 4 : 0;
		bool asks = verdict(KEEPER_ASKS, m, keeper_size(m), fds)[0] == '\0';
		bool tells = verdict(KEEPER_TELLS, m, keeper_size(m), fds)[0] == '\0';
		OK(asks != tells);
		EQ(asks, m < KEEPER_DONE);
		OK(verdict(asks ? KEEPER_ASKS : KEEPER_TELLS, m, keeper_size(m) + 1, fds)[0]);
		OK(verdict(asks ? KEEPER_ASKS : KEEPER_TELLS, m, keeper_size(m), fds + 2)[0]);
	}
}

TEST(keeper_a_failure_has_a_reason)
{
	struct keeper_packet p = {.message = KEEPER_FAILED};
	struct fdpass none = {.n = 0};
	struct err e;

	EQ(keeper_check(KEEPER_TELLS, &p, keeper_size(KEEPER_FAILED), &none, &e), -1);
	p.why.code = EIO;
	EQ(keeper_check(KEEPER_TELLS, &p, keeper_size(KEEPER_FAILED), &none, &e), 0);
	memset(p.why.text, 'x', sizeof p.why.text);
	EQ(keeper_check(KEEPER_TELLS, &p, keeper_size(KEEPER_FAILED), &none, &e), -1);
	STREQ(e.text, "the keeper sent a failure without a reason");
}

TEST(keeper_knows_its_builtins_and_no_others)
{
	struct keeper_packet p = {.message = KEEPER_SPAWN};
	struct fdpass four = {.n = 4};
	struct err e;

	for (uint32_t b = 0; b < KEEPER_BUILTIN_COUNT; b++) {
		p.kind.builtin = b;
		EQ(keeper_check(KEEPER_ASKS, &p, keeper_size(KEEPER_SPAWN), &four, &e), 0);
	}
	p.kind.builtin = KEEPER_BUILTIN_COUNT;
	EQ(keeper_check(KEEPER_ASKS, &p, keeper_size(KEEPER_SPAWN), &four, &e), -1);
	STREQ(e.text, "the supervisor asked for builtin 2, which there is not");
}

static bool inside(const char *host, enum rung r)
{
	struct keeper_address a = {.n = sizeof a.at.in, .at.in.sin_family = AF_INET};

	if (inet_pton(AF_INET, host, &a.at.in.sin_addr) == 1)
		return keeper_address_is_inside(&a, r);
	a.n = sizeof a.at.in6;
	a.at.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
	OK(inet_pton(AF_INET6, host, &a.at.in6.sin6_addr) == 1);
	return keeper_address_is_inside(&a, r);
}

TEST(keeper_knows_which_addresses_are_inside)
{
	OK(inside("127.0.0.1", RUNG_HOST) && inside("127.255.0.1", RUNG_POCKET));
	OK(inside("::1", RUNG_HOST) && inside("::1", RUNG_USERNS));
	OK(inside("10.200.0.1", RUNG_POCKET) && inside("10.200.0.2", RUNG_USERNS));
	OK(!inside("10.200.0.1", RUNG_HOST));
	OK(!inside("10.200.0.3", RUNG_POCKET) && !inside("0.0.0.0", RUNG_POCKET));
	OK(!inside("128.0.0.1", RUNG_POCKET) && !inside("169.254.169.254", RUNG_POCKET));
	OK(!inside("::", RUNG_POCKET) && !inside("::ffff:127.0.0.1", RUNG_POCKET));
	OK(!inside("fe80::1", RUNG_POCKET));
	struct keeper_address a = {.n = 4, .at.in.sin_family = AF_INET};
	a.at.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	OK(!keeper_address_is_inside(&a, RUNG_HOST));
	a.n = sizeof a.at.in;
	a.at.any.sa_family = AF_UNIX;
	OK(!keeper_address_is_inside(&a, RUNG_HOST));
}

/* ---- a workload's text ---- */

TEST(nursery_text_comes_back_as_it_was)
{
	static struct nursery_text text;
	char *argv[] = {"sh", "", "two words", NULL}, *env[] = {"A=", "B=\n", NULL};
	struct keeper_spawn what = {.argv = argv, .env = env, .cwd = "/tmp"};
	struct stat st;
	char bytes[256];
	struct err e;

	int fd = nursery_text_write(&what, &e);
	if (fd < 0)
		FAIL("%s", e.text);
	OK(fstat(fd, &st) == 0);
	EQ(pread(fd, bytes, sizeof bytes, 0), st.st_size);
	OK(nursery_text_read(bytes, (size_t)st.st_size, &text, &e) == 0);
	STREQ(text.cwd, "/tmp");
	for (int i = 0; i < 4; i++)
		STREQ(text.argv[i], argv[i]);
	for (int i = 0; i < 3; i++)
		STREQ(text.env[i], env[i]);
	/* nothing of it can be missing, nothing more be there */
	for (size_t n = 0; n < (size_t)st.st_size; n++)
		EQ(nursery_text_read(bytes, n, &text, &e), -1);
	bytes[st.st_size] = '\0';
	EQ(nursery_text_read(bytes, (size_t)st.st_size + 1, &text, &e), -1);
	close(fd);
}

TEST(nursery_text_has_limits)
{
	char **many = xcalloc(KEEPER_ENV_MAX + 2, sizeof *many);
	char *one[] = {"x", NULL}, *none[] = {NULL};
	struct keeper_spawn what = {.argv = none, .env = none, .cwd = "/"};
	struct err e;

	EQ(nursery_text_write(&what, &e), -1);
	STREQ(e.text, "a program without a name");
	for (unsigned i = 0; i <= KEEPER_ARGS_MAX; i++)
		many[i] = "x";
	what.argv = many;
	EQ(nursery_text_write(&what, &e), -1);
	STREQ(e.text, "more than 1024 arguments");
	many[KEEPER_ARGS_MAX] = NULL;
	int fd = nursery_text_write(&what, &e);
	OK(fd >= 0);
	close(fd);
	for (unsigned i = 0; i <= KEEPER_ENV_MAX; i++)
		many[i] = "x=";
	what.argv = one;
	what.env = many;
	EQ(nursery_text_write(&what, &e), -1);
	STREQ(e.text, "more than 4096 environment variables");
	free(many);
}

/* ---- descriptors ---- */

static int pair[2];

static void make_pair(void)
{
	OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
}

TEST(fdpass_carries_descriptors)
{
	struct fdpass got;
	struct stat a, b;
	char text[8];
	int fds[FDPASS_MAX];

	make_pair();
	for (int i = 0; i < FDPASS_MAX; i++)
		fds[i] = i % 2 ? STDIN_FILENO : pair[0];
	OK(fdpass_send(pair[0], "hello", 5, fds, FDPASS_MAX) == 0);
	EQ(fdpass_receive(pair[1], text, sizeof text, &got), 5);
	MEMEQ(text, "hello", 5);
	EQ(got.n, FDPASS_MAX);
	for (int i = 0; i < FDPASS_MAX; i++) {
		OK(fcntl(got.fd[i], F_GETFD) & FD_CLOEXEC);
		OK(fstat(got.fd[i], &a) == 0 && fstat(fds[i], &b) == 0);
		EQ(a.st_ino, b.st_ino);
	}
	int taken = fdpass_take(&got, 3), other = got.fd[4];
	fdpass_close(&got);
	OK(fcntl(taken, F_GETFD) >= 0);
	EQ(fcntl(other, F_GETFD), -1);
}

TEST(fdpass_carries_messages_without_any)
{
	struct fdpass got;
	char text[8];

	make_pair();
	OK(fdpass_send(pair[0], "hello", 5, NULL, 0) == 0);
	EQ(fdpass_receive(pair[1], text, sizeof text, &got), 5);
	EQ(got.n, 0);
	OK(!got.lost);
	EQ(fdpass_receive_within(pair[1], text, sizeof text, &got, 1), -1);
	EQ(errno, ETIMEDOUT);
	close(pair[0]);
	EQ(fdpass_receive(pair[1], text, sizeof text, &got), 0);
	EQ(fdpass_send(pair[1], "hello", 5, NULL, 0), -1);
	EQ(errno, EPIPE);
}

TEST(fdpass_refuses_what_is_too_long)
{
	struct fdpass got;
	char text[4];

	make_pair();
	OK(fdpass_send(pair[0], "hello", 5, pair, 1) == 0);
	int next = dup(0);
	close(next);
	EQ(fdpass_receive(pair[1], text, sizeof text, &got), -1);
	EQ(errno, EMSGSIZE);
	EQ(got.n, 0);
	/* the descriptor that came with it is closed */
	EQ(dup(0), next);
}

TEST(fdpass_says_when_there_is_no_room)
{
	struct rlimit few = {6, 1024};
	struct fdpass got;
	char text[8];

	make_pair();
	NOT_EMULATED("RLIMIT_NOFILE for descriptors in messages");
	int next = dup(0);
	close(next);
	few.rlim_cur = (rlim_t)next + 1;
	OK(setrlimit(RLIMIT_NOFILE, &few) == 0);
	OK(fdpass_send(pair[0], "hello", 5, pair, 2) == 0);
	EQ(fdpass_receive(pair[1], text, sizeof text, &got), 5);
	OK(got.lost);
	EQ(got.n, 0);
	/* the one that there was room for is closed too */
	EQ(dup(0), next);
}
