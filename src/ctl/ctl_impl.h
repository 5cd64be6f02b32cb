/*
 * What the files of the door `ctl` share. Included by src/ctl/ only.
 *
 * ctl speaks every RPC of a compute driver. Requests are made from JSON and answers are turned into
 * JSON at once, so that a command is a few lines and `-o json` shows what a table shows.
 */
#ifndef OPENSHELL_CTL_IMPL_H
#define OPENSHELL_CTL_IMPL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "grpc/client.h"
#include "grpc/status.h"
#include "loop/loop.h"

/* Exit codes; docs/ctl.md has the table. */
enum {
	CTL_OK = 0,
	CTL_LOCAL = 1, /* a file that cannot be read, a name that nothing has */
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* no driver at that socket */
	CTL_STATUS = 10,     /* + the gRPC status */
};

struct ctl_options {
	char *socket, *file, *output, *workspace;
	int64_t timeout; /* seconds */
	bool help;
};

struct ctl {
	struct loop *loop;
	struct grpc_channel *channel;
	struct ctl_options options;
	bool json;
	const char *argument; /* the word behind the command, or NULL */
};

/* One RPC of the driver: its name and its messages. */
struct ctl_rpc {
	const char *name;
	const ProtobufCMessageDescriptor *in, *out;
};

/* Connects to the driver's socket; says why not. Returns an exit code. */
int ctl_connect(struct ctl *c);

/* Makes the call and waits for its end. request is the request as JSON (borrowed). On CTL_OK
 * *answer is the answer as JSON, the caller's. What went wrong has been said on stderr. */
int ctl_call(struct ctl *c, const struct ctl_rpc *rpc, const cJSON *request, cJSON **answer);

/* The same for a call that streams: each answer goes to message, until the stream ends or the user
 * interrupts, which is CTL_OK. */
int ctl_stream(struct ctl *c, const struct ctl_rpc *rpc, const cJSON *request,
	       void (*message)(void *arg, const cJSON *answer), void *arg);

/* Says on stderr what went wrong: `ctl: text`. Returns code. */
int ctl_say(int code, const char *fmt, ...) PRINTF(2, 3);

/* ---- output ---- */

/* What the gateway would call the state of a DriverSandbox (driver contract 1.11); static text. */
const char *ctl_phase(const cJSON *sandbox);
/* Why it is in that state: the Ready condition's reason and message. The caller's. */
char *ctl_reason(const cJSON *sandbox);
/* A table of DriverSandbox objects (an array, or NULL for none), as long as they are. */
void ctl_print_sandboxes(const cJSON *sandboxes);
/* An object's members, one a line. */
void ctl_print_members(const cJSON *object);
/* JSON as text: over several lines, or in one. */
void ctl_print_json(const cJSON *j, bool one_line);

/* The command `watch`: a live table on a terminal, a line an event in a pipe. */
int ctl_watch(struct ctl *c);

#endif
