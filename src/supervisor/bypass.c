#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "supervisor/bypass.h"
#include "supervisor/tell.h"

struct asking {
	struct bypasses *all;
	struct bypass what;
	struct caller_query query;
	struct list link;
};

void bypasses_init(struct bypasses *b, struct ocsf *events, struct callers *callers,
		   struct keeper *keeper)
{
	*b = (struct bypasses){.events = events, .callers = callers, .keeper = keeper};
	list_init(&b->asking);
}

static void tell(struct bypasses *b, const struct bypass *what, const struct caller *who)
{
	if (what->held != 0)
		keeper_release(b->keeper, what->held);
	tell_bypass(b->events, what, who && who->exe ? who->exe : "", who ? who->pid : 0);
	if (!b->found)
		tell_finding(b->events, "bypass-detect", "Proxy Bypass Detected", OCSF_MEDIUM,
			     "A program tried to reach the network without the proxy; it was "
			     "refused");
	b->found = true;
}

static void forget(struct asking *a)
{
	list_del(&a->link);
	a->all->n--;
	free(a);
}

static void answered(struct caller_query *q, struct caller *c, const struct err *why UNUSED)
{
	struct asking *a = container_of(q, struct asking, query);

	tell(a->all, &a->what, c);
	forget(a);
}

static struct sockaddr_storage endpoint(const struct bypass *b, const struct in6_addr *address,
					uint16_t port)
{
	struct sockaddr_storage out = {0};

	if (b->family == AF_INET) {
		struct sockaddr_in *sa = (struct sockaddr_in *)&out;
		sa->sin_family = AF_INET;
		sa->sin_port = htons(port);
		memcpy(&sa->sin_addr, &address->s6_addr[12], sizeof sa->sin_addr);
	} else {
		struct sockaddr_in6 *sa = (struct sockaddr_in6 *)&out;
		sa->sin6_family = AF_INET6;
		sa->sin6_port = htons(port);
		sa->sin6_addr = *address;
	}
	return out;
}

void bypasses_add(struct bypasses *b, const struct bypass *what)
{
	const struct sockaddr_storage src = endpoint(what, &what->src, what->sport);
	const struct sockaddr_storage dst = endpoint(what, &what->dst, what->dport);

	if (b->n == BYPASS_ASKING_MAX ||
	    (what->protocol != IPPROTO_TCP && what->protocol != IPPROTO_UDP)) {
		tell(b, what, NULL);
		return;
	}
	struct asking *a = xcalloc(1, sizeof *a);
	a->all = b;
	a->what = *what;
	a->query.done = answered;
	list_add(&b->asking, &a->link);
	b->n++;
	callers_ask_sender(b->callers, &a->query, what->protocol, &src, &dst);
}

void bypasses_lost(struct bypasses *b, uint64_t n)
{
	tell_config(b->events, "degraded", OCSF_LOW,
		    "Bypass attempts refused faster than they can be told [more:%llu]",
		    (unsigned long long)n);
}

void bypasses_fini(struct bypasses *b)
{
	if (b->asking.next == NULL)
		return;
	list_each(a, &b->asking, struct asking, link) {
		callers_cancel(&a->query);
		a->what.held = 0; /* the keeper may be gone */
		tell(b, &a->what, NULL);
		forget(a);
	}
}
