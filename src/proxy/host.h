/*
 * Host names and addresses as clients write them, made into the one form in which everything behind
 * knows them: what the policy is asked about, what is resolved and what is checked must be the same
 * name (supervisor contract 6.5). What could be read in two ways is refused: 2130706433, 0x7f.1 and
 * 017700000001 are addresses to a resolver and names to everybody else. No I/O.
 */
#ifndef OPENSHELL_PROXY_HOST_H
#define OPENSHELL_PROXY_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
	HOST_TEXT_MAX = 253, /* RFC 1035 2.3.4, as text */
	HOST_SIZE = HOST_TEXT_MAX + 1,
};

/* Reads a name (letters, digits, "-", "_", of labels up to 63; one dot at its end is dropped), a
 * dotted IPv4 address in four plain decimals, or an IPv6 address in brackets (without a zone). out is
 * in lower case, addresses as inet_ntop writes them, without brackets. */
bool host_read(struct str text, char out[HOST_SIZE]);

/* Reads host[:port]: *port is 0 when there is none; one that is there is not 0. User names
 * ("user@host") are refused. */
bool host_read_authority(struct str text, char host[HOST_SIZE], uint16_t *port);

#endif
