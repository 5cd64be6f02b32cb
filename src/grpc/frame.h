/*
 * gRPC's framing: a byte of flags, four of length, the message. A reader is fed the bytes of a body
 * in whatever pieces they come and gives messages; no I/O. Used by the files of src/grpc only.
 */
#ifndef OPENSHELL_GRPC_FRAME_H
#define OPENSHELL_GRPC_FRAME_H

#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http2/h2.h"

#define GRPC_FRAME_HEAD 5

enum grpc_read {
	GRPC_READ_MESSAGE = 1,     /* one message is there */
	GRPC_READ_MORE = 0,        /* all bytes are used up */
	GRPC_READ_TOO_LARGE = -1,  /* the message is longer than the maximum */
	GRPC_READ_COMPRESSED = -2, /* its flag says compressed */
	GRPC_READ_BAD_FLAG = -3,   /* its flag says nothing that is known */
};

struct grpc_reader {
	struct buf held; /* a frame that is not complete; its maximum is that of a message */
};

/* A reader of messages of at most max bytes. */
void grpc_reader_init(struct grpc_reader *r, size_t max);
void grpc_reader_fini(struct grpc_reader *r);

/*
 * Takes bytes off the front of *in. With GRPC_READ_MESSAGE, *message lies in what was *in or in the
 * reader, and is to be given back by grpc_reader_release before the next call. After a negative
 * answer the reader is not to be used again.
 */
enum grpc_read grpc_reader_next(struct grpc_reader *r, struct str *in, struct str *message);
void grpc_reader_release(struct grpc_reader *r);
/* Whether the bytes so far end within a message. */
bool grpc_reader_partial(const struct grpc_reader *r);
/* Bytes held. */
size_t grpc_reader_held(const struct grpc_reader *r);

/* The message that grpc_reader_next gave, not yet released, as one of the given type in the arena;
 * NULL with *e filled when it is malformed or does not fit. */
void *grpc_unpack(const ProtobufCMessageDescriptor *type, const struct grpc_reader *r,
		  struct str message, struct arena *a, struct err *e);

/* Fills in what stands in front of a message of n bytes. */
void grpc_frame_head(uint8_t head[GRPC_FRAME_HEAD], size_t n);
/* The message framed; one reference, the caller's. */
struct h2_chunk *grpc_frame(const ProtobufCMessage *m);

#endif
