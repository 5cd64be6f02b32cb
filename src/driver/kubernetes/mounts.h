/*
 * What a user's mount must not be (driver contract 3.10, 3.5). Used by config.c alone.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_MOUNTS_H
#define OPENSHELL_DRIVER_KUBERNETES_MOUNTS_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/err.h"
#include "driver/kubernetes/options.h"

/* Whether a is b or lies below it; both absolute and normalized. */
bool path_is_below(const char *a, const char *b);

/* Whether a pod of ours has, or could have, a volume of this name. */
bool mounts_reserved_volume(const char *name);

/*
 * The volumes and mounts of a driver_config of the right shape. -1 with *e: the words, which the
 * caller puts behind its own; or, for a path that is OpenShell's in this configuration, the whole
 * message, and *whole set.
 */
int mounts_check(const struct kubernetes_options *o, const cJSON *volumes, const cJSON *mounts,
		 bool *whole, struct err *e);

#endif
