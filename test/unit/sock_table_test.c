/* net/sock_table: lines of /proc/net/tcp, and real ones. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/sock_table.h"
#include "test.h"

static const char *text(const struct in6_addr *a)
{
	static char out[INET6_ADDRSTRLEN];

	return inet_ntop(AF_INET6, a, out, sizeof out);
}

static bool is_little_endian(void)
{
	return htons(1) != 1;
}

TEST(sock_table_lines)
{
	struct sock_query q;

	if (!is_little_endian())
		SKIP("the words of the examples are those of little-endian machines");
	OK(sock_table_parse(
		STR("   3: 0200C80A:9C40 0100C80A:0C38 01 00000000:00000000 00:00000000 "
		    "00000000  1000        0 12345 1 0000000000000000 20 4 30 10 -1"),
		&q));
	STREQ(text(&q.local.address), "::ffff:10.200.0.2");
	EQ(q.local.port, 40000);
	STREQ(text(&q.remote.address), "::ffff:10.200.0.1");
	EQ(q.remote.port, 3128);
	EQ(q.state, TCP_ESTABLISHED);
	EQ(q.uid, 1000);
	EQ(q.inode, 12345);
	OK(sock_table_parse(STR("12: B80D0120000000000000000001000000:0001 "
				"0000000000000000FFFF00000100007F:0002 08 0:0 0:0 0 0 0 7"),
			    &q));
	STREQ(text(&q.local.address), "2001:db8::1");
	STREQ(text(&q.remote.address), "::ffff:127.0.0.1");
	EQ(q.state, TCP_CLOSE_WAIT);
	EQ(q.inode, 7);
}

TEST(sock_table_lines_that_are_none)
{
	struct sock_query q;
	const struct str good = STR("0: 0100007F:0001 0100007F:0002 01 0:0 0:0 0 0 0 7");

	OK(sock_table_parse(good, &q));
	for (size_t n = 0; n < good.n; n++)
		OK(!sock_table_parse(str_sub(good.p, n), &q));
	OK(!sock_table_parse(STR("  sl  local_address rem_address   st tx_queue rx_queue"), &q));
	OK(!sock_table_parse(STR("0: 0100007g:0001 0100007F:0002 01 0:0 0:0 0 0 0 7"), &q));
	OK(!sock_table_parse(STR("0: 100007F:0001 0100007F:0002 01 0:0 0:0 0 0 0 7"), &q));
	OK(!sock_table_parse(STR("0: 0100007F:00001 0100007F:0002 01 0:0 0:0 0 0 0 7"), &q));
	OK(!sock_table_parse(STR("0: 0100007F:0001 0100007F:0002 1 0:0 0:0 0 0 0 7"), &q));
	OK(!sock_table_parse(STR("0: 0100007F:0001 0100007F:0002 01 0:0 0:0 0 -1 0 7"), &q));
	OK(!sock_table_parse(STR("0: 0100007F:0001 0100007F:0002 01 0:0 0:0 0 0 0 4294967296"),
			     &q));
	OK(!sock_table_parse(STR_NONE, &q));
}

static struct sock_end end_at(int fd, int (*name)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_storage sa;
	struct sock_end end;
	socklen_t n = sizeof sa;

	OK(name(fd, (struct sockaddr *)&sa, &n) == 0);
	OK(sock_end_of(&sa, &end));
	return end;
}

static void finds_client(int family, pid_t in)
{
	struct sockaddr_storage sa = {.ss_family = (sa_family_t)family};
	struct sockaddr_in *v4 = (void *)&sa;
	struct sockaddr_in6 *v6 = (void *)&sa;
	socklen_t n = family == AF_INET ? sizeof *v4 : sizeof *v6;
	int server = socket(family, SOCK_STREAM, 0), client = socket(family, SOCK_STREAM, 0);
	struct stat st;

	NOT_EMULATED("tables of sockets");
	if (family == AF_INET)
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		v6->sin6_addr = in6addr_loopback;
	if (bind(server, (void *)&sa, n) < 0)
		SKIP("no such address here: %s", strerror(errno));
	OK(listen(server, 1) == 0 && getsockname(server, (void *)&sa, &n) == 0);
	OK(connect(client, (void *)&sa, n) == 0);
	struct sock_query q[] = {
		{.protocol = IPPROTO_TCP,
		 .local = end_at(client, getsockname),
		 .remote = end_at(client, getpeername),
		 .error = ENOENT},
		{.protocol = IPPROTO_TCP, .error = ENOENT},
		{.protocol = IPPROTO_TCP, .error = ENOTCONN},
	};
	q[1].local = q[0].local;
	q[2].local = q[0].local;
	q[2].remote = q[0].remote;
	sock_table_find(in, q, 3);
	OK(fstat(client, &st) == 0);
	EQ(q[0].error, 0);
	EQ(q[0].inode, st.st_ino);
	EQ(q[0].uid, geteuid());
	EQ(q[1].error, ENOENT);   /* has another end */
	EQ(q[2].error, ENOTCONN); /* is answered already */
	close(client);
	close(server);
}

TEST(sock_table_finds_sockets)
{
	finds_client(AF_INET, getpid());
	finds_client(AF_INET6, getpid());
}

TEST(sock_table_that_is_not_there_answers_nothing)
{
	struct sock_query q = {.protocol = IPPROTO_TCP, .error = ENOENT};

	sock_table_find(INT32_MAX, &q, 1);
	EQ(q.error, ENOENT);
}

/* The keeper, by its tables, may be asked even where it may not be looked into. */
TEST(sock_table_of_a_process_that_hides)
{
	int ready[2];
	char byte;

	if (geteuid() == 0)
		OK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0 &&
		   prctl(PR_SET_DUMPABLE, 1) == 0);
	OK(pipe(ready) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_DUMPABLE, 0);
		_exit(write(ready[1], "x", 1) == 1 ? pause() : 1);
	}
	OK(read(ready[0], &byte, 1) == 1);
	finds_client(AF_INET, pid);
	kill(pid, SIGKILL);
}
