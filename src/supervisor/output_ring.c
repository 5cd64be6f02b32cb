#include <string.h>
#include <sys/mman.h>

#include "base/util.h"
#include "supervisor/output_ring.h"

struct header {
	char stream;
	uint16_t n;
};

_Static_assert(OUTPUT_RECORD_MAX <= UINT16_MAX, "a record's size has room");

int output_ring_init(struct output_ring *r, struct err *e)
{
	void *p = mmap(NULL, OUTPUT_RING_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*r = (struct output_ring){.bytes = p == MAP_FAILED ? NULL : p};
	return r->bytes == NULL ? err_sys(e, "memory for what is written") : 0;
}

void output_ring_fini(struct output_ring *r)
{
	if (r->bytes != NULL)
		munmap(r->bytes, OUTPUT_RING_BYTES);
	*r = (struct output_ring){0};
}

/* Both over the end of the memory, perhaps. */
static void get(const struct output_ring *r, uint64_t at, void *out, size_t n)
{
	size_t from = at % OUTPUT_RING_BYTES, first = MIN(n, OUTPUT_RING_BYTES - from);

	memcpy(out, r->bytes + from, first);
	memcpy((char *)out + first, r->bytes, n - first);
}

static void put(struct output_ring *r, uint64_t at, const void *p, size_t n)
{
	size_t to = at % OUTPUT_RING_BYTES, first = MIN(n, OUTPUT_RING_BYTES - to);

	memcpy(r->bytes + to, p, first);
	memcpy(r->bytes, (const char *)p + first, n - first);
}

static struct header header_at(const struct output_ring *r, uint64_t at)
{
	struct header h;

	get(r, at, &h, sizeof h);
	return h;
}

void output_ring_add(struct output_ring *r, char stream, const void *p, size_t n)
{
	const struct header h = {.stream = stream, .n = (uint16_t)n};

	must(n > 0 && n <= OUTPUT_RECORD_MAX);
	while (r->head - r->tail + sizeof h + n > OUTPUT_RING_BYTES) {
		r->tail += sizeof h + header_at(r, r->tail).n;
		r->first++;
	}
	put(r, r->head, &h, sizeof h);
	put(r, r->head + sizeof h, p, n);
	r->head += sizeof h + n;
	r->next++;
}

struct output_cursor output_ring_oldest(const struct output_ring *r)
{
	return (struct output_cursor){.at = r->tail, .number = r->first};
}

uint64_t output_ring_missed(const struct output_ring *r, const struct output_cursor *c)
{
	return c->number < r->first ? r->first - c->number : 0;
}

uint64_t output_ring_left(const struct output_ring *r, const struct output_cursor *c)
{
	return r->head - c->at;
}

uint64_t output_ring_records_left(const struct output_ring *r, const struct output_cursor *c)
{
	return r->next - c->number;
}

size_t output_ring_read(const struct output_ring *r, struct output_cursor *c, char *stream,
			char out[OUTPUT_RECORD_MAX])
{
	size_t n = 0;

	must(output_ring_missed(r, c) == 0);
	while (c->at < r->head) {
		const struct header h = header_at(r, c->at);

		if (n > 0 && (h.stream != *stream || n + h.n > OUTPUT_RECORD_MAX))
			break;
		*stream = h.stream;
		get(r, c->at + sizeof h, out + n, h.n);
		n += h.n;
		c->at += sizeof h + h.n;
		c->number++;
	}
	return n;
}
