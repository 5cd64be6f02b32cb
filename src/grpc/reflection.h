/*
 * Server reflection, v1 and v1alpha: generic clients ask which services there are and for the
 * descriptors of their files, and so need no .proto file of ours.
 */
#ifndef OPENSHELL_GRPC_REFLECTION_H
#define OPENSHELL_GRPC_REFLECTION_H

#include "grpc/server.h"

/* Adds both services to the server. */
void grpc_reflection_add(struct grpc_server *srv);

#endif
