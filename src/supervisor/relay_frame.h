/*
 * RelayFrame, the message that carries a relay's bytes (supervisor contract 3.4), packed and read in place: all that a
 * relay moves is in these, and protobuf's own way copies each byte twice and allocates for each frame. Pure. Called
 * by relay.c.
 */
#ifndef OPENSHELL_SUPERVISOR_RELAY_FRAME_H
#define OPENSHELL_SUPERVISOR_RELAY_FRAME_H

#include "base/str.h"
#include "grpc/client.h"

enum {
	/* Of data in one frame: contract 3.4 has 16 KiB, and one byte less has a length of two bytes, so that
	 * it is known where the data begins before it is known how much there is. */
	RELAY_DATA_MAX = 16383,
};

/* A frame, one reference, the caller's, and where RELAY_DATA_MAX bytes of data may be put. */
struct h2_chunk *relay_frame_new(uint8_t **room);
/* The frame with n bytes of data, 1 or more, that were put there, for grpc_rpc_send_packed. Takes c; what is
 * returned is no larger than it must be, since it may have to wait. */
struct h2_chunk *relay_frame_pack(struct h2_chunk *c, size_t n);

enum relay_frame {
	RELAY_FRAME_DATA,
	RELAY_FRAME_OTHER,     /* init, or nothing that this version knows */
	RELAY_FRAME_MALFORMED, /* no protobuf message */
};

/* What a packed message is; *data lies in it. Fields that nobody knows are passed over, and of the payloads the last
 * holds, as protobuf wants it. */
enum relay_frame relay_frame_read(struct str message, struct str *data);

#endif
