/* Messages to bytes, for tests that read them back. */
#ifndef OPENSHELL_TEST_PACK_H
#define OPENSHELL_TEST_PACK_H

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"

/* Appends the message; it must fit. */
static inline void pack(const void *message, struct buf *b)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	char *room = buf_room(b, n);

	must(room != NULL);
	must(protobuf_c_message_pack(message, (uint8_t *)room) == n);
	buf_added(b, n);
}

#endif
