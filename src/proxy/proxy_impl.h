/*
 * What the files of the proxy share, and nobody else may include: the proxy, its sessions, and the way out
 * that CONNECT (connect.c) and plain HTTP (forward.c) have in common (egress.c). proxy.c accepts, session.c
 * reads heads and sends answers, report.c tells of verdicts.
 */
#ifndef OPENSHELL_PROXY_PROXY_IMPL_H
#define OPENSHELL_PROXY_PROXY_IMPL_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "net/dial.h"
#include "policy/decide.h"
#include "proxy/callers.h"
#include "proxy/head.h"
#include "proxy/proxy.h"
#include "proxy/tunnel.h"

struct proxy {
	struct loop *loop;
	struct proxy_config config;
	struct source listener;
	struct address self; /* where it listens */
	struct timer pause;  /* until accept is tried again */
	unsigned failures;   /* of accept, in a row */
	struct list sessions;
	struct tunnel_pool pool;
	unsigned clients, clients_max, tunnels;
	uint64_t accepted, turned_away;
};

/* ---- the way out: egress.c ---- */

/* Who refused. The words that events and aggregates have for them are report.c's. */
enum refused_by {
	REFUSED_BY_POLICY,      /* also: nobody can tell who asks */
	REFUSED_BY_STALENESS,   /* it was allowed by a policy that holds no more */
	REFUSED_BY_DESTINATION, /* ssrf */
	REFUSED_BY_TLS,         /* requests are to be judged, and cannot be seen */
	REFUSED_BY_PROTOCOL,    /* likewise: no protocol that can be looked into */
	REFUSED_BY_MIDDLEWARE,  /* one that must not be missing is not run */
	REFUSED_BY_NETWORK,     /* no denial: the name or the server does not answer */
	REFUSED_BYS
};

/* Why it goes no further: an answer to the client (answer_error) and what there is to tell. */
struct refusal {
	enum refused_by by;
	unsigned status;
	const char *error;  /* "policy_denied" */
	const char *detail; /* "CONNECT h:1 not permitted by policy" */
	const char *reason; /* or NULL */
};

enum {
	EGRESS_ARENA_MAX = 256 << 10, /* for who gives it more than answers: forward.c */
};

/*
 * One destination for one request.
 *
 *	egress_ask_who  who asks? --> known
 *	egress_ask      who asks? --> the policy --> decided
 *	egress_connect  addresses --> checked? --> dialled --> connected
 *
 * A refusal ends it; but where the proxy only observes it is kept as `observed`, the way goes on, and the
 * callbacks get NULL. (What leads to the proxy itself, and what the network refuses, is refused there
 * too.) Once a callback has got its answer, or in it, the owner may end or ask anew.
 */
struct egress {
	struct proxy *proxy;
	int client; /* the socket whose holder asks; borrowed */
	/* The owner's, of egress_ask_who: caller says who it is, if anybody knows. Called once, from the loop. */
	void (*known)(struct egress *x);
	/* The owner's. Called once, from the loop. When why is NULL, it goes on with egress_connect, or with
	 * what it has connected for an earlier request. */
	void (*decided)(struct egress *x, const struct refusal *why);
	/* Asked when the addresses have passed the check and before they are dialled: a refusal, or NULL.
	 * May be NULL itself. */
	const struct refusal *(*checked)(struct egress *x);
	/* Called once, from the loop or from within egress_connect. fd is the callee's, as by dial.h; or -1
	 * and why. */
	void (*connected)(struct egress *x, int fd, const struct refusal *why);
	bool tunnel; /* for CONNECT: may leave by a corporate proxy (6.12) */

	/* The question, and what is known. Everything is valid until the next egress_ask. */
	char host[HOST_SIZE];
	uint16_t port;
	const char *what; /* "CONNECT h:1", as answers have it */
	struct arena arena;
	struct caller *caller;    /* a reference, or NULL: then nobody was found */
	struct policy_caller who; /* the same; for policy_decide_request */
	struct policy *policy;    /* a reference; verdict points into it */
	struct policy_verdict verdict;
	bool is_observed;
	struct refusal observed; /* what would have been the answer */

	/* egress.c's */
	struct caller_query query;
	struct resolve_query name;
	struct address *addresses; /* the arena's */
	int addresses_n;
	struct dial *dial;
	struct timer deadline;
	struct refusal refusal;
};

void egress_init(struct egress *x, struct proxy *p, int client);
/* Asks who holds the client's socket, for no destination. */
void egress_ask_who(struct egress *x, void (*known)(struct egress *x));
/* Asks who holds the client's socket and whether it may reach host:port. May be called again, for the next
 * request of the same connection. All texts are copied; method and url name the request in answers. */
void egress_ask(struct egress *x, struct str host, uint16_t port, struct str method,
		struct str url);
/* Resolves, checks and dials what was allowed. */
void egress_connect(struct egress *x);
/* Whether what was allowed is allowed by a policy that holds no more (contract 5.6). Never when the proxy
 * observes. */
bool egress_stale(const struct egress *x);
/* A refusal; what is put in front of detail, and the texts are copied. Where the proxy observes and it is not
 * the network's it is kept in x->observed, and NULL returned: the way goes on. */
const struct refusal *egress_refuse(struct egress *x, enum refused_by by, unsigned status,
				    const char *error, const char *detail, const char *reason);
/* No callback comes any more. */
void egress_cancel(struct egress *x);
/* The same, and all is released. */
void egress_fini(struct egress *x);

/* ---- sessions: session.c ---- */

/*
 * One connection from inside.
 *
 *	HEAD --CONNECT--> CONNECTING --> [PEEKING] --> TUNNEL ------+
 *	 |                    |             |                       v
 *	 +--absolute-form--> FORWARDING <---+ plain HTTP/1       (freed)
 *	 |                    |                                     ^
 *	 +--> ANSWERING <-----+-- refused                           |
 *	          +---------> LINGERING ----------------------------+
 *
 * A head that is refused first waits, in its state, until it is known whose it is: that is told.
 * ANSWERING: what is in `out` goes out. LINGERING: our end is said; until the client has ended too, or
 * LINGER_MS are over, so that a reset does not take the answer from it.
 */
enum session_state {
	SESSION_HEAD,
	SESSION_CONNECTING,
	SESSION_PEEKING,
	SESSION_TUNNEL,
	SESSION_FORWARDING,
	SESSION_ANSWERING,
	SESSION_LINGERING,
};

enum { SESSION_OUT_MAX = 256 << 10 }; /* an answer, ANSWER_MAX at most, and what is before it */

struct forward;

struct session {
	struct proxy *proxy;
	struct list link;
	enum session_state state;
	struct source client;  /* its `ready` is of who has the session at the moment */
	struct buf in;         /* read, not yet used; HEAD_MAX at most */
	struct buf out;        /* an answer */
	const char *bad_head;  /* why it is one, to be told when it is known whose; static */
	struct timer deadline; /* of the state; likewise */
	struct later end;
	struct egress egress;
	int server; /* connected by CONNECT, while peeking; else -1 */
	struct tunnel tunnel;
	struct forward *forward; /* forward.c's; NULL when it has not begun */
};

/* Takes the client's socket. */
void session_start(struct proxy *p, int fd);

/* Reads what the client has sent into s->in, as far as it has room. */
enum session_read { SESSION_READ, SESSION_AGAIN, SESSION_EOF, SESSION_BROKEN };
enum session_read session_read(struct session *s);

/* Sends what is in s->out, then ends the connection in order. Whoever has the session has it no more. */
void session_answer(struct session *s);
/* The same with the refusal's answer in s->out; nothing is told. */
void session_refuse(struct session *s, const struct refusal *why);
/* The same as session_answer for a head that is no request, and why (static) is told. */
void session_refuse_head(struct session *s, const char *why);

/* From now on bytes flow both ways until an end, the idle time, or another policy. Takes server. What is in
 * s->in goes to the server first, and from_server to the client. */
void session_tunnel(struct session *s, int server, struct str from_server);

/* Drops it, at the end of this turn. No callback of the session, its egress and its tunnel comes any more;
 * what the forward has of its own it stops itself. */
void session_end(struct session *s);
/* At once; proxy_free only. */
void session_free(struct session *s);

/* ---- CONNECT: connect.c ---- */

/* Serves the CONNECT whose head is at the beginning of s->in, `used` bytes long. */
void connect_start(struct session *s, const struct head *head, size_t used);

/* ---- plain HTTP: forward.c ---- */

/* Serves the request in absolute-form whose head is at the beginning of s->in, `used` bytes long, and those
 * that follow on the connection. Takes the session over: s->client, s->deadline, s->egress. */
void forward_start(struct session *s, const struct head *head, size_t used);
/* Serves requests in origin-form inside of the tunnel that CONNECT has made: for egress's host and port
 * only, over server (taken). s->in has the beginning. */
void forward_tunnel_start(struct session *s, int server);
/* Releases what it has, at the end of a turn and without a callback; session.c only. Takes NULL. */
void forward_free(struct forward *f);

/* ---- events: report.c ---- */

/* A tunnel or a connection was let out (why is NULL) or refused (7.5: NET:OPEN); tells the supervisor's
 * aggregates of a denial as well. REFUSED_BY_NETWORK is a NET:FAIL. */
void report_open(const struct egress *x, const struct refusal *why);
/* A head was refused that is no request, or none that can be served (7.5: NET:OTHER). */
void report_bad_head(const struct egress *x, const char *why);
/* A tunnel was ended because of another policy. */
void report_stale(const struct egress *x);
/* What was let out broke (7.5: NET:FAIL). */
void report_fail(const struct egress *x, const char *why);

/* A request of plain HTTP was judged (7.5: HTTP). */
struct request_report {
	struct str method, path;
	bool allowed;
	bool audited; /* not allowed by the rules, and let through by the endpoint's `audit` */
	const char *policy; /* or NULL */
	const char *engine; /* "opa", "l7", "ssrf", "request-authority"… */
	const char *reason; /* or NULL */
	const char *group;  /* of a denial, for the aggregates; NULL: it is none of theirs */
};
void report_request(const struct egress *x, const struct request_report *r);

#endif
