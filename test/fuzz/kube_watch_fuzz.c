/*
 * What an API server sends: the stream of a watch cut into lines and events, and a list cut into its
 * items, in pieces whose size the first byte rules. However they are cut, the same comes out.
 */
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "kube/error.h"
#include "kube/event.h"
#include "kube/items.h"
#include "kube/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static struct json_pool pool;

struct sum {
	uint64_t hash;
	size_t pieces;
};

static void add(struct sum *s, struct str text)
{
	s->hash = s->hash * 31 + hash_bytes(text.p, text.n);
	s->pieces++;
}

static bool on_line(void *owner, struct str line)
{
	enum kube_event_type type;
	const cJSON *object;
	struct err e;

	add(owner, line);
	if (kube_event_parse(&pool, line, &type, &object, &e) == 0 && type == KUBE_ERROR) {
		struct kube_error error;
		kube_error_from_status(&error, 0, object, STR_NONE);
		must(error.fault != KUBE_NONE && error.message[0] != '\0');
	}
	return true;
}

static bool on_item(void *owner, struct str text)
{
	struct err e;

	json_pool_parse(&pool, text, "item", &e);
	add(owner, text);
	return true;
}

static struct sum split_lines(struct str text, size_t step, enum kube_lines_result *r)
{
	struct sum sum = {0};
	struct kube_lines s;

	kube_lines_init(&s, 200, on_line, &sum);
	*r = LINES_OK;
	for (size_t at = 0; at < text.n && *r == LINES_OK; at += step)
		*r = kube_lines_feed(&s, str_sub(text.p + at, MIN(step, text.n - at)));
	kube_lines_fini(&s);
	return sum;
}

static struct sum split_items(struct str text, size_t step, bool *list)
{
	struct sum sum = {0};
	struct kube_items s;
	struct err e;
	enum kube_items_result r = ITEMS_OK;

	kube_items_init(&s, on_item, &sum);
	for (size_t at = 0; at < text.n && r == ITEMS_OK; at += step)
		r = kube_items_feed(&s, str_sub(text.p + at, MIN(step, text.n - at)));
	cJSON *around = r == ITEMS_OK ? kube_items_end(&s, &e) : NULL;
	*list = around != NULL;
	cJSON_Delete(around);
	kube_items_fini(&s);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n < 2)
		return 0;
	struct str text = str_sub((const char *)p + 1, n - 1);
	size_t step = p[0] % 64 + 1;
	enum kube_lines_result r1, r2;
	bool list1, list2;

	struct sum a = split_lines(text, step, &r1), b = split_lines(text, text.n, &r2);
	must(r1 == r2 && a.hash == b.hash && a.pieces == b.pieces);
	a = split_items(text, step, &list1);
	b = split_items(text, text.n, &list2);
	must(list1 == list2 && a.hash == b.hash && a.pieces == b.pieces);
	return 0;
}
