#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/gateway_config.h"

enum {
	ATTEMPTS = 5,    /* contract 2.3 */
	CALL_MS = 10000, /* ours: the peers have no deadline */
	/* ours: all attempts, if each takes as long as it may, and the pauses between them */
	FETCH_MS = ATTEMPTS * (GATEWAY_CONNECT_MS + CALL_MS) + 15000,
};

static const int pauses_ms[ATTEMPTS - 1] = {1000, 2000, 4000, 4000};

/* What the child writes: one of these, and the message or the reason. */
enum { ANSWER = 'A', FAILURE = 'F' };

/*
 *   the child:  OPENING --> CALLING --> (exit)
 *                  ^   \       |
 *                  +---- PAUSE <
 */
struct fetch {
	const struct gateway *gateway;
	const char *sandbox_id;
	struct loop *loop;
	struct resolver *resolver;
	struct gateway_link *link;
	struct timer pause;
	int attempt;
	int out;
	bool over; /* the call has ended: that its link is lost says nothing more */
};

/* ---- the child ---- */

/* When nobody listens any more there is nobody to tell. */
static void say(int out, char what, const void *p, size_t n)
{
	if (file_write_all(out, &what, 1) == 0)
		(void)file_write_all(out, p, n);
}

static void tell(struct fetch *f, char what, const void *p, size_t n)
{
	say(f->out, what, p, n);
	loop_stop(f->loop, 0);
}

static void failed(struct fetch *f, bool for_good, const char *why)
{
	f->over = true;
	if (for_good || ++f->attempt == ATTEMPTS) {
		tell(f, FAILURE, why, strlen(why));
		return;
	}
	log_warn("no configuration from the gateway; it is asked again", "attempt=%d reason=%s",
		 f->attempt, why);
	timer_set(f->loop, &f->pause, pauses_ms[f->attempt - 1]);
}

static bool passes(enum grpc_status s)
{
	return s == GRPC_UNAVAILABLE || s == GRPC_DEADLINE_EXCEEDED ||
	       s == GRPC_RESOURCE_EXHAUSTED || s == GRPC_ABORTED || s == GRPC_INTERNAL ||
	       s == GRPC_UNKNOWN;
}

static void answered(struct grpc_rpc *r, void *message)
{
	struct fetch *f = grpc_rpc_user(r);
	size_t n = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *bytes = xmalloc(n);

	protobuf_c_message_pack(message, bytes);
	f->over = true;
	tell(f, ANSWER, bytes, n);
}

static void ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct fetch *f = grpc_rpc_user(r);
	struct err why;

	if (f->over)
		return;
	err_set(&why, EIO, "gateway %s: GetSandboxConfig: %s: %.*s", f->gateway->address,
		grpc_status_name(status), STR_FMT(text));
	failed(f, !passes(status), why.text);
}

static void opened(void *owner)
{
	static const struct grpc_rpc_ops ops = {.message = answered, .ended = ended};
	struct fetch *f = owner;
	Openshell__Sandbox__V1__GetSandboxConfigRequest request =
		OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_REQUEST__INIT;

	request.sandbox_id = (char *)f->sandbox_id;
	gateway_rpc_call(
		f->link,
		&(struct grpc_rpc_config){
			.path = "/openshell.v1.OpenShell/GetSandboxConfig",
			.out = &openshell__sandbox__v1__get_sandbox_config_response__descriptor,
			.timeout_ms = CALL_MS,
		},
		&request, &ops, f);
}

static void lost(void *owner, const struct err *why)
{
	struct fetch *f = owner;

	if (!f->over)
		failed(f, false, why->text);
}

static void try(struct fetch *f)
{
	static const struct gateway_link_ops ops = {.open = opened, .lost = lost};

	gateway_link_close(f->link);
	f->over = false;
	f->link = gateway_link_open(f->gateway, f->loop, f->resolver, &ops, f);
}

static void again(struct timer *t)
{
	try(container_of(t, struct fetch, pause));
}

static _Noreturn void fetch(const struct gateway *g, const char *sandbox_id, int out)
{
	struct fetch f = {
		.gateway = g, .sandbox_id = sandbox_id, .out = out, .pause = {.fire = again}};
	struct err e;

	if (loop_new(&f.loop, &e) < 0 || resolver_new(&f.resolver, f.loop, &e) < 0) {
		say(out, FAILURE, e.text, strlen(e.text));
	} else {
		try(&f);
		loop_run(f.loop);
	}
	_exit(0); /* its memory ends with it */
}

/* ---- the parent ---- */

static int hold_signals(sigset_t *before, int *fd, struct err *e)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGINT);
	sigprocmask(SIG_BLOCK, &held, before);
	*fd = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 ? err_sys(e, "signalfd") : 0;
}

/* What the child wrote, to its end. */
static int listen_to(int in, int signals, struct buf *said, struct err *e)
{
	int64_t until = mono_ms() + FETCH_MS;
	struct pollfd fds[] = {{.fd = in, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

	for (;;) {
		char part[4096];
		int n = poll(fds, ARRAY_LEN(fds), (int)MAX(until - mono_ms(), (int64_t)0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ETIMEDOUT, "no configuration within %d s",
				       FETCH_MS / 1000);
		if (fds[1].revents != 0)
			return err_set(e, EINTR, "told to end while the gateway was asked");
		ssize_t got = read(in, part, sizeof part);
		if (got == 0)
			return 0;
		if (got > 0 && !buf_add(said, part, (size_t)got))
			return err_set(e, EMSGSIZE, "the configuration is too large");
		if (got < 0 && errno != EINTR)
			return err_sys(e, "hear the configuration");
	}
}

static int understand(const struct buf *said, const struct gateway *g,
		      Openshell__Sandbox__V1__GetSandboxConfigResponse **out, struct err *e)
{
	struct str s = buf_view(said);

	if (s.n == 0)
		return err_set(e, EPIPE, "the process that asked gateway %s died", g->address);
	char what = s.p[0];
	s = str_sub(s.p + 1, s.n - 1);
	if (what == FAILURE)
		return err_set(e, EIO, "%.*s", STR_FMT(s));
	*out = openshell__sandbox__v1__get_sandbox_config_response__unpack(NULL, s.n,
									   (const uint8_t *)s.p);
	return *out != NULL ? 0
			    : err_set(e, EPROTO, "gateway %s: malformed configuration", g->address);
}

int gateway_config_fetch(Openshell__Sandbox__V1__GetSandboxConfigResponse **out,
			 const struct gateway *g, const char *sandbox_id, struct err *e)
{
	_cleanup_buf_ struct buf said = BUF_INIT(GATEWAY_MESSAGE_MAX + 1);
	_cleanup_close_ int in = -1, theirs = -1, signals = -1;
	sigset_t before;
	int ends[2], r;

	if (hold_signals(&before, &signals, e) < 0)
		return -1;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe2");
	in = ends[0];
	theirs = ends[1];
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return err_sys(e, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		fetch(g, sandbox_id, theirs);
	}
	close(steal_fd(&theirs));
	r = listen_to(in, signals, &said, e);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	/* after a signal nothing is started: it stays held, and pending */
	if (r == 0)
		sigprocmask(SIG_SETMASK, &before, NULL);
	return r < 0 ? -1 : understand(&said, g, out, e);
}
