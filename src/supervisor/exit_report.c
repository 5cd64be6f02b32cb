#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "openshell.pb-c.h"
#include "supervisor/exit_report.h"

enum {
	PAUSE_MIN_MS = 250, /* contract 2.3 */
	PAUSE_MAX_MS = 2000,
	TOKENS_MAX = 5, /* ours: that may be refused, since one that is in a file may be renewed */
};

/*
 *   OPENING --> CALLING --answered--> OVER
 *      ^           |
 *      +--- PAUSE -+  --refused for good--> OVER
 */
struct exit_report {
	struct exit_report_config config;
	struct gateway_link *link;
	struct timer pause;
	struct later end;
	unsigned failures; /* the first is in the log */
	int tokens;        /* that were refused */
	bool failed;       /* this try */
};

static void over(struct exit_report *x, const struct err *why)
{
	x->failed = true;
	x->config.done(x->config.owner, why);
}

static void try_later(struct exit_report *x, const char *why)
{
	x->failed = true;
	if (x->failures++ == 0)
		log_warn("the exit of the main process is not acknowledged; it is told again",
			 "reason=%s", why);
	timer_set(x->config.loop, &x->pause, backoff_ms(x->failures, PAUSE_MIN_MS, PAUSE_MAX_MS));
}

/* What another try would not change. */
static bool for_good(struct exit_report *x, enum grpc_status s)
{
	if (s == GRPC_UNAUTHENTICATED)
		return ++x->tokens == TOKENS_MAX;
	return s == GRPC_INVALID_ARGUMENT || s == GRPC_NOT_FOUND || s == GRPC_PERMISSION_DENIED ||
	       s == GRPC_FAILED_PRECONDITION || s == GRPC_OUT_OF_RANGE || s == GRPC_UNIMPLEMENTED;
}

static void ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct exit_report *x = grpc_rpc_user(r);
	struct err why;

	if (status == GRPC_OK) {
		over(x, NULL);
		return;
	}
	err_set(&why, EIO, "ReportMainProcessExit: %s: %.*s", grpc_status_name(status),
		STR_FMT(text));
	if (for_good(x, status))
		over(x, &why);
	else
		try_later(x, why.text);
}

static void opened(void *owner)
{
	static const struct grpc_rpc_ops ops = {.ended = ended};
	struct exit_report *x = owner;
	Openshell__V1__ReportMainProcessExitRequest request =
		OPENSHELL__V1__REPORT_MAIN_PROCESS_EXIT_REQUEST__INIT;
	const struct grpc_rpc_config rpc = {
		.path = "/openshell.v1.OpenShell/ReportMainProcessExit",
		.out = &openshell__v1__report_main_process_exit_response__descriptor,
		.timeout_ms = GATEWAY_CALL_MS,
	};

	request.sandbox_id = (char *)x->config.sandbox_id;
	request.instance_id = (char *)x->config.instance_id;
	request.exit_code = x->config.exit_code;
	gateway_rpc_call(x->link, &rpc, &request, &ops, x);
}

static void lost(void *owner, const struct err *why)
{
	struct exit_report *x = owner;

	if (!x->failed)
		try_later(x, why->text);
}

static void open_link(struct exit_report *x)
{
	static const struct gateway_link_ops ops = {.open = opened, .lost = lost};

	x->failed = false;
	x->link = gateway_link_open(x->config.gateway, x->config.loop, x->config.resolver, &ops, x);
}

static void again(struct timer *t)
{
	struct exit_report *x = container_of(t, struct exit_report, pause);

	gateway_link_close(steal(&x->link));
	open_link(x);
}

static void release(struct later *l)
{
	free(container_of(l, struct exit_report, end));
}

struct exit_report *exit_report_start(const struct exit_report_config *config)
{
	struct exit_report *x = xcalloc(1, sizeof *x);

	x->config = *config;
	x->pause.fire = again;
	x->end.run = release;
	open_link(x);
	return x;
}

void exit_report_free(struct exit_report *x)
{
	if (x == NULL)
		return;
	timer_stop(x->config.loop, &x->pause);
	gateway_link_close(steal(&x->link));
	loop_later(x->config.loop, &x->end);
}
