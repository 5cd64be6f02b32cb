#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "kube/auth.h"
#include "kube/channel.h"
#include "kube/client_impl.h"
#include "kube/lines.h"

enum {
	TRIES_MAX = 10,       /* of one request, in all */
	TRIES_BROKEN_MAX = 4, /* of a GET that the server answers by 500, 502 or 504 */
	REPEAT_FIRST_MS = 200,
	REPEAT_MAX_MS = 5000,
	RETRY_AFTER_MAX_MS = 30000, /* a server that wishes longer is not waited for */
	PATIENCE_MS = 10000,        /* for a server that cannot be reached */
	ERROR_BODY_MAX = 64 << 10,  /* bytes kept of an error's body */
};

enum kind { CALL, STREAM, TRANSFER };

/*
 *   WAITING (for credentials) --> SUBMITTED --headers--> ANSWERED --ended--> OVER
 *      ^                              |                     |
 *      +---------- RESTING <----------+---------------------+   to be repeated
 *
 *   OVER, and nothing is called any more: also after a cancel, and when the deadline passes.
 */
enum state { WAITING, SUBMITTED, ANSWERED, RESTING, OVER };

struct kube_request {
	struct exchange x;
	struct kube_client *client;
	struct list place; /* in the client's list */
	enum kind kind;
	enum state state;
	union {
		struct kube_call call;
		struct kube_stream stream;
		struct kube_transfer transfer;
	};
	char *path, *body;

	int64_t began, give_up; /* mono_ms */
	struct timer deadline;
	struct timer timer; /* RESTING: to begin again; STREAM: silence */
	unsigned tries;
	bool renewed; /* a 401 was answered by new ones */

	int status;
	int64_t retry_after_ms;
	bool told;   /* some of the body went to the caller */
	bool failed; /* error is filled, and why we ended the answer ourselves */
	struct kube_error error;
	struct buf answer;
	struct kube_lines lines;
	struct later free_later;
};

struct kube_client {
	struct loop *loop;
	struct kube_config *config;
	struct kube_auth *auth;
	struct channel *channel;
	struct list requests;
	size_t n;
	struct later begin; /* those that are WAITING may begin */
};

static const char *const method_names[] = {
	[KUBE_GET] = "GET",     [KUBE_POST] = "POST",     [KUBE_PUT] = "PUT",
	[KUBE_PATCH] = "PATCH", [KUBE_DELETE] = "DELETE",
};
_Static_assert(ARRAY_LEN(method_names) == KUBE_DELETE + 1, "a name for each method");

static const char *const content_types[] = {
	[KUBE_JSON] = "application/json",
	[KUBE_MERGE_PATCH] = "application/merge-patch+json",
	[KUBE_APPLY] = "application/apply-patch+yaml",
};
_Static_assert(ARRAY_LEN(content_types) == KUBE_APPLY + 1, "a type for each kind of body");

/* ---- the end of a request ---- */

static void release(struct later *l)
{
	struct kube_request *r = container_of(l, struct kube_request, free_later);

	kube_lines_fini(&r->lines);
	buf_fini(&r->answer);
	free(r->path);
	free_secret(r->body); /* it may be a Secret */
	free(r);
}

/* Nothing happens to it any more; the memory goes when this turn is over. */
static void retire(struct kube_request *r)
{
	struct kube_client *c = r->client;

	if (r->state == OVER)
		return;
	r->state = OVER;
	exchange_withdraw(&r->x);
	timer_stop(c->loop, &r->deadline);
	timer_stop(c->loop, &r->timer);
	list_del(&r->place);
	c->n--;
	loop_later(c->loop, &r->free_later);
}

void kube_cancel(struct kube_request *r)
{
	if (r != NULL)
		retire(r);
}

/* Tells the end. error and body may be the request's own. */
static void finish(struct kube_request *r, const struct kube_error *error, cJSON *body)
{
	struct kube_answer a = {.status = r->status, .body = body, .error = error};

	retire(r);
	if (r->kind == CALL)
		r->call.done(r->call.owner, &a);
	else if (r->kind == STREAM)
		r->stream.ended(r->stream.owner, error);
	else
		r->transfer.ended(r->transfer.owner, error);
	cJSON_Delete(a.body);
}

static bool is_get(const struct kube_request *r)
{
	return streq(r->x.method, "GET");
}

static void fail(struct kube_request *r, enum kube_fault fault, const char *words)
{
	kube_error_set(&r->error, fault, "%s", words);
	r->error.unsure = !is_get(r) && exchange_is_sent(&r->x);
	finish(r, &r->error, NULL);
}

/* ---- beginning, and beginning again ---- */

static void begin_soon(struct kube_client *c)
{
	loop_later(c->loop, &c->begin);
}

static void begin(struct kube_request *r)
{
	r->state = SUBMITTED;
	r->tries++;
	r->status = 0;
	r->retry_after_ms = 0;
	buf_clear(&r->answer);
	exchange_submit(r->client->channel, &r->x);
}

/* Without credentials nothing can begin. Those that are told so may ask again at once, and are then
 * behind the n of now. */
static void fail_waiting(struct kube_client *c, const struct err *why)
{
	for (size_t n = c->n; n > 0; n--) {
		struct kube_request *first = NULL;
		list_each(r, &c->requests, struct kube_request, place) {
			if (first == NULL && r->state == WAITING)
				first = r;
		}
		if (first == NULL)
			break;
		fail(first, KUBE_TRANSPORT, why->text);
	}
}

static void run_begin(struct later *l)
{
	struct kube_client *c = container_of(l, struct kube_client, begin);
	struct err why;
	enum kube_auth_state state = kube_auth_check(c->auth, &why);

	if (state == KUBE_AUTH_FAILED)
		fail_waiting(c, &why);
	if (state != KUBE_AUTH_READY)
		return;
	list_each(r, &c->requests, struct kube_request, place) {
		if (r->state == WAITING)
			begin(r);
	}
}

/* Whether there is time for a rest of ms and one more try. */
static bool rest(struct kube_request *r, int64_t ms)
{
	if (r->tries >= TRIES_MAX || mono_ms() + ms >= r->give_up)
		return false;
	r->state = RESTING;
	timer_set(r->client->loop, &r->timer, ms);
	return true;
}

static int64_t backoff(const struct kube_request *r)
{
	return backoff_ms(r->tries, REPEAT_FIRST_MS, REPEAT_MAX_MS);
}

/* ---- what comes of an answer ---- */

static bool try_again_busy(struct kube_request *r)
{
	if (r->retry_after_ms > RETRY_AFTER_MAX_MS)
		return false;
	return rest(r, r->retry_after_ms ? r->retry_after_ms : backoff(r));
}

/* An API server that has just been started answers so before it has anything that could act on the
 * request (the words are those of k8s.io/apiserver's notfoundhandler). */
static bool never_reached_handler(const struct kube_request *r)
{
	static const char words[] = "before all known HTTP paths have been installed";
	struct str text = buf_view(&r->answer);

	return text.n > 0 && memmem(text.p, text.n, words, sizeof words - 1) != NULL;
}

/* Whether the answer is followed by another try, see kube_call. */
static bool repeat_answer(struct kube_request *r)
{
	if (r->status == 401 && !r->renewed &&
	    kube_auth_rejected(r->client->auth, r->x.generation)) {
		r->renewed = true;
		return rest(r, 0);
	}
	if (r->kind == STREAM || r->told)
		return false;
	switch (r->status) {
	case 429: /* the server's word that it did nothing */
		return try_again_busy(r);
	case 503:
		return (is_get(r) || never_reached_handler(r)) && try_again_busy(r);
	case 500:
	case 502:
	case 504:
		return is_get(r) && r->tries < TRIES_BROKEN_MAX && try_again_busy(r);
	default:
		return false;
	}
}

static void finish_with_status(struct kube_request *r)
{
	struct err ignored;
	struct str text = buf_view(&r->answer);
	cJSON *body = json_parse(text, "the answer", &ignored);

	kube_error_from_status(&r->error, r->status, body, text);
	if (r->retry_after_ms > 0)
		r->error.retry_after_ms = r->retry_after_ms;
	r->error.unsure = !is_get(r) && r->status >= 500;
	finish(r, &r->error, body);
}

static void finish_call(struct kube_request *r)
{
	struct str text = buf_view(&r->answer);
	struct err e;
	cJSON *body = NULL;

	if (str_trim(text).n > 0)
		body = json_parse(text, "the answer", &e);
	if (body == NULL && text.n > 0) {
		kube_error_set(&r->error, KUBE_BAD_ANSWER, "%s", e.text);
		r->error.http = r->status;
		r->error.unsure = !is_get(r);
		finish(r, &r->error, NULL);
		return;
	}
	finish(r, NULL, body);
}

static void answered(struct kube_request *r)
{
	if (r->status / 100 != 2) {
		if (!repeat_answer(r))
			finish_with_status(r);
	} else if (r->kind == CALL) {
		finish_call(r);
	} else if (r->kind == STREAM && kube_lines_partial(&r->lines)) {
		fail(r, KUBE_TRANSPORT, "the stream ended in the middle of a line");
	} else {
		finish(r, NULL, NULL);
	}
}

/* ---- what comes of a broken connection ---- */

/* What waiting does not mend: a certificate that is refused, a configuration that cannot work. */
static bool is_final(const struct err *why)
{
	return why->code == EACCES || why->code == ENOTSUP || why->code == EINVAL;
}

static bool repeat_broken(struct kube_request *r, enum exchange_end how, const struct err *why)
{
	bool harmless = how == EXCHANGE_UNSENT || is_get(r);
	bool patient = mono_ms() - r->began < PATIENCE_MS;

	if (r->kind == STREAM || r->told || !harmless || is_final(why) || !patient)
		return false;
	/* the channel rests between two tries to connect */
	return rest(r, how == EXCHANGE_UNSENT ? 0 : backoff(r));
}

static void broke(struct kube_request *r, enum exchange_end how, const struct err *why)
{
	if (repeat_broken(r, how, why))
		return;
	kube_error_set(&r->error, KUBE_TRANSPORT, "%s", why->text);
	r->error.unsure = how == EXCHANGE_LOST && !is_get(r);
	finish(r, &r->error, NULL);
}

/* ---- the exchange's callbacks ---- */

/* Retry-After in seconds; a date, which no API server writes, is passed over. */
static int64_t retry_after(const struct exchange *x)
{
	uint64_t seconds;

	if (!str_u64(str_trim(exchange_header(x, "retry-after")), &seconds))
		return 0;
	return (int64_t)MIN(seconds, (uint64_t)86400) * 1000;
}

static void restart_silence(struct kube_request *r)
{
	int64_t ms = r->stream.silence_ms;

	timer_set(r->client->loop, &r->timer, ms ? ms : KUBE_STREAM_SILENCE_MS);
}

static void on_headers(struct exchange *x, int status)
{
	struct kube_request *r = container_of(x, struct kube_request, x);

	r->state = ANSWERED;
	r->status = status;
	r->retry_after_ms = retry_after(x);
	if (r->kind != STREAM || status / 100 != 2)
		return;
	timer_stop(r->client->loop, &r->deadline);
	restart_silence(r);
	if (r->stream.opened != NULL)
		r->stream.opened(r->stream.owner);
}

/* Ends an answer that is of no use. */
static void refuse(struct kube_request *r, const char *what, size_t limit)
{
	char words[128];

	snprintf(words, sizeof words, "%s is longer than %zu bytes", what, limit);
	fail(r, KUBE_BAD_ANSWER, words);
}

static void on_data(struct exchange *x, struct str bytes)
{
	struct kube_request *r = container_of(x, struct kube_request, x);

	if (r->status / 100 != 2) {
		size_t room = ERROR_BODY_MAX - MIN(r->answer.n, (size_t)ERROR_BODY_MAX);
		buf_add(&r->answer, bytes.p, MIN(room, bytes.n));
	} else if (r->kind == CALL) {
		if (!buf_str(&r->answer, bytes))
			refuse(r, "the answer", KUBE_ANSWER_MAX);
	} else if (r->kind == STREAM) {
		restart_silence(r);
		if (kube_lines_feed(&r->lines, bytes) == LINES_TOO_LONG)
			refuse(r, "a line of the stream", KUBE_LINE_MAX);
	} else {
		r->told = true;
		r->transfer.data(r->transfer.owner, bytes);
	}
}

static void on_ended(struct exchange *x, enum exchange_end how, const struct err *why)
{
	struct kube_request *r = container_of(x, struct kube_request, x);

	log_debug("kubernetes request", "method=%s path=%s try=%u status=%d ms=%lld error=%s",
		  x->method, x->path, r->tries, r->status, (long long)(mono_ms() - r->began),
		  why->text);
	if (how == EXCHANGE_DONE)
		answered(r);
	else
		broke(r, how, why);
}

static const struct exchange_ops exchange_ops = {
	.headers = on_headers,
	.data = on_data,
	.ended = on_ended,
};

static bool on_line(void *owner, struct str line)
{
	struct kube_request *r = owner;

	r->stream.line(r->stream.owner, line);
	return r->state != OVER;
}

/* ---- timers ---- */

static void on_deadline(struct timer *t)
{
	struct kube_request *r = container_of(t, struct kube_request, deadline);
	struct kube_client *c = r->client;
	const char *trouble = channel_trouble(c->channel);
	char words[ERR_TEXT_MAX + 128];

	snprintf(words, sizeof words, "no answer within %lld ms%s%s",
		 (long long)(r->give_up - r->began), trouble[0] ? "; " : "", trouble);
	fail(r, KUBE_TIMEOUT, words);
}

static void on_timer(struct timer *t)
{
	struct kube_request *r = container_of(t, struct kube_request, timer);

	if (r->state == RESTING) {
		r->state = WAITING;
		begin_soon(r->client);
		return;
	}
	fail(r, KUBE_TIMEOUT, "the stream was silent for too long");
}

/* ---- starting ---- */

static void on_too_many(struct timer *t)
{
	struct kube_request *r = container_of(t, struct kube_request, timer);

	fail(r, KUBE_BUSY, "too many requests are under way");
}

static struct kube_request *request_new(struct kube_client *c, enum kind kind, const char *method,
					const char *path, int64_t timeout_ms)
{
	struct kube_request *r = xcalloc(1, sizeof *r);

	r->client = c;
	r->kind = kind;
	r->path = xstrdup(path);
	r->x.ops = &exchange_ops;
	r->x.method = method;
	r->x.path = r->path;
	r->answer = BUF_INIT(KUBE_ANSWER_MAX);
	r->deadline.fire = on_deadline;
	r->timer.fire = on_timer;
	r->free_later.run = release;
	r->began = mono_ms();
	r->give_up = r->began + (timeout_ms ? timeout_ms : KUBE_CALL_TIMEOUT_MS);
	list_init(&r->place);
	list_add(&c->requests, &r->place);
	timer_set(c->loop, &r->deadline, r->give_up - r->began);
	if (++c->n > KUBE_REQUESTS_MAX) {
		r->state = RESTING;
		r->timer.fire = on_too_many;
		timer_set(c->loop, &r->timer, 0);
	}
	begin_soon(c);
	return r;
}

struct kube_request *kube_call(struct kube_client *c, const struct kube_call *call)
{
	struct kube_request *r =
		request_new(c, CALL, method_names[call->method], call->path, call->timeout_ms);

	r->call = *call;
	if (call->body != NULL) {
		r->body = json_text(call->body);
		r->x.body = str_of(r->body);
		r->x.content_type = content_types[call->type];
	}
	return r;
}

struct kube_request *kube_stream(struct kube_client *c, const struct kube_stream *stream)
{
	struct kube_request *r = request_new(c, STREAM, "GET", stream->path, stream->timeout_ms);

	r->stream = *stream;
	kube_lines_init(&r->lines, KUBE_LINE_MAX, on_line, r);
	return r;
}

struct kube_request *kube_transfer(struct kube_client *c, const struct kube_transfer *t)
{
	struct kube_request *r = request_new(c, TRANSFER, "GET", t->path, t->timeout_ms);

	r->transfer = *t;
	return r;
}

/* ---- the client ---- */

static void credentials_changed(void *owner)
{
	begin_soon(owner);
}

int kube_client_new(struct kube_client **out, struct loop *l, struct kube_config *config,
		    struct err *e)
{
	struct kube_client *c = xcalloc(1, sizeof *c);

	c->loop = l;
	c->config = config;
	c->begin.run = run_begin;
	list_init(&c->requests);
	c->auth = kube_auth_new(l, config, credentials_changed, c);
	if (channel_new(&c->channel, l, config, c->auth, e) < 0) {
		kube_auth_free(c->auth);
		free(c);
		return -1;
	}
	if (config->insecure)
		log_warn("the API server's certificate is not checked", "server=%s config=%s",
			 config->server, config->origin);
	*out = c;
	return 0;
}

void kube_client_free(struct kube_client *c)
{
	if (c == NULL)
		return;
	list_each(r, &c->requests, struct kube_request, place) {
		retire(r);
		loop_later_cancel(&r->free_later);
		release(&r->free_later);
	}
	loop_later_cancel(&c->begin);
	channel_free(c->channel);
	kube_auth_free(c->auth);
	kube_config_free(c->config);
	free(c);
}

struct loop *kube_client_loop(const struct kube_client *c)
{
	return c->loop;
}

const struct kube_config *kube_client_config(const struct kube_client *c)
{
	return c->config;
}
