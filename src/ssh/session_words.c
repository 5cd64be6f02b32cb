#include <arpa/inet.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

#include "base/util.h"
#include "ssh/session_words.h"

enum { CTRL_P = 0x10, CTRL_Q = 0x11, LOOPBACK_NET = 127 };

/* ---- hosts ---- */

static bool loopback4(const struct in_addr *a, char out[SESSION_HOST_MAX])
{
	return ntohl(a->s_addr) >> 24 == LOOPBACK_NET &&
	       inet_ntop(AF_INET, a, out, SESSION_HOST_MAX) != NULL;
}

static bool loopback6(const struct in6_addr *a, char out[SESSION_HOST_MAX])
{
	struct in_addr four;

	if (IN6_IS_ADDR_LOOPBACK(a))
		return inet_ntop(AF_INET6, a, out, SESSION_HOST_MAX) != NULL;
	if (!IN6_IS_ADDR_V4MAPPED(a))
		return false;
	memcpy(&four, &a->s6_addr[12], sizeof four);
	return loopback4(&four, out);
}

bool session_loopback(const char *host, char out[SESSION_HOST_MAX])
{
	struct in6_addr six;
	struct in_addr four;

	if (strcasecmp(host, "localhost") == 0) {
		memcpy(out, "localhost", sizeof "localhost");
		return true;
	}
	if (inet_pton(AF_INET, host, &four) == 1)
		return loopback4(&four, out);
	return inet_pton(AF_INET6, host, &six) == 1 && loopback6(&six, out);
}

/* ---- signals ---- */

static const struct {
	const char *name;
	int number;
} signals[] = {
	{"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"FPE", SIGFPE},   {"HUP", SIGHUP},
	{"ILL", SIGILL},   {"INT", SIGINT},   {"KILL", SIGKILL}, {"PIPE", SIGPIPE},
	{"QUIT", SIGQUIT}, {"SEGV", SIGSEGV}, {"TERM", SIGTERM}, {"USR1", SIGUSR1},
	{"USR2", SIGUSR2},
};

int session_signal_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (streq(name, signals[i].name))
			return signals[i].number;
	return 0;
}

const char *session_signal_name(int signo)
{
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (signals[i].number == signo)
			return signals[i].name;
	return NULL;
}

/* ---- keys ---- */

bool session_keys_feed(struct session_keys *k, const char *typed, size_t n, char *to, size_t *kept)
{
	*kept = 0;
	for (size_t i = 0; i < n; i++) {
		if (k->held && typed[i] == CTRL_Q)
			return true;
		if (k->held)
			to[(*kept)++] = CTRL_P;
		k->held = typed[i] == CTRL_P;
		if (!k->held)
			to[(*kept)++] = typed[i];
	}
	return false;
}
