#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "supervisor/tell.h"
#include "supervisor/uplink.h"

/* What an image's variable may ask for, which is to put no policy off for long; ours. */
enum { POLL_MIN_S = 1, POLL_MAX_S = 60 };

int uplink_configure(struct uplink *u, const struct sandbox_options *o, struct ocsf *events,
		     struct err *e)
{
	u->used = true;
	u->options = o;
	u->events = events;
	u->logs = log_push_new(events, LOG_INFO);
	uuid_random(u->instance_id);
	if (gateway_init(&u->gateway, o->endpoint, e) < 0)
		return -1;
	bool by_file = !str_empty(o->policy_data);
	if (by_file)
		tell_config(
			events, "skipped", OCSF_INFORMATIONAL,
			"Gateway's policy not followed: the policy is a local file [endpoint:%s]",
			o->endpoint);
	else
		tell_config(events, "loading", OCSF_INFORMATIONAL,
			    "Fetching sandbox policy from the gateway [endpoint:%s]", o->endpoint);
	const struct gateway_boot_config config = {
		.gateway = &u->gateway,
		.events = events,
		.sandbox_id = o->sandbox_id,
		.sandbox_name = o->sandbox,
		.by_file = by_file,
	};
	if (gateway_boot(&u->boot, &config, e) < 0)
		return -1;
	u->providers.variables = u->boot.variables;
	u->boot.variables = (struct variables){0};
	u->providers.failed = u->boot.no_providers;
	return 0;
}

static void environment_changed(void *owner)
{
	struct uplink *u = owner;

	providers_changed(&u->providers);
}

static void token_refused(void *owner)
{
	struct uplink *u = owner;

	token_renewal_now(&u->renewal);
}

static void watch_policy(struct uplink *u, struct loop *l, struct prepared *p)
{
	const struct policy_watch_config config = {
		.loop = l,
		.calls = u->calls,
		.events = u->events,
		.sandbox_id = u->options->sandbox_id,
		.interval_ms =
			MIN(MAX(u->options->poll_secs, (int64_t)POLL_MIN_S), (int64_t)POLL_MAX_S) *
			1000,
		.settings = {.events = u->events, .ocsf_json = u->options->ocsf_json},
		.policy = &p->policy,
		.by_file = !str_empty(u->options->policy_data),
		.differs = u->boot.differs,
		.refused = p->refused,
		.environment_changed = environment_changed,
		.token_refused = token_refused,
		.owner = u,
	};

	u->watch = policy_watch_start(&config, steal(&u->boot.config));
}

int uplink_start(struct uplink *u, struct loop *l, struct prepared *p, struct keeper *k,
		 const char *ssh_socket, struct err *e)
{
	if (resolver_new(&u->resolver, l, e) < 0)
		return -1;
	const struct relays_config relays = {
		.loop = l, .keeper = k, .ssh_socket = ssh_socket, .events = u->events};
	u->relays = relays_new(&relays);
	const struct gateway_session_config config = {
		.loop = l,
		.resolver = u->resolver,
		.gateway = &u->gateway,
		.relays = u->relays,
		.events = u->events,
		.sandbox_id = u->options->sandbox_id,
		.instance_id = u->instance_id,
	};
	u->loop = l;
	u->session = gateway_session_start(&config);
	log_push_start(u->logs, &(struct log_push_config){
					.loop = l,
					.resolver = u->resolver,
					.gateway = &u->gateway,
					.sandbox_id = u->options->sandbox_id,
				});
	u->calls = gateway_calls_new(l, u->resolver, &u->gateway);
	token_renewal_start(&u->renewal, l, u->calls, &u->gateway.token);
	providers_start(&u->providers, l, u->calls, u->events, u->options->sandbox_id);
	watch_policy(u, l, p);
	return 0;
}

static void told(void *owner)
{
	struct uplink *u = owner;

	if (--u->telling == 0)
		u->reported(u->owner);
}

static void reported(void *owner, const struct err *why)
{
	struct uplink *u = owner;

	if (why != NULL)
		log_warn("the gateway does not want to know how the main process ended",
			 "reason=%s", why->text);
	else
		log_info("the gateway knows how the main process ended");
	told(u);
}

static void session_is_over(void *owner)
{
	struct uplink *u = owner;
	const struct exit_report_config config = {
		.loop = u->loop,
		.resolver = u->resolver,
		.gateway = &u->gateway,
		.sandbox_id = u->options->sandbox_id,
		.instance_id = u->instance_id,
		.exit_code = u->exit_code,
		.done = reported,
		.owner = u,
	};

	u->telling = 2;
	u->report = exit_report_start(&config);
	log_push_finish(u->logs, told, u);
}

void uplink_withdraw(struct uplink *u)
{
	if (u->session != NULL)
		gateway_session_withdraw(u->session);
}

void uplink_report(struct uplink *u, int exit_code, void (*done)(void *owner), void *owner)
{
	u->reporting = true;
	u->exit_code = exit_code;
	u->reported = done;
	u->owner = owner;
	policy_watch_free(steal(&u->watch));
	gateway_session_finish(u->session, session_is_over, u);
}

static void said(void *owner)
{
	loop_stop(owner, 0);
}

void uplink_last_words(struct uplink *u)
{
	struct loop *l = NULL;
	struct resolver *r = NULL;
	struct err ignored;

	if (u->loop != NULL || u->boot.config == NULL)
		return;
	if (loop_new(&l, &ignored) == 0 && resolver_new(&r, l, &ignored) == 0) {
		log_push_start(u->logs, &(struct log_push_config){
						.loop = l,
						.resolver = r,
						.gateway = &u->gateway,
						.sandbox_id = u->options->sandbox_id,
					});
		log_push_finish(u->logs, said, l);
		loop_run(l);
	}
	log_push_free(steal(&u->logs));
	resolver_free(r);
	loop_free(l);
}

void uplink_fini(struct uplink *u)
{
	if (!u->used)
		return;
	gateway_session_free(u->session);
	relays_free(u->relays);
	policy_watch_free(u->watch);
	token_renewal_stop(&u->renewal);
	providers_stop(&u->providers);
	gateway_calls_free(u->calls);
	exit_report_free(u->report);
	log_push_free(u->logs);
	resolver_free(u->resolver);
	gateway_boot_fini(&u->boot);
	gateway_fini(&u->gateway);
	*u = (struct uplink){0};
}
