#include <stdlib.h>

#include "base/list.h"
#include "base/map.h"
#include "base/util.h"
#include "grpc/health.h"
#include "grpc/health/v1/health.pb-c.h"

typedef Grpc__Health__V1__HealthCheckResponse response;

struct service {
	char *name;
	enum grpc_health_state state;
};

/* A Watch: the last state told, and what its client has still to be told once it reads. */
struct watch {
	struct grpc_call *call;
	const char *name;
	int told, now;
	struct list link;
};

struct grpc_health {
	struct map services;
	struct list watches;
};

static struct service *find(const struct grpc_health *h, const char *name)
{
	return map_get(&h->services, str_of(name));
}

static response answer(int state)
{
	response r = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

	r.status = (Grpc__Health__V1__HealthCheckResponse__ServingStatus)state;
	return r;
}

static void check(struct grpc_call *call, void *request)
{
	const Grpc__Health__V1__HealthCheckRequest *q = request;
	const struct service *s = find(grpc_service(call), q->service);

	if (s == NULL) {
		grpc_fail(call, GRPC_NOT_FOUND, "unknown service %s", q->service);
		return;
	}
	response r = answer((int)s->state);
	grpc_reply(call, &r);
}

static void list(struct grpc_call *call, void *request UNUSED)
{
	const struct grpc_health *h = grpc_service(call);
	Grpc__Health__V1__HealthListResponse r = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
	struct arena *a = grpc_arena(call);
	size_t at = 0;
	void *value;

	r.statuses = arena_zalloc(a, h->services.n * sizeof *r.statuses);
	while (map_next(&h->services, &at, NULL, &value)) {
		struct service *s = value;
		Grpc__Health__V1__HealthListResponse__StatusesEntry *en =
			arena_zalloc(a, sizeof *en);
		grpc__health__v1__health_list_response__statuses_entry__init(en);
		en->key = s->name;
		en->value = arena_zalloc(a, sizeof *en->value);
		*en->value = answer((int)s->state);
		r.statuses[r.n_statuses++] = en;
	}
	grpc_reply(call, &r);
}

static void tell(struct watch *w)
{
	response r = answer(w->now);

	if (w->now != w->told && grpc_send(w->call, &r))
		w->told = w->now;
}

static void watch_writable(struct grpc_call *call)
{
	tell(grpc_user(call));
}

static void watch_cancelled(struct grpc_call *call)
{
	struct watch *w = grpc_user(call);

	list_del(&w->link);
	grpc_fail(call, GRPC_CANCELLED, "cancelled");
}

static const struct grpc_call_ops watch_ops = {
	.writable = watch_writable,
	.cancelled = watch_cancelled,
};

static void watch(struct grpc_call *call, void *request)
{
	const Grpc__Health__V1__HealthCheckRequest *q = request;
	struct grpc_health *h = grpc_service(call);
	struct watch *w = arena_zalloc(grpc_arena(call), sizeof *w);
	const struct service *s = find(h, q->service);

	w->call = call;
	w->name = q->service;
	w->told = -1;
	w->now = s != NULL
			 ? (int)s->state
			 : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN;
	list_add(&h->watches, &w->link);
	grpc_set_ops(call, &watch_ops, w);
	tell(w);
}

static const struct grpc_method methods[] = {
	{"/grpc.health.v1.Health/Check", GRPC_UNARY,
	 &grpc__health__v1__health_check_request__descriptor,
	 &grpc__health__v1__health_check_response__descriptor, check},
	{"/grpc.health.v1.Health/List", GRPC_UNARY,
	 &grpc__health__v1__health_list_request__descriptor,
	 &grpc__health__v1__health_list_response__descriptor, list},
	{"/grpc.health.v1.Health/Watch", GRPC_SERVER_STREAM,
	 &grpc__health__v1__health_check_request__descriptor,
	 &grpc__health__v1__health_check_response__descriptor, watch},
};

struct grpc_health *grpc_health_new(struct grpc_server *srv)
{
	struct grpc_health *h = xcalloc(1, sizeof *h);

	h->services = MAP_INIT;
	list_init(&h->watches);
	grpc_health_set(h, "", GRPC_HEALTH_SERVING);
	grpc_server_add(srv, methods, ARRAY_LEN(methods), h);
	return h;
}

void grpc_health_free(struct grpc_health *h)
{
	size_t at = 0;
	void *value;

	if (h == NULL)
		return;
	must(list_empty(&h->watches));
	while (map_next(&h->services, &at, NULL, &value)) {
		struct service *s = value;
		free(s->name);
		free(s);
	}
	map_fini(&h->services);
	free(h);
}

void grpc_health_set(struct grpc_health *h, const char *name, enum grpc_health_state state)
{
	struct service *s = find(h, name);

	if (s == NULL) {
		s = xcalloc(1, sizeof *s);
		s->name = xstrdup(name);
		map_put(&h->services, str_of(name), s);
	}
	s->state = state;
	list_each(w, &h->watches, struct watch, link) {
		if (streq(w->name, name)) {
			w->now = (int)state;
			tell(w);
		}
	}
}
