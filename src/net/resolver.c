#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/util.h"
#include "loop/workers.h"
#include "net/resolver.h"

/*
 *	   resolve_start                thread                  resolve_start, remembered no more
 *	-----------------> ASKED ------------------> KNOWN -------------------------------------> ASKED
 *	                                               |
 *	                                               +--> freed, to make room for others
 *
 * While it is ASKED, it is the workers', who fill in what is below the line.
 */
enum state { ASKED, KNOWN };

struct resolve_name {
	enum state state;
	struct list queries; /* who waits */
	unsigned users;      /* they, and those that are just being told */
	int64_t until;       /* KNOWN: the answer holds until then, by mono_ms */
	struct resolver *resolver;
	struct work work;
	char *host;
	/* --- */
	struct address *addresses; /* without ports */
	int n;
	struct err why;
};

struct resolver {
	struct loop *loop;
	struct workers *workers;
	struct map names;
	int waiting; /* names that are ASKED */
	int64_t remember_ms;
	struct later remembered; /* a query can be answered without asking */
	struct list known;       /* queries of that kind */
};

/* ---- addresses ---- */

void address_host(const struct address *a, char out[ADDRESS_HOST_MAX])
{
	const struct sockaddr_in *v4 = (const void *)&a->sa;
	const struct sockaddr_in6 *v6 = (const void *)&a->sa;

	_Static_assert(ADDRESS_HOST_MAX >= INET6_ADDRSTRLEN, "any address fits");
	if (a->sa.ss_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, out, ADDRESS_HOST_MAX);
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, out, ADDRESS_HOST_MAX);
}

uint16_t address_port(const struct address *a)
{
	const struct sockaddr_in *v4 = (const void *)&a->sa;
	const struct sockaddr_in6 *v6 = (const void *)&a->sa;

	return ntohs(a->sa.ss_family == AF_INET ? v4->sin_port : v6->sin6_port);
}

void address_text(const struct address *a, char out[ADDRESS_TEXT_MAX])
{
	char host[ADDRESS_HOST_MAX];

	address_host(a, host);
	if (a->sa.ss_family == AF_INET)
		snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", host, address_port(a));
	else
		snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", host, address_port(a));
}

static void set_port(struct address *a, uint16_t port)
{
	if (a->sa.ss_family == AF_INET)
		((struct sockaddr_in *)(void *)&a->sa)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)(void *)&a->sa)->sin6_port = htons(port);
}

static int lookup(const char *host, int flags, struct address *out, int max, int *n)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = flags,
	};
	struct addrinfo *list = NULL;
	int r = getaddrinfo(host, NULL, &hints, &list);

	*n = 0;
	if (r != 0)
		return r;
	for (const struct addrinfo *a = list; a != NULL && *n < max; a = a->ai_next) {
		if (a->ai_addrlen > sizeof out->sa)
			continue;
		out[*n] = (struct address){.n = a->ai_addrlen};
		memcpy(&out[(*n)++].sa, a->ai_addr, a->ai_addrlen);
	}
	freeaddrinfo(list);
	return *n ? 0 : EAI_NONAME;
}

bool resolve_literal(const char *host, uint16_t port, struct address *a)
{
	int n;

	if (lookup(host, AI_NUMERICHOST, a, 1, &n) != 0)
		return false;
	set_port(a, port);
	return true;
}

/* ---- in a thread ---- */

static void answer(struct work *w)
{
	struct resolve_name *name = container_of(w, struct resolve_name, work);
	struct address found[RESOLVE_ADDRESSES_MAX];
	int r = lookup(name->host, 0, found, RESOLVE_ADDRESSES_MAX, &name->n);

	if (r == EAI_SYSTEM) {
		err_sys(&name->why, "look up %s", name->host);
	} else if (r != 0) {
		err_set(&name->why, EHOSTUNREACH, "look up %s: %s", name->host, gai_strerror(r));
	} else {
		name->addresses = xcalloc((size_t)name->n, sizeof *found);
		memcpy(name->addresses, found, (size_t)name->n * sizeof *found);
	}
}

/* ---- the loop's side ---- */

static void name_free(struct resolve_name *name)
{
	free(name->host);
	free(name->addresses);
	free(name);
}

static void drop(struct work *w)
{
	name_free(container_of(w, struct resolve_name, work));
}

/* Tells everybody on the list, which is the caller's: `done` may free the resolver, whose owner has
 * then cancelled them all. */
static void tell(struct list *queries)
{
	struct address told[RESOLVE_ADDRESSES_MAX];
	struct resolve_query *q;

	while ((q = list_first(queries, struct resolve_query, link)) != NULL) {
		struct resolve_name *name = q->name;
		struct err why = name->why;
		int n = name->n;
		for (int i = 0; i < n; i++) {
			told[i] = name->addresses[i];
			set_port(&told[i], q->port);
		}
		resolve_cancel(q);
		q->done(q, told, n, n ? NULL : &why);
	}
}

static void move_all(struct list *to, struct list *from)
{
	list_each(q, from, struct resolve_query, link) {
		list_del(&q->link);
		list_add(to, &q->link);
	}
}

static void answered(struct work *w)
{
	struct resolve_name *name = container_of(w, struct resolve_name, work);
	struct resolver *r = name->resolver;
	struct list queries;

	name->state = KNOWN;
	name->until = name->n ? mono_ms() + r->remember_ms : 0;
	r->waiting--;
	list_init(&queries);
	move_all(&queries, &name->queries);
	tell(&queries);
}

static void tell_known(struct later *l)
{
	struct resolver *r = container_of(l, struct resolver, remembered);
	struct list queries;

	list_init(&queries);
	move_all(&queries, &r->known);
	tell(&queries);
}

int resolver_new(struct resolver **out, struct loop *l, struct err *e)
{
	struct resolver *r = xcalloc(1, sizeof *r);

	r->loop = l;
	list_init(&r->known);
	r->remembered.run = tell_known;
	if (workers_new(&r->workers, l, RESOLVE_THREADS_MAX, "resolver", e) < 0) {
		resolver_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void resolver_remember(struct resolver *r, int64_t ms)
{
	r->remember_ms = ms;
}

/* Releases what nobody uses: everything that is remembered, or only what is so no more. */
static void forget(struct resolver *r, int64_t now)
{
	size_t at = 0;
	void *value;

	while (map_next(&r->names, &at, NULL, &value)) {
		struct resolve_name *name = value;
		if (name->state == ASKED || name->users > 0 || name->until > now)
			continue;
		map_del(&r->names, str_of(name->host));
		name_free(name);
	}
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	loop_later_cancel(&r->remembered);
	forget(r, INT64_MAX); /* those that are ASKED are dropped by the workers */
	map_fini(&r->names);
	workers_free(r->workers);
	free(r);
}

static struct resolve_name *name_new(struct resolver *r, const char *host)
{
	if (r->names.n >= RESOLVE_NAMES_MAX)
		forget(r, mono_ms());
	if (r->names.n >= RESOLVE_NAMES_MAX)
		forget(r, INT64_MAX);
	struct resolve_name *name = xcalloc(1, sizeof *name);
	name->host = xstrdup(host);
	name->resolver = r;
	name->work = (struct work){.run = answer, .done = answered, .drop = drop};
	name->state = KNOWN;
	list_init(&name->queries);
	map_put(&r->names, str_of(host), name);
	return name;
}

int resolve_start(struct resolver *r, struct resolve_query *q, const char *host, uint16_t port,
		  struct err *e)
{
	struct resolve_name *name = map_get(&r->names, str_of(host));

	must(q->name == NULL);
	if (name == NULL)
		name = name_new(r, host);
	/* what somebody is just being told of stays as it is, but is new enough for everybody */
	bool known = name->state == KNOWN && (name->users > 0 || name->until > mono_ms());
	if (name->state == KNOWN && !known) {
		if (r->waiting >= RESOLVE_WAITING_MAX)
			return err_set(e, EAGAIN, "look up %s: too many names are being looked up",
				       host);
		free(steal(&name->addresses));
		name->n = 0;
		if (workers_start(r->workers, &name->work, e) < 0)
			return -1;
		name->state = ASKED;
		r->waiting++;
	}
	q->name = name;
	q->port = port;
	name->users++;
	list_add(known ? &r->known : &name->queries, &q->link);
	if (known)
		loop_later(r->loop, &r->remembered);
	return 0;
}

void resolve_cancel(struct resolve_query *q)
{
	if (q->name == NULL)
		return;
	list_del(&q->link);
	q->name->users--;
	q->name = NULL;
}
