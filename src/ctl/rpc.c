/* Calls, made one at a time: ctl has nothing else to do while it waits. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl_impl.h"
#include "wire/json.h"

enum { REQUEST_MAX = 16 << 20 };

int ctl_say(int code, const char *fmt, ...)
{
	va_list ap;

	fputs("ctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

static void interrupted(int signo UNUSED, void *arg)
{
	struct ctl *c = arg;

	loop_stop(c->loop, 0);
}

int ctl_connect(struct ctl *c)
{
	struct err e;

	if (loop_new(&c->loop, &e) < 0 || loop_signal(c->loop, SIGINT, interrupted, c, &e) < 0 ||
	    loop_signal(c->loop, SIGTERM, interrupted, c, &e) < 0)
		return ctl_say(CTL_LOCAL, "%s", e.text);
	if (grpc_channel_unix(&c->channel, c->loop, c->options.socket, &GRPC_CHANNEL_CONFIG_DEFAULT,
			      NULL, NULL, &e) < 0)
		return ctl_say(CTL_UNREACHABLE, "%s", e.text);
	return CTL_OK;
}

/* A call under way. */
struct calling {
	struct ctl *ctl;
	void (*message)(void *arg, const cJSON *answer);
	void *arg;
	bool over;
	enum grpc_status status;
	char *text;
};

static void on_message(struct grpc_rpc *r, void *message)
{
	struct calling *k = grpc_rpc_user(r);
	struct err e;
	_cleanup_json_ cJSON *j = wire_to_json(message, &e);

	if (j == NULL)
		ctl_say(CTL_LOCAL, "answer: %s", e.text);
	else
		k->message(k->arg, j);
}

static void on_ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct calling *k = grpc_rpc_user(r);

	k->over = true;
	k->status = status;
	k->text = str_dup(text);
	loop_stop(k->ctl->loop, 0);
}

static const struct grpc_rpc_ops ops = {.message = on_message, .ended = on_ended};

/* Starts the call and runs the loop until it is over or a signal ends the wait. */
static int run(struct calling *k, const struct ctl_rpc *rpc, const cJSON *request, bool streams)
{
	_cleanup_arena_ struct arena arena = ARENA_INIT(REQUEST_MAX);
	struct err e;
	void *message = wire_from_json(rpc->in, request, &arena, &e);

	if (message == NULL)
		return ctl_say(CTL_LOCAL, "%s", e.text);
	char *path = arena_printf(&arena, "/openshell.compute.v1.ComputeDriver/%s", rpc->name);
	struct grpc_rpc_config cfg = {
		.path = path,
		.out = rpc->out,
		.streams = streams,
		.timeout_ms = streams ? 0 : k->ctl->options.timeout * 1000,
	};
	struct grpc_rpc *r = grpc_rpc_call(k->ctl->channel, &cfg, message, &ops, k);
	loop_run(k->ctl->loop);
	if (!k->over) {
		grpc_rpc_cancel(r);
		return streams ? CTL_OK : ctl_say(CTL_LOCAL, "%s: interrupted", rpc->name);
	}
	_cleanup_free_ char *text = k->text;
	if (k->status == GRPC_OK)
		return CTL_OK;
	return ctl_say(CTL_STATUS + (int)k->status, "%s: %s: %s", rpc->name,
		       grpc_status_name(k->status), text);
}

static void keep(void *arg, const cJSON *answer)
{
	cJSON **out = arg;

	cJSON_Delete(*out);
	*out = json_copy(answer);
}

int ctl_call(struct ctl *c, const struct ctl_rpc *rpc, const cJSON *request, cJSON **answer)
{
	struct calling k = {.ctl = c, .message = keep, .arg = answer};

	*answer = NULL;
	int code = run(&k, rpc, request, false);
	if (code != CTL_OK) {
		cJSON_Delete(*answer);
		*answer = NULL;
	}
	return code;
}

int ctl_stream(struct ctl *c, const struct ctl_rpc *rpc, const cJSON *request,
	       void (*message)(void *arg, const cJSON *answer), void *arg)
{
	struct calling k = {.ctl = c, .message = message, .arg = arg};

	return run(&k, rpc, request, true);
}
