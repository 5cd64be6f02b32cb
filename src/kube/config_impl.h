/*
 * What config.c and kubeconfig.c share, and nobody else may see (but their tests).
 */
#ifndef OPENSHELL_KUBE_CONFIG_IMPL_H
#define OPENSHELL_KUBE_CONFIG_IMPL_H

#include "base/str.h"
#include "kube/config.h"

/* An empty configuration; released by kube_config_free. */
struct kube_config *kube_config_new(void);
/* A copy of the text that lives as long as c and is wiped with it; NULL for a NULL. */
const char *kube_config_keep(struct kube_config *c, const char *text);
const char *kube_config_keep_str(struct kube_config *c, struct str text);
/* A cleared array that lives as long as c. */
void *kube_config_alloc(struct kube_config *c, size_t n);

/* Fills c from the kubeconfigs; files that are not there are passed over when `missing_ok`, as
 * kubectl does for a list in $KUBECONFIG. context may be NULL. kubeconfig.c. */
int kubeconfig_load(struct kube_config *c, const char *const *paths, size_t n, bool missing_ok,
		    const char *context, struct err *e);

/* Fills c from a pod's environment; dir is where the service account's files are. config.c. */
int kube_config_in_cluster(struct kube_config *c, const char *dir, const char *host,
			   const char *port, struct err *e);

#endif
