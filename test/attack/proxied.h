/* Requests to the proxy as they go over the wire; shared by names.c, requests.c and smuggling.c only. */
#ifndef ATTACK_PROXIED_H
#define ATTACK_PROXIED_H

#include "attack.h"

/* What stands in a request for something else; bytes that no request has. */
#define TOKEN "\xf0"        /* the attempt's token */
#define ANSWER "\xf1"       /* wait for an answer before going on */
#define PAUSE "\xf2"        /* wait a second and a half */
#define NUL "\xf3"          /* a byte of 0 */
#define PROXY_ITSELF "\xf4" /* the proxy's address and port */
#define SMUGGLED "\xf5"     /* a request for what is denied, of SMUGGLED_SIZE bytes */
enum { SMUGGLED_SIZE = 128 };

#define HEAD(line, host) line " HTTP/1.1\r\nHost: " host "\r\n"
#define GET(url, host) HEAD("GET " url, host) "\r\n"
/* A tunnel, and a request in it. */
#define TUNNEL(to) HEAD("CONNECT " to, to) "\r\n" ANSWER GET("/" TOKEN, "inside")

/* On the rung `host` the proxy observes, and lets it pass. */
#define ASK(id, words, text)                                                                       \
	{                                                                                          \
		.name = id, .what = words, .try = ask_proxy, .with = text, .works = ON_HOST        \
	}

/* Whoever observes does not take this either: it has no meaning, or only one that does no harm. */
#define NEVER(id, words, text)                                                                     \
	{                                                                                          \
		.name = id, .what = words, .try = ask_proxy, .with = text                          \
	}

/* Sends with, a text as above, to the proxy. The other side knows what came of it. */
enum result ask_proxy(const struct attempt *a);

#endif
