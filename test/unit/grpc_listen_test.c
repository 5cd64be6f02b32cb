/* The listener of src/grpc: who may come in, and what happens when there is no room. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/util.h"
#include "grpc/client.h"
#include "grpc/health.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/server.h"
#include "test.h"

static struct loop *loop;
static struct grpc_server *server;
static struct grpc_health *health;
static char path[100];
static bool welcome = true;
static int asked, lost;

static bool admit(void *arg, int fd)
{
	OK(arg == &asked);
	OK(fcntl(fd, F_GETFL) & O_NONBLOCK);
	OK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	asked++;
	return welcome;
}

static void set_up(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct err e;

	snprintf(path, sizeof path, "/tmp/grpc-listen-test-%d", (int)getpid());
	strcpy(sa.sun_path, path);
	OK(loop_new(&loop, &e) == 0);
	server = grpc_server_new(loop, &GRPC_CONFIG_DEFAULT);
	health = grpc_health_new(server);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	OK(bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 && listen(fd, 10) == 0);
	OK(grpc_server_listen(server, fd, admit, &asked, &e) == 0);
}

static void tear_down(void)
{
	grpc_server_free(server);
	grpc_health_free(health);
	loop_free(loop);
	unlink(path);
}

static void on_lost(void *arg UNUSED, const struct err *why UNUSED)
{
	lost++;
	loop_stop(loop, 0);
}

static struct grpc_channel *dial(void)
{
	struct grpc_channel *ch;
	struct err e;

	OK(grpc_channel_unix(&ch, loop, path, &GRPC_CHANNEL_CONFIG_DEFAULT, on_lost, NULL, &e) ==
	   0);
	return ch;
}

static enum grpc_status status;
static bool ended;

static void on_ended(struct grpc_rpc *r UNUSED, enum grpc_status s, struct str text UNUSED)
{
	status = s;
	ended = true;
	loop_stop(loop, 0);
}

static enum grpc_status check(struct grpc_channel *ch)
{
	static const struct grpc_rpc_ops ops = {.ended = on_ended};
	const struct grpc_rpc_config cfg = {
		.path = "/grpc.health.v1.Health/Check",
		.out = &grpc__health__v1__health_check_response__descriptor,
	};
	Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

	ended = false;
	grpc_rpc_call(ch, &cfg, &q, &ops, NULL);
	while (!ended)
		loop_run(loop);
	return status;
}

static void stop_now(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

static void run_for(int64_t ms)
{
	struct timer t = {.fire = stop_now};

	timer_set(loop, &t, ms);
	loop_run(loop);
	timer_stop(loop, &t);
}

TEST(whoever_is_admitted_is_served)
{
	set_up();
	struct grpc_channel *a = dial(), *b = dial();
	EQ(check(a), GRPC_OK);
	EQ(check(b), GRPC_OK);
	EQ(asked, 2);
	EQ(grpc_server_connections(server), 2);
	grpc_channel_free(a);
	grpc_channel_free(b);
	tear_down();
}

TEST(whoever_is_not_is_dropped_without_a_word)
{
	set_up();
	welcome = false;
	struct grpc_channel *a = dial();
	EQ(check(a), GRPC_UNAVAILABLE);
	while (lost == 0)
		loop_run(loop);
	EQ(grpc_server_connections(server), 0);
	welcome = true;
	struct grpc_channel *b = dial();
	EQ(check(b), GRPC_OK);
	grpc_channel_free(a);
	grpc_channel_free(b);
	tear_down();
}

TEST(without_descriptors_accepting_pauses_and_goes_on)
{
	struct rlimit was, tight;

	set_up();
	struct grpc_channel *a = dial();
	int highest = dup(0);
	close(highest);
	OK(getrlimit(RLIMIT_NOFILE, &was) == 0);
	tight = (struct rlimit){(rlim_t)highest, was.rlim_max};
	OK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
	run_for(50);
	EQ(grpc_server_connections(server), 0);
	EQ(asked, 0);
	OK(setrlimit(RLIMIT_NOFILE, &was) == 0);
	EQ(check(a), GRPC_OK);
	grpc_channel_free(a);
	tear_down();
}

static void on_drained(void *arg UNUSED)
{
}

TEST(a_draining_server_listens_no_more)
{
	struct grpc_channel *ch;
	struct err e;

	set_up();
	grpc_server_drain(server, 1000, on_drained, NULL);
	EQ(grpc_channel_unix(&ch, loop, path, &GRPC_CHANNEL_CONFIG_DEFAULT, NULL, NULL, &e), -1);
	HAS(e.text, "connect to /tmp/");
	tear_down();
}

TEST(a_path_that_is_too_long_is_said)
{
	struct grpc_channel *ch;
	char longer[200] = "";
	struct err e;

	set_up();
	memset(longer, 'x', sizeof longer - 1);
	EQ(grpc_channel_unix(&ch, loop, longer, &GRPC_CHANNEL_CONFIG_DEFAULT, NULL, NULL, &e), -1);
	HAS(e.text, "the name of a socket may have");
	tear_down();
}
