#include <errno.h>
#include <stdlib.h>

#include "base/util.h"
#include "supervisor/gateway_calls.h"

/*
 *	CLOSED --a call--> OPENING --> OPEN
 *	  ^                   |          |
 *	  +-------- lost -----+----------+
 *
 * A call is on `waiting` while the link is OPENING, on `made` from then until it has ended.
 */
struct gateway_calls {
	struct loop *loop;
	struct resolver *resolver;
	const struct gateway *gateway;
	struct gateway_link *link; /* NULL: CLOSED */
	bool open;
	struct list waiting, made;
};

/* ---- a call ---- */

/* Nothing more comes of it. */
static void forget(struct gateway_call *c)
{
	c->calls = NULL;
	list_del(&c->link);
	if (c->request != NULL)
		protobuf_c_message_free_unpacked(steal(&c->request), NULL);
}

static void finish(struct gateway_call *c, enum grpc_status status, struct str text)
{
	void *answer = steal(&c->answer);

	forget(c);
	c->done(c, status, status == GRPC_OK ? answer : NULL, text);
	if (answer != NULL)
		protobuf_c_message_free_unpacked(answer, NULL);
}

static void answered(struct grpc_rpc *r, void *message)
{
	struct gateway_call *c = grpc_rpc_user(r);

	c->answer = gateway_message_copy(message);
}

static void ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct gateway_call *c = grpc_rpc_user(r);
	struct err why;

	c->rpc = NULL; /* it is gone when we return */
	if (status != GRPC_OK)
		err_set(&why, EIO, "%s: %s: %.*s", c->method, grpc_status_name(status),
			STR_FMT(text));
	finish(c, status, status == GRPC_OK ? text : str_of(why.text));
}

static void make(struct gateway_calls *s, struct gateway_call *c)
{
	static const struct grpc_rpc_ops ops = {.message = answered, .ended = ended};
	_cleanup_free_ char *path = xasprintf("/openshell.v1.OpenShell/%s", c->method);
	const struct grpc_rpc_config rpc = {
		.path = path, .out = c->out, .timeout_ms = GATEWAY_CALL_MS};

	list_add(&s->made, &c->link);
	if (c->as_account)
		c->rpc = gateway_rpc_call_as_account(s->link, &rpc, c->request, &ops, c);
	else
		c->rpc = gateway_rpc_call(s->link, &rpc, c->request, &ops, c);
	protobuf_c_message_free_unpacked(steal(&c->request), NULL);
}

void gateway_call_cancel(struct gateway_call *c)
{
	if (c->calls == NULL)
		return;
	if (c->rpc != NULL)
		grpc_rpc_cancel(steal(&c->rpc));
	if (c->answer != NULL)
		protobuf_c_message_free_unpacked(steal(&c->answer), NULL);
	forget(c);
}

/* ---- the link ---- */

static void opened(void *owner)
{
	struct gateway_calls *s = owner;

	s->open = true;
	list_each(c, &s->waiting, struct gateway_call, link) {
		list_del(&c->link);
		make(s, c);
	}
}

/* Calls that were made have ended; those that wait for it do now. What their owners start meanwhile waits for the
 * next. */
static void lost(void *owner, const struct err *why)
{
	struct gateway_calls *s = owner;
	struct list failed;

	gateway_link_close(steal(&s->link));
	list_init(&failed);
	list_each(c, &s->waiting, struct gateway_call, link) {
		list_del(&c->link);
		list_add(&failed, &c->link);
	}
	for (struct gateway_call *c; (c = list_first(&failed, struct gateway_call, link)) != NULL;)
		finish(c, GRPC_UNAVAILABLE, str_of(why->text));
}

static void open_link(struct gateway_calls *s)
{
	static const struct gateway_link_ops ops = {.open = opened, .lost = lost};

	s->open = false;
	s->link = gateway_link_open(s->gateway, s->loop, s->resolver, &ops, s);
}

void gateway_call_start(struct gateway_calls *s, struct gateway_call *c, const char *method,
			const void *request, const ProtobufCMessageDescriptor *out)
{
	must(c->calls == NULL);
	c->calls = s;
	c->method = method;
	c->out = out;
	c->request = gateway_message_copy(request);
	list_init(&c->link);
	if (s->link == NULL)
		open_link(s);
	if (s->open)
		make(s, c);
	else
		list_add(&s->waiting, &c->link);
}

/* ---- life ---- */

struct gateway_calls *gateway_calls_new(struct loop *l, struct resolver *r, const struct gateway *g)
{
	struct gateway_calls *s = xcalloc(1, sizeof *s);

	s->loop = l;
	s->resolver = r;
	s->gateway = g;
	list_init(&s->waiting);
	list_init(&s->made);
	return s;
}

void gateway_calls_free(struct gateway_calls *s)
{
	if (s == NULL)
		return;
	list_each(c, &s->made, struct gateway_call, link)
		gateway_call_cancel(c);
	list_each(c, &s->waiting, struct gateway_call, link)
		gateway_call_cancel(c);
	gateway_link_close(s->link);
	free(s);
}
