/*
 * The opening handshake of a WebSocket (RFC 6455 4): what makes a request one, and whether the response is
 * its acceptance, after which the bytes of the connection are no HTTP any more. No I/O.
 */
#ifndef OPENSHELL_PROXY_WEBSOCKET_H
#define OPENSHELL_PROXY_WEBSOCKET_H

#include <stdbool.h>

#include "proxy/head.h"
#include "proxy/reply.h"

enum { WEBSOCKET_ACCEPT_SIZE = 29 }; /* of a text: 20 bytes in base64, and NUL */

/* Whether a request that asks for a WebSocket is a whole one: GET, version 13, one key of 16 bytes, and no
 * body. accept is then what the server must answer. NULL, or why not. */
const char *websocket_request(const struct head *h, char accept[WEBSOCKET_ACCEPT_SIZE]);

/* Whether the response is its acceptance. NULL, or why not. */
const char *websocket_reply(const struct reply *r, const char *accept);

#endif
