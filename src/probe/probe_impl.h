/*
 * The groups of findings. Included by src/probe/ only. Each function fills the object of its group
 * with what it found; what could not be found out is a string that says why.
 */
#ifndef OPENSHELL_PROBE_IMPL_H
#define OPENSHELL_PROBE_IMPL_H

#include "base/json.h"

void probe_kernel(cJSON *o);       /* release, architecture, security modules */
void probe_root(cJSON *o);         /* is / read-only, on what file system, verified */
void probe_capabilities(cJSON *o); /* our own, no_new_privs */
void probe_cgroups(cJSON *o);      /* version, controllers, whether we may make one */
void probe_namespaces(cJSON *o);   /* each kind tried in a child */
void probe_landlock(cJSON *o);     /* ABI */
void probe_seccomp(cJSON *o);      /* filters, user notification, our own mode */
void probe_netfilter(
	cJSON *o);             /* nf_tables and its queue, used in a network namespace of its own */
void probe_ladder(cJSON *o);   /* the network modes, each rung tried as a whole */
void probe_devices(cJSON *o);  /* TUN, KVM */
void probe_runtimes(cJSON *o); /* programs and sockets of container runtimes */
void probe_cluster(cJSON *o);  /* Kubernetes credentials */

/* Runs fn in a child process of its own and returns 0 or the errno it returned; -1 when the child
 * did not answer (killed, or more than five seconds). */
int probe_in_child(int (*fn)(void));

/* The content of a small file without its last newline, or NULL; the caller's. */
char *probe_read_file(const char *path);

#endif
