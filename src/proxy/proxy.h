/*
 * The egress proxy (supervisor contract 6): the only way out of a sandbox that is walled in. It takes
 * CONNECT and absolute-form HTTP/1.1 requests from the sandbox's processes, finds out which program asks
 * (callers.h), asks the policy (policy/decide.h), makes sure that the name does not lead where no sandbox
 * may go (destination.h), dials what was checked and nothing else, and moves the bytes.
 *
 * On the network mode `host` it observes: every verdict is told as it would have been, and nothing is
 * blocked, but for a connection to the proxy itself.
 *
 * It never interprets TLS: an endpoint whose requests are to be judged inside TLS is refused with its
 * reason. It reads no file of the sandbox's image, and does nothing that blocks. SIGPIPE must be ignored.
 */
#ifndef OPENSHELL_PROXY_PROXY_H
#define OPENSHELL_PROXY_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "net/resolver.h"
#include "net/url.h"
#include "policy/policy.h"

struct callers; /* proxy/callers.h */
struct ocsf;    /* ocsf/ocsf.h */

enum {
	/* Connections from inside at once, fewer where descriptors are scarce: a quarter of RLIMIT_NOFILE at
	 * most, so that the supervisor itself always has some. One more is closed, and counted. */
	PROXY_CLIENTS_MAX = 1024,
	PROXY_HEAD_MS = 10000, /* from accept to a whole head */
	PROXY_DIAL_MS = 30000, /* resolve and connect (and a corporate proxy's handshake, 6.12) */
	PROXY_PEEK_MS = 100,   /* what does the client begin with, contract 6.3 */
	PROXY_IDLE_MS = 10 * 60000,       /* of a tunnel: no byte either way (ours) */
	PROXY_HALF_CLOSED_MS = 2 * 60000, /* the same, when one side has ended */
	PROXY_KEEP_ALIVE_MS = 60000,      /* between two requests */
	PROXY_REMEMBER_MS = 2000,         /* how long the addresses of a name are taken to hold */
};

struct proxy;

/* The corporate proxy by which tunnels leave (contract 6.12), read from argv by the supervisor. */
struct proxy_upstream {
	/* http://host:port, with user:password when there is an auth file; checked by proxy_check */
	const struct url *url;
	const char *no_proxy;     /* as in the environment; "" or NULL: nothing is exempt */
	bool connect_by_hostname; /* its CONNECT names the host, not the checked address */
};

struct proxy_config {
	struct loop *loop;
	struct resolver *resolver;    /* the proxy's alone: it sets what is remembered */
	struct policy *const *policy; /* what is in force, looked at for each decision */
	struct callers *callers;
	struct ocsf *events;
	bool observe;
	const struct proxy_upstream *upstream; /* or NULL */
	/* What host.openshell.internal, host.containers.internal and host.docker.internal mean (contract 6.5,
	 * precedence 1): the gateway's address as the driver wrote it into /etc/hosts; or NULL. */
	const struct address *host_gateway;
	/* Told of each denial, for the supervisor's aggregates (contract 6.11); or NULL. group is one of the
	 * contract's words: connect_policy, forward_policy, l7_policy, ssrf, policy_stale… */
	void (*denied)(void *owner, const char *host, uint16_t port, const char *binary,
		       const char *group);
	void *owner;
};

/* Serves the listening socket, which it takes (also on failure) and which must be non-blocking, and tells
 * of it (NET:LISTEN). What config points to is borrowed until proxy_free. */
int proxy_start(struct proxy **out, const struct proxy_config *config, int listener, struct err *e);

struct proxy_counts {
	unsigned clients, tunnels;      /* open now; a tunnel is a client as well */
	uint64_t accepted, turned_away; /* since the start; turned away for want of room */
};
void proxy_counts(const struct proxy *p, struct proxy_counts *out);

/* Drops every connection and frees it. Takes NULL. */
void proxy_free(struct proxy *p);

#endif
