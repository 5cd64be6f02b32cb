/* ssh/session_words: what is loopback, signals, the keys that detach. */
#include <signal.h>
#include <string.h>

#include "base/util.h"
#include "ssh/session_words.h"
#include "test.h"

static const char *loopback(const char *host)
{
	static char out[SESSION_HOST_MAX];

	return session_loopback(host, out) ? out : "";
}

TEST(session_knows_what_is_loopback)
{
	STREQ(loopback("localhost"), "localhost");
	STREQ(loopback("LocalHost"), "localhost");
	STREQ(loopback("127.0.0.1"), "127.0.0.1");
	STREQ(loopback("127.255.3.4"), "127.255.3.4");
	STREQ(loopback("::1"), "::1");
	STREQ(loopback("0:0:0:0:0:0:0:1"), "::1");
	STREQ(loopback("::ffff:127.0.0.1"), "127.0.0.1");
	STREQ(loopback("::ffff:7f01:203"), "127.1.2.3");
}

TEST(session_takes_nothing_else_for_loopback)
{
	static const char *const others[] = {
		"",
		"0.0.0.0",
		"128.0.0.1",
		"126.255.255.255",
		"10.200.0.1",
		"127.1",
		"127.0.0.1.",
		"0x7f.0.0.1",
		"2130706433",
		"0177.0.0.1",
		"127.0.0.1 ",
		" 127.0.0.1",
		"127.0.0.1\n",
		"localhost.",
		"localhost.localdomain",
		"::",
		"::2",
		"::127.0.0.1",
		"::ffff:128.0.0.1",
		"[::1]",
		"::1%lo",
		"fe80::1",
		"64:ff9b::7f00:1",
		"localhost6",
		"ip6-localhost",
		"127.0.0.1:80",
		"/run/socket",
		"example.com",
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		STREQ(loopback(others[i]), "");
}

TEST(session_knows_signals_by_name)
{
	EQ(session_signal_number("TERM"), SIGTERM);
	EQ(session_signal_number("KILL"), SIGKILL);
	EQ(session_signal_number("SIGTERM"), 0);
	EQ(session_signal_number("STOP"), 0);
	EQ(session_signal_number(""), 0);
	STREQ(session_signal_name(SIGSEGV), "SEGV");
	OK(session_signal_name(SIGSTOP) == NULL);
	OK(session_signal_name(0) == NULL);
	for (int s = 0; s < 128; s++)
		if (session_signal_name(s))
			EQ(session_signal_number(session_signal_name(s)), s);
}

/* Fed in pieces of that size: what is kept, with a "!" where it detaches. */
static const char *typed(const char *text, size_t piece)
{
	static char out[64];
	struct session_keys k = {.held = false};
	size_t n = 0, kept, len = strlen(text);

	for (size_t at = 0; at < len; at += piece) {
		bool detach =
			session_keys_feed(&k, text + at, MIN(piece, len - at), out + n, &kept);
		n += kept;
		if (detach) {
			out[n++] = '!';
			break;
		}
	}
	out[n] = '\0';
	return out;
}

TEST(session_keys_that_detach)
{
	for (size_t piece = 1; piece < 8; piece++) {
		STREQ(typed("plain", piece), "plain");
		STREQ(typed("a\x10\x11z", piece), "a!");
		STREQ(typed("\x10\x10\x11", piece), "\x10!");
		STREQ(typed("\x11\x10", piece), "\x11");
		STREQ(typed("\x10z\x11", piece), "\x10z\x11");
		STREQ(typed("\x10\x10\x10z", piece), "\x10\x10\x10z");
	}
}
