/*
 * The URLs of servers and proxies: scheme://[user[:password]@]host[:port][/path] (RFC 3986).
 */
#ifndef OPENSHELL_NET_URL_H
#define OPENSHELL_NET_URL_H

#include <stdint.h>

#include "base/err.h"

struct url {
	char *scheme;   /* lower case */
	char *user;     /* decoded; NULL when there is none */
	char *password; /* decoded; NULL when there is none */
	char *host;     /* without brackets, lower case */
	uint16_t port;  /* that of the scheme (http, https, socks5) when none is written */
	char *path;     /* as written, "" when there is none or just "/"; no / at its end */
};

/* Reads it. what names it in the error, in which the password is not shown. *out is released by
 * url_fini, also after a failure. A query or fragment is an error. */
int url_parse(struct url *out, const char *text, const char *what, struct err *e);
void url_fini(struct url *u);

/* "host:port", with brackets around an IPv6 address; the caller's. */
char *url_authority(const char *host, uint16_t port);

#endif
