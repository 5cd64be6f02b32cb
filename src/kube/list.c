#include <stdlib.h>

#include "base/json.h"
#include "base/json_pool.h"
#include "base/util.h"
#include "kube/client_impl.h"
#include "kube/items.h"
#include "kube/list.h"

struct kube_list {
	struct kube_client *client;
	struct kube_list_config config;
	char *path; /* of the first page */
	struct kube_request *request;
	struct kube_items items;
	struct json_pool pool;
	struct kube_error error; /* why we ended a page ourselves */
	struct later free_later;
	bool cancelled;
};

static void ask(struct kube_list *l, const char *token);

static void list_free(struct later *later)
{
	struct kube_list *l = container_of(later, struct kube_list, free_later);

	kube_items_fini(&l->items);
	json_pool_fini(&l->pool);
	free(l->path);
	free(l);
}

/* From inside a callback the list is still in use above us. */
void kube_list_cancel(struct kube_list *l)
{
	if (l == NULL)
		return;
	l->cancelled = true;
	kube_cancel(steal(&l->request));
	loop_later(kube_client_loop(l->client), &l->free_later);
}

static void finish(struct kube_list *l, const char *resource_version, const struct kube_error *e)
{
	l->config.done(l->config.owner, resource_version, e);
	kube_list_cancel(l);
}

static bool on_item(void *owner, struct str text)
{
	struct kube_list *l = owner;
	struct err e;
	const cJSON *object = json_pool_parse(&l->pool, text, "an object in the list", &e);

	if (object == NULL) {
		kube_error_set(&l->error, KUBE_BAD_ANSWER, "%s", e.text);
		return false;
	}
	l->config.item(l->config.owner, object);
	return !l->cancelled;
}

static void on_data(void *owner, struct str bytes)
{
	struct kube_list *l = owner;
	enum kube_items_result r = kube_items_feed(&l->items, bytes);

	if (r == ITEMS_OK || l->cancelled)
		return;
	if (r == ITEMS_TOO_LONG)
		kube_error_set(&l->error, KUBE_BAD_ANSWER,
			       "an object in the list is larger than %d bytes", KUBE_ITEM_MAX);
	finish(l, NULL, &l->error);
}

static void on_ended(void *owner, const struct kube_error *error)
{
	struct kube_list *l = owner;
	struct err e;

	l->request = NULL;
	if (error != NULL) {
		finish(l, NULL, error);
		return;
	}
	_cleanup_json_ cJSON *around = kube_items_end(&l->items, &e);
	const cJSON *metadata = json_get(around, "metadata");
	const char *version = json_str(metadata, "resourceVersion");
	const char *token = json_str_or_empty(metadata, "continue");
	if (around == NULL || version == NULL) {
		kube_error_set(&l->error, KUBE_BAD_ANSWER, "%s",
			       around ? "a list without a resourceVersion" : e.text);
		finish(l, NULL, &l->error);
	} else if (token[0] != '\0' && !l->config.first) {
		ask(l, token);
	} else {
		finish(l, version, NULL);
	}
}

static void ask(struct kube_list *l, const char *token)
{
	int limit = l->config.first ? l->config.first : KUBE_PAGE;
	_cleanup_free_ char *path = kube_path_query_int(xstrdup(l->path), "limit", limit);

	path = kube_path_query(path, "continue", token);
	kube_items_fini(&l->items);
	kube_items_init(&l->items, on_item, l);
	struct kube_transfer t = {
		.path = path,
		.timeout_ms = KUBE_LIST_TIMEOUT_MS,
		.data = on_data,
		.ended = on_ended,
		.owner = l,
	};
	l->request = kube_transfer(l->client, &t);
}

struct kube_list *kube_list(struct kube_client *c, const struct kube_list_config *config)
{
	struct kube_list *l = xcalloc(1, sizeof *l);

	l->client = c;
	l->config = *config;
	l->path = xstrdup(config->path);
	l->config.path = NULL;
	l->free_later.run = list_free;
	ask(l, NULL);
	return l;
}
