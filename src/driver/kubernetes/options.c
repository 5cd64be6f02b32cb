#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "driver/kubernetes/options.h"
#include "driver/kubernetes/quantity.h"

#define AT(member) offsetof(struct kubernetes_options, member)

/* The last upstream release of the generation that we serve (generations contract). */
#define DEFAULT_SUPERVISOR_IMAGE "ghcr.io/nvidia/openshell/supervisor:0.0.116"
/* Images from here hold a supervisor that is not ours. */
#define UPSTREAM_REGISTRY "ghcr.io/nvidia/"

/* Where both parents have an option under different names, the second is an alias; where they have
 * different defaults, that of driver contract 3.1 counts, since its gateways are the ones in use. */
/* clang-format off */
const struct opt kubernetes_option_table[] = {
	{"kubeconfig", NULL, NULL, "FILE", NULL, OPT_STR, AT(kubeconfig), "Cluster",
	 "use this kubeconfig; else $KUBECONFIG, else the pod's own access, else ~/.kube/config"},
	{"context", NULL, NULL, "NAME", NULL, OPT_STR, AT(context), NULL,
	 "use this context of it instead of the current one"},

	{"workspace-mode", NULL, "OPENSHELL_WORKSPACE_MODE", "MODE", "shared", OPT_STR,
	 AT(workspace_mode_name), "Placement",
	 "shared: one namespace for all; managed: one each, made by the driver; operator: one each, "
	 "made by others"},
	{"gateway-id", NULL, "OPENSHELL_GATEWAY_ID", "ID", "openshell", OPT_STR, AT(gateway_id), NULL,
	 "whose sandboxes these are: a label on each, and part of a managed namespace's name"},
	{"sandbox-namespace", "namespace", "OPENSHELL_SANDBOX_NAMESPACE", "NAME", "default", OPT_STR,
	 AT(namespace), NULL,
	 "namespace of the sandboxes (shared), and the one that secrets are copied from"},
	{"operator-namespace-label", NULL, "OPENSHELL_OPERATOR_NAMESPACE_LABEL", "K=V", NULL, OPT_STR,
	 AT(operator_namespace_label), NULL, "operator mode: namespaces with this label are allowed"},
	{"operator-namespace-file", NULL, "OPENSHELL_OPERATOR_NAMESPACE_FILE", "FILE", NULL, OPT_STR,
	 AT(operator_namespace_file), NULL,
	 "operator mode: the allowed namespaces, a JSON array; read again when it changes"},
	{"managed-ssh-ingress-enabled", NULL, "OPENSHELL_MANAGED_SSH_INGRESS_ENABLED", NULL, NULL,
	 OPT_FLAG, AT(managed_ssh_ingress), NULL,
	 "managed mode: a NetworkPolicy that lets only the gateway reach port 2222"},
	{"managed-ssh-gateway-namespace", NULL, "OPENSHELL_MANAGED_SSH_GATEWAY_NAMESPACE", "NAME", NULL,
	 OPT_STR, AT(managed_ssh_gateway_namespace), NULL, "where the gateway's pods are, for it"},
	{"managed-ssh-gateway-pod-selector", NULL, "OPENSHELL_MANAGED_SSH_GATEWAY_POD_SELECTOR",
	 "K=V,...", NULL, OPT_PAIRS, AT(managed_ssh_gateway_pod_selector), NULL,
	 "the labels of the gateway's pods, for it"},
	{"managed-pod-security-level", NULL, "OPENSHELL_MANAGED_POD_SECURITY_LEVEL", "LEVEL",
	 "privileged", OPT_STR, AT(managed_pod_security), NULL,
	 "managed mode: what Pod Security Admission lets into a workspace's namespace: privileged, "
	 "baseline, restricted, or none for no label; the pods need privileged"},

	{"sandbox-service-account", NULL, "OPENSHELL_K8S_SANDBOX_SERVICE_ACCOUNT", "NAME", "default",
	 OPT_STR, AT(service_account), "Sandbox",
	 "service account of the pods; must be the one the gateway expects"},
	{"sandbox-image", NULL, "OPENSHELL_SANDBOX_IMAGE", "IMAGE", NULL, OPT_STR, AT(sandbox_image),
	 NULL, "image of sandboxes that name none"},
	{"sandbox-image-pull-policy", NULL, "OPENSHELL_SANDBOX_IMAGE_PULL_POLICY", "POLICY", NULL,
	 OPT_STR, AT(sandbox_image_pull_policy), NULL, "Always, IfNotPresent or Never"},
	{"sandbox-image-pull-secrets", NULL, "OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS", "NAME,...", NULL,
	 OPT_LIST, AT(sandbox_image_pull_secrets), NULL, "secrets to pull images with"},
	{"grpc-endpoint", "gateway-endpoint", "OPENSHELL_GRPC_ENDPOINT", "URL", NULL, OPT_STR,
	 AT(gateway_endpoint), NULL, "the gateway, as the sandboxes reach it"},
	{"sandbox-ssh-socket-path", NULL, "OPENSHELL_SANDBOX_SSH_SOCKET_PATH", "PATH",
	 "/run/openshell/ssh.sock", OPT_STR, AT(ssh_socket_path), NULL,
	 "where the supervisor serves ssh; @NAME is an abstract socket"},
	{"client-tls-secret-name", NULL, "OPENSHELL_CLIENT_TLS_SECRET_NAME", "NAME", NULL, OPT_STR,
	 AT(client_tls_secret_name), NULL,
	 "secret with ca.crt, tls.crt and tls.key for the way to the gateway; none: no TLS"},
	{"host-gateway-ip", NULL, "OPENSHELL_HOST_GATEWAY_IP", "IP", NULL, OPT_STR, AT(host_gateway_ip),
	 NULL, "address of host.docker.internal and host.openshell.internal in the sandboxes"},
	{"sa-token-ttl-secs", NULL, "OPENSHELL_K8S_SA_TOKEN_TTL_SECS", "SECONDS", "3600", OPT_INT,
	 AT(sa_token_ttl_secs), NULL, "life of a pod's token; 600 to 86400"},
	{"provider-spiffe-workload-api-socket-path", NULL, "OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET",
	 "PATH", NULL, OPT_STR, AT(provider_spiffe_socket), NULL,
	 "where the SPIFFE workload API is to be found in a sandbox"},
	{"sandbox-uid", NULL, "OPENSHELL_K8S_SANDBOX_UID", "UID", NULL, OPT_STR, AT(sandbox_uid_text),
	 NULL, "as whom the workload runs; else the first of the namespace's range, else 1000"},
	{"sandbox-gid", NULL, "OPENSHELL_K8S_SANDBOX_GID", "GID", NULL, OPT_STR, AT(sandbox_gid_text),
	 NULL, "its group; else as the namespace says, else the uid"},
	{"enable-user-namespaces", NULL, "OPENSHELL_ENABLE_USER_NAMESPACES", NULL, NULL, OPT_FLAG,
	 AT(enable_user_namespaces), NULL, "pods get a user namespace (hostUsers: false)"},
	{"app-armor-profile", NULL, "OPENSHELL_K8S_APP_ARMOR_PROFILE", "PROFILE", NULL, OPT_STR,
	 AT(app_armor_profile), NULL, "RuntimeDefault, Unconfined or Localhost/NAME"},
	{"seccomp-profile", NULL, "OPENSHELL_K8S_SECCOMP_PROFILE", "PROFILE", NULL, OPT_STR,
	 AT(seccomp_profile), NULL,
	 "RuntimeDefault, Unconfined or Localhost/NAME; else as the node has it"},
	{"selinux-type", NULL, "OPENSHELL_K8S_SELINUX_TYPE", "TYPE", NULL, OPT_STR, AT(selinux_type),
	 NULL, "SELinux type of the agent's container; the policy must be there already"},
	{"selinux-level", NULL, "OPENSHELL_K8S_SELINUX_LEVEL", "LEVEL", NULL, OPT_STR,
	 AT(selinux_level), NULL, "SELinux level of the pod, as in s0:c1,c2"},
	{"workspace-default-storage-size", NULL, "OPENSHELL_K8S_WORKSPACE_DEFAULT_STORAGE_SIZE",
	 "QUANTITY", "2Gi", OPT_STR, AT(workspace_storage_size), NULL,
	 "size of the claim behind /sandbox; none: no claim"},
	{"workspace-storage-class", NULL, "OPENSHELL_K8S_WORKSPACE_STORAGE_CLASS", "NAME", NULL, OPT_STR,
	 AT(workspace_storage_class), NULL, "its storage class; else the cluster's default"},
	{"default-runtime-class-name", NULL, "OPENSHELL_K8S_DEFAULT_RUNTIME_CLASS_NAME", "NAME", NULL,
	 OPT_STR, AT(default_runtime_class), NULL, "runtime class of sandboxes that name none"},
	{"network-mode", NULL, "OPENSHELL_K8S_NETWORK_MODE", "MODE", "auto", OPT_STR, AT(network_mode),
	 NULL, "network mode of sandboxes that name none: isolated, host or auto"},
	{"kagenti-label", NULL, "OPENSHELL_K8S_KAGENTI_LABEL", "BOOL", "true", OPT_BOOL,
	 AT(kagenti_label), NULL, "label objects and pods kagenti.io/type=agent"},
	{NULL, NULL, "OPENSHELL_TELEMETRY_ENABLED", "BOOL", "false", OPT_BOOL, AT(telemetry), NULL,
	 "what supervisors are told about telemetry"},
	{"refusal-grace-secs", NULL, "OPENSHELL_K8S_REFUSAL_GRACE_SECS", "SECONDS", "60", OPT_INT,
	 AT(refusal_grace_secs), NULL,
	 "after this long a pod that was refused, or whose image cannot be had, counts as failed; 0: "
	 "never"},
	{"pending-grace-secs", NULL, "OPENSHELL_K8S_PENDING_GRACE_SECS", "SECONDS", "600", OPT_INT,
	 AT(pending_grace_secs), NULL,
	 "after this long a pod that fits on no node, or waits for its volume, counts as failed; 0: "
	 "never"},

	{"supervisor-image", NULL, "OPENSHELL_SUPERVISOR_IMAGE", "IMAGE", DEFAULT_SUPERVISOR_IMAGE,
	 OPT_STR, AT(supervisor_image), "Supervisor", "image that holds the supervisor's program"},
	{"supervisor-image-pull-policy", NULL, "OPENSHELL_SUPERVISOR_IMAGE_PULL_POLICY", "POLICY", NULL,
	 OPT_STR, AT(supervisor_image_pull_policy), NULL, "Always, IfNotPresent or Never"},
	{"supervisor-sideload-method", NULL, "OPENSHELL_SUPERVISOR_SIDELOAD_METHOD", "METHOD", "auto",
	 OPT_STR, AT(sideload_name), NULL,
	 "how it gets into the sandbox: image-volume, init-container (it copies itself), cp (the "
	 "image's cp copies it), or auto: cp with --supervisor-binary-path, else image-volume from "
	 "Kubernetes 1.35 on, else init-container"},
	{"supervisor-kind", NULL, "OPENSHELL_SUPERVISOR_KIND", "KIND", "auto", OPT_STR,
	 AT(supervisor_kind_name), NULL,
	 "static: it fills the workspace itself; upstream: a container with the sandbox image's shell "
	 "does; auto: upstream for cp and for images of " UPSTREAM_REGISTRY ", else static"},
	{"supervisor-binary-path", NULL, "OPENSHELL_SUPERVISOR_BINARY_PATH", "PATH", NULL, OPT_STR,
	 AT(supervisor_binary_path), NULL,
	 "the program in that image; else /openshell-sandbox, for cp /usr/local/bin/openshell-sandbox"},
	{"supervisor-mount-path", NULL, "OPENSHELL_SUPERVISOR_MOUNT_PATH", "DIR", "/opt/openshell/bin",
	 OPT_STR, AT(supervisor_mount_path), NULL, "where it is found in a sandbox"},
	{"topology", NULL, "OPENSHELL_K8S_TOPOLOGY", "NAME", "combined", OPT_STR, AT(topology_name),
	 NULL, "combined, or sidecar (with upstream's supervisor only)"},
	{"sidecar-proxy-uid", "proxy-uid", "OPENSHELL_K8S_SIDECAR_PROXY_UID", "UID", "1337", OPT_INT,
	 AT(sidecar_proxy_uid), NULL, "of sidecar topology"},
	{"sidecar-process-binary-aware-network-policy", NULL,
	 "OPENSHELL_K8S_SIDECAR_PROCESS_BINARY_AWARE_NETWORK_POLICY", "BOOL", "true", OPT_BOOL,
	 AT(sidecar_binary_aware), NULL, "of sidecar topology"},

	{"https-proxy", NULL, "OPENSHELL_UPSTREAM_PROXY", "URL", NULL, OPT_STR, AT(https_proxy),
	 "Upstream proxy", "http://host:port through which the supervisor reaches the world"},
	{"no-proxy", NULL, "OPENSHELL_UPSTREAM_NO_PROXY", "LIST", NULL, OPT_STR, AT(no_proxy), NULL,
	 "what it reaches without"},
	{"proxy-auth-secret-name", NULL, "OPENSHELL_UPSTREAM_PROXY_AUTH_SECRET_NAME", "NAME", NULL,
	 OPT_STR, AT(proxy_auth_secret_name), NULL, "of sidecar topology"},
	{"proxy-auth-secret-key", NULL, "OPENSHELL_UPSTREAM_PROXY_AUTH_SECRET_KEY", "KEY", NULL, OPT_STR,
	 AT(proxy_auth_secret_key), NULL, "of sidecar topology"},
	{"proxy-auth-allow-insecure", NULL, "OPENSHELL_UPSTREAM_PROXY_AUTH_ALLOW_INSECURE", NULL, NULL,
	 OPT_FLAG, AT(proxy_auth_allow_insecure), NULL, "of sidecar topology"},
	{"proxy-connect-by-hostname", NULL, "OPENSHELL_UPSTREAM_PROXY_CONNECT_BY_HOSTNAME", NULL, NULL,
	 OPT_FLAG, AT(proxy_connect_by_hostname), NULL,
	 "name hosts to the proxy instead of resolving them here"},
};
/* clang-format on */

/* The index of value among the names; the error lists them. */
static int choose(const char *option, const char *value, const char *const *names, size_t n,
		  struct err *e)
{
	char all[256] = "";

	for (size_t i = 0; i < n; i++) {
		if (streq(value, names[i]))
			return (int)i;
		strcat(all, i ? ", " : "");
		strcat(all, names[i]);
	}
	return err_set(e, EINVAL, "--%s '%s' is none of: %s", option, value, all);
}

static int check_names(struct kubernetes_options *o, struct err *e)
{
	static const char *const modes[] = {
		[WORKSPACE_SHARED] = "shared",
		[WORKSPACE_MANAGED] = "managed",
		[WORKSPACE_OPERATOR] = "operator",
	};
	static const char *const methods[] = {
		[SIDELOAD_AUTO] = "auto",
		[SIDELOAD_INIT_CONTAINER] = "init-container",
		[SIDELOAD_IMAGE_VOLUME] = "image-volume",
		[SIDELOAD_INIT_COPY] = "cp",
	};
	static const char *const topologies[] = {"combined", "sidecar"};
	static const char *const policies[] = {"", "Always", "IfNotPresent", "Never"};
	static const char *const network[] = {"isolated", "host", "auto"};
	static const char *const levels[] = {"privileged", "baseline", "restricted", "none"};
	int mode, method, topology;

	if ((mode = choose("workspace-mode", o->workspace_mode_name, modes, 3, e)) < 0 ||
	    (method = choose("supervisor-sideload-method", o->sideload_name, methods, 4, e)) < 0 ||
	    (topology = choose("topology", o->topology_name, topologies, 2, e)) < 0 ||
	    choose("sandbox-image-pull-policy", o->sandbox_image_pull_policy, policies, 4, e) < 0 ||
	    choose("supervisor-image-pull-policy", o->supervisor_image_pull_policy, policies, 4,
		   e) < 0 ||
	    choose("network-mode", o->network_mode, network, 3, e) < 0 ||
	    choose("managed-pod-security-level", o->managed_pod_security, levels, 4, e) < 0)
		return -1;
	o->workspace_mode = (enum workspace_mode)mode;
	o->sideload = (enum sideload)method;
	o->topology = (enum topology)topology;
	return 0;
}

enum {
	NAME_MAX_LABEL = 63,     /* RFC 1123 */
	WORKSPACE_NAME_MAX = 19, /* what gateways allow (driver contract 1.9) */
};

static int check_managed(const struct kubernetes_options *o, struct err *e)
{
	size_t prefix = strlen("openshell-") + strlen(o->gateway_id) + strlen("-");

	if (str_empty(o->gateway_id))
		return err_set(e, EINVAL, "managed workspace mode requires a non-empty gateway_id");
	if (!str_is_dns_label(str_of(o->gateway_id)))
		return err_set(e, EINVAL, "gateway_id '%s' is not a valid DNS-1123 label",
			       o->gateway_id);
	if (prefix + WORKSPACE_NAME_MAX > NAME_MAX_LABEL)
		return err_set(
			e, EINVAL,
			"gateway_id '%s' is too long for managed mode; 'openshell-%s-' and a "
			"workspace name of %d characters exceed the DNS-1123 limit of %d",
			o->gateway_id, o->gateway_id, WORKSPACE_NAME_MAX, NAME_MAX_LABEL);
	if (!o->managed_ssh_ingress)
		return 0;
	if (str_empty(o->managed_ssh_gateway_namespace))
		return err_set(e, EINVAL,
			       "managed_ssh_ingress requires a non-empty gateway_namespace");
	if (o->managed_ssh_gateway_pod_selector.n == 0)
		return err_set(e, EINVAL,
			       "managed_ssh_ingress requires a non-empty gateway_pod_selector");
	return 0;
}

static int check_workspace_mode(const struct kubernetes_options *o, struct err *e)
{
	bool label = !str_empty(o->operator_namespace_label);
	bool file = !str_empty(o->operator_namespace_file);

	switch (o->workspace_mode) {
	case WORKSPACE_SHARED:
		break;
	case WORKSPACE_MANAGED:
		return check_managed(o, e);
	case WORKSPACE_OPERATOR:
		if (label != file)
			break;
		return err_set(e, EINVAL,
			       "operator workspace mode requires exactly one of "
			       "operator_namespace_label or operator_namespace_file%s",
			       label ? ", not both" : "");
	}
	if (!is_label_value(str_of(o->gateway_id)))
		return err_set(e, EINVAL, "gateway_id '%s' is not a valid label value",
			       o->gateway_id);
	if (!str_is_dns_label(str_of(o->namespace)))
		return err_set(e, EINVAL, "--sandbox-namespace '%s' is not a valid DNS-1123 label",
			       o->namespace);
	return 0;
}

/* An absolute path without blanks that lies in a folder other than the root. */
static int check_spiffe(const struct kubernetes_options *o, struct err *e)
{
	const char *p = o->provider_spiffe_socket;
	const char *slash = strrchr(p, '/');

	if (str_empty(p))
		return 0;
	if (p[0] != '/')
		return err_set(e, EINVAL,
			       "provider_spiffe_workload_api_socket_path '%s' must be absolute", p);
	if (strpbrk(p, " \t\r\n\v\f") != NULL)
		return err_set(
			e, EINVAL,
			"provider_spiffe_workload_api_socket_path '%s' must not hold whitespace",
			p);
	if (slash == p || slash[1] == '\0')
		return err_set(e, EINVAL,
			       "provider_spiffe_workload_api_socket_path '%s' must name a socket "
			       "in a folder other than /",
			       p);
	return 0;
}

static int check_identity(const char *name, const char *text, int64_t *out, struct err *e)
{
	*out = IDENTITY_UNSET;
	if (str_empty(text))
		return 0;
	if (!str_i64(str_of(text), out))
		return err_set(e, EINVAL, "%s '%s' is not a whole number", name, text);
	if (*out < 1 || *out > IDENTITY_MAX)
		return err_set(e, EINVAL, "%s %s is outside the allowed range [1, 4294967294]",
			       name, text);
	return 0;
}

/* http://host:port and nothing more. */
static int check_proxy_url(const char *url, struct err *e)
{
	struct str s = str_of(url), host;
	uint64_t port = 0;

	if (!str_skip(&s, "http://"))
		return err_set(e, EINVAL, "https_proxy must be of the form http://host:port");
	if (memchr(s.p, '@', s.n) != NULL)
		return err_set(e, EINVAL,
			       "https_proxy must not embed credentials in the URL; supply them "
			       "through proxy_auth_secret_name and proxy_auth_secret_key");
	if (str_starts(s, "[")) { /* an IPv6 address */
		host = str_cut(&s, ']');
		if (!str_skip(&s, ":"))
			s = STR_NONE;
	} else {
		host = str_cut(&s, ':');
	}
	if (host.n == 0 || memchr(host.p, '/', host.n) != NULL || !str_u64(s, &port) || port == 0 ||
	    port > 65535 || str_has_control(host) || memchr(host.p, ' ', host.n) != NULL)
		return err_set(e, EINVAL,
			       "https_proxy must be http://host:port with an explicit port and "
			       "without path, query or fragment");
	return 0;
}

static bool is_secret_key(const char *key)
{
	size_t n = strlen(key);

	return n > 0 && n <= 253 && !streq(key, ".") && !streq(key, "..") &&
	       strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		       n;
}

static int check_proxy_auth(const struct kubernetes_options *o, struct err *e)
{
	bool name = !str_empty(o->proxy_auth_secret_name);
	bool key = !str_empty(o->proxy_auth_secret_key);

	if (name != key)
		return err_set(e, EINVAL,
			       "proxy_auth_secret_name and proxy_auth_secret_key must be "
			       "set together");
	if (!name && o->proxy_auth_allow_insecure)
		return err_set(e, EINVAL,
			       "proxy_auth_allow_insecure is set but no "
			       "proxy_auth_secret_name is configured");
	if (!name)
		return 0;
	if (!str_is_dns_subdomain(str_of(o->proxy_auth_secret_name)))
		return err_set(e, EINVAL,
			       "proxy_auth_secret_name '%s' is not a valid DNS-1123 subdomain",
			       o->proxy_auth_secret_name);
	if (!is_secret_key(o->proxy_auth_secret_key))
		return err_set(e, EINVAL, "proxy_auth_secret_key '%s' is not a valid Secret key",
			       o->proxy_auth_secret_key);
	if (str_empty(o->https_proxy))
		return err_set(e, EINVAL,
			       "proxy_auth_secret_name is set but no https_proxy is configured");
	if (!o->proxy_auth_allow_insecure)
		return err_set(e, EINVAL,
			       "proxy credentials travel unencrypted to an http:// proxy; set "
			       "proxy_auth_allow_insecure = true to accept that");
	if (o->topology != TOPOLOGY_SIDECAR)
		return err_set(e, EINVAL,
			       "proxy_auth_secret_name requires topology sidecar: in combined "
			       "topology the sandbox could read the credentials");
	return 0;
}

static int check_proxy(const struct kubernetes_options *o, struct err *e)
{
	bool proxy = !str_empty(o->https_proxy);

	if (proxy && check_proxy_url(o->https_proxy, e) < 0)
		return -1;
	if (o->no_proxy[0] != '\0' && str_trim(str_of(o->no_proxy)).n == 0)
		return err_set(e, EINVAL, "no_proxy must not be empty when set; omit it instead");
	if (!str_empty(o->no_proxy) && !proxy)
		return err_set(e, EINVAL, "no_proxy is set but no https_proxy is configured");
	if (check_proxy_auth(o, e) < 0)
		return -1;
	if (o->proxy_connect_by_hostname && !proxy)
		return err_set(e, EINVAL,
			       "proxy_connect_by_hostname is set but no https_proxy is "
			       "configured");
	return 0;
}

static int check_profile(const char *name, const char *text, struct profile *out, struct err *e)
{
	struct str s = str_of(text);

	if (s.n == 0)
		return 0;
	if (str_skip(&s, "Localhost/") && s.n > 0)
		*out = (struct profile){"Localhost", s.p};
	else if (str_is(s, "RuntimeDefault") || str_is(s, "Unconfined"))
		*out = (struct profile){text, NULL};
	else
		return err_set(e, EINVAL,
			       "%s '%s' is none of: RuntimeDefault, Unconfined, Localhost/<name>",
			       name, text);
	return 0;
}

static bool is_path(const char *p)
{
	return p[0] == '/' && p[1] != '\0' && !str_has_control(str_of(p)) &&
	       strstr(p, "/..") == NULL && p[strlen(p) - 1] != '/';
}

/* Which image is whose, and where the program is in it. */
static int check_supervisor(struct kubernetes_options *o, struct err *e)
{
	static const char *const kinds[] = {"static", "upstream", "auto"};
	bool given = !str_empty(o->supervisor_binary_path);
	int kind = choose("supervisor-kind", o->supervisor_kind_name, kinds, 3, e);

	if (kind < 0)
		return -1;
	if (o->sideload == SIDELOAD_AUTO && given)
		o->sideload = SIDELOAD_INIT_COPY;
	if (kind == 2)
		kind = o->sideload == SIDELOAD_INIT_COPY ||
				       str_starts(str_of(o->supervisor_image), UPSTREAM_REGISTRY)
			       ? SUPERVISOR_UPSTREAM
			       : SUPERVISOR_STATIC;
	o->supervisor_kind = (enum supervisor_kind)kind;
	if (!given) {
		free(o->supervisor_binary_path);
		o->supervisor_binary_path = xstrdup(o->sideload == SIDELOAD_INIT_COPY
							    ? "/usr/local/bin/openshell-sandbox"
							    : "/openshell-sandbox");
	}
	if (str_empty(o->supervisor_image))
		return err_set(e, EINVAL, "--supervisor-image must not be empty");
	if (!is_path(o->supervisor_binary_path))
		return err_set(e, EINVAL, "--supervisor-binary-path '%s' is no absolute path",
			       o->supervisor_binary_path);
	if (!is_path(o->supervisor_mount_path))
		return err_set(e, EINVAL, "--supervisor-mount-path '%s' is no absolute path",
			       o->supervisor_mount_path);
	return 0;
}

static int check_rest(struct kubernetes_options *o, struct err *e)
{
	if (o->sa_token_ttl_secs <= 0)
		o->sa_token_ttl_secs = SA_TOKEN_TTL_DEFAULT;
	o->sa_token_ttl_secs = MAX(o->sa_token_ttl_secs, SA_TOKEN_TTL_MIN);
	o->sa_token_ttl_secs = MIN(o->sa_token_ttl_secs, SA_TOKEN_TTL_MAX);
	if (check_profile("app_armor_profile", o->app_armor_profile, &o->app_armor, e) < 0 ||
	    check_profile("--seccomp-profile", o->seccomp_profile, &o->seccomp, e) < 0 ||
	    check_supervisor(o, e) < 0)
		return -1;
	if (o->refusal_grace_secs < 0 || o->pending_grace_secs < 0)
		return err_set(e, EINVAL, "a grace period must not be negative");
	if (!streq(o->workspace_storage_size, "none") &&
	    !is_quantity(str_of(o->workspace_storage_size)))
		return err_set(e, EINVAL,
			       "--workspace-default-storage-size '%s' is no quantity (as in 2Gi), "
			       "and not none",
			       o->workspace_storage_size);
	if (o->topology == TOPOLOGY_SIDECAR && o->supervisor_kind == SUPERVISOR_STATIC)
		return err_set(e, EINVAL,
			       "topology sidecar is upstream's supervisor's alone; ours is for "
			       "topology combined (--supervisor-kind says whose it is)");
	return 0;
}

int kubernetes_options_check(void *options, struct err *e)
{
	struct kubernetes_options *o = options;

	if (check_names(o, e) < 0 || check_workspace_mode(o, e) < 0 || check_spiffe(o, e) < 0 ||
	    check_identity("sandbox_uid", o->sandbox_uid_text, &o->sandbox_uid, e) < 0 ||
	    check_identity("sandbox_gid", o->sandbox_gid_text, &o->sandbox_gid, e) < 0)
		return -1;
	if (o->sidecar_proxy_uid < 1000 || o->sidecar_proxy_uid > IDENTITY_MAX)
		return err_set(e, EINVAL,
			       "proxy_uid %lld is outside the allowed range [1000, 4294967294]",
			       (long long)o->sidecar_proxy_uid);
	if (check_proxy(o, e) < 0)
		return -1;
	return check_rest(o, e);
}

enum sideload kubernetes_sideload(const struct kubernetes_options *o, int minor)
{
	enum { IMAGE_VOLUME_MINOR = 35 }; /* on by default from there on */

	if (o->sideload != SIDELOAD_AUTO)
		return o->sideload;
	return minor >= IMAGE_VOLUME_MINOR ? SIDELOAD_IMAGE_VOLUME : SIDELOAD_INIT_CONTAINER;
}
