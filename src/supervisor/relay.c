#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/util.h"
#include "net/unix_address.h"
#include "ssh/sshd.h"
#include "supervisor/relay.h"
#include "supervisor/relay_frame.h"
#include "supervisor/tell.h"

#define RPC "/openshell.v1.OpenShell/RelayStream"

enum {
	FRAMES_A_TURN = 4, /* then they are written, and others have theirs */
	CHANNEL_ID_MAX = 256,
};

/*
 *   CONNECTING --connected--> FLOWING --both have ended--> OVER
 *        |                       |                           ^
 *        +-----------------------+---------------------------+   refused, too late, broken
 *
 *   OVER is for the rest of a turn: those who call us are not through with it.
 *
 *   FLOWING, each direction by itself:
 *     from the target    read --queue full--> held --room--> read ... its end: half_close
 *     from the gateway   written --target full--> paused --room--> written ... its end: shutdown
 */
enum state { CONNECTING, FLOWING, OVER };

struct relay {
	struct relays *all;
	struct list link;
	enum state state;
	char *channel_id;
	bool ssh;        /* it leads to the sshd */
	char target[80]; /* for the log: "ssh" or "127.0.0.1:80" */
	struct gateway_link *gateway;
	relay_answer_fn *answer;
	void *owner;
	struct inside_dial dial;
	struct source source; /* fd -1: there is none yet */
	struct grpc_rpc *rpc;
	struct later end;
	struct timer linger;   /* nobody is there for what the gateway says */
	struct h2_chunk *held; /* a frame of the target's that the call has no room for */
	struct buf waiting;    /* what the gateway said and the target has no room for */
	bool target_ended, gateway_ended;
	uint64_t out, in; /* bytes to the gateway, to the target */
};

struct relays {
	struct relays_config config;
	struct list open;
	size_t n;
	void (*idle)(void *owner); /* none is taken any more */
	void *owner;
	struct later told; /* idle is called from the loop */
};

/* ---- the end ---- */

static void relay_free(struct relay *r)
{
	struct loop *l = r->all->config.loop;

	list_del(&r->link);
	if (--r->all->n == 0 && r->all->idle != NULL)
		loop_later(l, &r->all->told);
	inside_dial_cancel(&r->dial);
	timer_stop(l, &r->linger);
	loop_later_cancel(&r->end);
	if (r->rpc != NULL)
		grpc_rpc_cancel(r->rpc);
	loop_del(l, &r->source);
	if (r->source.fd >= 0)
		close(r->source.fd);
	buf_fini(&r->waiting);
	h2_chunk_unref(r->held);
	free(r->channel_id);
	free(r);
}

static void run_end(struct later *l)
{
	relay_free(container_of(l, struct relay, end));
}

static void over(struct relay *r)
{
	struct loop *l = r->all->config.loop;

	r->state = OVER;
	inside_dial_cancel(&r->dial);
	timer_stop(l, &r->linger);
	loop_del(l, &r->source);
	loop_later(l, &r->end);
}

/* It does not come to bytes. */
static void refuse(struct relay *r, const char *why)
{
	over(r);
	tell_relay_failed(r->all->config.events, r->channel_id, r->target, why);
	r->answer(r->owner, r->channel_id, why);
}

/* No more bytes. */
static void finish(struct relay *r, const char *why)
{
	if (r->state == OVER)
		return;
	over(r);
	tell_relay_closed(r->all->config.events, r->channel_id, r->target, r->out, r->in, why);
}

/* Both directions have ended, and all is through. */
static void finish_if_done(struct relay *r)
{
	if (r->target_ended && r->gateway_ended && r->held == NULL && r->waiting.n == 0)
		finish(r, "both sides have ended");
}

/* ---- from the target to the gateway ---- */

static void watch(struct relay *r)
{
	uint32_t events = 0;

	if (r->state == OVER)
		return;
	if (!r->target_ended && r->held == NULL)
		events |= EPOLLIN;
	if (r->waiting.n > 0)
		events |= EPOLLOUT;
	/* a hang-up is told again and again, whatever is waited for */
	if (events == 0)
		loop_del(r->all->config.loop, &r->source);
	else if (r->source.added)
		loop_set(r->all->config.loop, &r->source, events);
	else if (loop_add(r->all->config.loop, &r->source, events, &(struct err){0}) < 0)
		finish(r, "the target cannot be watched");
}

static void target_has_ended(struct relay *r)
{
	r->target_ended = true;
	grpc_rpc_half_close(r->rpc);
	finish_if_done(r);
}

/* False when there is nothing more to read, or no room for it. */
static bool read_frame(struct relay *r)
{
	uint8_t *room;
	struct h2_chunk *c = relay_frame_new(&room);
	ssize_t n = read(r->source.fd, room, RELAY_DATA_MAX);

	if (n <= 0) {
		h2_chunk_unref(c);
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			target_has_ended(r); /* one that resets its connection has ended too */
		return false;
	}
	r->out += (size_t)n;
	c = relay_frame_pack(c, (size_t)n);
	if (!grpc_rpc_send_packed(r->rpc, c)) {
		r->held = c;
		return false;
	}
	h2_chunk_unref(c);
	return (size_t)n == RELAY_DATA_MAX;
}

static void read_target(struct relay *r)
{
	for (int i = 0; i < FRAMES_A_TURN && read_frame(r); i++)
		;
}

static void writable(struct grpc_rpc *rpc)
{
	struct relay *r = grpc_rpc_user(rpc);

	if (r->held == NULL || r->state == OVER || !grpc_rpc_send_packed(rpc, r->held))
		return;
	h2_chunk_unref(steal(&r->held));
	watch(r);
}

/* ---- from the gateway to the target ---- */

static void gateway_is_through(struct relay *r)
{
	if (!r->gateway_ended || r->waiting.n > 0)
		return;
	shutdown(r->source.fd, SHUT_WR);
	finish_if_done(r);
}

static void has_lingered(struct timer *t)
{
	finish(container_of(t, struct relay, linger), "the target is gone");
}

/* How many of the bytes the target took; all, when it takes no more at all: what it says may still come. When it
 * has said its last, too, a client that speaks on to nobody does not hold the relay for ever. */
static size_t write_target(struct relay *r, const void *p, size_t n)
{
	ssize_t sent = send(r->source.fd, p, n, MSG_NOSIGNAL);

	if (sent >= 0)
		return (size_t)sent;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	if (r->target_ended && !timer_armed(&r->linger))
		timer_set(r->all->config.loop, &r->linger, RELAY_LINGER_MS);
	return n;
}

static void flush_target(struct relay *r)
{
	struct str waiting = buf_view(&r->waiting);

	buf_consume(&r->waiting, write_target(r, waiting.p, waiting.n));
	if (r->waiting.n > 0)
		return;
	buf_fini(&r->waiting);
	r->waiting = BUF_INIT(GATEWAY_MESSAGE_MAX);
	if (r->rpc != NULL)
		grpc_rpc_resume(r->rpc);
	gateway_is_through(r);
}

static void heard(struct grpc_rpc *rpc, struct str message)
{
	struct relay *r = grpc_rpc_user(rpc);
	struct str data;

	if (r->state == OVER)
		return;
	enum relay_frame what = relay_frame_read(message, &data);
	if (what != RELAY_FRAME_DATA) {
		finish(r, what == RELAY_FRAME_OTHER ? "the gateway sent a frame without data"
						    : "the gateway sent a malformed frame");
		return;
	}
	r->in += data.n;
	size_t n = data.n > 0 ? write_target(r, data.p, data.n) : 0;
	if (n == data.n)
		return;
	must(buf_add(&r->waiting, data.p + n, data.n - n));
	grpc_rpc_pause(rpc);
	watch(r);
}

/* It says no more, but listens to the target as long as that speaks. */
static bool gateway_has_ended(struct grpc_rpc *rpc)
{
	struct relay *r = grpc_rpc_user(rpc);

	r->gateway_ended = true;
	gateway_is_through(r);
	return true;
}

static void ended(struct grpc_rpc *rpc, enum grpc_status status, struct str text)
{
	struct relay *r = grpc_rpc_user(rpc);
	struct err why;

	r->rpc = NULL; /* it is gone when we return */
	if (status != GRPC_OK) {
		err_set(&why, EIO, "%s: %.*s", grpc_status_name(status), STR_FMT(text));
		finish(r, why.text);
		return;
	}
	r->gateway_ended = true;
	r->target_ended = true; /* who would hear it? */
	h2_chunk_unref(steal(&r->held));
	gateway_is_through(r);
}

/* ---- the beginning ---- */

static void flow(struct source *s, uint32_t events)
{
	struct relay *r = container_of(s, struct relay, source);

	if (events & EPOLLOUT)
		flush_target(r);
	if (r->state != OVER && !r->target_ended && r->held == NULL)
		read_target(r);
	watch(r);
}

/* The gateway claims the relay when it hears its id, and says nothing before that. */
static void start_flow(struct relay *r)
{
	static const struct grpc_rpc_ops ops = {.bytes = heard,
						.writable = writable,
						.server_done = gateway_has_ended,
						.ended = ended};
	const struct grpc_rpc_config rpc = {
		.path = RPC,
		.streams = true,
	};
	Openshell__V1__RelayFrame f = OPENSHELL__V1__RELAY_FRAME__INIT;
	Openshell__V1__RelayInit init = OPENSHELL__V1__RELAY_INIT__INIT;

	r->state = FLOWING;
	r->source.ready = flow;
	tell_relay_open(r->all->config.events, r->channel_id, r->target);
	r->answer(r->owner, r->channel_id, NULL);
	r->rpc = gateway_rpc_start(r->gateway, &rpc, &ops, r);
	init.channel_id = r->channel_id;
	f.payload_case = OPENSHELL__V1__RELAY_FRAME__PAYLOAD_INIT;
	f.init = &init;
	must(grpc_rpc_send(r->rpc, &f)); /* the first message of a call always fits */
	watch(r);
}

static void connected(struct inside_dial *d, int fd, const struct err *why)
{
	struct relay *r = container_of(d, struct relay, dial);

	if (fd < 0) {
		refuse(r, why->text);
		return;
	}
	r->source.fd = fd;
	start_flow(r);
}

/* A socket that is connected, or refused, at once. */
static int connect_sshd(const char *socket_path, int *out, struct err *e)
{
	if (str_empty(socket_path))
		return err_set(e, ENOENT, "this sandbox has no sshd");
	if (unix_connect(out, socket_path, e) < 0)
		return err_wrap(e, "the sandbox's sshd");
	return 0;
}

/* As many as the sshd has room for: one more is told to the gateway, whose clients hear that much sooner and better than
 * what the sshd would say. */
static int check_ssh_room(const struct relay *r, struct err *e)
{
	size_t n = 0;

	list_each(other, &r->all->open, struct relay, link) {
		n += other != r && other->ssh && other->state == FLOWING;
	}
	return n < SSHD_SESSIONS_MAX
		       ? 0
		       : err_set(e, EAGAIN,
				 "this sandbox has %d SSH sessions open, and takes no more",
				 SSHD_SESSIONS_MAX);
}

static void begin(struct relay *r, const Openshell__V1__RelayOpen *what)
{
	struct err e;
	int fd = -1;

	if (what->target_case != OPENSHELL__V1__RELAY_OPEN__TARGET_TCP) {
		snprintf(r->target, sizeof r->target, "ssh");
		r->ssh = true;
		if (check_ssh_room(r, &e) < 0 ||
		    connect_sshd(r->all->config.ssh_socket, &fd, &e) < 0) {
			refuse(r, e.text);
			return;
		}
		r->source.fd = fd;
		start_flow(r);
		return;
	}
	snprintf(r->target, sizeof r->target, "%.64s:%u", what->tcp->host, what->tcp->port);
	if (r->all->config.keeper == NULL) {
		refuse(r, "the sandbox has ended");
		return;
	}
	if (inside_dial(&r->dial, r->all->config.loop, r->all->config.keeper, what->tcp->host,
			what->tcp->port, &e) < 0)
		refuse(r, e.text);
}

static struct relay *find(struct relays *all, const char *channel_id)
{
	list_each(r, &all->open, struct relay, link) {
		if (r->state != OVER && streq(r->channel_id, channel_id))
			return r;
	}
	return NULL;
}

void relay_open(struct relays *all, struct gateway_link *link, const Openshell__V1__RelayOpen *what,
		relay_answer_fn *answer, void *owner)
{
	struct err full;

	if (str_empty(what->channel_id) || strlen(what->channel_id) > CHANNEL_ID_MAX) {
		answer(owner, what->channel_id, "a relay needs a channel id of at most 256 bytes");
		return;
	}
	if (find(all, what->channel_id) != NULL)
		return;
	if (all->idle != NULL) {
		answer(owner, what->channel_id, "the sandbox takes no more relays");
		return;
	}
	if (all->n == RELAYS_MAX) {
		err_set(&full, EAGAIN, "this sandbox has %d relays open, and takes no more",
			RELAYS_MAX);
		tell_relay_failed(all->config.events, what->channel_id, "", "too many relays");
		answer(owner, what->channel_id, full.text);
		return;
	}
	struct relay *r = xcalloc(1, sizeof *r);
	r->all = all;
	r->channel_id = xstrdup(what->channel_id);
	r->gateway = link;
	r->answer = answer;
	r->owner = owner;
	r->dial.done = connected;
	r->end.run = run_end;
	r->linger.fire = has_lingered;
	r->source = (struct source){.fd = -1, .name = "relay"};
	r->waiting = BUF_INIT(GATEWAY_MESSAGE_MAX);
	list_add(&all->open, &r->link);
	all->n++;
	begin(r, what);
}

void relay_close(struct relays *all, const char *channel_id, const char *reason)
{
	struct relay *r = find(all, channel_id);

	if (r == NULL || r->state == FLOWING || r->state == OVER)
		return;
	over(r);
	tell_relay_failed(all->config.events, channel_id, r->target, reason);
}

void relays_drop(struct relays *all)
{
	struct relay *r;

	while ((r = list_first(&all->open, struct relay, link)) != NULL) {
		if (r->state == FLOWING)
			finish(r, "the session was lost");
		else if (r->state != OVER)
			tell_relay_failed(all->config.events, r->channel_id, r->target,
					  "the session was lost");
		relay_free(r);
	}
}

static void run_told(struct later *l)
{
	struct relays *all = container_of(l, struct relays, told);

	all->idle(all->owner);
}

void relays_finish(struct relays *all, void (*idle)(void *owner), void *owner)
{
	all->idle = idle;
	all->owner = owner;
	if (all->n == 0)
		loop_later(all->config.loop, &all->told);
}

void relays_keeper_goes(struct relays *all)
{
	if (all == NULL)
		return;
	all->config.keeper = NULL;
	list_each(r, &all->open, struct relay, link) {
		if (r->state == CONNECTING)
			refuse(r, "the sandbox has ended");
	}
}

struct relays *relays_new(const struct relays_config *config)
{
	struct relays *all = xcalloc(1, sizeof *all);

	all->config = *config;
	all->told.run = run_told;
	list_init(&all->open);
	return all;
}

void relays_free(struct relays *all)
{
	if (all == NULL)
		return;
	relays_drop(all);
	loop_later_cancel(&all->told);
	free(all);
}
