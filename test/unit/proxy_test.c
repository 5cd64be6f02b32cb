/* The proxy's sessions, CONNECT and tunnels (src/proxy/{proxy,session,connect,egress,report}.c), with plain
 * HTTP behind a seam. */
#include <sys/resource.h>

#include "proxy.h"

#define ENDPOINTS                                                                                  \
	"{host: " SERVER ", port: 80}, {host: server.test, port: 80}, {host: two.test, port: 80}," \
	"{host: evil.test, port: 80}, {host: half-evil.test, port: 80},"                           \
	"{host: slow.test, port: 80}, {host: nobody.test, port: 80},"                              \
	"{host: rebind.test, port: 80}, {host: '*.wild.test', port: 80},"                          \
	"{host: unknown.test, port: 80},"                                                          \
	"{host: server.test, port: 443, protocol: rest, enforcement: enforce, access: full},"      \
	"{host: server.test, port: 81, protocol: rest, enforcement: enforce, access: full},"       \
	"{host: server.test, port: 82, protocol: rest, tls: skip, access: full}"
#define POLICY NET("{endpoints: [" ENDPOINTS "], binaries: [{path: /bin/tool}]}")

/* ---- plain HTTP, played ---- */

static int forwarded; /* a server's socket, of forward_tunnel_start */

void forward_start(struct session *s, const struct head *head, size_t used)
{
	buf_printf(&s->out, "forwarded %.*s %zu", STR_FMT(head->target), used);
	session_answer(s);
}

void forward_tunnel_start(struct session *s, int server)
{
	buf_printf(&s->out, "inside: %.*s", STR_FMT(buf_view(&s->in)));
	close(server);
	forwarded++;
	session_answer(s);
}

void forward_free(struct forward *f)
{
	OK(f == NULL);
}

/* ---- CONNECT ---- */

TEST(a_tunnel_is_opened_and_passes_bytes_both_ways)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(CONNECT("server.test:80"));
	int server = accept_from(listener);
	hear(client, ESTABLISHED);
	OK(send(client, "ping", 4, 0) == 4);
	hear(server, "ping");
	OK(send(server, "pong", 4, 0) == 4);
	hear(client, "pong");
	shutdown(client, SHUT_WR);
	STREQ(hear_all(server), "");
	STREQ(hear_all(client), "");
	event("NET:OPEN [INFO] ALLOWED /bin/tool(42) -> server.test:80/tcp [policy:net "
	      "engine:opa]");
	finish();
}

TEST(what_the_client_sent_too_early_is_not_lost)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(CONNECT("server.test:80") "early");
	int server = accept_from(listener);
	hear(server, "early");
	hear(client, ESTABLISHED);
	close(client);
	STREQ(hear_all(server), "");
	finish();
}

TEST(a_head_may_come_in_pieces)
{
	static const char head[] = CONNECT("server.test:80");
	char byte[2] = "";

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say("");
	for (const char *p = head; *p != '\0'; p++) {
		byte[0] = *p;
		OK(send(client, byte, 1, 0) == 1);
		if (p - head == 20)
			usleep(5000);
	}
	close(accept_from(listener));
	hear(client, ESTABLISHED);
	STREQ(hear_all(client), "");
	finish();
}

#define JSON(status, body)                                                                         \
	"HTTP/1.1 " status "\r\nContent-Type: application/json\r\n", "\r\n\r\n" body

static void answers(const char *request, const char *head, const char *body)
{
	const char *answer = answer_to(request);

	if (strncmp(answer, head, strlen(head)) != 0 || !str_ends(str_of(answer), body))
		FAIL("%s\nanswer: %s\nwanted: %s%s", request, answer, head, body);
	HAS(answer, "\r\nConnection: close\r\n");
}

TEST(what_the_policy_does_not_allow_is_denied)
{
	begin(POLICY);
	answers(CONNECT("other.test:443"),
		JSON("403 Forbidden",
		     "{\"error\":\"policy_denied\","
		     "\"detail\":\"CONNECT other.test:443 not permitted by policy\","
		     "\"reason\":\"endpoint other.test:443 is not allowed by any policy\"}"));
	event("NET:OPEN [MED] DENIED /bin/tool(42) -> other.test:443/tcp [policy:- engine:opa] "
	      "[reason:endpoint other.test:443 is not allowed by any policy]");
	STREQ(denials[0], "other.test:443 /bin/tool connect_policy");
	answers(CONNECT("server.test:8080"),
		JSON("403 Forbidden",
		     "{\"error\":\"policy_denied\","
		     "\"detail\":\"CONNECT server.test:8080 not permitted by policy\","
		     "\"reason\":\"endpoint server.test:8080 is not allowed by any policy\"}"));
	strcpy(asking_exe, "/bin/evil");
	HAS(answer_to(CONNECT("server.test:80")), "binary '/bin/evil' not allowed");
	finish();
}

TEST(who_cannot_be_told_is_denied)
{
	begin(POLICY);
	nobody_asks = true;
	HAS(answer_to(CONNECT("server.test:80")),
	    "\"reason\":\"failed to resolve peer binary: it is gone\"");
	event("DENIED");
	STREQ(denials[0], "server.test:80  connect_policy");
	finish();
}

TEST(names_that_lead_inside_are_refused_and_nothing_is_dialled)
{
	begin(POLICY);
	int inside = listen_on("127.0.0.1", 80), server = listen_on(SERVER, 80);
	HAS(answer_to(CONNECT("evil.test:80")),
	    "resolves to always-blocked address 127.0.0.1, connection rejected\"}");
	HAS(answer_to(CONNECT("evil.test:80")),
	    "{\"error\":\"ssrf_denied\",\"detail\":\"CONNECT evil.test:80 blocked: ");
	HAS(event("NET:OPEN [MED] DENIED /bin/tool(42) -> evil.test:80/tcp [policy:net "
		  "engine:ssrf]"),
	    "127.0.0.1");
	STREQ(denials[0], "evil.test:80 /bin/tool ssrf");
	/* one bad address spoils the good ones, and a pattern means no private address */
	HAS(answer_to(CONNECT("half-evil.test:80")), "ssrf_denied");
	HAS(answer_to(CONNECT("any.wild.test:80")), "blocked: internal address");
	nobody_came(inside);
	nobody_came(server);
	finish();
}

TEST(what_was_checked_is_dialled_and_nothing_else)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(CONNECT("rebind.test:80"));
	int server = accept_from(listener);
	hear(client, ESTABLISHED);
	EQ(rebound, 1);
	close(client);
	close(server);
	/* the second address, when nobody listens at the first */
	client = say(CONNECT("two.test:80"));
	server = accept_from(listener);
	hear(client, ESTABLISHED);
	/* by its number */
	client = say(CONNECT(SERVER ":80"));
	server = accept_from(listener);
	hear(client, ESTABLISHED);
	finish();
}

TEST(servers_that_are_not_there)
{
	begin(POLICY);
	answers(CONNECT("nobody.test:80"),
		JSON("502 Bad Gateway",
		     "{\"error\":\"upstream_unreachable\","
		     "\"detail\":\"CONNECT nobody.test:80 failed: upstream unreachable\","
		     "\"reason\":\"connect to nobody.test:80 (" NOBODY
		     ":80): Connection refused\"}"));
	event("NET:FAIL [LOW]");
	EQ(denials_n, 0);
	HAS(answer_to(CONNECT("unknown.test:80")), "502 Bad Gateway");
	finish();
}

TEST(heads_that_are_none)
{
	char *head = xmalloc(3 * HEAD_MAX);

	begin(POLICY);
	HAS(answer_to("hello\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n");
	event("NET:OTHER [MED] DENIED /bin/tool(42) [policy:- engine:l7] "
	      "[reason:its first line is not \"METHOD target HTTP/1.1\"]");
	HAS(answer_to("CONNECT server.test HTTP/1.1\r\nHost: server.test\r\n\r\n"),
	    "HTTP/1.1 400 Bad Request\r\n");
	sprintf(head, "CONNECT server.test:80 HTTP/1.1\r\nHost: server.test:80\r\nX: %*s\r\n\r\n",
		2 * HEAD_MAX, "x");
	HAS(answer_to(head), "HTTP/1.1 431 Request Header Fields Too Large\r\n");
	event("[reason:its head is too long]");
	nobody_asks = true;
	HAS(answer_to("hello\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n");
	event("NET:OTHER [MED] DENIED [policy:- engine:l7] [reason:");
	EQ(denials_n, 0); /* they lead nowhere that a policy could be asked for */
	nobody_asks = false;
	/* half of one */
	int client = say("CONNECT server.test:80 HTTP/1.1\r\nHo");
	shutdown(client, SHUT_WR);
	STREQ(hear_all(client), "");
	finish();
	free(head);
}

TEST(other_requests_go_where_plain_http_is_served)
{
	begin(POLICY);
	STREQ(answer_to("GET http://server.test/x HTTP/1.1\r\nHost: server.test\r\n\r\n"),
	      "forwarded http://server.test/x 56");
	finish();
}

TEST(there_is_no_inference_yet)
{
	begin(POLICY);
	HAS(answer_to(CONNECT("inference.local:443")), "cluster inference is not configured");
	finish();
}

#define SCANNED                                                                                    \
	"version: 1\nnetwork_policies: {net: {endpoints: [{host: '*.wild.test', port: 80}, "       \
	"{host: server.test, port: 80}, {host: two.test, port: 80}], "                             \
	"binaries: [{path: /bin/tool}]}}\n"                                                        \
	"network_middlewares:\n"                                                                   \
	"  scan: {middleware: openshell/regex, on_error: fail_closed, "                            \
	"endpoints: {include: ['*.test', '**.wild.test'], exclude: [two.test]}}\n"                 \
	"  count: {middleware: x, order: 1, on_error: fail_open, "                                 \
	"endpoints: {include: ['*.test']}}\n"

TEST(what_must_not_go_round_a_middleware_goes_nowhere)
{
	begin(SCANNED);
	int listener = listen_on(SERVER, 80);
	HAS(answer_to(CONNECT("server.test:80")), "{\"error\":\"middleware_failed\"");
	HAS(answer_to(CONNECT("Any.Wild.test:80")), "{\"error\":\"middleware_failed\"");
	event("NET:OPEN [HIGH] DENIED /bin/tool(42) -> server.test:80/tcp [policy:net "
	      "engine:middleware] [reason:middleware 'scan' is not run by this version]");
	nobody_came(listener);
	int client = say(CONNECT("two.test:80"));
	close(accept_from(listener));
	hear(client, ESTABLISHED);
	finish();
}

/* ---- tunnels whose requests are to be judged ---- */

TEST(tls_that_would_have_to_be_looked_into_is_refused)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 443);
	HAS(answer_to(CONNECT("server.test:443")), "{\"error\":\"tls_termination_unavailable\","
						   "\"detail\":\"CONNECT server.test:443 requires");
	nobody_came(listener);
	event("NET:OPEN [HIGH] DENIED /bin/tool(42) -> server.test:443/tcp [policy:net "
	      "engine:tls]");
	STREQ(denials[0], "server.test:443 /bin/tool l7_policy");
	finish();
}

TEST(a_tunnel_is_judged_by_what_the_client_begins_with)
{
	static const char alert[] = "\x15\x03\x03\x00\x02\x02\x31";

	begin(POLICY);
	int listener = listen_on(SERVER, 81);
	int client = say(CONNECT("server.test:81"));
	int server = accept_from(listener);
	hear(client, ESTABLISHED);
	OK(send(client, "GET /", 5, 0) == 5);
	STREQ(hear_all(client), "inside: GET /");
	EQ(forwarded, 1);
	STREQ(hear_all(server), "");

	client = say(CONNECT("server.test:81") "\x16\x03\x01\x02\x00\x01");
	server = accept_from(listener);
	hear(client, ESTABLISHED);
	STREQ(hear_all(client), alert);
	STREQ(hear_all(server), "");
	event("engine:tls]");

	client = say(CONNECT("server.test:81") "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	hear(client, ESTABLISHED);
	HAS(hear_all(client), "HTTP/1.1 403 Forbidden");
	event("engine:l7]");
	client = say(CONNECT("server.test:81") "SSH-2.0-OpenSSH_9.2\r\n");
	hear(client, ESTABLISHED);
	HAS(hear_all(client), "\"unsupported_l7_protocol\"");
	STREQ(denials[2], "server.test:81 /bin/tool l7_parse_rejection");
	finish();
}

TEST(a_tunnel_that_is_not_to_be_looked_into_is_not)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 82);
	int client = say(CONNECT("server.test:82"));
	int server = accept_from(listener);
	hear(client, ESTABLISHED);
	OK(send(client, "\x16\x03\x01", 3, 0) == 3);
	hear(server, "\x16\x03\x01");
	finish();
}

/* The deadline of the only session's state passes. */
static void time_passes(void)
{
	struct session *s = list_first(&proxy->sessions, struct session, link);

	OK(s != NULL && timer_armed(&s->deadline));
	timer_set(proxy_loop, &s->deadline, 0);
}

TEST(silence_is_no_protocol)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 81);
	int client = say(CONNECT("server.test:81"));
	accept_from(listener);
	hear(client, ESTABLISHED);
	in_loop(time_passes);
	HAS(hear_all(client), "\"unsupported_l7_protocol\"");
	finish();
}

TEST(a_slow_head_is_not_waited_for)
{
	begin(POLICY);
	int client = say("CONNECT server.test:80 HT");
	usleep(20000);
	in_loop(time_passes);
	STREQ(hear_all(client), "");
	finish();
}

/* ---- another policy ---- */

static void swap_policy(void)
{
	policy_publish(&policy_now, parse(POLICY));
}

TEST(a_tunnel_of_an_old_policy_ends_when_bytes_come)
{
	char byte;

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(CONNECT("server.test:80"));
	int server = accept_from(listener);
	hear(client, ESTABLISHED);
	in_loop(swap_policy);
	OK(send(server, "secret", 6, 0) == 6);
	EQ(recv(client, &byte, 1, 0), -1);
	EQ(errno, ECONNRESET);
	event("NET:OPEN [MED] DENIED /bin/tool(42) -> server.test:80/tcp [policy:net engine:opa] "
	      "[reason:the policy that allowed it holds no more]");
	STREQ(denials[0], "server.test:80 /bin/tool policy_stale");
	/* and a new one is judged by the new */
	client = say(CONNECT("server.test:80"));
	accept_from(listener);
	hear(client, ESTABLISHED);
	finish();
}

/* Until so many questions wait for an answer, or names for theirs. */
static int waiting_questions, waiting_names;

static void count_waiting(void)
{
	waiting_questions = questions_open;
	waiting_names = config.resolver->waiting;
}

static void wait_until_waiting(int questions, int names_n)
{
	for (int i = 0; i < 5000; i++) {
		in_loop(count_waiting);
		if (waiting_questions == questions && waiting_names == names_n)
			return;
		usleep(1000);
	}
	FAIL("%d questions, %d names", waiting_questions, waiting_names);
}

TEST(another_policy_between_the_answer_and_the_dial)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(CONNECT("slow.test:80"));
	wait_until_waiting(0, 1);
	in_loop(swap_policy);
	close(slow_names[1]);
	HAS(hear_all(client), "not permitted by policy because policy changed");
	nobody_came(listener);
	finish();
}

/* ---- who goes, hangs, breaks ---- */

static struct proxy_counts counts;

static void count(void)
{
	proxy_counts(proxy, &counts);
}

static void wait_for_clients(unsigned n)
{
	for (int i = 0; i < 10000; i++) {
		in_loop(count);
		if (counts.clients == n)
			return;
		usleep(1000);
	}
	FAIL("%u clients", counts.clients);
}

static void vanish(int fd)
{
	const struct linger linger = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	close(fd);
}

TEST(a_client_may_vanish_at_any_time)
{
	begin(POLICY);
	answers_withheld = true;
	vanish(say("CONN"));
	wait_for_clients(0);
	int client = say(CONNECT("server.test:80"));
	wait_until_waiting(1, 0);
	vanish(client);
	wait_for_clients(0);
	wait_until_waiting(0, 0);
	answers_withheld = false;
	client = say(CONNECT("slow.test:80"));
	wait_until_waiting(0, 1);
	vanish(client);
	wait_for_clients(0);
	close(slow_names[1]);
	wait_until_waiting(0, 0);
	int listener = listen_on(SERVER, 80);
	client = say(CONNECT("server.test:80"));
	int server = accept_from(listener);
	hear(client, ESTABLISHED);
	vanish(client);
	wait_for_clients(0);
	char byte;
	EQ(recv(server, &byte, 1, 0), -1);
	EQ(errno, ECONNRESET);
	finish();
}

TEST(a_head_that_is_none_waits_until_it_is_known_whose_it_is)
{
	char byte;

	begin(POLICY);
	event("NET:LISTEN");
	answers_withheld = true;
	int client = say("hello\r\n\r\n"), other = say("hello\r\n\r\n");
	wait_until_waiting(2, 0);
	OK(write(client, "hello", 5) == 5); /* nobody listens any more */
	vanish(other);                      /* and of who is gone nothing is told */
	wait_until_waiting(1, 0);
	EQ(recv(client, &byte, 1, MSG_DONTWAIT), -1);
	EQ(errno, EAGAIN);
	EQ(events_n, 1);
	finish(); /* while it waits */
}

TEST(a_server_that_breaks_is_told_and_passed_on)
{
	char byte;

	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	int client = say(CONNECT("server.test:80"));
	int server = accept_from(listener);
	hear(client, ESTABLISHED);
	OK(send(server, "half", 4, 0) == 4);
	hear(client, "half");
	vanish(server);
	EQ(recv(client, &byte, 1, 0), -1);
	EQ(errno, ECONNRESET);
	event("NET:FAIL [LOW]");
	wait_for_clients(0);
	finish();
}

TEST(a_proxy_ends_with_sessions_in_every_state)
{
	begin(POLICY);
	int listener = listen_on(SERVER, 80), judged = listen_on(SERVER, 81);
	say("CONN");
	hear(say(CONNECT("server.test:80")), ESTABLISHED);
	hear(say(CONNECT("server.test:81")), ESTABLISHED);
	say(CONNECT("slow.test:80"));
	wait_until_waiting(0, 1);
	hear(say(CONNECT("other.test:80")), "HTTP/1.1 403 ");
	close(accept_from(listener));
	close(accept_from(judged));
	finish();
}

/* ---- bounds ---- */

TEST(so_many_connections_and_no_more)
{
	struct rlimit limit;

	prepare(POLICY);
	OK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = 64;
	OK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	start_proxy();
	int first = say("x");
	for (int i = 1; i < 16; i++)
		say("x");
	STREQ(hear_all(say("")), "");
	in_loop(count);
	EQ(counts.clients, 16);
	EQ(counts.turned_away, 1);
	/* there is room again when one has gone */
	vanish(first);
	wait_for_clients(15);
	HAS(answer_to(CONNECT("other.test:80")), "403 Forbidden");
	finish();
}

TEST(a_proxy_without_descriptors_waits_for_some)
{
	struct rlimit before, none;

	begin(POLICY);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	patiently(client);
	OK(getrlimit(RLIMIT_NOFILE, &before) == 0);
	none = before;
	none.rlim_cur = (rlim_t)client + 1;
	OK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	OK(connect(client, (void *)&proxy_at, sizeof proxy_at) == 0);
	static const char request[] = CONNECT("other.test:80");
	OK(send(client, request, strlen(request), 0) > 0);
	for (int i = 0; i < 5000 && !timer_armed(&proxy->pause); i++)
		usleep(1000);
	OK(timer_armed(&proxy->pause));
	OK(setrlimit(RLIMIT_NOFILE, &before) == 0);
	HAS(hear_all(client), "403 Forbidden");
	finish();
}

TEST_WITHIN(a_thousand_tunnels, 60)
{
	enum { N = 1000 };
	static int clients[N], servers[N];
	struct rlimit limit;

	OK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	if (limit.rlim_max < 5 * N || setrlimit(RLIMIT_NOFILE, &limit) < 0)
		SKIP("%d descriptors are needed", 5 * N);
	begin(POLICY);
	int listener = listen_on(SERVER, 80);
	for (int i = 0; i < N; i++) {
		clients[i] = say(CONNECT("server.test:80"));
		servers[i] = accept_from(listener);
		hear(clients[i], ESTABLISHED);
	}
	in_loop(count);
	EQ(counts.tunnels, N);
	for (int i = 0; i < N; i++) {
		OK(send(clients[i], "a", 1, 0) == 1);
		OK(send(servers[N - 1 - i], "b", 1, 0) == 1);
	}
	for (int i = 0; i < N; i++) {
		hear(servers[i], "a");
		hear(clients[i], "b");
		close(clients[i]);
		close(servers[i]);
	}
	wait_for_clients(0);
	EQ(counts.tunnels, 0);
	EQ(proxy->pool.buffers_used, 0);
	finish();
}

/* ---- observing ---- */

TEST(an_observing_proxy_lets_pass_and_tells)
{
	prepare(POLICY);
	config.observe = true;
	start_proxy();
	int inside = listen_on("127.0.0.1", 80), listener = listen_on(SERVER, 443);
	int client = say(CONNECT("evil.test:80"));
	int server = accept_from(inside);
	hear(client, ESTABLISHED);
	event("NET:OPEN [MED] OBSERVED /bin/tool(42) -> evil.test:80/tcp [policy:net engine:ssrf] "
	      "[reason:");
	in_loop(swap_policy); /* that stops nothing here */
	OK(send(client, "x", 1, 0) == 1);
	hear(server, "x");
	strcpy(asking_exe, "/bin/other");
	hear(say(CONNECT("server.test:443")), ESTABLISHED);
	close(accept_from(listener));
	event("OBSERVED /bin/other(42) -> server.test:443/tcp [policy:- engine:opa]");
	strcpy(asking_exe, "/bin/tool");
	client = say(CONNECT("server.test:443") "\x16\x03\x01");
	server = accept_from(listener);
	hear(client, ESTABLISHED);
	hear(server, "\x16\x03\x01");
	event("NET:OPEN [HIGH] OBSERVED /bin/tool(42) -> server.test:443/tcp [policy:net "
	      "engine:tls]");
	finish();
}

TEST(an_observing_proxy_does_not_lead_to_itself)
{
	static const char *const hosts[] = {"127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"};
	char request[256];

	prepare(POLICY);
	config.observe = true;
	start_proxy();
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		snprintf(request, sizeof request, "CONNECT %s:%u HTTP/1.1\r\nHost: %s:%u\r\n\r\n",
			 hosts[i], ntohs(proxy_at.sin_port), hosts[i], ntohs(proxy_at.sin_port));
		HAS(answer_to(request), "it leads to the proxy itself");
	}
	finish();
}

/* ---- a corporate proxy ---- */

static struct url corporate;
static struct proxy_upstream upstream = {.url = &corporate};

static void behind_a_corporate_proxy(void)
{
	struct err e;

	prepare(POLICY);
	OK(url_parse(&corporate, "http://me:pw@" SERVER ":3128", "p", &e) == 0);
	config.upstream = &upstream;
	start_proxy();
}

TEST(tunnels_leave_by_the_corporate_proxy)
{
	behind_a_corporate_proxy();
	int listener = listen_on(SERVER, 3128);
	int client = say(CONNECT("server.test:80"));
	int server = accept_from(listener);
	hear(server, "CONNECT " SERVER ":80 HTTP/1.1\r\nHost: " SERVER ":80\r\n"
		     "Proxy-Authorization: Basic bWU6cHc=\r\n\r\n");
	OK(send(server, "HTTP/1.1 200 OK\r\n\r\n", 19, 0) == 19);
	hear(client, ESTABLISHED);
	OK(send(client, "x", 1, 0) == 1);
	hear(server, "x");
	upstream.connect_by_hostname = true;
	client = say(CONNECT("server.test:80"));
	server = accept_from(listener);
	hear(server, "CONNECT server.test:80 HTTP/1.1\r\n");
	close(server);
	HAS(hear_all(client), "502 Bad Gateway");
	/* names that lead inside are refused all the same */
	HAS(answer_to(CONNECT("evil.test:80")), "ssrf_denied");
	nobody_came(listener);
	finish();
}

TEST(what_is_exempt_from_the_corporate_proxy_is_dialled)
{
	upstream.no_proxy = "other, 10.9.0.0/16";
	behind_a_corporate_proxy();
	int listener = listen_on(SERVER, 80);
	int client = say(CONNECT("server.test:80"));
	accept_from(listener);
	hear(client, ESTABLISHED);
	finish();
}
