/*
 * What is looked at before nghttp2 sees it: every frame's header, and two whole frames of few bytes.
 *
 * How much may be asked of us for nothing: frames that cost the peer a few bytes and us some work
 * or a queued answer (PING, SETTINGS, RST_STREAM, WINDOW_UPDATE, empty DATA, what nobody knows)
 * take tokens from a bucket, which time and useful work fill up again. A connection whose bucket is
 * empty is ended with ENHANCE_YOUR_CALM (RFC 9113 10.5).
 *
 * And which streams may still be spoken of, which nghttp2 does not remember.
 */
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "http2/h2_impl.h"

enum {
	COST_SETTINGS = 40,
	COST_GOAWAY = 100,
	PRIORITY_SIZE = 5,
	WINDOW_UPDATE_SIZE = 4,
	GOAWAY_SIZE = 8, /* at least */
};

bool h2_bucket_take(struct h2_bucket *b, uint32_t n)
{
	/* the clock is looked at only when the bucket seems empty */
	if (b->left < n) {
		int64_t now = mono_ms();
		int64_t gained = b->at ? (now - b->at) * b->per_second / 1000 : b->max;
		b->left = (uint32_t)MIN((int64_t)b->left + gained, (int64_t)b->max);
		if (gained > 0)
			b->at = now;
	}
	if (b->left < n)
		return false;
	b->left -= n;
	return true;
}

void h2_bucket_give(struct h2_bucket *b, uint32_t n)
{
	b->left = MIN(b->left + n, b->max);
}

static size_t slot_of(const struct h2_history *h, int32_t id)
{
	return (size_t)id / 2 % ARRAY_LEN(h->slot);
}

void h2_history_set(struct h2_history *h, int32_t id, enum past past)
{
	size_t i = slot_of(h, id);

	if (h->slot[i].id > id)
		return;
	h->slot[i].id = id;
	h->slot[i].past = past;
	h->last = MAX(h->last, id);
}

enum past h2_history_get(const struct h2_history *h, int32_t id)
{
	size_t i = slot_of(h, id);

	if (h->slot[i].id == id)
		return h->slot[i].past;
	return h->slot[i].id > id || id > h->last ? PAST_UNKNOWN : PAST_SKIPPED;
}

/* ---- frames ---- */

int h2_violation(struct h2_session *s, uint32_t code, const char *what)
{
	if (s->err.code == 0)
		s->code = code;
	h2_broken(s, "%s: the peer sent %s", h2_code_name(code), what);
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int h2_calm(struct h2_session *s, const char *what)
{
	char text[100];

	snprintf(text, sizeof text, "too many %s", what);
	return h2_violation(s, H2_ENHANCE_YOUR_CALM, text);
}

/* A frame's first nine bytes (RFC 9113 4.1). */
struct head {
	uint32_t length;
	uint8_t type, flags;
	int32_t id;
};

static struct head parse_head(const uint8_t p[H2_FRAME_HEAD])
{
	return (struct head){
		.length = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2],
		.type = p[3],
		.flags = p[4],
		.id = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 |
				(uint32_t)p[7] << 8 | p[8]),
	};
}

/* What a frame takes from the bucket, by its header alone. */
static uint32_t frame_cost(const struct head *hd)
{
	switch (hd->type) {
	case NGHTTP2_DATA:
		return hd->length == 0 && !(hd->flags & NGHTTP2_FLAG_END_STREAM);
	case NGHTTP2_HEADERS:
		return 0;
	case NGHTTP2_SETTINGS:
		return COST_SETTINGS;
	case NGHTTP2_GOAWAY:
		return COST_GOAWAY;
	default:
		return 1;
	}
}

/* Whether a frame may be there at all, as far as nghttp2 does not look. */
static int check_frame(struct h2_session *s, const struct head *hd)
{
	if (hd->type == NGHTTP2_PRIORITY && hd->id == 0)
		return h2_violation(s, H2_PROTOCOL_ERROR, "PRIORITY for no stream");
	if (!s->server || (hd->type != NGHTTP2_DATA && hd->type != NGHTTP2_HEADERS))
		return 0;
	/* a new stream: remembered also when nghttp2 will refuse it, as frames may follow */
	if (hd->type == NGHTTP2_HEADERS && hd->id > s->history.last && hd->id % 2 == 1)
		h2_history_set(&s->history, hd->id, PAST_OPEN);
	switch (h2_history_get(&s->history, hd->id)) {
	case PAST_SKIPPED:
		return h2_violation(s, H2_PROTOCOL_ERROR,
				    "a stream with a number smaller than the last");
	case PAST_CLOSED:
		return h2_violation(s, H2_STREAM_CLOSED, "a frame for a stream it had closed");
	case PAST_UNKNOWN:
	case PAST_OPEN:
	case PAST_RESET:
		break;
	}
	return 0;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What is wrong with the frame in s->head for its stream alone; nghttp2 would end the connection
 * for the one, and not see the other. */
static uint32_t stream_error(struct h2_session *s, const struct head *hd)
{
	uint32_t value = get32(s->head + H2_FRAME_HEAD) & INT32_MAX;

	if (hd->type == NGHTTP2_PRIORITY && hd->length == PRIORITY_SIZE)
		return value == (uint32_t)hd->id ? H2_PROTOCOL_ERROR : H2_NO_ERROR;
	if (hd->type != NGHTTP2_WINDOW_UPDATE || hd->length != WINDOW_UPDATE_SIZE || hd->id == 0)
		return H2_NO_ERROR;
	int32_t window = nghttp2_session_get_stream_remote_window_size(s->ng, hd->id);
	return (int64_t)window + value > INT32_MAX ? H2_FLOW_CONTROL_ERROR : H2_NO_ERROR;
}

/* How much of a frame is looked at before nghttp2 gets it. */
static size_t head_wanted(const struct h2_session *s)
{
	if (s->head_n < H2_FRAME_HEAD)
		return H2_FRAME_HEAD;
	struct head hd = parse_head(s->head);
	if (hd.type == NGHTTP2_PRIORITY && hd.length == PRIORITY_SIZE)
		return H2_FRAME_HEAD + PRIORITY_SIZE;
	if (hd.type == NGHTTP2_WINDOW_UPDATE && hd.length == WINDOW_UPDATE_SIZE)
		return H2_FRAME_HEAD + WINDOW_UPDATE_SIZE;
	if (hd.type == NGHTTP2_GOAWAY && hd.length >= GOAWAY_SIZE)
		return H2_FRAME_HEAD + GOAWAY_SIZE;
	return H2_FRAME_HEAD;
}

static struct str take_front(struct str *in, size_t n)
{
	struct str front = {in->p, MIN(n, in->n)};

	*in = str_sub(in->p + front.n, in->n - front.n);
	return front;
}

/* Collects the head; false when the rest of it is still to come. */
static bool take_head(struct h2_session *s, struct str *in)
{
	size_t wanted;

	while ((wanted = head_wanted(s)) > s->head_n) {
		struct str part = take_front(in, wanted - s->head_n);
		if (part.n == 0)
			return false;
		memcpy(s->head + s->head_n, part.p, part.n);
		s->head_n += part.n;
	}
	return true;
}

/*
 * A client's GOAWAY names the last stream of ours that it has seen. We open none, so it says
 * nothing; but Go's client names one that cannot be ours, for which nghttp2 would end the connection
 * with an error. Whether the head was changed.
 */
static bool mend_goaway(struct h2_session *s)
{
	static const uint8_t none[4];

	if (!s->server || s->head_n < H2_FRAME_HEAD + GOAWAY_SIZE)
		return false;
	memcpy(s->head + H2_FRAME_HEAD, none, sizeof none);
	return true;
}

/* Judges the frame whose head is there: -1 ends the connection, 1 passes the frame over. */
static int enter_frame(struct h2_session *s)
{
	struct head hd = parse_head(s->head);
	uint32_t cost = frame_cost(&hd);

	s->payload_left = hd.length - (s->head_n - H2_FRAME_HEAD);
	if (cost > 0 && !h2_bucket_take(&s->frames, cost))
		return h2_calm(s, "control frames"), -1;
	if (check_frame(s, &hd) < 0)
		return -1;
	uint32_t code = s->head_n > H2_FRAME_HEAD ? stream_error(s, &hd) : H2_NO_ERROR;
	if (code == H2_NO_ERROR)
		return 0;
	if (nghttp2_session_get_stream_user_data(s->ng, hd.id) == NULL)
		return h2_violation(s, code, "a bad frame for a stream that is not open"), -1;
	nghttp2_submit_rst_stream(s->ng, 0, hd.id, code);
	return 1;
}

int h2_next_part(struct h2_session *s, struct str *in, struct str *part)
{
	const char *start = in->p;
	bool as_it_came = s->head_n == 0;

	*part = STR_NONE;
	if (s->preface_left > 0) {
		*part = take_front(in, s->preface_left);
		s->preface_left -= part->n;
		return 0;
	}
	if (s->payload_left > 0) {
		*part = take_front(in, s->payload_left);
		s->payload_left -= part->n;
		return 0;
	}
	if (!take_head(s, in))
		return 0;
	int rv = enter_frame(s);
	as_it_came &= !mend_goaway(s);
	*part = str_sub(s->head, s->head_n);
	s->head_n = 0;
	if (rv != 0) {
		*part = STR_NONE;
	} else if (as_it_came) {
		size_t body = take_front(in, s->payload_left).n;
		s->payload_left -= body;
		*part = str_sub(start, part->n + body);
	}
	return MIN(rv, 0);
}
