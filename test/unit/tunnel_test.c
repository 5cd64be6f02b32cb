/* src/proxy/tunnel.c over sockets on loopback: two ends in threads of their own, the tunnel in the loop
 * between them. */
#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

static ssize_t fake_splice(int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags);
static int fake_pipe2(int pipe[2], int flags);
#define splice fake_splice
#define pipe2 fake_pipe2
#define fcntl fake_fcntl
static int fake_fcntl(int fd, int what, int size);
#include "../../src/proxy/tunnel.c"
#undef splice
#undef pipe2
#undef fcntl

#include <netinet/in.h>
#include <pthread.h>

#include "test.h"

/* ---- kernels ---- */

static int splice_error; /* what splice(2) says here; 0: it works */
static int pipe_error;
static int pipe_size; /* what a pipe is given; 0: what it asks for */
static int pipes_made, splices;

static ssize_t fake_splice(int in, off_t *in_at, int out, off_t *out_at, size_t n, unsigned flags)
{
	splices++;
	if (splice_error == 0)
		return splice(in, in_at, out, out_at, n, flags);
	errno = splice_error;
	return -1;
}

static int fake_pipe2(int pipe[2], int flags)
{
	pipes_made++;
	if (pipe_error == 0)
		return pipe2(pipe, flags);
	errno = pipe_error;
	return -1;
}

static int fake_fcntl(int fd, int what, int size)
{
	EQ(what, F_SETPIPE_SZ);
	return pipe_size != 0 ? fcntl(fd, what, pipe_size) : MAX(fcntl(fd, what, size), size);
}

/* ---- the two ends ---- */

static struct loop *loop;
static struct tunnel_pool pool;
static struct tunnel tunnel;
static bool ended, may, is_far; /* the server is another machine */
static struct err why;
static int client, server; /* the far ends */

static void on_ended(struct tunnel *t UNUSED, const struct err *e)
{
	OK(!ended);
	ended = true;
	why = e ? *e : (struct err){0};
	loop_stop(loop, 0);
}

static bool on_may_move(struct tunnel *t)
{
	if (!may) {
		tunnel_stop(t);
		loop_stop(loop, 0);
	}
	return may;
}

static void socket_pair(int *near, int *far)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	OK(bind(listener, (void *)&at, sizeof at) == 0 && listen(listener, 1) == 0);
	OK(getsockname(listener, (void *)&at, &n) == 0);
	*far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	OK(connect(*far, (void *)&at, sizeof at) == 0);
	*near = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	OK(*near >= 0);
	close(listener);
}

static void begin(const char *from_client, const char *from_server)
{
	int near_client, near_server;
	struct err e = {0};

	signal(SIGPIPE, SIG_IGN);
	if (loop == NULL)
		OK(loop_new(&loop, &e) == 0);
	socket_pair(&near_client, &client);
	socket_pair(&near_server, &server);
	may = true;
	ended = false;
	tunnel = (struct tunnel){
		.loop = loop,
		.pool = &pool,
		.may_move = on_may_move,
		.ended = on_ended,
		.idle_ms = 60000,
		.half_closed_ms = 60000,
		.far = is_far,
	};
	tunnel_start(&tunnel, near_client, near_server, str_of(from_client), str_of(from_server),
		     &e);
	STREQ(e.text, "");
}

static void tear_down(void)
{
	tunnel_stop(&tunnel);
	tunnel_stop(&tunnel);
	tunnel_pool_fini(&pool);
	loop_free(loop);
	loop = NULL;
}

/* What a far end does in its thread. */
struct script {
	int fd;
	size_t send, receive; /* bytes; then the end is said, then an end is awaited */
	bool slowly;
	int error; /* found instead of an end */
	bool wrong;
};

static char byte_at(size_t i)
{
	return (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void *sender(void *arg)
{
	struct script *s = arg;
	char bytes[8192];
	size_t at = 0;

	while (at < s->send) {
		size_t n = MIN(sizeof bytes, s->send - at);
		for (size_t i = 0; i < n; i++)
			bytes[i] = byte_at(at + i);
		ssize_t put = send(s->fd, bytes, n, MSG_NOSIGNAL);
		if (put < 0)
			return NULL;
		at += (size_t)put;
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

static void *receiver(void *arg)
{
	struct script *s = arg;
	char bytes[8192];
	ssize_t n;

	while ((n = recv(s->fd, bytes, sizeof bytes, 0)) > 0) {
		for (ssize_t i = 0; i < n; i++)
			s->wrong |= bytes[i] != byte_at(s->receive + (size_t)i);
		s->receive += (size_t)n;
		if (s->slowly)
			usleep(50);
	}
	s->error = n < 0 ? errno : 0;
	return NULL;
}

/* Both sides send and receive at the same time; then the tunnel must have ended in order. */
static void exchange(size_t from_client, size_t from_server, bool slowly)
{
	struct script c = {.fd = client, .send = from_client, .slowly = slowly};
	struct script s = {.fd = server, .send = from_server, .slowly = slowly};
	pthread_t threads[4];

	pthread_create(&threads[0], NULL, sender, &c);
	pthread_create(&threads[1], NULL, sender, &s);
	pthread_create(&threads[2], NULL, receiver, &c);
	pthread_create(&threads[3], NULL, receiver, &s);
	loop_run(loop);
	OK(ended);
	STREQ(why.text, "");
	tunnel_stop(&tunnel);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	OK(!c.wrong && !s.wrong);
	EQ(c.error, 0);
	EQ(s.error, 0);
	EQ(c.receive, from_server);
	EQ(s.receive, from_client);
}

/* Runs the loop for a moment. */
static void stop_loop(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

static void run_for(int64_t ms)
{
	struct timer t = {.fire = stop_loop};

	timer_set(loop, &t, ms);
	loop_run(loop);
	timer_stop(loop, &t);
}

/* Until the far end has something to read, an end included. */
static ssize_t receive(int fd, char *out, size_t n)
{
	for (int i = 0; i < 1000; i++) {
		ssize_t got = recv(fd, out, n, MSG_DONTWAIT);
		if (got >= 0 || errno != EAGAIN)
			return got;
		run_for(1);
	}
	FAIL("nothing came");
}

/* ---- tests ---- */

/* Other tunnels have all the buffers. */
static void no_buffers(void)
{
	pool.buffers_used = TUNNEL_BUFFERS_MAX;
}

static void flow(void)
{
	begin(NULL, NULL);
	exchange(5000000, 7000000, false);
	begin(NULL, NULL);
	exchange(0, 1, false);
	begin(NULL, NULL);
	exchange(300000, 0, true);
}

TEST(bytes_flow_both_ways_at_once)
{
	flow();
	EQ(splices, 0);
	EQ(pool.buffers_used, 0);
	OK(pool.buffers_n > 0);
	tear_down();
}

TEST(bytes_flow_by_splice)
{
	no_buffers();
	flow();
	OK(splices > 0);
	EQ(pool.buffers_used, TUNNEL_BUFFERS_MAX);
	EQ(pool.buffers_n, 0);
	tear_down();
}

TEST(bytes_of_another_machine_flow_by_splice)
{
	is_far = true;
	flow();
	OK(splices > 0);
	EQ(pool.buffers_n, 0);
	EQ(pool.pipes_used, 0);
	EQ(pool.pipes_n, pipes_made);
	tear_down();
}

TEST(pipes_that_others_have_are_not_waited_for)
{
	is_far = true;
	pool.pipes_used = TUNNEL_PIPES_MAX;
	flow();
	EQ(splices, 0);
	OK(pool.buffers_n > 0);
	/* neither is there: a small one, and not counted with those */
	no_buffers();
	pipe_size = 4096;
	flow();
	OK(splices > 0);
	EQ(pool.pipes_used, TUNNEL_PIPES_MAX);
	EQ(pool.pipes_n, 0);
	tear_down();
}

TEST(a_kernel_that_gives_small_pipes_is_asked_once)
{
	is_far = true;
	pipe_size = 65536;
	flow();
	EQ(splices, 0);
	EQ(pipes_made, 1);
	OK(pool.no_whole_pipe);
	EQ(pool.pipes_used, 0);
	tear_down();
}

TEST(bytes_flow_without_splice)
{
	static const int errors[] = {EINVAL, ENOSYS, EPERM};

	no_buffers();
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		splice_error = errors[i];
		splices = 0;
		pool.no_splice = false;
		begin(NULL, NULL);
		exchange(2000000, 3000000, false);
		EQ(splices, 1); /* asked once, by the first of all tunnels */
		OK(pool.no_splice);
	}
	tear_down();
}

TEST(bytes_flow_without_a_descriptor_for_a_pipe)
{
	no_buffers();
	pipe_error = EMFILE;
	begin(NULL, NULL);
	exchange(2000000, 3000000, false);
	OK(!pool.no_splice); /* another time there is one */
	pipe_error = 0;
	begin(NULL, NULL);
	exchange(10, 10, false);
	OK(splices > 0);
	tear_down();
}

TEST(what_was_read_before_goes_first)
{
	char bytes[32] = {0};

	begin("hello ", "welcome ");
	OK(send(client, "server", 6, 0) == 6);
	OK(send(server, "client", 6, 0) == 6);
	for (size_t n = 0; n < 12;)
		n += (size_t)receive(server, bytes + n, sizeof bytes - n);
	STREQ(bytes, "hello server");
	memset(bytes, 0, sizeof bytes);
	for (size_t n = 0; n < 14;)
		n += (size_t)receive(client, bytes + n, sizeof bytes - n);
	STREQ(bytes, "welcome client");
	tear_down();
}

TEST(an_end_is_passed_on_and_the_other_way_stays_open)
{
	char byte;

	begin(NULL, NULL);
	shutdown(client, SHUT_WR);
	EQ(receive(server, &byte, 1), 0);
	OK(send(server, "x", 1, 0) == 1);
	EQ(receive(client, &byte, 1), 1);
	OK(!ended);
	shutdown(server, SHUT_WR);
	EQ(receive(client, &byte, 1), 0);
	OK(ended);
	STREQ(why.text, "");
	tear_down();
}

static void reset(int fd)
{
	const struct linger linger = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	close(fd);
}

TEST(a_reset_is_passed_on_as_a_reset)
{
	char byte;

	for (int i = 0; i < 2; i++) {
		begin(NULL, NULL);
		reset(i == 0 ? server : client);
		loop_run(loop);
		OK(ended);
		HAS(why.text, i == 0 ? "read from the server: " : "read from the client: ");
		tunnel_stop(&tunnel);
		EQ(recv(i == 0 ? client : server, &byte, 1, 0), -1);
		EQ(errno, ECONNRESET);
	}
	tear_down();
}

TEST(a_tunnel_that_is_stopped_is_no_orderly_end)
{
	char byte;

	begin(NULL, NULL);
	tunnel_stop(&tunnel);
	EQ(recv(client, &byte, 1, 0), -1);
	EQ(errno, ECONNRESET);
	EQ(recv(server, &byte, 1, 0), -1);
	tear_down();
}

TEST(a_client_that_goes_after_its_end_is_noticed)
{
	begin(NULL, NULL);
	shutdown(client, SHUT_WR);
	run_for(20);
	OK(!ended);
	reset(client);
	loop_run(loop);
	OK(ended);
	tear_down();
}

TEST(last_words_are_delivered_to_a_slow_receiver)
{
	struct script s = {.slowly = true};
	char bytes[4096];
	size_t sent = 0;
	pthread_t t;

	memset(bytes, 'x', sizeof bytes);
	begin(NULL, NULL);
	/* as much as fits, then the sender is gone for good */
	for (int idle = 0; idle < 3;) {
		ssize_t n = send(server, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0)
			sent += (size_t)n;
		idle = n > 0 ? 0 : idle + 1;
		if (n < 0)
			run_for(5);
	}
	close(server);
	shutdown(client, SHUT_WR);
	run_for(50); /* nothing can be moved, and that takes no turns of the loop */
	s.fd = client;
	pthread_create(&t, NULL, receiver, &s);
	loop_run(loop);
	tunnel_stop(&tunnel);
	pthread_join(t, NULL);
	EQ(s.receive, sent);
	EQ(s.error, 0);
	STREQ(why.text, "");
	tear_down();
}

/* Nobody reads, until something is held. */
static void stall(size_t most)
{
	char bytes[65536] = {0};

	begin(NULL, NULL);
	for (int i = 0; i < 500; i++) {
		(void)send(client, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		run_for(0);
		OK(held(&tunnel.ways[0]) <= most);
	}
	OK(held(&tunnel.ways[0]) > 0);
}

static void go_on(void)
{
	char bytes[65536];

	while (recv(server, bytes, sizeof bytes, MSG_DONTWAIT) > 0 || held(&tunnel.ways[0]) > 0)
		run_for(1);
}

TEST(what_is_under_way_is_bounded_and_buffers_are_given_back)
{
	stall(TUNNEL_BUFFER);
	EQ(pool.buffers_used, 1);
	go_on();
	EQ(pool.buffers_used, 0);
	EQ(pool.buffers_n, 1);
	tunnel_stop(&tunnel);
	stall(TUNNEL_BUFFER);
	tunnel_stop(&tunnel); /* with bytes in it */
	EQ(pool.buffers_used, 0);
	EQ(pool.buffers_n, 1);
	tear_down();
}

TEST(what_is_under_way_is_bounded_and_pipes_are_given_back)
{
	no_buffers();
	stall(TUNNEL_PIPE);
	EQ(pool.pipes_n, 0);
	go_on();
	EQ(pool.pipes_n, 1);
	EQ(pipes_made, 1);
	tear_down();
}

TEST(so_many_stalled_tunnels_have_a_buffer_and_the_others_a_pipe)
{
	enum { N = TUNNEL_BUFFERS_MAX + 3 };
	static struct tunnel stalled[N];
	char bytes[65536] = {0};
	int clients[N], near[2];
	struct err e;

	begin(NULL, NULL);
	for (int i = 0; i < N; i++) {
		int other;
		socket_pair(&near[0], &clients[i]);
		socket_pair(&near[1], &other);
		stalled[i] = (struct tunnel){
			.loop = loop,
			.pool = &pool,
			.ended = on_ended,
			.idle_ms = 60000,
			.half_closed_ms = 60000,
		};
		OK(tunnel_start(&stalled[i], near[0], near[1], STR_NONE, STR_NONE, &e) == 0);
		while (held(&stalled[i].ways[0]) == 0) {
			(void)send(clients[i], bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
			run_for(0);
		}
	}
	EQ(pool.buffers_used, TUNNEL_BUFFERS_MAX);
	EQ(pipes_made, N - TUNNEL_BUFFERS_MAX);
	exchange(300000, 300000, false);
	for (int i = 0; i < N; i++)
		tunnel_stop(&stalled[i]);
	EQ(pool.buffers_used, 0);
	EQ(pool.buffers_n, TUNNEL_BUFFERS_KEPT);
	tear_down();
}

TEST(a_tunnel_with_bytes_in_its_pipe_does_not_give_them_to_another)
{
	char bytes[65536];

	no_buffers();
	memset(bytes, 'x', sizeof bytes);
	begin(NULL, NULL);
	while (held(&tunnel.ways[0]) == 0) {
		(void)send(client, bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		run_for(0);
	}
	tunnel_stop(&tunnel);
	EQ(pool.pipes_n, 0);
	begin(NULL, NULL);
	exchange(100000, 100000, false);
	tear_down();
}

TEST(silence_ends_it)
{
	begin(NULL, NULL);
	tunnel.idle_ms = 50;
	timer_set(loop, &tunnel.idle, 0);
	loop_run(loop);
	OK(ended);
	EQ(why.code, ETIMEDOUT);
	tunnel_stop(&tunnel);

	begin(NULL, NULL);
	tunnel.half_closed_ms = 30;
	shutdown(client, SHUT_WR);
	timer_set(loop, &tunnel.idle, 0);
	loop_run(loop);
	OK(ended);
	EQ(why.code, ETIMEDOUT);
	tear_down();
}

TEST(it_asks_whether_it_may)
{
	char byte;

	begin(NULL, NULL);
	may = false;
	OK(send(client, "x", 1, 0) == 1);
	loop_run(loop);
	OK(!ended);
	EQ(recv(server, &byte, 1, 0), -1);
	EQ(errno, ECONNRESET);
	tear_down();
}
