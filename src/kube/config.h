/*
 * Where the API server is and who we are there: from a kubeconfig (one file, or several merged as
 * kubectl merges them) or from the files that every pod finds in its file system. Reads files once
 * and makes no connection; what changes later (token files, plugins) is auth.h's.
 *
 * Which of them counts, in this order:
 *   1. the file that the caller names (--kubeconfig);
 *   2. $KUBECONFIG, when set and not empty: a list of files separated by colons;
 *   3. in the cluster, when $KUBERNETES_SERVICE_HOST is set and no context is asked for (driver
 *      contract 3.1);
 *   4. ~/.kube/config.
 * What a person sets by hand wins over what a pod merely finds: NVIDIA's gateway takes KUBECONFIG
 * first as well, so that both sides of a socket in one pod talk to the same cluster.
 */
#ifndef OPENSHELL_KUBE_CONFIG_H
#define OPENSHELL_KUBE_CONFIG_H

#include <stdbool.h>

#include "base/err.h"

enum {
	KUBE_CONFIG_MAX = 1 << 20, /* bytes of a kubeconfig, a certificate bundle, a key */
	KUBE_CONFIG_FILES_MAX = 32,
};

/* A credential plugin (client.authentication.k8s.io). */
struct kube_exec {
	const char *api_version; /* client.authentication.k8s.io/v1 or v1beta1 */
	char **argv;             /* NULL-terminated */
	char **env;              /* NAME=value to be added to ours, NULL-terminated */
	const char *install_hint;
	bool provide_cluster_info; /* put the cluster into KUBERNETES_EXEC_INFO */
	const char *
		cluster_extra; /* JSON: the cluster's extension client.authentication.k8s.io/exec */
};

/* All strings belong to the configuration; NULL when not given. */
struct kube_config {
	const char *origin; /* for the log: "in-cluster", "/home/a/.kube/config context \"dev\"" */
	const char *server; /* https://host:port[/prefix], as written */
	const char *ns;     /* the namespace of the context or of the pod */
	const char *proxy_url;
	const char *tls_server_name;
	bool insecure; /* insecure-skip-tls-verify; the client warns at each start */

	/* PEM, as text or as the path of a file that is read whenever a connection is made. */
	const char *ca_pem, *ca_file;
	const char *cert_pem, *cert_file;
	const char *key_pem, *key_file;

	/* The first of these that is set counts. */
	const char *token_file; /* read again at least each minute */
	const char *token;
	const char *username, *password;
	struct kube_exec *exec;

	struct kube_config_memory *memory; /* what the strings live in; config.c's */
};

/* Loads it. kubeconfig and context may be NULL or empty: not given. An error names the file and the
 * path of the key, as in "/home/a/.kube/config: users[2] "dev": user.exec.command is missing". *out
 * is the caller's, released by kube_config_free. */
int kube_config_load(struct kube_config **out, const char *kubeconfig, const char *context,
		     struct err *e);
/* Wipes the secrets and releases it; takes NULL. */
void kube_config_free(struct kube_config *c);

#endif
