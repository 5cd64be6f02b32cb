/*
 * The status codes of gRPC, their names, and the two encodings around them: grpc-message's percent
 * encoding, and what an HTTP status stands for where no grpc-status came (gRPC's http-grpc-status
 * mapping document).
 */
#ifndef OPENSHELL_GRPC_STATUS_H
#define OPENSHELL_GRPC_STATUS_H

#include "base/arena.h"
#include "base/str.h"

enum grpc_status {
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

/* "NOT_FOUND"; "code 17" and so on is "UNKNOWN". Static. */
const char *grpc_status_name(enum grpc_status s);
/* The status of that name or number; UNKNOWN when it is neither. */
enum grpc_status grpc_status_parse(struct str s);
/* What an HTTP response without grpc-status means. */
enum grpc_status grpc_status_of_http(int http);

/* The text of an error as a grpc-message value: printable ASCII but `%` stands for itself, other
 * bytes, and blanks at its ends, are %XX. The arena's. */
struct str grpc_message_encode(struct str text, struct arena *a);
/* And back. Never fails: what is no escape stands for itself. The arena's. */
struct str grpc_message_decode(struct str value, struct arena *a);

#endif
