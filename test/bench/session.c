/*
 * The session's figures, from the gateway's side: a gateway in C, so that it is not a script that is measured, and
 * one sandbox. It is led by lines on its stdin, and answers each with one line of key=value words:
 *
 *	session BINARY FOLDER   starts the sandbox: session_us, from its exec to its hello; pid
 *	    relays N SECONDS    N relays to a server inside that sends all it can: mb (a second, of all)
 *	    (end of input)      ends the sandbox
 *
 * Each connection to FOLDER/ssh is led to the sandbox's sshd by a relay of its own; passing is the ProxyCommand for
 * it (ssh -o ProxyUseFdpass=yes), so that no process stands between.
 *
 *	gateway ADDRESS PORT    a gateway alone, for sandboxes that somebody else starts, until the end of stdin: port,
 *	                        and for each of their hellos hello_us, on the clock that does not jump
 *
 *	passing SOCKET          connects, and hands the connection to who started it
 *	inside                  the sandbox's main process: the server
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#include "base/buf.h"
#include "base/str.h"
#include "base/util.h"
#include "grpc/server.h"
#include "net/fdpass.h"
#include "openshell.pb-c.h"

enum { INSIDE_PORT = 8439, RELAYS_MAX = 64, FRAME = 16384 };

/* ---- inside ---- */

int inside_main(int argc UNUSED, char **argv UNUSED)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons(INSIDE_PORT),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;
	pthread_t t;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (void *)&at, sizeof at) < 0 || listen(listener, RELAYS_MAX) < 0)
		die("inside: listen: %s", strerror(errno));
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			pthread_create(&t, NULL, bench_send_on, (void *)(intptr_t)fd);
	}
}

static int connect_unix(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	if (connect(fd, (void *)&at, sizeof at) < 0)
		die("connect to %s: %s", path, strerror(errno));
	return fd;
}

int passing_main(int argc, char **argv)
{
	if (argc != 2)
		die("usage: bench passing SOCKET");
	int fd = connect_unix(argv[1]);
	return fdpass_send(STDOUT_FILENO, "", 1, &fd, 1) < 0;
}

/* ---- the gateway ---- */

static struct loop *loop;
static struct grpc_call *session;
static int64_t hello_us;
static unsigned long long counted;

/* A relay; fd is -1 where its bytes are only counted. */
struct flow {
	char id[32];
	struct grpc_call *call;
	struct source source;
	struct buf waiting; /* for the client */
	char held[FRAME];   /* for the sandbox */
	size_t n_held;
};

static struct flow flows[RELAYS_MAX];
static unsigned n_opened;

static void watch(struct flow *f)
{
	if (f->source.fd >= 0)
		loop_set(loop, &f->source,
			 (f->n_held == 0 && f->call != NULL ? EPOLLIN : 0u) |
				 (f->waiting.n > 0 ? EPOLLOUT : 0u));
}

static void flow_end(struct flow *f)
{
	if (f->call != NULL) /* a mere end would leave the target what it has to say */
		grpc_fail(steal(&f->call), GRPC_CANCELLED, "enough");
	if (f->source.fd >= 0) {
		loop_del(loop, &f->source);
		close(f->source.fd);
	}
	buf_fini(&f->waiting);
	memset(f, 0, sizeof *f);
}

static bool say(struct flow *f, const void *p, size_t n)
{
	Openshell__V1__RelayFrame frame = OPENSHELL__V1__RELAY_FRAME__INIT;

	frame.payload_case = OPENSHELL__V1__RELAY_FRAME__PAYLOAD_DATA;
	frame.data = (ProtobufCBinaryData){.len = n, .data = (uint8_t *)p};
	return grpc_send(f->call, &frame);
}

static void client_is_ready(struct source *s, uint32_t events)
{
	struct flow *f = container_of(s, struct flow, source);

	if (events & EPOLLOUT) {
		ssize_t n = send(s->fd, f->waiting.p, f->waiting.n, MSG_NOSIGNAL);
		buf_consume(&f->waiting, n > 0 ? (size_t)n : 0);
		if (f->waiting.n == 0 && f->call != NULL)
			grpc_resume(f->call);
	}
	if ((events & (EPOLLIN | EPOLLHUP)) && f->call != NULL && f->n_held == 0) {
		ssize_t n = recv(s->fd, f->held, sizeof f->held, MSG_DONTWAIT);
		if (n == 0) {
			flow_end(f);
			return;
		}
		if (n > 0 && !say(f, f->held, (size_t)n))
			f->n_held = (size_t)n;
	}
	if (f->call == NULL && f->waiting.n == 0)
		flow_end(f);
	else
		watch(f);
}

static void relay_said(struct grpc_call *call, void *message)
{
	Openshell__V1__RelayFrame *frame = message;
	struct flow *f = grpc_user(call);

	if (f == NULL) {
		for (size_t i = 0; i < RELAYS_MAX && f == NULL; i++)
			if (streq(flows[i].id, frame->init->channel_id))
				f = &flows[i];
		must(f != NULL);
		f->call = call;
		grpc_set_ops(call, grpc_service(call), f); /* the table that it has already */
		watch(f);
		return;
	}
	counted += frame->data.len;
	if (f->source.fd < 0)
		return;
	ssize_t n =
		send(f->source.fd, frame->data.data, frame->data.len, MSG_NOSIGNAL | MSG_DONTWAIT);
	size_t sent = n > 0 ? (size_t)n : 0;
	if (sent == frame->data.len)
		return;
	must(buf_add(&f->waiting, frame->data.data + sent, frame->data.len - sent));
	grpc_pause(call);
	watch(f);
}

static void relay_over(struct grpc_call *call)
{
	struct flow *f = grpc_user(call);

	grpc_finish(call);
	if (f == NULL)
		return;
	f->call = NULL;
	if (f->source.fd >= 0)
		shutdown(f->source.fd, SHUT_WR);
	if (f->waiting.n == 0)
		flow_end(f);
}

static void relay_writable(struct grpc_call *call)
{
	struct flow *f = grpc_user(call);

	if (f != NULL && f->n_held > 0 && say(f, f->held, f->n_held)) {
		f->n_held = 0;
		watch(f);
	}
}

static const struct grpc_call_ops relay_ops = {.message = relay_said,
					       .half_close = relay_over,
					       .cancelled = relay_over,
					       .writable = relay_writable};

static void relay_stream(struct grpc_call *call, void *request UNUSED)
{
	grpc_set_ops(call, &relay_ops, NULL);
}

/* A relay to the sshd, or to the server inside. fd is taken. */
static void open_flow(int fd)
{
	Openshell__V1__GatewayMessage m = OPENSHELL__V1__GATEWAY_MESSAGE__INIT;
	Openshell__V1__RelayOpen open = OPENSHELL__V1__RELAY_OPEN__INIT;
	Openshell__V1__SshRelayTarget ssh = OPENSHELL__V1__SSH_RELAY_TARGET__INIT;
	Openshell__V1__TcpRelayTarget tcp = OPENSHELL__V1__TCP_RELAY_TARGET__INIT;
	struct flow *f = flows;
	struct err e;

	while (f < flows + RELAYS_MAX && f->id[0] != '\0')
		f++;
	must(f < flows + RELAYS_MAX);
	snprintf(f->id, sizeof f->id, "relay-%u", n_opened++);
	f->source = (struct source){.fd = fd, .ready = client_is_ready, .name = "client"};
	f->waiting = BUF_INIT(1 << 20);
	if (fd >= 0 && loop_add(loop, &f->source, 0, &e) < 0)
		die("%s", e.text);
	tcp.host = (char *)"127.0.0.1";
	tcp.port = INSIDE_PORT;
	open.channel_id = f->id;
	open.target_case = fd >= 0 ? OPENSHELL__V1__RELAY_OPEN__TARGET_SSH
				   : OPENSHELL__V1__RELAY_OPEN__TARGET_TCP;
	if (fd >= 0)
		open.ssh = &ssh;
	else
		open.tcp = &tcp;
	m.payload_case = OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_RELAY_OPEN;
	m.relay_open = &open;
	must(grpc_send(session, &m));
}

static void session_said(struct grpc_call *call, void *message)
{
	Openshell__V1__SupervisorMessage *said = message;
	Openshell__V1__GatewayMessage m = OPENSHELL__V1__GATEWAY_MESSAGE__INIT;
	Openshell__V1__SessionAccepted accepted = OPENSHELL__V1__SESSION_ACCEPTED__INIT;

	if (said->payload_case == OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_RELAY_OPEN_RESULT &&
	    !said->relay_open_result->success)
		die("no relay: %s", said->relay_open_result->error);
	if (said->payload_case != OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_HELLO)
		return;
	hello_us = bench_us();
	session = call;
	accepted.session_id = (char *)"one";
	accepted.heartbeat_interval_secs = 15;
	m.payload_case = OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_SESSION_ACCEPTED;
	m.session_accepted = &accepted;
	grpc_send(call, &m);
	loop_stop(loop, 0);
}

static void session_over(struct grpc_call *call)
{
	session = NULL;
	grpc_finish(call);
}

static void connect_supervisor(struct grpc_call *call, void *request UNUSED)
{
	static const struct grpc_call_ops ops = {
		.message = session_said, .half_close = session_over, .cancelled = session_over};

	grpc_set_ops(call, &ops, NULL);
}

static void get_config(struct grpc_call *call, void *request UNUSED)
{
	Openshell__Sandbox__V1__GetSandboxConfigResponse r =
		OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_RESPONSE__INIT;
	Openshell__Sandbox__V1__SandboxPolicy policy = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
	Openshell__Sandbox__V1__FilesystemPolicy files =
		OPENSHELL__SANDBOX__V1__FILESYSTEM_POLICY__INIT;
	char *read_only[] = {(char *)"/"}, *read_write[] = {(char *)"/dev/null"};

	files.include_workdir = true;
	files.n_read_only = 1;
	files.read_only = read_only;
	files.n_read_write = 1;
	files.read_write = read_write;
	policy.version = 1;
	policy.filesystem = &files;
	r.policy = &policy;
	r.version = 1;
	r.policy_hash = (char *)"hash";
	grpc_reply(call, &r);
}

static void main_process_exit(struct grpc_call *call, void *request UNUSED)
{
	Openshell__V1__ReportMainProcessExitResponse r =
		OPENSHELL__V1__REPORT_MAIN_PROCESS_EXIT_RESPONSE__INIT;

	grpc_reply(call, &r);
	loop_stop(loop, 0);
}

static void issue_token(struct grpc_call *call, void *request UNUSED)
{
	Openshell__V1__IssueSandboxTokenResponse r =
		OPENSHELL__V1__ISSUE_SANDBOX_TOKEN_RESPONSE__INIT;

	r.token = (char *)"token";
	grpc_reply(call, &r);
}

#define METHOD(name, k, input, output, fn)                                                         \
	{                                                                                          \
		.path = "/openshell.v1.OpenShell/" name, .kind = k, .in = &input##__descriptor,    \
		.out = &output##__descriptor, .handler = fn                                        \
	}

static const struct grpc_method methods[] = {
	METHOD("IssueSandboxToken", GRPC_UNARY, openshell__v1__issue_sandbox_token_request,
	       openshell__v1__issue_sandbox_token_response, issue_token),
	METHOD("GetSandboxConfig", GRPC_UNARY, openshell__sandbox__v1__get_sandbox_config_request,
	       openshell__sandbox__v1__get_sandbox_config_response, get_config),
	METHOD("ReportMainProcessExit", GRPC_UNARY, openshell__v1__report_main_process_exit_request,
	       openshell__v1__report_main_process_exit_response, main_process_exit),
	METHOD("ConnectSupervisor", GRPC_BIDI, openshell__v1__supervisor_message,
	       openshell__v1__gateway_message, connect_supervisor),
	METHOD("RelayStream", GRPC_BIDI, openshell__v1__relay_frame, openshell__v1__relay_frame,
	       relay_stream),
};

/* ---- the sandbox ---- */

static pid_t start_sandbox(const char *binary, const char *folder, uint16_t port)
{
	_cleanup_free_ char *endpoint = xasprintf("http://127.0.0.1:%u", port);
	_cleanup_free_ char *sshd = xasprintf("%s/run/sshd", folder);
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	char *argv[] = {(char *)binary,
			(char *)"sandbox",
			(char *)"--openshell-endpoint",
			endpoint,
			(char *)"--sandbox-id",
			(char *)"id",
			(char *)"--sandbox",
			(char *)"name",
			(char *)"--ssh-socket-path",
			sshd,
			(char *)"--log-dir",
			(char *)folder,
			(char *)"--log-level",
			(char *)"error",
			(char *)"--",
			self,
			(char *)"inside",
			NULL};
	char *env[] = {(char *)"PATH=/usr/bin:/bin", (char *)"OPENSHELL_SANDBOX_TOKEN=token",
		       (char *)"OPENSHELL_SANDBOX_UID=1000", (char *)"OPENSHELL_SANDBOX_GID=1000",
		       NULL};
	pid_t pid;

	must(n > 0);
	self[n] = '\0';
	if (posix_spawn(&pid, binary, NULL, NULL, argv, env) != 0)
		die("start %s", binary);
	return pid;
}

static void accepted(struct source *s, uint32_t events UNUSED)
{
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		open_flow(fd);
}

static int listen_unix(const char *folder)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s/ssh", folder);
	if (bind(fd, (void *)&at, sizeof at) < 0 || listen(fd, RELAYS_MAX) < 0)
		die("listen on %s: %s", at.sun_path, strerror(errno));
	return fd;
}

/* *port: 0: any. */
static int listen_tcp(const char *address, uint16_t *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(*port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int one = 1;
	socklen_t n = sizeof at;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (inet_pton(AF_INET, address, &at.sin_addr) != 1 || bind(fd, (void *)&at, n) < 0 ||
	    listen(fd, RELAYS_MAX) < 0 || getsockname(fd, (void *)&at, &n) < 0)
		die("listen: %s", strerror(errno));
	*port = ntohs(at.sin_port);
	return fd;
}

static void time_is_up(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

static void measure_relays(int n, int seconds)
{
	struct timer timer = {.fire = time_is_up};

	for (int i = 0; i < n; i++)
		open_flow(-1);
	timer_set(loop, &timer, 500); /* until all are under way */
	loop_run(loop);
	int64_t began = bench_us();
	counted = 0;
	timer_set(loop, &timer, seconds * 1000);
	loop_run(loop);
	printf("mb=%lld\n", (long long)counted / (bench_us() - began));
	for (int i = 0; i < RELAYS_MAX; i++)
		if (flows[i].id[0] != '\0' && flows[i].source.fd < 0)
			flow_end(&flows[i]);
	timer_set(loop, &timer, 300);
	loop_run(loop);
}

static int asked_relays, asked_seconds;

static void led(struct source *s, uint32_t events UNUSED)
{
	char line[100];
	ssize_t n = read(s->fd, line, sizeof line - 1);

	if (n > 0) {
		line[n] = '\0';
		if (sscanf(line, "relays %d %d", &asked_relays, &asked_seconds) != 2)
			die("what is %s", line);
	}
	loop_stop(loop, n <= 0);
}

/* Ends the program when it cannot. */
static uint16_t serve(const char *address, uint16_t port)
{
	struct grpc_config config = GRPC_CONFIG_DEFAULT;
	struct err e;

	if (loop_new(&loop, &e) < 0)
		die("%s", e.text);
	struct grpc_server *server = grpc_server_new(loop, &config);
	grpc_server_add(server, methods, ARRAY_LEN(methods), (void *)&relay_ops);
	if (grpc_server_listen(server, listen_tcp(address, &port), NULL, NULL, &e) < 0)
		die("%s", e.text);
	return port;
}

int gateway_main(int argc, char **argv)
{
	struct source leader = {.fd = STDIN_FILENO, .ready = led, .name = "stdin"};
	struct err e;

	if (argc != 3)
		die("usage: bench gateway ADDRESS PORT");
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("port=%u\n", serve(argv[1], (uint16_t)atoi(argv[2])));
	if (loop_add(loop, &leader, EPOLLIN, &e) < 0)
		die("%s", e.text);
	while (loop_run(loop) == 0) {
		if (hello_us != 0)
			printf("hello_us=%lld\n", (long long)hello_us);
		hello_us = 0;
	}
	_exit(0);
}

int session_main(int argc, char **argv)
{
	struct source clients = {.ready = accepted, .name = "clients"};
	struct source leader = {.fd = STDIN_FILENO, .ready = led, .name = "stdin"};
	struct err e;

	if (argc != 3)
		die("usage: bench session BINARY FOLDER");
	uint16_t port = serve("127.0.0.1", 0);
	int64_t began = bench_us();
	pid_t pid = start_sandbox(argv[1], argv[2], port);
	loop_run(loop);
	printf("session_us=%lld pid=%d\n", (long long)(hello_us - began), pid);
	fflush(stdout);
	clients.fd = listen_unix(argv[2]);
	if (loop_add(loop, &clients, EPOLLIN, &e) < 0 || loop_add(loop, &leader, EPOLLIN, &e) < 0)
		die("%s", e.text);
	while (loop_run(loop) == 0) {
		measure_relays(MIN(asked_relays, (int)RELAYS_MAX), asked_seconds);
		fflush(stdout);
	}
	loop_del(loop, &leader); /* its end would be told again and again */
	kill(pid, SIGTERM);
	loop_run(loop); /* until its end is reported */
	waitpid(pid, NULL, 0);
	_exit(0);
}
