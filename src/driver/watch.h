/*
 * A WatchSandboxes stream: moves the registry's messages to the client, as fast as that reads and no
 * faster. Nothing waits here but one message that the client had no room for.
 */
#ifndef OPENSHELL_DRIVER_WATCH_H
#define OPENSHELL_DRIVER_WATCH_H

struct grpc_call;
struct service;

/* Takes the call and answers it when the stream ends. */
void watch_start(struct service *s, struct grpc_call *call);

#endif
