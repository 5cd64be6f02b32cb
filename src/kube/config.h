/*
 * Where the API server is and who we are there: from a kubeconfig (one file, or several merged as
 * kubectl merges them) or from the files that every pod finds in its file system. Reads files once
 * and makes no connection; what changes later (token files, credential plugins) is kube/auth.h's.
 *
 * Which of them counts, in this order:
 *   1. the file that the caller names (--kubeconfig);
 *   2. $KUBECONFIG, when set and not empty: a list of files separated by colons;
 *   3. in the cluster, when $KUBERNETES_SERVICE_HOST is set (driver contract 3.1);
 *   4. ~/.kube/config.
 * What a person sets by hand wins over what a pod merely finds: NVIDIA's gateway and driver take
 * KUBECONFIG first as well, so that both sides of a socket in one pod talk to the same cluster.
 */
#ifndef OPENSHELL_KUBE_CONFIG_H
#define OPENSHELL_KUBE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* A credential plugin (client.authentication.k8s.io). */
struct kube_exec {
	const char *api_version; /* client.authentication.k8s.io/v1 or v1beta1 */
	char **argv;             /* NULL-terminated */
	char **env;              /* NAME=value to be added to ours, NULL-terminated */
	const char *install_hint;
	bool needs_terminal;       /* interactiveMode: Always */
	bool provide_cluster_info; /* put the cluster into KUBERNETES_EXEC_INFO */
	const char *cluster_extra; /* JSON of the cluster's client.authentication.k8s.io/exec
				      extension, or NULL */
};

/* All strings belong to the configuration; NULL when not given. */
struct kube_config {
	const char *origin;    /* for the log: "in-cluster" or "/home/a/.kube/config context dev" */
	const char *server;    /* https://host:port[/prefix], as written */
	const char *ns;        /* the namespace of the context or of the pod; NULL when none */
	const char *proxy_url; /* http, https, socks5 or socks5h */
	const char *tls_server_name;
	bool insecure; /* insecure-skip-tls-verify; the client warns at each start */

	const char *ca_pem;   /* PEM text */
	const char *cert_pem; /* client certificate and key; both or none */
	const char *key_pem;
	/* Their files, read again when a connection is made; NULL when they came as data. */
	const char *ca_file, *cert_file, *key_file;

	/* One of these or none; the first that is set counts (as in client-go). */
	const char *token_file; /* read again at least each minute */
	const char *token;
	const char *username, *password;
	const struct kube_exec *exec;

	struct kube_config_memory *memory; /* config.c's: what the strings live in */
};

/* Loads it. kubeconfig and context may be NULL or empty: not given. A context other than the
 * current one can only be asked of a kubeconfig. An error names the file and the key path, as in
 * "/home/a/.kube/config: users[2] \"dev\": user.exec.command is missing". The caller's; released
 * by kube_config_free. */
int kube_config_load(struct kube_config **out, const char *kubeconfig, const char *context,
		     struct err *e);
/* Wipes the secrets and releases it; takes NULL. */
void kube_config_free(struct kube_config *c);

#endif
