/*
 * Plain HTTP through the proxy (supervisor contract 6.4, 6.7): requests in absolute-form, and those in
 * origin-form within a tunnel whose endpoint wants them judged. Each request is asked about anew: who
 * sends it, whether it may reach the host, and where the endpoint is inspected whether it may be made. What
 * was allowed (judge.c) is moved by relay.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "net/url.h"
#include "ocsf/ocsf.h"
#include "proxy/answer.h"
#include "proxy/forward_impl.h"

/* ---- ends ---- */

void forward_drop_server(struct forward *f)
{
	loop_del(f->session->proxy->loop, &f->server);
	if (f->server.fd >= 0)
		close(steal_fd(&f->server.fd));
}

void forward_end(struct forward *f)
{
	forward_drop_server(f);
	f->state = FORWARD_OVER;
	session_end(f->session);
}

void forward_abort(struct forward *f, const char *why)
{
	const struct linger reset = {.l_onoff = 1};

	report_fail(&f->session->egress, why);
	setsockopt(f->session->client.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	forward_end(f);
}

void forward_answer(struct forward *f)
{
	forward_drop_server(f);
	f->state = FORWARD_OVER;
	session_answer(f->session);
}

void forward_refuse(struct forward *f, unsigned status, const char *error, const char *detail)
{
	answer_error(&f->session->out, status, error, detail, NULL);
	forward_answer(f);
}

/* ---- what is told ---- */

struct request_report forward_report_of(const struct forward *f, const char *engine)
{
	struct str rest = f->head.path, path = str_cut(&rest, '?'); /* a query may hold a secret */

	return (struct request_report){
		.method = f->head.method,
		.path = f->target.path.p != NULL ? f->target.path : path,
		.policy = f->session->egress.verdict.policy,
		.engine = engine,
	};
}

bool forward_let_pass(struct forward *f, const char *engine, const char *group, const char *reason)
{
	struct request_report r = forward_report_of(f, engine);

	r.group = group;
	r.reason = reason;
	report_request(&f->session->egress, &r);
	return f->session->proxy->config.observe;
}

void forward_tell_refusal(struct forward *f, const struct refusal *why)
{
	static const struct {
		const char *engine, *group;
	} words[] = {
		[REFUSED_BY_POLICY] = {"opa", "forward_policy"},
		[REFUSED_BY_STALENESS] = {"opa", "policy_stale"},
		[REFUSED_BY_DESTINATION] = {"ssrf", "ssrf"},
		[REFUSED_BY_TLS] = {"tls", "l7_policy"},
		[REFUSED_BY_PROTOCOL] = {"l7", "l7_parse_rejection"},
		[REFUSED_BY_MIDDLEWARE] = {"middleware", "l7_policy"},
		[REFUSED_BY_NETWORK] = {NULL, NULL},
	};
	_Static_assert(ARRAY_LEN(words) == REFUSED_BYS, "each has its words");

	if (why->by == REFUSED_BY_NETWORK)
		report_open(&f->session->egress, why);
	else
		forward_let_pass(f, words[why->by].engine, words[why->by].group,
				 why->reason ? why->reason : why->detail);
}

void forward_refuse_by(struct forward *f, const struct refusal *why)
{
	forward_tell_refusal(f, why);
	forward_drop_server(f);
	f->state = FORWARD_OVER;
	session_refuse(f->session, why);
}

/* ---- the way out ---- */

void forward_connect(struct forward *f)
{
	f->state = FORWARD_CONNECTING;
	egress_connect(&f->session->egress);
}

void forward_take_server(struct forward *f, int fd)
{
	const struct egress *x = &f->session->egress;
	struct err e;

	must(f->server.fd < 0);
	f->server = (struct source){.fd = fd, .ready = relay_server_ready, .name = "server"};
	memcpy(f->server_host, x->host, sizeof f->server_host);
	f->server_port = x->port;
	f->server_generation = x->verdict.generation;
	f->asked_before = false;
	if (loop_add(f->session->proxy->loop, &f->server, 0, &e) < 0)
		forward_drop_server(f); /* it will be dialled again, and that tells */
}

static void connected(struct egress *x, int fd, const struct refusal *why)
{
	struct forward *f = container_of(x, struct session, egress)->forward;

	if (why != NULL) {
		forward_refuse_by(f, why);
		return;
	}
	if (x->is_observed && x->observed.by == REFUSED_BY_DESTINATION)
		forward_tell_refusal(f, &x->observed);
	forward_take_server(f, fd);
	if (f->server.fd < 0)
		forward_refuse(f, 503, "proxy_overloaded", "the connection cannot be watched");
	else
		relay_start(f);
}

/* Whether the server that is connected is the one, found by this very policy, and says nothing unasked. */
static bool may_reuse_server(const struct forward *f)
{
	const struct egress *x = &f->session->egress;
	char byte;

	return f->server.fd >= 0 && f->server_port == x->port && streq(f->server_host, x->host) &&
	       f->server_generation == x->verdict.generation &&
	       recv(f->server.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

void forward_go(struct forward *f, struct str target)
{
	f->target.text = target;
	if (may_reuse_server(f)) {
		relay_start(f);
		return;
	}
	forward_drop_server(f);
	forward_connect(f);
}

void forward_go_as_written(struct forward *f)
{
	struct str path = f->head.path;

	if (path.n == 0 || path.p[0] != '/')
		path = str_of(arena_printf(&f->arena, "/%.*s", STR_FMT(path)));
	forward_go(f, path);
}

/* ---- the head of a request ---- */

/* Whoever is still waited for has gone. */
static void client_gone(struct source *src, uint32_t events UNUSED)
{
	forward_end(container_of(src, struct session, client)->forward);
}

void forward_ask(struct forward *f, const char *host, uint16_t port)
{
	struct session *s = f->session;
	struct str rest = f->head.path, path = str_cut(&rest, '?'); /* a query may hold a secret */
	_cleanup_free_ char *authority = url_authority(host, port);
	_cleanup_free_ char *url = xasprintf("%s%.*s", authority, STR_FMT(path));

	f->state = FORWARD_DECIDING;
	arena_fini(&f->arena);
	f->target = (struct target){0};
	s->client.ready = client_gone;
	timer_stop(s->proxy->loop, &s->deadline);
	loop_set(s->proxy->loop, &s->client, 0);
	/* what egress keeps of it is its own copy */
	egress_ask(&s->egress, str_of(host), port, f->head.method, str_of(url));
}

/* What is in session->out answers a head that is no request, or none for us. */
static void answer_bad_head(struct forward *f, const char *why)
{
	forward_drop_server(f);
	f->state = FORWARD_OVER;
	session_refuse_head(f->session, why);
}

static void refuse_head(struct forward *f, unsigned status, const char *error, const char *why)
{
	answer_error(&f->session->out, status, error, why, NULL);
	answer_bad_head(f, why);
}

/* Contract 6.7: who was let through to one host asks for another. */
static bool let_pass_authority(struct forward *f)
{
	const struct egress *x = &f->session->egress;
	bool observe = x->proxy->config.observe;

	ocsf_emit(x->proxy->config.events,
		  &(struct ocsf_event){
			  .class = OCSF_FINDING,
			  .activity = OCSF_FINDING_CREATE,
			  .severity = OCSF_HIGH,
			  .action = observe ? OCSF_OBSERVED : OCSF_DENIED,
			  .disposition = observe ? OCSF_DETECTED : OCSF_BLOCKED,
			  .finding = {.uid = STR("openshell.http.request_authority_mismatch"),
				      .title = STR("HTTP request authority does not match the "
						   "authorized tunnel endpoint"),
				      .confidence = OCSF_HIGH_CONFIDENCE},
			  .unmapped = {{"host", str_of(f->host)},
				       {"request_host", str_of(f->head.host)}},
		  });
	return forward_let_pass(f, "request-authority", "l7_parse_rejection",
				"request_authority_mismatch");
}

static void serve_in_tunnel(struct forward *f)
{
	const struct head *h = &f->head;
	/* HTTP/1.0 need not say */
	bool same = h->host[0] == '\0' || (streq(h->host, f->host) && h->port == f->port);

	if (h->form == HEAD_AUTHORITY || h->scheme != HEAD_HTTP)
		refuse_head(f, 400, "invalid_request_target",
			    "a request within a tunnel is one of plain HTTP");
	else if (!same && !let_pass_authority(f))
		forward_refuse(f, 403, "request_authority_mismatch",
			       "the request's authority is not that of its tunnel");
	else
		forward_ask(f, f->host, f->port);
}

static void serve(struct forward *f)
{
	static const char use_connect[] = "Use CONNECT for HTTPS URLs"; /* contract 6.4 */
	struct session *s = f->session;
	const struct head *h = &f->head;

	if (f->tunnelled) {
		serve_in_tunnel(f);
		return;
	}
	if (h->form == HEAD_AUTHORITY) {
		forward_drop_server(f);
		f->state = FORWARD_OVER;
		s->state = SESSION_CONNECTING;
		timer_stop(s->proxy->loop, &s->deadline);
		connect_start(s, h, f->head_n);
	} else if (h->form == HEAD_ORIGIN) {
		refuse_head(f, 400, "invalid_request_target",
			    "a proxy is asked for http://host/path, or by CONNECT host:port");
	} else if (h->scheme == HEAD_HTTPS) {
		answer_text(&s->out, 400, use_connect);
		answer_bad_head(f, use_connect);
	} else if (h->scheme != HEAD_HTTP) {
		refuse_head(f, 400, "unsupported_proxy_scheme",
			    "Forward proxy requests must use http");
	} else if (streq(h->host, "policy.local") && h->port == 80) { /* contract 6.10 */
		forward_refuse(f, 404, "feature_disabled",
			       "agent-driven policy proposals are not enabled in this sandbox "
			       "(agent_policy_proposals_enabled)");
	} else {
		forward_ask(f, h->host, h->port);
	}
}

static void read_head(struct forward *f)
{
	struct session *s = f->session;
	const char *why;

	switch (head_read(&f->head, buf_view(&s->in), &f->head_n, &why)) {
	case HEAD_OK:
		f->collected = false;
		serve(f);
		break;
	case HEAD_BAD:
		refuse_head(f, 400, "bad_request", why);
		break;
	case HEAD_LONG:
		refuse_head(f, 431, "request_header_too_large", why);
		break;
	case HEAD_MORE:
		break;
	}
}

static void head_ready(struct source *src, uint32_t events UNUSED)
{
	struct session *s = container_of(src, struct session, client);
	bool first = s->in.n == 0;
	enum session_read r = session_read(s);

	if (r == SESSION_EOF || r == SESSION_BROKEN) {
		forward_end(s->forward);
		return;
	}
	if (r == SESSION_AGAIN)
		return;
	if (first)
		timer_set(s->proxy->loop, &s->deadline, PROXY_HEAD_MS);
	read_head(s->forward);
}

static void too_late(struct timer *t)
{
	forward_end(container_of(t, struct session, deadline)->forward);
}

void forward_next(struct forward *f)
{
	struct session *s = f->session;
	struct loop *l = s->proxy->loop;

	f->state = FORWARD_HEAD;
	s->client.ready = head_ready;
	s->deadline.fire = too_late;
	loop_set(l, &s->client, EPOLLIN);
	if (f->server.fd >= 0)
		loop_set(l, &f->server, EPOLLIN);
	timer_set(l, &s->deadline, s->in.n > 0 ? PROXY_HEAD_MS : PROXY_KEEP_ALIVE_MS);
	if (s->in.n > 0)
		read_head(f);
}

/* ---- life ---- */

static struct forward *new_forward(struct session *s)
{
	struct forward *f = xcalloc(1, sizeof *f);

	forward_free(s->forward); /* of a connection that has gone on to CONNECT */
	s->forward = f;
	f->session = s;
	f->server.fd = -1;
	f->arena = ARENA_INIT(FORWARD_ARENA_MAX);
	f->to_server = f->from_server = BUF_INIT(FORWARD_BUF_MAX);
	f->kept = BUF_INIT(HEAD_MAX);
	s->in.max = FORWARD_QUEUE;
	s->egress.decided = judge_request;
	s->egress.checked = NULL;
	s->egress.connected = connected;
	return f;
}

void forward_start(struct session *s, const struct head *head, size_t used)
{
	struct forward *f = new_forward(s);

	s->egress.tunnel = false;
	f->head = *head;
	f->head_n = used;
	serve(f);
}

void forward_tunnel_start(struct session *s, int server)
{
	struct forward *f = new_forward(s);

	f->tunnelled = true;
	memcpy(f->host, s->egress.host, sizeof f->host);
	f->port = s->egress.port;
	forward_take_server(f, server);
	forward_next(f);
}

void forward_free(struct forward *f)
{
	if (f == NULL)
		return;
	forward_drop_server(f);
	arena_fini(&f->arena);
	buf_fini(&f->to_server);
	buf_fini(&f->from_server);
	buf_fini(&f->kept);
	buf_fini(&f->body);
	free(f);
}
