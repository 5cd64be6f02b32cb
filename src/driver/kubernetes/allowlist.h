/*
 * Operator mode: the namespaces in which sandboxes may be made, as the cluster's operator names them
 * by a label on the namespaces or in a file (driver contract 3.13). Until it was read once it is
 * empty: nothing is allowed that was not said to be.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_ALLOWLIST_H
#define OPENSHELL_DRIVER_KUBERNETES_ALLOWLIST_H

#include <stdbool.h>

#include "base/err.h"
#include "base/map.h"
#include "base/str.h"
#include "driver/kubernetes/options.h"
#include "kube/client.h"

struct allowlist;

/* Starts it by --operator-namespace-label or --operator-namespace-file, whichever is given. Fails
 * only where the file's folder cannot be watched. client and options are borrowed. */
int allowlist_new(struct allowlist **out, struct kube_client *client,
		  const struct kubernetes_options *options, struct err *e);
/* Takes NULL. */
void allowlist_free(struct allowlist *a);

bool allowlist_has(const struct allowlist *a, const char *ns);

/* The file's content: a JSON array of namespaces. Fills *out (empty before) with them as keys, or
 * says in *e what is wrong and leaves it empty. what names the file. */
int allowlist_parse(struct str text, const char *what, struct map *out, struct err *e);

#endif
