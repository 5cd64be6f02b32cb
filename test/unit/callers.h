/*
 * A sandbox for tests of callers, whose keeper is the test itself: programs, which are copies of the
 * test's own (actor.h), a server that they connect to, and questions about who did.
 */
#ifndef TEST_CALLERS_H
#define TEST_CALLERS_H

#include <mbedtls/sha256.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "actor.h"
#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "net/sock_diag.h"
#include "test.h"

/* A kernel without INET_DIAG. */
static bool no_diag;

static int find_or_not(int fd, struct sock_query *q, size_t n, struct err *e)
{
	int r = sock_diag_find(fd, q, n, e);

	for (size_t i = 0; i < n && no_diag; i++)
		q[i] = (struct sock_query){.protocol = q[i].protocol,
					   .local = q[i].local,
					   .remote = q[i].remote,
					   .error = ENOENT};
	return r;
}

#define sock_diag_find find_or_not
#include "../../src/proxy/callers.c"
#undef sock_diag_find

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
static inline char *in_folder(struct box *b, const char *name)
{
	OK(b->paths_n < ARRAY_LEN(b->paths));
	return b->paths[b->paths_n++] = xasprintf("%s/%s", b->folder, name);
}

/* A copy of this program, with something behind it that makes it another. */
static inline char *program(struct box *b, const char *name, const char *tail)
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

static inline void hash_file(const char *path, char out[CALLER_SHA256_TEXT])
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

static inline void open_box(struct box *b, bool relaxed)
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

static inline void close_box(struct box *b)
{
	_cleanup_free_ char *command = xasprintf("rm -rf %s", b->folder);

	callers_free(b->callers);
	loop_free(b->loop);
	close(b->server);
	for (size_t i = 0; i < b->paths_n; i++)
		free(b->paths[i]);
	OK(system(command) == 0);
}

static inline void tell(const struct actor *a, const char *fmt, ...)
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
static inline struct actor start(const char *path)
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

static inline void stop(struct actor *a)
{
	kill(a->pid, SIGKILL);
	waitpid(a->pid, NULL, 0);
	close(a->commands);
}

static inline int accept_one(struct box *b)
{
	int fd = accept4(b->server, NULL, NULL, SOCK_CLOEXEC);

	OK(fd >= 0);
	return fd;
}

static inline int connected(struct box *b, const struct actor *a)
{
	tell(a, "connect %d", b->port);
	return accept_one(b);
}

/* ---- questions ---- */

static inline void done(struct caller_query *q, struct caller *c, const struct err *why)
{
	struct question *x = container_of(q, struct question, q);

	x->calls++;
	x->caller = c != NULL ? caller_ref(c) : NULL;
	if (why != NULL)
		x->why = *why;
	if (--x->box->asked == 0)
		loop_stop(x->box->loop, 0);
}

static inline void begin(struct box *b, struct question *x, int fd)
{
	*x = (struct question){.q.done = done, .box = b};
	b->asked++;
	callers_ask(b->callers, &x->q, fd);
	EQ(x->calls, 0);
}

static inline struct question ask(struct box *b, int fd)
{
	struct question x;

	begin(b, &x, fd);
	loop_run(b->loop);
	EQ(x.calls, 1);
	return x;
}

/* Its caller, which must be known. */
static inline struct caller *who(struct box *b, int fd)
{
	struct question x = ask(b, fd);

	if (x.why.code != 0)
		FAIL("%s", x.why.text);
	OK(x.caller != NULL);
	return x.caller;
}

static inline void is_refused(struct box *b, int fd, const char *reason)
{
	struct question x = ask(b, fd);

	OK(x.why.code != 0);
	HAS(x.why.text, reason);
	caller_unref(x.caller);
}

#endif
