/*
 * The ComputeDriver service: one function an RPC, for every RPC that a 0.0 generation had. It checks
 * a request as far as that needs no platform (driver contract 3.5, first rows), answers what the
 * registry can answer, and hands the rest to the backend. It waits for nothing itself.
 */
#ifndef OPENSHELL_DRIVER_SERVICE_H
#define OPENSHELL_DRIVER_SERVICE_H

struct backend;
struct grpc_server;
struct loop;
struct registry;

/* All borrowed; they live longer than the server. */
struct service {
	struct loop *loop;
	struct registry *registry;
	struct backend *backend;
	const char *driver_name; /* as told to the gateway */
};

#define SERVICE_NAME "openshell.compute.v1.ComputeDriver"

/* Adds the methods to the server; s is borrowed for the server's life. */
void service_add(struct service *s, struct grpc_server *srv);

#endif
