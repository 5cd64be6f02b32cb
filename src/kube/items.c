#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "base/util.h"
#include "kube/items.h"

void kube_items_init(struct kube_items *s, bool (*item)(void *, struct str), void *owner)
{
	*s = (struct kube_items){
		.item = item,
		.owner = owner,
		.part = BUF_INIT(KUBE_ITEM_MAX),
		.around = BUF_INIT(KUBE_AROUND_MAX),
	};
}

void kube_items_fini(struct kube_items *s)
{
	buf_fini(&s->part);
	buf_fini(&s->around);
}

/* The end of the string in hand, behind its quote; all of it when it goes on behind the bytes. */
static size_t skip_string(struct kube_items *s, const char *p, size_t n)
{
	size_t i = 0;

	for (; i < n; i++) {
		if (s->escaped)
			s->escaped = false;
		else if (p[i] == '\\')
			s->escaped = true;
		else if (p[i] == '"')
			break;
	}
	if (i == n)
		return n;
	s->in_string = false;
	return i + 1;
}

/* Follows one item to its closing brace. Returns how many bytes belong to it. */
static size_t skip_item(struct kube_items *s, const char *p, size_t n)
{
	size_t i = 0;

	while (i < n) {
		if (s->in_string) {
			i += skip_string(s, p + i, n - i);
			continue;
		}
		char c = p[i++];
		if (c == '"') {
			s->in_string = true;
		} else if (c == '{' || c == '[') {
			s->depth++;
		} else if ((c == '}' || c == ']') && --s->depth == 2) {
			s->place = ITEMS_ARRAY;
			break;
		}
	}
	return i;
}

static enum kube_items_result feed_item(struct kube_items *s, struct str *bytes)
{
	size_t n = skip_item(s, bytes->p, bytes->n);
	struct str text = str_sub(bytes->p, n);
	bool whole = s->place == ITEMS_ARRAY;

	*bytes = str_sub(bytes->p + n, bytes->n - n);
	if (!whole || s->part.n > 0) {
		if (!buf_str(&s->part, text))
			return ITEMS_TOO_LONG;
		text = buf_view(&s->part);
	}
	if (!whole)
		return ITEMS_OK;
	if (text.n > KUBE_ITEM_MAX)
		return ITEMS_TOO_LONG;
	bool go_on = s->item(s->owner, text);
	buf_clear(&s->part);
	return go_on ? ITEMS_OK : ITEMS_STOPPED;
}

/* A string at the outermost level may be the key. */
static void end_string(struct kube_items *s)
{
	struct str around = buf_view(&s->around);
	struct str string = str_sub(around.p + s->string_at, around.n - s->string_at);

	if (s->depth == 1 && str_is(string, "\"items\""))
		s->place = ITEMS_KEY;
}

/* One character that is in no string and no item; it is in around already. */
static void step(struct kube_items *s, char c)
{
	enum kube_items_place was = s->place;

	if (strchr(" \t\r\n", c) != NULL)
		return;
	s->place = ITEMS_OUTSIDE;
	if (c == '"') {
		s->in_string = true;
		s->string_at = s->around.n - 1;
	} else if (c == '{' || c == '[') {
		s->depth++;
		if (c == '[' && was == ITEMS_COLON)
			s->place = ITEMS_ARRAY;
	} else if (c == '}' || c == ']') {
		s->depth -= s->depth > 0;
	} else if (c == ':' && was == ITEMS_KEY) {
		s->place = ITEMS_COLON;
	}
}

static enum kube_items_result feed_around(struct kube_items *s, struct str *bytes)
{
	size_t n = 1;
	bool was_string = s->in_string;

	if (s->in_string)
		n = skip_string(s, bytes->p, bytes->n);
	if (!buf_add(&s->around, bytes->p, n))
		return ITEMS_TOO_LONG;
	if (!was_string)
		step(s, bytes->p[0]);
	else if (!s->in_string)
		end_string(s);
	*bytes = str_sub(bytes->p + n, bytes->n - n);
	return ITEMS_OK;
}

enum kube_items_result kube_items_feed(struct kube_items *s, struct str bytes)
{
	while (bytes.n > 0) {
		enum kube_items_result r = ITEMS_OK;

		if (s->place == ITEMS_ITEM) {
			r = feed_item(s, &bytes);
		} else if (s->place == ITEMS_ARRAY && bytes.p[0] == '{') {
			s->place = ITEMS_ITEM;
		} else if (s->place == ITEMS_ARRAY && strchr(", \t\r\n", bytes.p[0]) != NULL) {
			bytes = str_sub(bytes.p + 1, bytes.n - 1);
		} else {
			r = feed_around(s, &bytes);
		}
		if (r != ITEMS_OK)
			return r;
	}
	return ITEMS_OK;
}

cJSON *kube_items_end(struct kube_items *s, struct err *e)
{
	if (s->place == ITEMS_ITEM) {
		err_set(e, EPROTO, "the list ends inside an item");
		return NULL;
	}
	cJSON *around = json_parse(buf_view(&s->around), "the list", e);
	if (around == NULL)
		return NULL;
	const cJSON *items = json_get(around, "items");
	if (!cJSON_IsObject(around) ||
	    (items != NULL && !cJSON_IsNull(items) && !cJSON_IsArray(items)) ||
	    cJSON_GetArraySize(items) > 0) {
		cJSON_Delete(around);
		err_set(e, EPROTO, "the answer is no list of objects");
		return NULL;
	}
	return around;
}
