/*
 * Kubernetes Events as platform events of a sandbox (driver contract 3.12), in every workspace mode,
 * with the `openshell.progress.*` metadata by which the gateway's clients show progress. Pure.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_EVENTS_H
#define OPENSHELL_DRIVER_KUBERNETES_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/arena.h"
#include "base/str.h"
#include "compute_driver.pb-c.h"

/* What an Event is about. Strings are borrowed from the event, never NULL. */
struct k8s_subject {
	const char *ns;
	const char *kind; /* Sandbox, Pod or PersistentVolumeClaim */
	const char *name;
	/* The Sandbox object that this names by its own name: that of a Sandbox or Pod, or what follows
	 * `workspace-` in the claim's name. NULL for a claim of another name. A pod may also belong to
	 * a sandbox by its pod-name annotation, a claim by a sandbox's volumes: k8s_object_uses. */
	const char *object;
};

/* False: about something that no sandbox has. */
bool k8s_event_subject(const cJSON *event, struct k8s_subject *out);

/* Whether the sandbox object has that pod (annotation or name) or claim (its own or a volume). */
bool k8s_object_uses(const cJSON *object, const struct k8s_subject *s);

/* When it last happened: series, eventTime, lastTimestamp, firstTimestamp, creation; whichever is
 * there first in that order. Ms since 1970, 0 when none. */
int64_t k8s_event_time_ms(const cJSON *event);

/*
 * The platform event; the arena's, strings copied. object is the Sandbox it is about (or NULL): it
 * tells the agent's image from the supervisor's, so that only the agent's image completes the step.
 * A warning that names trouble (status.h) carries its words as the detail of the step in progress.
 */
Openshell__Compute__V1__DriverPlatformEvent *k8s_event_map(const cJSON *event, const cJSON *object,
							   struct arena *a);

/* "42 MB": 1 GiB and more with one decimal, whole MB and KB, else B (3.12). The arena's. */
char *k8s_format_bytes(uint64_t n, struct arena *a);

#endif
