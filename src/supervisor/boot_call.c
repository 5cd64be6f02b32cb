/*
 * Calls that are waited for. In a process that does nothing else, a loop is run until the call has ended.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/util.h"
#include "supervisor/boot_impl.h"

enum { ATTEMPTS = 5 }; /* contract 2.3 */

static const int pauses_ms[ATTEMPTS - 1] = {1000, 2000, 4000, 4000};

static void over(struct timer *t)
{
	loop_stop(container_of(t, struct boot, pause)->loop, 0);
}

int boot_calls_init(struct boot *b, struct err *e)
{
	b->pause.fire = over;
	if (loop_new(&b->loop, e) < 0)
		return -1;
	return resolver_new(&b->resolver, b->loop, e);
}

/* ---- the link ---- */

static void opened(void *owner)
{
	struct boot *b = owner;

	b->opened = true;
	loop_stop(b->loop, 0);
}

/* Also between two calls, which the next finds out. */
static void lost(void *owner, const struct err *why)
{
	struct boot *b = owner;

	gateway_link_close(steal(&b->link));
	if (b->opened)
		return;
	b->why = *why;
	loop_stop(b->loop, 0);
}

static int open_link(struct boot *b, struct err *e)
{
	static const struct gateway_link_ops ops = {.open = opened, .lost = lost};

	b->opened = false;
	b->link = gateway_link_open(b->config->gateway, b->loop, b->resolver, &ops, b);
	loop_run(b->loop);
	if (b->link != NULL)
		return 0;
	b->status = GRPC_UNAVAILABLE;
	*e = b->why;
	return -1;
}

/* ---- a call ---- */

static void answered(struct grpc_rpc *r, void *message)
{
	struct boot *b = grpc_rpc_user(r);

	b->answer = gateway_message_copy(message);
}

static void ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct boot *b = grpc_rpc_user(r);

	b->status = status;
	err_set(&b->why, EIO, "%s: %.*s", grpc_status_name(status), STR_FMT(text));
	loop_stop(b->loop, 0);
}

static int call_once(struct boot *b, const struct boot_rpc *rpc, void **answer, struct err *e)
{
	static const struct grpc_rpc_ops ops = {.message = answered, .ended = ended};
	_cleanup_free_ char *path = xasprintf("/openshell.v1.OpenShell/%s", rpc->method);

	if (b->link == NULL && open_link(b, e) < 0)
		return -1;
	const struct grpc_rpc_config config = {
		.path = path, .out = rpc->out, .timeout_ms = GATEWAY_CALL_MS};
	if (rpc->as_account)
		gateway_rpc_call_as_account(b->link, &config, rpc->request, &ops, b);
	else
		gateway_rpc_call(b->link, &config, rpc->request, &ops, b);
	loop_run(b->loop);
	if (b->status != GRPC_OK) {
		if (b->answer != NULL)
			protobuf_c_message_free_unpacked(steal(&b->answer), NULL);
		*e = b->why;
		return err_wrap(e, "gateway %s: %s", b->config->gateway->address, rpc->method);
	}
	*answer = steal(&b->answer);
	return 0;
}

int boot_call(struct boot *b, const struct boot_rpc *rpc, void **answer, struct err *e)
{
	for (int attempt = 1;; attempt++) {
		if (call_once(b, rpc, answer, e) == 0)
			return 0;
		if (!rpc->retried || attempt == ATTEMPTS || !gateway_may_pass(b->status))
			return -1;
		log_warn("the gateway did not answer, and is asked again",
			 "call=%s attempt=%d reason=%s", rpc->method, attempt, e->text);
		timer_set(b->loop, &b->pause, pauses_ms[attempt - 1]);
		loop_run(b->loop);
	}
}
