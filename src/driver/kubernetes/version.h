/*
 * Which version of the Sandbox API this cluster serves, found by asking for one object of each
 * (driver contract 3.3, 5.5 item 1), the newest first. It is not known for ever: a request that is
 * told that there is no such resource makes us ask again, and while an older version is in use the
 * newer one is looked for now and then. It never gives up; what failed is told to who waits.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_VERSION_H
#define OPENSHELL_DRIVER_KUBERNETES_VERSION_H

#include <stdbool.h>

#include "base/list.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/options.h"
#include "kube/client.h"

struct version;

/* Starts to ask at once. changed is called, from the loop, when a version is chosen that is another
 * than before, the first time too. client and options are borrowed. */
struct version *version_new(struct kube_client *client, const struct kubernetes_options *options,
			    void (*changed)(void *owner, enum sandbox_api api), void *owner);
/* Nobody may be waiting; takes NULL. */
void version_free(struct version *v);

/* Whether one is chosen; *out is set then. */
bool version_known(const struct version *v, enum sandbox_api *out);
/* The minor version of the server, 34 of 1.34; 0 while not known. */
int version_server_minor(const struct version *v);
/* The server said that the chosen version is not there: ask again. */
void version_doubt(struct version *v);

/* The server broke over a request. With an older version that is what a conversion webhook that is
 * away does (driver contract 5.1): look for the newest at once; the older one stays meanwhile. */
void version_suspect(struct version *v);

/* Somebody who needs a version; embedded in its owner. */
struct version_wait {
	/* error is NULL when a version is known now; it is valid during the call only. */
	void (*done)(struct version_wait *w, const struct kube_error *error);
	struct list link; /* version.c's */
};

/* Calls w->done once a round of asking is over, or at once when one failed lately and none is
 * known (so that calls fail fast while the API server is away). Not for when one is known. */
void version_wait(struct version *v, struct version_wait *w);
/* Waits no more; harmless when it did not (link initialised by list_init). */
void version_wait_cancel(struct version_wait *w);

#endif
