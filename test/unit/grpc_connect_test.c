/* grpc/connect.c, against sockets on loopback that accept, refuse, or accept and say nothing. TLS that works, or
 * does not because of a certificate, is shown by test/hosts. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "grpc/connect.h"
#include "test.h"

static struct loop *loop;
static struct resolver *resolver;
static struct tls_client *tls;
static struct conn *got;
static struct err why;
static int calls;

static void done(void *owner, struct conn *c, const struct err *e)
{
	EQ(owner == &calls, 1);
	calls++;
	got = c;
	if (c == NULL)
		why = *e;
	loop_stop(loop, 0);
}

/* A socket whose backlog takes connections, and nobody else does. */
static int listener(uint16_t *port)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof sa;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	OK(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0 && listen(fd, 4) == 0);
	OK(getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
	*port = ntohs(sa.sin_port);
	return fd;
}

static struct grpc_connect *begin(uint16_t port, bool with_tls, int64_t ms)
{
	static const char *alpn[] = {"h2", NULL};
	struct err e;

	OK(loop_new(&loop, &e) == 0 && resolver_new(&resolver, loop, &e) == 0);
	if (with_tls)
		OK(tls_client_new(&tls, &(struct tls_client_config){.insecure = true, .alpn = alpn},
				  &e) == 0);
	return grpc_connect_start(loop, resolver,
				  &(struct grpc_connect_config){
					  .host = "127.0.0.1",
					  .port = port,
					  .tls = tls,
					  .timeout_ms = ms,
					  .done = done,
					  .owner = &calls,
				  });
}

static void finish(void)
{
	conn_free(got);
	tls_client_unref(tls);
	resolver_free(resolver);
	loop_free(loop);
}

TEST(connects_in_plain_text)
{
	uint16_t port;
	int fd = listener(&port);

	begin(port, false, 10000);
	loop_run(loop);
	OK(got != NULL);
	EQ(calls, 1);
	finish();
	close(fd);
}

TEST(who_refuses_is_named)
{
	char address[32];
	uint16_t port;

	close(listener(&port));
	snprintf(address, sizeof address, "127.0.0.1:%u", port);
	begin(port, true, 10000);
	loop_run(loop);
	OK(got == NULL);
	HAS(why.text, address);
	HAS(why.text, "refused");
	finish();
}

TEST(a_handshake_that_is_not_answered_ends)
{
	uint16_t port;
	int fd = listener(&port);

	begin(port, true, 50);
	loop_run(loop);
	OK(got == NULL);
	EQ(calls, 1);
	EQ(why.code, ETIMEDOUT);
	HAS(why.text, "no answer within 50 ms");
	finish();
	close(fd);
}

static void stop(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

TEST(what_is_cancelled_is_not_told)
{
	struct timer soon = {.fire = stop};
	uint16_t port;
	int fd = listener(&port);

	struct grpc_connect *g = begin(port, true, 10000);
	timer_set(loop, &soon, test_ms(20)); /* in the handshake by then */
	loop_run(loop);
	grpc_connect_cancel(g);
	timer_set(loop, &soon, 0);
	loop_run(loop);
	EQ(calls, 0);
	finish();
	close(fd);
}
