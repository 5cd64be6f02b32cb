/*
 * An API server that a test plays by hand: stands in for src/kube/client.c and, as far as backends
 * need it, for the gRPC server. Requests wait in a queue; the test takes the one it expects and
 * answers it. Lists and reflectors are the real ones, on top of it.
 */
#ifndef OPENSHELL_TEST_FAKE_KUBE_H
#define OPENSHELL_TEST_FAKE_KUBE_H

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/list.h"
#include "grpc/frame.h"
#include "grpc/server.h"
#include "kube/client.h"
#include "kube/client_impl.h"
#include "test.h"

struct kube_client {
	struct loop *loop;
};

struct kube_request {
	struct list link; /* requests, or taken */
	enum kube_method method;
	char *path;
	cJSON *body;
	struct kube_call call; /* one of these three */
	struct kube_transfer transfer;
	struct kube_stream stream;
	bool taken, cancelled;
};

static struct list requests = {&requests, &requests};
static struct list taken = {&taken, &taken}; /* in the test's hand */
static struct kube_client fake_client;

/* ---- what the code under test calls ---- */

static struct kube_request *request_new(enum kube_method method, const char *path)
{
	struct kube_request *r = xcalloc(1, sizeof(*r));

	r->method = method;
	r->path = xstrdup(path);
	list_init(&r->link);
	list_add(&requests, &r->link);
	return r;
}

int kube_client_new(struct kube_client **out, struct loop *l, struct kube_config *config,
		    struct err *e)
{
	(void)e;
	kube_config_free(config);
	fake_client.loop = l;
	*out = &fake_client;
	return 0;
}

void kube_client_free(struct kube_client *c)
{
	(void)c;
}

struct loop *kube_client_loop(const struct kube_client *c)
{
	(void)c;
	return fake_client.loop;
}

struct kube_request *kube_call(struct kube_client *c, const struct kube_call *call)
{
	struct kube_request *r = request_new(call->method, call->path);

	(void)c;
	r->call = *call;
	r->body = call->body ? json_copy(call->body) : NULL;
	return r;
}

struct kube_request *kube_transfer(struct kube_client *c, const struct kube_transfer *t)
{
	struct kube_request *r = request_new(KUBE_GET, t->path);

	(void)c;
	r->transfer = *t;
	return r;
}

struct kube_request *kube_stream(struct kube_client *c, const struct kube_stream *stream)
{
	struct kube_request *r = request_new(KUBE_GET, stream->path);

	(void)c;
	r->stream = *stream;
	return r;
}

static void request_free(struct kube_request *r)
{
	list_del(&r->link);
	free(r->path);
	cJSON_Delete(r->body);
	free(r);
}

void kube_cancel(struct kube_request *r)
{
	if (r && r->taken)
		r->cancelled = true; /* the test may still answer it */
	else if (r)
		request_free(r);
}

/* ---- what the test does ---- */

/* Lets the loop run until nothing happens for ms. */
static void stop_turning(struct timer *t)
{
	(void)t;
	loop_stop(fake_client.loop, 0);
}

UNUSED static void turn_for(int64_t ms)
{
	struct timer t = {.fire = stop_turning};

	timer_set(fake_client.loop, &t, ms);
	loop_run(fake_client.loop);
}

static bool is_asked(const struct kube_request *r, enum kube_method method, const char *part)
{
	if (r->method != method)
		return false;
	return *part == '=' ? streq(r->path, part + 1) : strstr(r->path, part) != NULL;
}

/* The oldest request of this method whose path contains part, or is what follows a `=`; waits for
 * it up to five seconds. */
UNUSED static struct kube_request *expect(enum kube_method method, const char *part)
{
	for (int i = 0; i < 1000; i++) {
		list_each(r, &requests, struct kube_request, link) {
			if (!is_asked(r, method, part))
				continue;
			list_del(&r->link);
			list_add(&taken, &r->link);
			r->taken = true;
			return r;
		}
		turn_for(5);
	}
	list_each(r, &requests, struct kube_request, link)
		fprintf(stderr, "there is: %d %s\n", r->method, r->path);
	FAIL("no request %d %s", method, part);
}

/* Whether such a request is there within ms. */
UNUSED static bool asked(enum kube_method method, const char *part, int64_t ms)
{
	turn_for(ms);
	list_each(r, &requests, struct kube_request, link) {
		if (is_asked(r, method, part))
			return true;
	}
	return false;
}

static void end_with(struct kube_request *r, int status, cJSON *body, const struct kube_error *e)
{
	struct kube_answer a = {.status = status, .body = body, .error = e};
	_cleanup_free_ char *text = body ? json_text(body) : NULL;

	if (r->cancelled) {
		;
	} else if (r->call.done) {
		r->call.done(r->call.owner, &a);
	} else if (r->transfer.ended) {
		if (!e)
			r->transfer.data(r->transfer.owner, str_of(text));
		r->transfer.ended(r->transfer.owner, e);
	} else if (e) {
		r->stream.ended(r->stream.owner, e);
	} else {
		r->stream.opened(r->stream.owner);
	}
	cJSON_Delete(a.body);
	request_free(r);
}

UNUSED static void drop_requests(void)
{
	list_each(r, &requests, struct kube_request, link)
		request_free(r);
	list_each(r, &taken, struct kube_request, link)
		request_free(r);
}

/* Answers with a status and JSON, an error being a Status object. */
UNUSED static void answer(struct kube_request *r, int status, const char *json)
{
	struct kube_error e;
	struct err why;
	cJSON *body = json_parse(str_of(json), "answer", &why);

	if (status >= 300)
		kube_error_from_status(&e, status, body, str_of(json));
	end_with(r, status, body, status >= 300 ? &e : NULL);
}

/* No answer: a fault of the way there, sure or not whether the server did it. */
UNUSED static void lose(struct kube_request *r, enum kube_fault fault, bool unsure)
{
	struct kube_error e;

	kube_error_set(&e, fault, "lost");
	e.unsure = unsure;
	end_with(r, 0, NULL, &e);
}

#define NOT_FOUND(kind)                                                                            \
	"{\"kind\":\"Status\",\"code\":404,\"reason\":\"NotFound\",\"message\":\"" kind            \
	" not found\",\"details\":{\"kind\":\"" kind "\",\"name\":\"x\"}}"
#define ALREADY_EXISTS                                                                             \
	"{\"kind\":\"Status\",\"code\":409,\"reason\":\"AlreadyExists\",\"message\":\"exists\"}"
#define CONFLICT                                                                                   \
	"{\"kind\":\"Status\",\"code\":409,\"reason\":\"Conflict\",\"message\":\"changed\"}"

/* ---- gRPC calls ---- */

struct grpc_call {
	struct arena arena;
	bool answered;
	enum grpc_status status;
	char text[512];
	bool deleted; /* of a DeleteSandboxResponse */
	const ProtobufCMessageDescriptor *type;
	const struct grpc_call_ops *ops;
	void *user;
};

struct arena *grpc_arena(struct grpc_call *call)
{
	return &call->arena;
}

void grpc_set_ops(struct grpc_call *call, const struct grpc_call_ops *ops, void *user)
{
	call->ops = ops;
	call->user = user;
}

void *grpc_user(const struct grpc_call *call)
{
	return call->user;
}

void grpc_reply(struct grpc_call *call, const void *message)
{
	const ProtobufCMessage *m = message;

	must(!call->answered);
	call->answered = true;
	call->type = m->descriptor;
	if (streq(m->descriptor->short_name, "DeleteSandboxResponse"))
		call->deleted =
			((const Openshell__Compute__V1__DeleteSandboxResponse *)message)->deleted;
}

void grpc_fail(struct grpc_call *call, enum grpc_status code, const char *fmt, ...)
{
	va_list ap;

	must(!call->answered);
	call->answered = true;
	call->status = code;
	va_start(ap, fmt);
	vsnprintf(call->text, sizeof(call->text), fmt, ap);
	va_end(ap);
}

struct h2_chunk *grpc_pack(const void *message)
{
	return grpc_frame(message);
}

#endif
