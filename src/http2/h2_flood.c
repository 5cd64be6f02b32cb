/*
 * How much may be asked of us for nothing. Frames that cost the peer a few bytes and us some work
 * or a queued answer (PING, SETTINGS, RST_STREAM, WINDOW_UPDATE, empty DATA, what nobody knows)
 * take tokens from a bucket, which time and useful work fill up again. A connection whose bucket is
 * empty is ended with ENHANCE_YOUR_CALM (RFC 9113 10.5).
 */
#include "base/util.h"
#include "http2/h2_impl.h"

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
