/*
 * What status.c, conditions.c and diagnose.c share. Nobody else includes this.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_STATUS_IMPL_H
#define OPENSHELL_DRIVER_KUBERNETES_STATUS_IMPL_H

#include <stdbool.h>

#include <cJSON.h>

#include "driver/kubernetes/status.h"

/* Kubernetes' own limit for the message of a condition (metav1.Condition). */
enum { STATUS_TEXT_MAX = 32768 };

/* The arena's copy, as protobuf needs it: cut where it is not UTF-8. */
char *text_copy(struct arena *a, const char *s);

/* One condition as it was read or made; strings are borrowed, never NULL. */
struct condition {
	const char *type, *status, *reason, *message, *time;
	bool fresh; /* not older than the spec: what it says is about what the spec says now */
};

/* Reads one; false when it has no type or status. */
bool condition_read(const cJSON *object, const cJSON *condition, struct condition *out);
/* The first of that type, fresh or not; false when there is none. */
bool condition_find(const cJSON *object, const char *type, struct condition *out);
bool condition_is(const struct condition *c, const char *status);

/* Ready=False for a reason that a gateway waits out, of those that agent-sandbox writes (1.11). */
bool condition_is_transient(const struct condition *ready);

/* The conditions to tell, as 5.5 adapts them: arena's; the count in *n. */
Openshell__Compute__V1__DriverCondition **conditions_tell(const struct kubernetes_options *o,
							  const struct k8s_view *v, struct arena *a,
							  size_t *n);

/* The trouble of a view: what the caller knows and what its object and pod say now; kind
 * TROUBLE_NONE where none of it can be true (Ready, stopped, deleting). */
void trouble_of_view(const struct k8s_view *v, struct k8s_trouble *out);

/* Whether a Ready with this reason says that the pod has ended. */
bool reason_is_end(const char *reason);

#endif
