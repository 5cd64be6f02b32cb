#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "openshell.pb-c.h"
#include "supervisor/gateway_session.h"
#include "supervisor/tell.h"

#define RPC "/openshell.v1.OpenShell/ConnectSupervisor"

typedef Openshell__V1__SupervisorMessage supervisor_message;
typedef Openshell__V1__GatewayMessage gateway_message;

enum {
	HEARTBEAT_MIN_S = 5, /* contract 3.3 */
	HEARTBEAT_MAX_S = 3600,
	ACCEPT_MS = 30000, /* ours: from the hello to the answer */
	DRAIN_MS = 2000,   /* contract 1.10: for the last bytes of relays */
	GOODBYE_MS = 1000, /* ours: for the gateway to end the call too */
	PAUSE_MIN_MS = 1000,
	PAUSE_MAX_MS = 30000,
};

/*
 *   PAUSING --> OPENING --hello--> GREETING --accepted--> ACCEPTED
 *      ^           |                  |                      |
 *      +-----------+------------------+----------------------+   lost, refused, superseded, ended
 *
 *   any --finish, withdraw--> DRAINING --relays are through, or 2 s--> LEAVING --it has ended, or 1 s--> DONE
 */
enum state { PAUSING, OPENING, GREETING, ACCEPTED, DRAINING, LEAVING, DONE };

struct gateway_session {
	struct gateway_session_config config;
	enum state state;
	struct gateway_link *link;
	struct grpc_rpc *rpc;
	struct timer
		timer; /* PAUSING: the next try; GREETING, DRAINING, LEAVING: too late; ACCEPTED: a
			     * heartbeat */
	void (*done)(void *owner); /* NULL: nobody waits for the end */
	void *owner;
	int64_t heartbeat_ms;
	unsigned attempt;        /* since the last that was accepted */
	char last[ERR_TEXT_MAX]; /* why it failed then */
};

/* ---- the end of one ---- */

/* The last of them is over; said once, and not from within a callback of it. */
static void gone(struct gateway_session *s)
{
	if (s->state == DONE)
		return;
	s->state = DONE;
	timer_set(s->config.loop, &s->timer, 0);
}

static void retry(struct gateway_session *s, const char *why)
{
	if (s->state == PAUSING)
		return;
	if (s->state >= DRAINING) {
		gone(s);
		return;
	}
	s->state = PAUSING;
	relays_drop(s->config.relays);
	struct grpc_rpc *rpc = steal(&s->rpc);
	if (rpc != NULL)
		grpc_rpc_cancel(rpc);
	gateway_link_close(steal(&s->link));
	tell_session_failed(s->config.events, ++s->attempt, why);
	/* the event's text is short, and comes again and again: what is new is said whole, once */
	if (!streq(s->last, why))
		log_warn("no session with the gateway", "reason=%s", why);
	snprintf(s->last, sizeof s->last, "%s", why);
	timer_set(s->config.loop, &s->timer, backoff_ms(s->attempt, PAUSE_MIN_MS, PAUSE_MAX_MS));
}

static void lost(void *owner, const struct err *why)
{
	retry(owner, why->text);
}

static void ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct gateway_session *s = grpc_rpc_user(r);
	struct err why;

	s->rpc = NULL;            /* it is gone when we return */
	if (s->state == DRAINING) /* what rides on the link may go on */
		return;
	if (status == GRPC_OK)
		err_set(&why, ECONNRESET, "the gateway ended the session");
	else
		err_set(&why, EIO, "%s: %.*s", grpc_status_name(status), STR_FMT(text));
	retry(s, why.text);
}

/* ---- what we say ---- */

/* After our last word, or the gateway's, nobody waits for another. */
static bool say(struct gateway_session *s, const supervisor_message *m)
{
	return s->rpc == NULL || s->state >= LEAVING || grpc_rpc_send(s->rpc, m);
}

static void say_hello(struct gateway_session *s)
{
	supervisor_message m = OPENSHELL__V1__SUPERVISOR_MESSAGE__INIT;
	Openshell__V1__SupervisorHello hello = OPENSHELL__V1__SUPERVISOR_HELLO__INIT;

	hello.sandbox_id = (char *)s->config.sandbox_id;
	hello.instance_id = (char *)s->config.instance_id;
	m.payload_case = OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_HELLO;
	m.hello = &hello;
	must(say(s, &m)); /* the first message of a call always fits */
}

static void beat(struct gateway_session *s)
{
	supervisor_message m = OPENSHELL__V1__SUPERVISOR_MESSAGE__INIT;
	Openshell__V1__SupervisorHeartbeat heartbeat = OPENSHELL__V1__SUPERVISOR_HEARTBEAT__INIT;

	m.payload_case = OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_HEARTBEAT;
	m.heartbeat = &heartbeat;
	say(s, &m); /* a gateway that does not read is found out by pings */
	timer_set(s->config.loop, &s->timer, s->heartbeat_ms);
}

static void answer_relay(void *owner, const char *channel_id, const char *error)
{
	struct gateway_session *s = owner;
	supervisor_message m = OPENSHELL__V1__SUPERVISOR_MESSAGE__INIT;
	Openshell__V1__RelayOpenResult result = OPENSHELL__V1__RELAY_OPEN_RESULT__INIT;

	result.channel_id = (char *)channel_id;
	result.success = error == NULL;
	result.error = (char *)(error != NULL ? error : "");
	m.payload_case = OPENSHELL__V1__SUPERVISOR_MESSAGE__PAYLOAD_RELAY_OPEN_RESULT;
	m.relay_open_result = &result;
	if (!say(s, &m)) /* its gateway gives up by itself after 10 s */
		log_warn("a relay was not answered: the gateway does not read");
}

/* ---- what the gateway says ---- */

static void accepted(struct gateway_session *s, const Openshell__V1__SessionAccepted *a)
{
	uint32_t seconds = MIN(MAX(a->heartbeat_interval_secs, (uint32_t)HEARTBEAT_MIN_S),
			       (uint32_t)HEARTBEAT_MAX_S);

	s->state = ACCEPTED;
	s->attempt = 0;
	s->heartbeat_ms = (int64_t)seconds * 1000;
	timer_set(s->config.loop, &s->timer, s->heartbeat_ms);
	s->last[0] = '\0';
	tell_session_open(s->config.events, a->session_id, seconds);
}

static void greeted(struct gateway_session *s, const gateway_message *m)
{
	struct err why;

	if (m->payload_case == OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_SESSION_ACCEPTED) {
		accepted(s, m->session_accepted);
		return;
	}
	if (m->payload_case == OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_SESSION_REJECTED)
		err_set(&why, EACCES, "the gateway rejected the session: %s",
			m->session_rejected->reason);
	else
		err_set(&why, EPROTO, "the gateway did not answer the hello first");
	retry(s, why.text);
}

/* A message that is none of these says nothing to this version. */
static void heard(struct grpc_rpc *r, void *message)
{
	struct gateway_session *s = grpc_rpc_user(r);
	const gateway_message *m = message;

	if (s->state == GREETING)
		greeted(s, m);
	else if (m->payload_case == OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_RELAY_OPEN)
		relay_open(s->config.relays, s->link, m->relay_open, answer_relay, s);
	else if (m->payload_case == OPENSHELL__V1__GATEWAY_MESSAGE__PAYLOAD_RELAY_CLOSE)
		relay_close(s->config.relays, m->relay_close->channel_id, m->relay_close->reason);
}

/* ---- the beginning ---- */

static void opened(void *owner)
{
	static const struct grpc_rpc_ops ops = {.message = heard, .ended = ended};
	struct gateway_session *s = owner;
	const struct grpc_rpc_config rpc = {
		.path = RPC,
		.out = &openshell__v1__gateway_message__descriptor,
		.streams = true,
	};

	s->state = GREETING;
	s->rpc = gateway_rpc_start(s->link, &rpc, &ops, s);
	say_hello(s);
	timer_set(s->config.loop, &s->timer, ACCEPT_MS);
}

static void open_link(struct gateway_session *s)
{
	static const struct gateway_link_ops ops = {.open = opened, .lost = lost};

	s->state = OPENING;
	s->link = gateway_link_open(s->config.gateway, s->config.loop, s->config.resolver, &ops, s);
}

/* Says so, and waits for the gateway to end the call: then it has heard all. */
static void leave(struct gateway_session *s)
{
	s->state = LEAVING;
	if (s->rpc == NULL) {
		gone(s);
		return;
	}
	grpc_rpc_half_close(s->rpc);
	timer_set(s->config.loop, &s->timer, GOODBYE_MS);
}

static void relays_are_through(void *owner)
{
	struct gateway_session *s = owner;

	if (s->state == DRAINING)
		leave(s);
}

void gateway_session_withdraw(struct gateway_session *s)
{
	bool accepted = s->state == ACCEPTED;

	if (s->state >= DRAINING)
		return;
	s->state = DRAINING;
	if (!accepted) {
		s->rpc = NULL; /* it ends with its link */
		gateway_link_close(steal(&s->link));
		gone(s);
		return;
	}
	timer_set(s->config.loop, &s->timer, DRAIN_MS);
	relays_finish(s->config.relays, relays_are_through, s);
}

void gateway_session_finish(struct gateway_session *s, void (*done)(void *owner), void *owner)
{
	s->done = done;
	s->owner = owner;
	gateway_session_withdraw(s);
	if (s->state == DONE)
		timer_set(s->config.loop, &s->timer, 0);
}

/* Of one that was withdrawn nothing is left to wait for. */
static void is_done(struct gateway_session *s)
{
	if (s->done != NULL) {
		s->done(s->owner);
		return;
	}
	relays_drop(s->config.relays);
	s->rpc = NULL; /* it ends with its link */
	gateway_link_close(steal(&s->link));
}

static void on_timer(struct timer *t)
{
	struct gateway_session *s = container_of(t, struct gateway_session, timer);

	switch (s->state) {
	case PAUSING:
		open_link(s);
		break;
	case GREETING:
		retry(s, "the gateway did not answer the hello");
		break;
	case ACCEPTED:
		beat(s);
		break;
	case OPENING: /* the link has its own deadline */
		break;
	case DRAINING:
		leave(s);
		break;
	case LEAVING:
		gone(s);
		break;
	case DONE:
		is_done(s);
		break;
	}
}

struct gateway_session *gateway_session_start(const struct gateway_session_config *config)
{
	struct gateway_session *s = xcalloc(1, sizeof *s);

	s->config = *config;
	s->timer.fire = on_timer;
	open_link(s);
	return s;
}

void gateway_session_free(struct gateway_session *s)
{
	if (s == NULL)
		return;
	timer_stop(s->config.loop, &s->timer);
	relays_drop(s->config.relays);
	gateway_link_close(s->link);
	free(s);
}
