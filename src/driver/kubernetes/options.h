/*
 * The Kubernetes backend's configuration: its options, and what they must be together (driver
 * contract 3.1 and 3.2, and seed 000 for the flags that only the OpenShift driver had). No I/O.
 *
 * Where the two parents disagree on a default, options.c says which one counts and docs/driver.md
 * says why.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_OPTIONS_H
#define OPENSHELL_DRIVER_KUBERNETES_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/opt.h"

enum workspace_mode {
	WORKSPACE_SHARED,   /* one namespace; objects are called WORKSPACE--NAME */
	WORKSPACE_MANAGED,  /* a namespace a workspace, made and removed by us */
	WORKSPACE_OPERATOR, /* a namespace a workspace, made by others and named in an allowlist */
};

enum topology {
	TOPOLOGY_COMBINED, /* supervisor and workload in one container */
	TOPOLOGY_SIDECAR,  /* the network supervisor in a container of its own */
};

/* How the supervisor's binary gets into the sandbox. */
enum sideload {
	SIDELOAD_AUTO,           /* image volume from Kubernetes 1.35 on, else init container */
	SIDELOAD_INIT_CONTAINER, /* emptyDir; the supervisor image copies itself (copy-self) */
	SIDELOAD_IMAGE_VOLUME,   /* the supervisor image is a read-only volume */
	SIDELOAD_INIT_COPY,      /* emptyDir; `cp` of a supervisor image that cannot copy itself */
};

/* Whose supervisor the image holds, which decides who fills the workspace (render.h). */
enum supervisor_kind {
	SUPERVISOR_STATIC,   /* ours: it does so itself */
	SUPERVISOR_UPSTREAM, /* another: a container of the sandbox's image does, with its shell */
};

enum {
	SA_TOKEN_TTL_DEFAULT = 3600, /* seconds; what 0 and less mean */
	SA_TOKEN_TTL_MIN = 600,
	SA_TOKEN_TTL_MAX = 86400,
};

#define IDENTITY_MAX 4294967294 /* of a uid or gid: (uid_t)-1 means "no change" to the kernel */
#define IDENTITY_UNSET 0        /* of sandbox_uid and sandbox_gid */
#define IDENTITY_DEFAULT 1000   /* where neither an option nor the namespace says (3.9) */

/* A profile of AppArmor or seccomp, of a text like Localhost/NAME. */
struct profile {
	const char *type;      /* RuntimeDefault, Unconfined or Localhost; NULL: none */
	const char *localhost; /* the NAME, else NULL */
};

/* Strings are never NULL; "" is not given. */
struct kubernetes_options {
	/* cluster */
	char *kubeconfig, *context; /* for kube_config_load */

	/* placement */
	char *workspace_mode_name;
	enum workspace_mode workspace_mode; /* from check, like every field of an enum type here */
	char *gateway_id;
	char *namespace; /* the sandboxes' (shared), and the one that secrets are copied from */
	char *operator_namespace_label, *operator_namespace_file;
	bool managed_ssh_ingress;
	char *managed_ssh_gateway_namespace;
	struct opt_list managed_ssh_gateway_pod_selector; /* k=v */
	char *managed_pod_security;                       /* a level of Pod Security Admission */

	/* sandbox */
	char *service_account;
	char *sandbox_image; /* the default image told to the gateway */
	char *sandbox_image_pull_policy;
	struct opt_list sandbox_image_pull_secrets;
	char *gateway_endpoint;
	char *ssh_socket_path;
	char *client_tls_secret_name;
	char *host_gateway_ip;
	int64_t sa_token_ttl_secs; /* check clamps it */
	char *provider_spiffe_socket;
	char *sandbox_uid_text, *sandbox_gid_text;
	/* From check, of the texts. IDENTITY_UNSET: from the namespace's annotations. */
	int64_t sandbox_uid, sandbox_gid;
	bool enable_user_namespaces;
	char *app_armor_profile;  /* as given */
	struct profile app_armor; /* from check */
	char *seccomp_profile;    /* as given */
	struct profile seccomp;   /* from check */
	char *default_runtime_class;
	char *workspace_storage_size, *workspace_storage_class;
	bool kagenti_label; /* kagenti.io/type=agent on objects and pods */
	char *network_mode; /* for sandboxes that ask for none: isolated, host, auto */
	bool telemetry;     /* what the supervisor is told */
	char *selinux_type, *selinux_level;
	/* Until a sandbox that cannot start is told as failed (3.17, status.h): when only a hand can
	 * help, and when the cluster may yet help itself. 0: never. */
	int64_t refusal_grace_secs, pending_grace_secs;

	/* supervisor */
	char *supervisor_image, *supervisor_image_pull_policy;
	char *sideload_name;
	enum sideload sideload; /* kubernetes_sideload resolves SIDELOAD_AUTO */
	char *supervisor_kind_name;
	enum supervisor_kind supervisor_kind;
	char *supervisor_binary_path; /* in the supervisor image; check fills it by the method */
	char *supervisor_mount_path;  /* in the sandbox; the binary is openshell-sandbox in it */
	char *topology_name;
	enum topology topology;
	int64_t sidecar_proxy_uid;
	bool sidecar_binary_aware;

	/* upstream proxy */
	char *https_proxy, *no_proxy;
	char *proxy_auth_secret_name, *proxy_auth_secret_key;
	bool proxy_auth_allow_insecure, proxy_connect_by_hostname;
};

enum { KUBERNETES_OPTIONS = 51 };
extern const struct opt kubernetes_option_table[KUBERNETES_OPTIONS];

/* Checks and completes a struct kubernetes_options in the order of driver contract 3.2, with its
 * messages. Works on nothing but *options. */
int kubernetes_options_check(void *options, struct err *e);

/* The method to use on a server of version 1.minor (0: not known): never SIDELOAD_AUTO. */
enum sideload kubernetes_sideload(const struct kubernetes_options *o, int minor);

#endif
