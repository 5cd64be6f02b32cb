/* The workload: steps, each of which prints what came of it. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "base/util.h"
#include "hosts_impl.h"

enum { ANSWER_MAX = 64 << 10, WAIT_MS = 20000, GROUPS_MAX = 64, INTERFACES_MAX = 64, HOLD_S = 600 };

/* ---- sockets ---- */

/* "10.0.0.1:80", names are not needed here. */
static bool read_address(const char *text, struct sockaddr_in *out)
{
	struct str port = str_of(text), host = str_cut(&port, ':');
	_cleanup_free_ char *address = str_dup(host);
	uint64_t n = 0;

	*out = (struct sockaddr_in){.sin_family = AF_INET};
	if (!str_u64(port, &n) || n > UINT16_MAX ||
	    inet_pton(AF_INET, address, &out->sin_addr) != 1)
		return false;
	out->sin_port = htons((in_port_t)n);
	return true;
}

/* A connected socket, or -1 with errno. A datagram is sent, and any refusal of it waited for. */
static int reach(const char *where, int type)
{
	const struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	struct sockaddr_in at;

	errno = EINVAL;
	_cleanup_close_ int fd =
		read_address(where, &at) ? socket(AF_INET, type | SOCK_CLOEXEC, 0) : -1;
	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0 ||
	    (type == SOCK_DGRAM && send(fd, "x", 1, 0) < 0))
		return -1;
	return steal_fd(&fd);
}

static int reach_proxy(void)
{
	struct str url = str_of(getenv("http_proxy"));

	str_skip(&url, "http://");
	_cleanup_free_ char *where = str_dup(str_cut(&url, '/'));
	return reach(where, SOCK_STREAM);
}

/* Sends the request and reads the head of the answer, and what its Content-Length says of the body. Reads
 * byte by byte, so as to leave what follows in the socket. */
static int exchange(int fd, const char *request, char *answer, size_t room)
{
	size_t n = 0, want = 0;

	if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
		return -1;
	while (n + 1 < room && (want == 0 || n < want)) {
		if (recv(fd, answer + n, 1, 0) != 1)
			break;
		answer[++n] = '\0';
		if (want == 0 && n >= 4 && memcmp(answer + n - 4, "\r\n\r\n", 4) == 0) {
			const char *length = strcasestr(answer, "\r\ncontent-length:");
			want = n + (length ? strtoul(length + 17, NULL, 10) : 0);
		}
	}
	return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

static const char *body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");

	return end ? end + 4 : "";
}

/* ---- steps ---- */

static void put_status(cJSON *o)
{
	static const char *const wanted[] = {"Uid",    "Gid",    "Groups", "CapInh",     "CapPrm",
					     "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"};
	char line[512];
	_cleanup_file_ FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof line, f)) {
		struct str rest = str_of(line), key = str_cut(&rest, ':');
		_cleanup_free_ char *value = str_dup(str_trim(rest));
		for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
			if (str_is(key, wanted[i]))
				json_put_str(o, wanted[i], value);
	}
}

static void put_file(cJSON *o, const char *key, const char *path)
{
	char text[4096];
	_cleanup_file_ FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

	text[n] = '\0';
	json_put_str(o, key, text);
}

static void put_variables(cJSON *o)
{
	extern char **environ;
	cJSON *all = json_put_object(o, "environment");

	for (char **v = environ; *v; v++) {
		struct str value = str_of(*v);
		_cleanup_free_ char *name = str_dup(str_cut(&value, '='));
		_cleanup_free_ char *text = str_dup(value);
		json_put_str(all, name, text);
	}
}

/* Of a folder that every host has and no policy here gives. */
static void put_mode(cJSON *o, const char *key, const char *path)
{
	struct stat st;

	json_put_int(o, key, stat(path, &st) == 0 ? (int)(st.st_mode & 07777) : -errno);
}

static int step_report(cJSON *o, const char *argument UNUSED)
{
	cJSON *interfaces = json_put_array(o, "interfaces");
	char name[IF_NAMESIZE];

	for (unsigned i = 1; i < INTERFACES_MAX; i++)
		if (if_indextoname(i, name))
			json_add_str(interfaces, name);
	put_mode(o, "sys", "/sys");
	put_status(o);
	put_file(o, "uid_map", "/proc/self/uid_map");
	put_file(o, "first", "/proc/1/comm");
	json_put_int(o, "parent", getppid());
	put_variables(o);
	return -1;
}

static int step_get(cJSON *o, const char *url)
{
	static char answer[ANSWER_MAX];
	struct str host = str_of(url);

	str_skip(&host, "http://");
	host = str_cut(&host, '/');
	_cleanup_free_ char *request =
		xasprintf("GET %s HTTP/1.1\r\nHost: %.*s\r\n\r\n", url, STR_FMT(host));
	_cleanup_close_ int fd = reach_proxy();
	if (fd < 0) {
		json_put_int(o, "error", errno);
		return -1;
	}
	json_put_int(o, "status", exchange(fd, request, answer, sizeof answer));
	json_put_str(o, "body", body_of(answer));
	return -1;
}

static int step_connect(cJSON *o, const char *where)
{
	static char answer[ANSWER_MAX];
	_cleanup_free_ char *head =
		xasprintf("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", where, where);
	_cleanup_free_ char *request = xasprintf("GET / HTTP/1.1\r\nHost: %s\r\n\r\n", where);

	_cleanup_close_ int fd = reach_proxy();
	if (fd < 0) {
		json_put_int(o, "error", errno);
		return -1;
	}
	int status = exchange(fd, head, answer, sizeof answer);
	json_put_int(o, "status", status);
	if (status == 200)
		json_put_int(o, "inside", exchange(fd, request, answer, sizeof answer));
	json_put_str(o, "body", body_of(answer));
	return -1;
}

static void go_round(cJSON *o, const char *where, int type)
{
	int64_t began = mono_ms();

	_cleanup_close_ int fd = reach(where, type);
	int error = errno;
	json_put_int(o, "ms", mono_ms() - began);
	json_put_int(o, "error", fd < 0 ? error : 0);
}

static int step_dial(cJSON *o, const char *where)
{
	go_round(o, where, SOCK_STREAM);
	return -1;
}

static int step_datagram(cJSON *o, const char *where)
{
	go_round(o, where, SOCK_DGRAM);
	return -1;
}

/* Until it is killed: what a workload that will not end does. */
static int step_hold(cJSON *o, const char *argument UNUSED)
{
	signal(SIGTERM, SIG_IGN);
	json_put_int(o, "slept", HOLD_S - (int)sleep(HOLD_S));
	return -1;
}

/* Gives everybody who connects what they send, one after the other, until it is killed. */
static int step_echo(cJSON *o, const char *port)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons((in_port_t)atoi(port))};
	static char bytes[64 << 10];
	const int on = 1;

	_cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
	    bind(listener, (const struct sockaddr *)&at, sizeof at) < 0 ||
	    listen(listener, 8) < 0) {
		json_put_str(o, "error", strerror(errno));
		return 1;
	}
	for (;;) {
		_cleanup_close_ int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		ssize_t n;

		while ((n = recv(fd, bytes, sizeof bytes, 0)) > 0)
			if (send(fd, bytes, (size_t)n, MSG_NOSIGNAL) < 0)
				break;
	}
}

/* All of its input. */
static int step_read(cJSON *o, const char *argument UNUSED)
{
	static char text[4096];
	size_t n = fread(text, 1, sizeof text - 1, stdin);

	text[n] = '\0';
	json_put_str(o, "text", text);
	return -1;
}

static int step_exit(cJSON *o, const char *code)
{
	json_put_str(o, "code", code);
	return atoi(code);
}

static const struct {
	const char *name;
	bool argument;
	int (*run)(cJSON *o, const char *argument); /* the exit code, or -1: go on */
} steps[] = {
	{"report", false, step_report},    {"get", true, step_get},
	{"connect", true, step_connect},   {"dial", true, step_dial},
	{"datagram", true, step_datagram}, {"hold", false, step_hold},
	{"echo", true, step_echo},         {"read", false, step_read},
	{"exit", true, step_exit},
};

/* One step, and where the next is. */
static int run_step(char ***next)
{
	const char *name = *(*next)++;

	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (!streq(name, steps[i].name) || (steps[i].argument && **next == NULL))
			continue;
		_cleanup_json_ cJSON *o = json_object();
		json_put_str(o, "step", name);
		int code = steps[i].run(o, steps[i].argument ? *(*next)++ : NULL);
		_cleanup_free_ char *text = json_text(o);
		puts(text);
		fflush(stdout);
		return code;
	}
	fprintf(stderr, "hosts: %s: not a step, or without what it needs\n", name);
	return 2;
}

int run_steps(char **next)
{
	int code = -1;

	while (*next && code < 0)
		code = run_step(&next);
	return MAX(code, 0);
}
