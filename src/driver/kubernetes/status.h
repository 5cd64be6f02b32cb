/*
 * From a Sandbox object to what a gateway is told (driver contract 3.11, 5.3 to 5.5, 3.16, 3.17).
 * Pure: objects go in, a DriverSandbox comes out. No state; the caller keeps the objects.
 *
 * The gateway derives a phase from the conditions (1.11): Suspended=True is Stopped; Ready=False is
 * Error, for ever, unless its reason is one of a few. So conditions are copied as they are except
 * where that would make the gateway conclude what is not so:
 *
 *   - a condition older than the spec (observedGeneration < generation) says nothing: Ready then
 *     reads False/DependenciesNotReady, Suspended is left out;
 *   - Suspended=True on an object that is to run is a leftover (agent-sandbox 0.5.0-0.5.3);
 *   - an object that is to stop always has a Suspended: the controller's, or one made here, True
 *     when its pod is gone, False/PodTerminating until then (0.1-0.5.3 write none);
 *   - Finished=True with a Ready that does not tell (0.4.3-0.4.6) becomes Ready=False/PodFailed.
 *
 * Trouble
 *   What keeps a sandbox from ever becoming ready is not among the conditions, or hidden in a reason
 *   that the gateway waits out: a pod refused by admission or quota, an image that cannot be had, a
 *   claim that is not bound, a pod that fits on no node. Such a thing is a `struct k8s_trouble`, found
 *   in the object, in the pod or in an Event. While it is young it goes into the message of Ready,
 *   whose reason stays DependenciesNotReady or ReconcilerError: the gateway keeps waiting, and a
 *   person reads why. Once it is older than its grace period the reason becomes the trouble's own,
 *   which the gateway takes for an error:
 *
 *          nothing --seen--> young --grace over--> terminal (Ready=False, own reason)
 *             ^                |
 *             +---- gone ------+      gone: the pod got further, or the object is Ready
 *
 *   The grace period is --refusal-grace-secs where nothing but a change by hand helps, and
 *   --pending-grace-secs where a cluster may still help itself (a node or a volume on its way).
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_STATUS_H
#define OPENSHELL_DRIVER_KUBERNETES_STATUS_H

#include <stdbool.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/arena.h"
#include "compute_driver.pb-c.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/options.h"

enum k8s_trouble_kind {
	TROUBLE_NONE,
	TROUBLE_PENDING_CLAIM, /* reason VolumeNotBound */
	TROUBLE_UNSCHEDULABLE, /* reason Unschedulable: the gateway knows it (1.11) */
	TROUBLE_IMAGE,         /* reason ImagePullFailed */
	TROUBLE_CONTAINER,     /* reason ContainerFailed: it cannot be made or mounted */
	TROUBLE_REFUSED,       /* reason PodRefused: admission, quota, SCC, service account */
	TROUBLE_COUNT,
};

enum { TROUBLE_TEXT_MAX = 1024 };

/* Copyable; holds no pointer. */
struct k8s_trouble {
	enum k8s_trouble_kind kind;
	bool vague;                  /* the words only repeat what others say better */
	int64_t since_ms;            /* when it was first seen, wall clock */
	char text[TROUBLE_TEXT_MAX]; /* the platform's own words, one line */
};

/* The reason that the gateway is told once the grace period is over; "" for none. */
const char *k8s_trouble_reason(enum k8s_trouble_kind kind);
/* Its grace period in ms; INT64_MAX: never terminal. */
int64_t k8s_trouble_grace_ms(const struct kubernetes_options *o, enum k8s_trouble_kind kind);

/* What an object (Ready=False/ReconcilerError with a refusal; PodScheduled=False), a Pod (its
 * conditions and container states) or an Event says. False: no trouble. since_ms is now_ms: what a
 * source has is the time of another change (a condition's status, not its reason) or of another
 * pod. pod may be NULL. */
bool k8s_trouble_of_object(const cJSON *object, int64_t now_ms, struct k8s_trouble *out);
bool k8s_trouble_of_pod(const cJSON *pod, int64_t now_ms, struct k8s_trouble *out);
bool k8s_trouble_of_event(const cJSON *event, int64_t now_ms, struct k8s_trouble *out);

/*
 * Takes what was just seen into what is known. The same kind again keeps its since_ms and takes the
 * new words unless they are vague; a worse kind (later in the enum) replaces. True when the user should be told: the kind
 * is new. seen->kind may be TROUBLE_NONE: then nothing changes.
 */
bool k8s_trouble_see(struct k8s_trouble *known, const struct k8s_trouble *seen);
/* An Event that says that things moved on (Scheduled, Pulled, Started, ProvisioningSucceeded…):
 * forgets the trouble that this ends. True when it did. */
bool k8s_trouble_heal(struct k8s_trouble *known, const cJSON *event);

/* A platform event made of a trouble, for what no Kubernetes Event exists (a refused pod). */
Openshell__Compute__V1__DriverPlatformEvent *k8s_trouble_event(const struct k8s_trouble *t,
							       const cJSON *object,
							       struct arena *a);

/* What is known about the pod beside the object. */
enum pod_presence {
	POD_UNKNOWN,
	POD_PRESENT,
	POD_ABSENT, /* the server answered 404 */
};

struct k8s_view {
	const cJSON *object; /* the Sandbox, of either version */
	const cJSON *pod;    /* or NULL */
	enum pod_presence presence;
	const struct k8s_trouble *trouble; /* what events told; or NULL */
	const char *end;                   /* what k8s_pod_end said of the pod earlier; or NULL */
	bool end_pending; /* the pod is being read to learn how it ended: the end is told with that */
	int64_t now_ms;
};

/*
 * The sandbox as the gateway is to see it; the arena's, strings copied. Status is always there (5.5
 * item 8). Never fails: an object with nothing in it gives a sandbox with empty fields. spec is
 * never filled.
 */
Openshell__Compute__V1__DriverSandbox *k8s_sandbox_of(const struct kubernetes_options *o,
						      const struct k8s_view *v, struct arena *a);

/* When the answer of k8s_sandbox_of will differ although nothing happens: the moment at which a
 * trouble becomes terminal; INT64_MAX for never. In wall-clock ms. */
int64_t k8s_next_change_ms(const struct kubernetes_options *o, const struct k8s_view *v);

/* Whether the object says that its pod has ended, but not why: the pod tells (k8s_pod_end). A gateway
 * takes the end for final, so its reason should come with it. */
bool k8s_object_ended(const cJSON *object);
/* What ended a pod, in words: "Pod failed: container agent exited with 1: <what it said last>". NULL
 * when the pod does not tell, or is NULL. The arena's. */
char *k8s_pod_end(const cJSON *pod, struct arena *a);

/* Whether the object is meant to run: operatingMode and replicas, whichever it has. */
bool k8s_wants_run(const cJSON *object);

enum stop_state {
	STOP_DONE,     /* intent, condition and pod agree that it is stopped (5.5 item 3) */
	STOP_PENDING,  /* ask again */
	STOP_REJECTED, /* Suspended=False/PodNotOwned: will not happen; *message says why */
};

/* How far a stop has come. presence counts: without a fresh Suspended=True only POD_ABSENT is done;
 * with one, only POD_PRESENT holds it up. *message is borrowed, may be NULL. */
enum stop_state k8s_stop_state(const cJSON *object, enum pod_presence presence,
			       const char **message);

/* How long a stop may take: the pod's grace period (30 s where unset) and 30 s (3.11). Ms. */
int64_t k8s_stop_timeout_ms(const cJSON *object);
/* The wait before the n-th look at a stop, n from 0: 250 ms, doubling, 2 s at most (3.11). */
int64_t k8s_stop_poll_ms(unsigned n);

#endif
