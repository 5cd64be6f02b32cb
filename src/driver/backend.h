/*
 * The seam between the service, which speaks the contract, and a platform, which runs sandboxes. The
 * service has checked a request (driver contract 3.5, first rows) before a backend sees it, and
 * answers Get and List from the registry while that is synced; everything else goes through here.
 *
 * Rules for every RPC function:
 *  - It answers the call exactly once, through grpc_reply or grpc_fail (grpc/server.h), at once or
 *    later from the loop. The request lives until then.
 *  - A caller that goes away (cancel, deadline, lost connection) stops nothing half-way: what was
 *    begun runs to its end, or cleans up behind itself, and then answers into the void.
 *  - A failure to reach the platform is UNAVAILABLE, DEADLINE_EXCEEDED or INTERNAL, never NOT_FOUND:
 *    the gateway forgets what is not found (driver contract 1.6).
 *  - What it learns about a sandbox on the way goes to the registry at once, so that a Get behind a
 *    Create finds it.
 */
#ifndef OPENSHELL_DRIVER_BACKEND_H
#define OPENSHELL_DRIVER_BACKEND_H

#include <stddef.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/opt.h"
#include "compute_driver.pb-c.h"
#include "loop/loop.h"

struct grpc_call;
struct registry;
struct backend_ops;

/* Embedded first in each backend's own struct. */
struct backend {
	const struct backend_ops *ops;
};

/* What a backend gets to work with; all borrowed for its life. */
struct backend_env {
	struct loop *loop;
	struct registry *registry;
	const void *config; /* filled from its options and passed by its check */
};

struct backend_ops {
	const char *
		name; /* what --backend calls it, and the driver's name unless --driver-name is given */

	/* Its part of the command line. The door parses it into config_size zeroed bytes. */
	const struct opt *options;
	size_t n_options;
	size_t config_size;
	/* Checks the configuration as a whole and fills what follows from it; no I/O. The error names
	 * the option (driver contract 3.2). */
	int (*check)(void *config, struct err *e);
	/* Releases what check put into the configuration beside the options' own values; or NULL. */
	void (*config_free)(void *config);

	/* Starts it: reads what files it needs and begins to connect, without waiting. The socket is
	 * listening already. Fails only for what no waiting can heal (a kubeconfig that is malformed);
	 * a platform that is away is retried for ever (driver contract 3.16, defect 13). */
	int (*open)(struct backend **out, const struct backend_env *env, struct err *e);
	/* How many operations are under way that must not be cut off, their callers present or not:
	 * the end of the process waits for them, within its limit. */
	size_t (*pending)(const struct backend *b);
	/* Releases everything at once; no callback comes any more. The last thing before the process
	 * ends: calls that are not answered by then never are. */
	void (*close)(struct backend *b);

	/* Fills default_image, gateway_manages_lifecycle, supports_gpu and gpu_count; the service fills
	 * the rest. Strings are borrowed from the backend until the answer is written. Never waits. */
	void (*capabilities)(struct backend *b,
			     Openshell__Compute__V1__GetCapabilitiesResponse *out);

	/* The RPCs. sandbox_id, sandbox and workspace are present; names hold no control characters. */
	void (*validate)(struct backend *b, struct grpc_call *call,
			 const Openshell__Compute__V1__ValidateSandboxCreateRequest *r);
	void (*create)(struct backend *b, struct grpc_call *call,
		       const Openshell__Compute__V1__CreateSandboxRequest *r);
	/* Live reads: for when the registry is not synced or does not know. Which sandbox is meant is
	 * driver/lookup.h's to say. */
	void (*get)(struct backend *b, struct grpc_call *call,
		    const Openshell__Compute__V1__GetSandboxRequest *r);
	void (*list)(struct backend *b, struct grpc_call *call,
		     const Openshell__Compute__V1__ListSandboxesRequest *r);
	void (*stop)(struct backend *b, struct grpc_call *call,
		     const Openshell__Compute__V1__StopSandboxRequest *r);
	void (*start)(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__StartSandboxRequest *r);
	void (*delete)(struct backend *b, struct grpc_call *call,
		       const Openshell__Compute__V1__DeleteSandboxRequest *r);
	void (*resolve_endpoint)(struct backend *b, struct grpc_call *call,
				 const Openshell__Compute__V1__ResolveSandboxEndpointRequest *r);
	void (*ensure_workspace)(struct backend *b, struct grpc_call *call,
				 const Openshell__Compute__V1__EnsureWorkspaceRequest *r);
	void (*delete_workspace)(struct backend *b, struct grpc_call *call,
				 const Openshell__Compute__V1__DeleteWorkspaceRequest *r);
};

/* The backends there are; driver/backends.c has the table. NULL when there is none of that name. */
const struct backend_ops *backend_find(const char *name);
/* One after the other: i starts at 0; NULL at the end. */
const struct backend_ops *backend_at(size_t i);

#endif
