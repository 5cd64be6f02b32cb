/*
 * grpc.health.v1: Check, List and Watch. The server as a whole goes by the name "".
 */
#ifndef OPENSHELL_GRPC_HEALTH_H
#define OPENSHELL_GRPC_HEALTH_H

#include "grpc/server.h"

struct grpc_health;

enum grpc_health_state {
	GRPC_HEALTH_SERVING = 1, /* the numbers of HealthCheckResponse.ServingStatus */
	GRPC_HEALTH_NOT_SERVING = 2,
};

/* Adds the service to the server, with "" serving. The caller's; freed after the server. */
struct grpc_health *grpc_health_new(struct grpc_server *srv);
void grpc_health_free(struct grpc_health *h);

/* Says how a service is; whoever watches it is told. */
void grpc_health_set(struct grpc_health *h, const char *service, enum grpc_health_state state);

#endif
