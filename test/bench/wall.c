/*
 * The wall's figures: what a connection through the proxy of a walled-in sandbox costs against the same
 * connection made directly, in the same run. In a network namespace of its own, where a private address
 * is up to which a policy may lead; the server is outside of the sandbox, the client inside.
 *
 *	wall BINARY DIAL SECONDS     all of it, as key=value words; DIAL is dial.py, a client as most programs are
 *	client HOW PORT N SECONDS    what is run inside: HOW is "direct" or "proxy" (http_proxy)
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#include "base/str.h"
#include "base/util.h"
#include "net/netlink.h"

#define ADDRESS "10.9.8.7"
#define PYTHON "/usr/bin/python3"

enum {
	PORT_END = 80,  /* ends the connection at once */
	PORT_SEND = 81, /* sends for as long as it is read */
	CHUNK = 256 << 10,
	CLIENTS_MAX = 64,
};

static const char policy[] = "version: 1\n"
			     "filesystem_policy: {include_workdir: false, read_only: [/]}\n"
			     "process: {run_as_user: \"1000\", run_as_group: \"1000\"}\n"
			     "network_policies:\n"
			     "  bench:\n"
			     "    endpoints: [{host: " ADDRESS ", ports: [80, 81]}]\n"
			     "    binaries: [{path: \"/**\"}]\n";

static void enter_network(void)
{
	struct ifinfomsg up = {.ifi_index = 1, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	struct ifaddrmsg fixed = {.ifa_family = AF_INET, .ifa_prefixlen = 32, .ifa_index = 1};
	struct in_addr in;
	struct nl_batch b;
	struct err e;

	if (unshare(CLONE_NEWNET) < 0)
		die("no network namespace: %s", strerror(errno));
	_cleanup_close_ int fd = nl_open(NETLINK_ROUTE, &e);
	inet_pton(AF_INET, ADDRESS, &in);
	nl_begin(&b);
	nl_message(&b, "set lo up", RTM_NEWLINK, NLM_F_ACK, &up, sizeof up);
	nl_message(&b, "add an address", RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, &fixed,
		   sizeof fixed);
	nl_attr(&b, IFA_LOCAL, &in, sizeof in);
	nl_attr(&b, IFA_ADDRESS, &in, sizeof in);
	if (fd < 0 || nl_exchange(fd, &b, &e) < 0)
		die("%s", e.text);
}

/* ---- the server ---- */

static int listen_on(int port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	const int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, ADDRESS, &at.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (void *)&at, sizeof at) < 0 || listen(fd, 1024) < 0)
		die("listen on " ADDRESS ":%d: %s", port, strerror(errno));
	return fd;
}

static void *accept_senders(void *arg)
{
	int listener = (int)(intptr_t)arg;
	pthread_t t;

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			pthread_create(&t, NULL, bench_send_on, (void *)(intptr_t)fd);
	}
	return NULL;
}

_Noreturn static void serve(int ender, int senders)
{
	pthread_t t;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pthread_create(&t, NULL, accept_senders, (void *)(intptr_t)senders);
	for (;;)
		close(accept4(ender, NULL, NULL, SOCK_CLOEXEC));
}

/* ---- the client ---- */

static struct sockaddr_in to;
static int server_port;
static bool by_proxy;
static int64_t until;

/* A connection to the server; -1 when the proxy or the server does not want it. */
static int dial(void)
{
	char text[512];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (void *)&to, sizeof to) < 0)
		die("connect: %s", strerror(errno));
	if (!by_proxy)
		return fd;
	int n = snprintf(text, sizeof text,
			 "CONNECT " ADDRESS ":%d HTTP/1.1\r\nHost: " ADDRESS ":%d\r\n\r\n",
			 server_port, server_port);
	if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
		die("the proxy hangs up");
	ssize_t got = recv(fd, text, sizeof text - 1, 0);
	text[MAX(got, (ssize_t)0)] = '\0';
	if (strstr(text, " 200 ") == NULL || strstr(text, "\r\n\r\n") == NULL)
		die("the proxy says: %s", text);
	return fd;
}

static void *connect_and_end(void *arg)
{
	struct bench_times *times = arg;
	char byte;

	while (bench_us() < until) {
		int64_t began = bench_us();
		int fd = dial();
		bench_add(times, bench_us() - began);
		while (recv(fd, &byte, 1, 0) > 0)
			;
		close(fd);
	}
	return NULL;
}

static void count_connects(int n, int seconds)
{
	static struct bench_times times[CLIENTS_MAX];
	pthread_t threads[CLIENTS_MAX];
	struct bench_times all = {0};

	for (int i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, connect_and_end, &times[i]);
	for (int i = 0; i < n; i++) {
		pthread_join(threads[i], NULL);
		for (size_t j = 0; j < times[i].n; j++)
			bench_add(&all, times[i].us[j]);
	}
	printf("rate=%zu p50_us=%lld p99_us=%lld\n", all.n / (size_t)seconds,
	       (long long)bench_percentile(&all, 50), (long long)bench_percentile(&all, 99));
}

static void count_bytes(void)
{
	static char bytes[CHUNK];
	int64_t began = bench_us(), total = 0;
	int fd = dial();

	while (bench_us() < until) {
		ssize_t n = recv(fd, bytes, sizeof bytes, 0);
		if (n <= 0)
			die("the tunnel ended");
		total += n;
	}
	printf("mb=%lld\n", (long long)(total / (bench_us() - began)));
}

static void find_proxy(void)
{
	const char *url = getenv("http_proxy");
	struct str rest = str_of(url), host;
	uint64_t port = 0;

	if (!str_skip(&rest, "http://"))
		die("http_proxy=%s", url ? url : "");
	host = str_cut(&rest, ':');
	_cleanup_free_ char *text = str_dup(host);
	if (inet_pton(AF_INET, text, &to.sin_addr) != 1 || !str_u64(rest, &port))
		die("http_proxy=%s", url);
	to.sin_port = htons((uint16_t)port);
	by_proxy = true;
}

int client_main(int argc, char **argv)
{
	if (argc != 5)
		die("usage: bench client direct|proxy PORT IN_FLIGHT SECONDS");
	int n = MIN(atoi(argv[3]), (int)CLIENTS_MAX);
	server_port = atoi(argv[2]);
	to.sin_family = AF_INET;
	to.sin_port = htons((uint16_t)server_port);
	inet_pton(AF_INET, ADDRESS, &to.sin_addr);
	if (streq(argv[1], "proxy"))
		find_proxy();
	until = bench_us() + (int64_t)atoi(argv[4]) * 1000000;
	if (server_port == PORT_SEND)
		count_bytes();
	else
		count_connects(n, atoi(argv[4]));
	return 0;
}

/* ---- both, and the sandbox between them ---- */

/* Runs a command and prints what it says with a prefix to each word. */
static void run(const char *prefix, char *const argv[])
{
	char text[4096];
	size_t at = 0;
	int out[2], status;
	ssize_t n;

	if (pipe(out) < 0)
		die("pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		execv(argv[0], argv);
		die("exec %s: %s", argv[0], strerror(errno));
	}
	close(out[1]);
	while ((n = read(out[0], text + at, sizeof text - 1 - at)) > 0)
		at += (size_t)n;
	close(out[0]);
	text[at] = '\0';
	waitpid(pid, &status, 0);
	if (status != 0)
		die("%s ended with status %d: %s", prefix, status, text);
	for (char *save, *word = strtok_r(text, " \n", &save); word != NULL;
	     word = strtok_r(NULL, " \n", &save))
		printf("%s_%s ", prefix, word);
	fflush(stdout);
}

enum { CLIENT_WORDS = 2 };

/* A client, outside and inside of a sandbox: its first words, then HOW PORT N SECONDS. */
static void measure(const char *name, char *const client[CLIENT_WORDS], char *binary, char *folder,
		    char *port, char *n, char *seconds)
{
	_cleanup_free_ char *file = xasprintf("%s/policy.yaml", folder);
	char *direct[] = {client[0], client[1], "direct", port, n, seconds, NULL};
	char *walled[] = {binary,      "sandbox", "--policy-data", file,
			  "--log-dir", folder,    "--log-level",   "error",
			  "--",        client[0], client[1],       "proxy",
			  port,        n,         seconds,         NULL};
	_cleanup_free_ char *a = xasprintf("direct_%s", name);
	_cleanup_free_ char *b = xasprintf("proxy_%s", name);

	run(a, direct);
	run(b, walled);
}

/* The policy, and the logs of the sandboxes. */
static void make_folder(char *folder)
{
	if (mkdtemp(folder) == NULL)
		die("make %s: %s", folder, strerror(errno));
	_cleanup_free_ char *path = xasprintf("%s/policy.yaml", folder);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, policy, sizeof policy - 1) != (ssize_t)sizeof policy - 1)
		die("write %s: %s", path, strerror(errno));
}

static void remove_folder(const char *folder)
{
	DIR *d = opendir(folder);
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		closedir(d);
	rmdir(folder);
}

int wall_main(int argc, char **argv)
{
	char self[4096], folder[] = "/tmp/bench-wall-XXXXXX";
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (argc != 4)
		die("usage: bench wall BINARY DIAL SECONDS");
	must(n > 0);
	self[n] = '\0';
	char *const fast[] = {self, "client"}, *const ordinary[] = {PYTHON, argv[2]};
	make_folder(folder);
	enter_network();
	int ender = listen_on(PORT_END), senders = listen_on(PORT_SEND);
	pid_t server = fork();
	if (server == 0)
		serve(ender, senders);
	measure("one", fast, argv[1], folder, "80", "1", argv[3]);
	measure("many", fast, argv[1], folder, "80", "16", argv[3]);
	measure("ordinary", ordinary, argv[1], folder, "80", "16", argv[3]);
	measure("bytes", fast, argv[1], folder, "81", "1", argv[3]);
	printf("\n");
	remove_folder(folder);
	kill(server, SIGKILL);
	return 0;
}
