/*
 * The header fields of an HTTP/1 message (RFC 9110 5), as views into the bytes that were read, and what
 * they say together; what the heads of requests (head.c) and of responses (reply.c) have in common. No I/O.
 */
#ifndef OPENSHELL_PROXY_FIELDS_H
#define OPENSHELL_PROXY_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <llhttp.h>

#include "base/str.h"
#include "proxy/body.h"

enum { FIELDS_MAX = 128 };

struct field {
	struct str name, value; /* the value without blanks around it */
};

struct fields {
	struct field v[FIELDS_MAX];
	size_t n;
};

enum head_result {
	HEAD_OK = 1,
	HEAD_MORE = 0,
	HEAD_BAD = -1,
	HEAD_LONG = -2, /* more bytes or fields than there may be */
};

/* The head at the beginning of bytes, of at most max: each line of it ends in CR LF, the empty one is the last and
 * not the first, none is folded, and no control character is in it but tabs. HEAD_OK with *head, HEAD_MORE, or
 * HEAD_BAD or HEAD_LONG and *why. */
enum head_result fields_find_head(struct str bytes, size_t max, struct str *head, const char **why);
/* Reads the fields of a whole head, first line included, by llhttp. HEAD_OK, HEAD_BAD or HEAD_LONG. */
enum head_result fields_read(struct fields *f, llhttp_type_t type, struct str head,
			     const char **why);

/* The first one of that name, in letters of either case; p is NULL when there is none. */
struct str fields_get(const struct fields *f, const char *name);
/* How many have the name. */
size_t fields_count(const struct fields *f, const char *name);
/* Whether a list field ("Connection: close, upgrade", over all lines of the name) has the token. */
bool fields_have_token(const struct fields *f, const char *name, struct str token);

/* Whether this field is for the next hop only, and not passed on: those of RFC 9110 7.6.1, Proxy-*, and
 * what the message's own Connection fields name. */
bool fields_hop_by_hop(const struct fields *f, struct str name);

/* What the message says about its body: BODY_LENGTH with *length, BODY_CHUNKED, or BODY_NONE when it
 * says nothing. False, and *why, for anything that two readers could take for different things: two
 * lengths, a length that is no number, a length and a transfer coding, a coding other than chunked,
 * codings in HTTP/1.0 (RFC 9112 6). */
bool fields_framing(const struct fields *f, bool http10, enum body_framing *framing,
		    uint64_t *length, const char **why);

/* Whether the connection may carry another message after this one (RFC 9112 9.3). */
bool fields_keep_alive(const struct fields *f, bool http10);

#endif
