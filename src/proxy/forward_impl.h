/*
 * What the files of plain HTTP share, and nobody else may include: forward.c reads requests and connects,
 * judge.c judges them, collect.c reads the bodies that are to be judged, relay.c moves what was allowed.
 */
#ifndef OPENSHELL_PROXY_FORWARD_IMPL_H
#define OPENSHELL_PROXY_FORWARD_IMPL_H

#include "base/arena.h"
#include "proxy/body.h"
#include "proxy/head.h"
#include "proxy/proxy_impl.h"
#include "proxy/reply.h"
#include "proxy/target.h"
#include "proxy/websocket.h"

enum {
	/* Bytes under way in a direction, beyond which the sender is not read. */
	FORWARD_QUEUE = 32 << 10,
	FORWARD_READ = 16 << 10, /* at once, of a server */
	/* Either buffer: what is queued, and a head or the last that was read. */
	FORWARD_BUF_MAX = FORWARD_QUEUE + REPLY_MAX + FORWARD_READ,
	FORWARD_ARENA_MAX = 128 << 10, /* a target, decoded */
	FORWARD_INTERIM_MAX = 16,      /* 1xx before a response */
	FORWARD_BODY_MAX = 10 << 20,   /* of a body that is judged, whatever the policy says */
	FORWARD_BODY_MS = 30000,       /* for the whole of it to come */
};

/*
 * The requests of one client, one after the other; each is judged anew.
 *
 *	HEAD --> DECIDING --> [COLLECTING] --> CONNECTING --> RELAYING --+--> HEAD, when both sides keep on
 *	 |          |              |               |              |      +--> session_tunnel, after a 101
 *	 +----------+--------------+---------------+--- refused --+---------> session_answer
 *	                                                          +---------> session_end, when it broke
 *
 * COLLECTING: the body is read first, since it is to be judged.
 *
 * A server's connection is kept for the next request if that goes to the same place by the same policy.
 */
enum forward_state {
	FORWARD_HEAD,
	FORWARD_DECIDING,
	FORWARD_COLLECTING,
	FORWARD_CONNECTING,
	FORWARD_RELAYING,
	FORWARD_OVER, /* the session is another's, or about to end */
};

struct forward {
	struct session *session;
	enum forward_state state;
	bool tunnelled; /* within a tunnel of CONNECT, to host and port only */
	char host[HOST_SIZE];
	uint16_t port;

	struct source server; /* fd -1: not connected */
	char server_host[HOST_SIZE];
	uint16_t server_port;
	uint64_t server_generation; /* of the policy by which its address was checked */

	/* the request; its head's bytes are at the beginning of session->in until it is on its way */
	struct head head;
	size_t head_n;
	struct arena arena;
	struct target target;
	struct body request;
	struct buf kept; /* its head, once that is no more in session->in: where it is collected */
	struct buf body; /* likewise its body */
	bool collected;
	struct buf to_server;
	bool to_head;      /* it is a HEAD */
	bool repeatable;   /* it may be sent once more, its head is still there */
	bool asked_before; /* the server has answered a request on this connection */
	bool server_deaf;  /* it takes no more of the request */
	char accept[WEBSOCKET_ACCEPT_SIZE]; /* "": no WebSocket is asked for */

	/* the response; to the client goes what is in session->out */
	struct buf from_server;
	bool server_hung_up; /* both its directions are over; bytes of it may be left */
	bool server_ended, server_broken;
	bool answering; /* its head is on its way */
	unsigned interims;
	struct reply reply;
	struct body response;
	bool keep; /* the client may ask another after it */
};

/* ---- forward.c ---- */

/* Waits for the next request, or serves it if it is there. */
void forward_next(struct forward *f);
/* Asks who sends the request, and whether it may reach host; then judge_request. */
void forward_ask(struct forward *f, const char *host, uint16_t port);
/* The request goes on, with this path and query; or with those that the client wrote. */
void forward_go(struct forward *f, struct str target);
void forward_go_as_written(struct forward *f);
/* Connects (anew). */
void forward_connect(struct forward *f);
/* Answers with an error of our own and ends the connection in order; only before a response is on its way. */
void forward_refuse(struct forward *f, unsigned status, const char *error, const char *detail);
/* The same with what is in session->out; and for a refusal, which is told as well. */
void forward_answer(struct forward *f);
void forward_refuse_by(struct forward *f, const struct refusal *why);
/* Ends it without a word: nobody is there to hear it. */
void forward_end(struct forward *f);
/* Ends it as something broken: with a reset, so that nobody takes what it got for all. */
void forward_abort(struct forward *f, const char *why);
void forward_drop_server(struct forward *f);
/* What events say of the request. */
struct request_report forward_report_of(const struct forward *f, const char *engine);
/* Tells that it is not allowed; whether it passes all the same, since the proxy only observes. */
bool forward_let_pass(struct forward *f, const char *engine, const char *group, const char *reason);
void forward_tell_refusal(struct forward *f, const struct refusal *why);
/* The connection to the server is for what egress has just found. Takes fd. */
void forward_take_server(struct forward *f, int fd);

/* ---- judge.c ---- */

/* egress has decided: whether the request goes on. */
void judge_request(struct egress *x, const struct refusal *why);
/* The same for a request whose body is collected. */
void judge_body(struct forward *f);

/* ---- collect.c ---- */

/* Reads the body of the request, up to max bytes, into f->body; then judge_body. */
void collect_start(struct forward *f, size_t max);

/* ---- relay.c ---- */

/* Sends the request to the server, which is connected, and its response back. */
void relay_start(struct forward *f);
/* The server's socket has news. */
void relay_server_ready(struct source *src, uint32_t events);

#endif
