/* What a session has to know of words and bytes. Pure. Included by src/ssh and its tests only. */
#ifndef OPENSHELL_SSH_SESSION_WORDS_H
#define OPENSHELL_SSH_SESSION_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { SESSION_HOST_MAX = 64 };

/* Whether a client's name for a host is loopback (supervisor contract 3.8): "localhost", or an address in its usual
 * form. Then it is written to out, canonical: "localhost", 127.x.y.z (also for ::ffff:127.x.y.z), ::1. Names that would have to be
 * looked up are not, nor are other ways to write a number. */
bool session_loopback(const char *host, char out[SESSION_HOST_MAX]);

/* The signals of RFC 4254, section 6.10, by name; 0, and NULL: there is none such. */
int session_signal_number(const char *name);
const char *session_signal_name(int signo);

/* The keys that detach from the main process (contract 3.10): Ctrl-P Ctrl-Q. Zeroed at first. */
struct session_keys {
	bool held; /* a Ctrl-P that waits for what comes next */
};

/* Filters what was typed: to has room for n + 1 bytes, *kept of them are to be passed on. True: it is to be
 * detached, and nothing more of this is input. */
bool session_keys_feed(struct session_keys *k, const char *typed, size_t n, char *to, size_t *kept);

#endif
