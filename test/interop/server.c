/*
 * grpc.testing.TestService on src/grpc, with health and reflection beside it: for the official
 * interop client, and for h2spec.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "grpc/health.h"
#include "grpc/reflection.h"
#include "grpc/server.h"
#include "interop.h"
#include "test/interop/interop.pb-c.h"

enum { DRAIN_MS = 2000, PAYLOAD_MAX = 4 * 1024 * 1024 };

static struct loop *loop;
static struct grpc_server *server;

/* ---- payloads and metadata ---- */

static Grpc__Testing__Payload *payload(struct arena *a, int32_t size)
{
	Grpc__Testing__Payload *p = arena_zalloc(a, sizeof *p);

	grpc__testing__payload__init(p);
	p->body.len = (size_t)MIN(MAX(size, 0), PAYLOAD_MAX);
	p->body.data = arena_zalloc(a, p->body.len);
	return p;
}

/* What the custom_metadata case asks for. */
static void echo_metadata(struct grpc_call *call)
{
	struct str first = grpc_metadata(call, "x-grpc-test-echo-initial");
	struct str last = grpc_metadata(call, "x-grpc-test-echo-trailing-bin");

	if (first.p != NULL)
		grpc_add_header(call, STR("x-grpc-test-echo-initial"), first);
	if (last.p != NULL)
		grpc_add_trailer(call, STR("x-grpc-test-echo-trailing-bin"), last);
}

static bool wants_status(struct grpc_call *call, const Grpc__Testing__EchoStatus *s)
{
	if (s == NULL || s->code == 0)
		return false;
	grpc_fail(call, (enum grpc_status)s->code, "%s", s->message);
	return true;
}

/* ---- one answer ---- */

static void empty_call(struct grpc_call *call, void *request UNUSED)
{
	Grpc__Testing__Empty none = GRPC__TESTING__EMPTY__INIT;

	echo_metadata(call);
	grpc_reply(call, &none);
}

static void unary_call(struct grpc_call *call, void *request)
{
	const Grpc__Testing__SimpleRequest *q = request;
	Grpc__Testing__SimpleResponse r = GRPC__TESTING__SIMPLE_RESPONSE__INIT;

	echo_metadata(call);
	if (wants_status(call, q->response_status))
		return;
	r.payload = payload(grpc_arena(call), q->response_size);
	grpc_reply(call, &r);
}

/* ---- streams: what is asked for is queued, and sent as the client takes it ---- */

struct wanted {
	struct wanted *next;
	int32_t size;
	int64_t after_ms;
};

struct stream {
	struct grpc_call *call;
	struct wanted *first, **end;
	struct timer timer;
	bool half_closed;
	int64_t total; /* StreamingInputCall */
};

static void send_wanted(struct stream *s)
{
	while (s->first != NULL && !timer_armed(&s->timer)) {
		struct wanted *w = s->first;
		if (w->after_ms > 0) {
			timer_set(loop, &s->timer, w->after_ms);
			w->after_ms = 0;
			return;
		}
		_cleanup_arena_ struct arena a = ARENA_INIT(2 * PAYLOAD_MAX);
		Grpc__Testing__StreamingOutputCallResponse r =
			GRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
		r.payload = payload(&a, w->size);
		if (!grpc_send(s->call, &r))
			return;
		s->first = w->next;
	}
	if (s->first == NULL && s->half_closed)
		grpc_finish(s->call);
}

static void timer_fired(struct timer *t)
{
	send_wanted(container_of(t, struct stream, timer));
}

static void add_wanted(struct stream *s, const Grpc__Testing__StreamingOutputCallRequest *q)
{
	if (s->first == NULL)
		s->end = &s->first;
	for (size_t i = 0; i < q->n_response_parameters; i++) {
		const Grpc__Testing__ResponseParameters *p = q->response_parameters[i];
		struct wanted *w = arena_zalloc(grpc_arena(s->call), sizeof *w);
		w->size = p->size;
		w->after_ms = p->interval_us / 1000;
		*s->end = w;
		s->end = &w->next;
	}
}

static void stream_writable(struct grpc_call *call)
{
	send_wanted(grpc_user(call));
}

static void stream_cancelled(struct grpc_call *call)
{
	struct stream *s = grpc_user(call);

	timer_stop(loop, &s->timer);
	grpc_fail(call, GRPC_CANCELLED, "cancelled");
}

static void chat_message(struct grpc_call *call, void *request)
{
	const Grpc__Testing__StreamingOutputCallRequest *q = request;
	struct stream *s = grpc_user(call);

	if (q->response_status != NULL && q->response_status->code != 0) {
		timer_stop(loop, &s->timer);
		wants_status(call, q->response_status);
		return;
	}
	add_wanted(s, q);
	send_wanted(s);
}

static void chat_half_close(struct grpc_call *call)
{
	struct stream *s = grpc_user(call);

	s->half_closed = true;
	if (!timer_armed(&s->timer))
		send_wanted(s);
}

static void input_message(struct grpc_call *call, void *request)
{
	const Grpc__Testing__StreamingInputCallRequest *q = request;
	struct stream *s = grpc_user(call);

	s->total += q->payload != NULL ? (int64_t)q->payload->body.len : 0;
}

static void input_half_close(struct grpc_call *call)
{
	Grpc__Testing__StreamingInputCallResponse r =
		GRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;

	r.aggregated_payload_size = (int32_t)((struct stream *)grpc_user(call))->total;
	grpc_reply(call, &r);
}

static const struct grpc_call_ops chat_ops = {
	.message = chat_message,
	.half_close = chat_half_close,
	.writable = stream_writable,
	.cancelled = stream_cancelled,
};

static const struct grpc_call_ops input_ops = {
	.message = input_message,
	.half_close = input_half_close,
	.cancelled = stream_cancelled,
};

static struct stream *stream_new(struct grpc_call *call, const struct grpc_call_ops *ops)
{
	struct stream *s = arena_zalloc(grpc_arena(call), sizeof *s);

	s->call = call;
	s->timer.fire = timer_fired;
	grpc_set_ops(call, ops, s);
	echo_metadata(call);
	return s;
}

static void output_call(struct grpc_call *call, void *request)
{
	struct stream *s = stream_new(call, &chat_ops);

	s->half_closed = true;
	add_wanted(s, request);
	send_wanted(s);
}

static void input_call(struct grpc_call *call, void *none UNUSED)
{
	stream_new(call, &input_ops);
}

static void full_duplex_call(struct grpc_call *call, void *none UNUSED)
{
	stream_new(call, &chat_ops);
}

#define TYPE(name) &grpc__testing__##name##__descriptor

static const struct grpc_method methods[] = {
	{"/grpc.testing.TestService/EmptyCall", GRPC_UNARY, TYPE(empty), TYPE(empty), empty_call},
	{"/grpc.testing.TestService/UnaryCall", GRPC_UNARY, TYPE(simple_request),
	 TYPE(simple_response), unary_call},
	{"/grpc.testing.TestService/StreamingOutputCall", GRPC_SERVER_STREAM,
	 TYPE(streaming_output_call_request), TYPE(streaming_output_call_response), output_call},
	{"/grpc.testing.TestService/StreamingInputCall", GRPC_CLIENT_STREAM,
	 TYPE(streaming_input_call_request), TYPE(streaming_input_call_response), input_call},
	{"/grpc.testing.TestService/FullDuplexCall", GRPC_BIDI, TYPE(streaming_output_call_request),
	 TYPE(streaming_output_call_response), full_duplex_call},
};

/* ---- the program ---- */

static bool no_delay(void *arg UNUSED, int fd)
{
	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) == 0;
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in sa = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t n = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
	    bind(fd, (struct sockaddr *)&sa, n) < 0 || listen(fd, 128) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &n) < 0)
		die("listen on port %u: %m", port);
	printf("%u\n", ntohs(sa.sin_port));
	fflush(stdout);
	return fd;
}

static void on_drained(void *arg UNUSED)
{
	loop_stop(loop, 0);
}

static void on_signal(int signo UNUSED, void *arg UNUSED)
{
	grpc_server_drain(server, DRAIN_MS, on_drained, NULL);
}

int interop_server(int argc, char **argv)
{
	struct err e;

	if (loop_new(&loop, &e) < 0 || loop_signal(loop, SIGTERM, on_signal, NULL, &e) < 0)
		die("%s", e.text);
	server = grpc_server_new(loop, &GRPC_CONFIG_DEFAULT);
	grpc_server_add(server, methods, ARRAY_LEN(methods), NULL);
	struct grpc_health *health = grpc_health_new(server);
	grpc_reflection_add(server);
	int fd = listen_on(argc > 1 ? (uint16_t)atoi(argv[1]) : 0);
	if (grpc_server_listen(server, fd, no_delay, NULL, &e) < 0)
		die("%s", e.text);
	int status = loop_run(loop);
	grpc_server_free(server);
	grpc_health_free(health);
	loop_free(loop);
	return status;
}
