#include "k8s.h"

/* The error of a start with these arguments. */
static const char *refused(const char *arguments)
{
	struct kubernetes_options o;
	static struct err e;

	e = (struct err){0};
	if (options_parse(&o, arguments, &e) == 0)
		FAIL("%s: accepted", arguments);
	opt_free(kubernetes_option_table, KUBERNETES_OPTIONS, &o);
	return e.text;
}

TEST(defaults_are_the_contracts)
{
	const struct kubernetes_options *o = options("");

	STREQ(o->namespace, "default");
	STREQ(o->gateway_id, "openshell");
	STREQ(o->service_account, "default");
	STREQ(o->sandbox_image, "");
	STREQ(o->ssh_socket_path, "/run/openshell/ssh.sock");
	STREQ(o->supervisor_mount_path, "/opt/openshell/bin");
	STREQ(o->workspace_storage_size, "2Gi");
	EQ(o->workspace_mode, WORKSPACE_SHARED);
	EQ(o->topology, TOPOLOGY_COMBINED);
	EQ(o->sa_token_ttl_secs, 3600);
	EQ(o->sidecar_proxy_uid, 1337);
	EQ(o->sidecar_binary_aware, true);
	EQ(o->enable_user_namespaces, false);
	EQ(o->sandbox_uid, IDENTITY_UNSET);
	EQ(o->app_armor.type == NULL, true);
}

TEST(names_of_seed_000_are_aliases)
{
	const struct kubernetes_options *o =
		options("-namespace openshell-system --supervisor-image s:1 "
			"--supervisor-binary-path /usr/bin/sup --supervisor-mount-path /opt/x "
			"--gateway-endpoint http://gw:1");

	STREQ(o->namespace, "openshell-system");
	STREQ(o->gateway_endpoint, "http://gw:1");
	STREQ(o->supervisor_mount_path, "/opt/x");
	STREQ(o->supervisor_binary_path, "/usr/bin/sup");
	EQ(o->sideload, SIDELOAD_INIT_COPY);
	EQ(o->supervisor_kind, SUPERVISOR_UPSTREAM);
}

TEST(environment_names_are_taken)
{
	setenv("OPENSHELL_SANDBOX_NAMESPACE", "boxes", 1);
	setenv("OPENSHELL_SANDBOX_IMAGE_PULL_SECRETS", "a, b", 1);
	setenv("OPENSHELL_ENABLE_USER_NAMESPACES", "true", 1);
	const struct kubernetes_options *o = options("");

	STREQ(o->namespace, "boxes");
	EQ(o->sandbox_image_pull_secrets.n, 2);
	STREQ(o->sandbox_image_pull_secrets.v[1], "b");
	EQ(o->enable_user_namespaces, true);
	STREQ(options("--namespace flag")->namespace, "flag");
}

TEST(sideload_is_chosen_by_the_server)
{
	const struct kubernetes_options *o = options("");

	EQ(kubernetes_sideload(o, 35), SIDELOAD_IMAGE_VOLUME);
	EQ(kubernetes_sideload(o, 34), SIDELOAD_INIT_CONTAINER);
	EQ(kubernetes_sideload(o, 0), SIDELOAD_INIT_CONTAINER);
	o = options("--supervisor-sideload-method image-volume");
	EQ(kubernetes_sideload(o, 30), SIDELOAD_IMAGE_VOLUME);
	o = options("--supervisor-sideload-method cp");
	EQ(kubernetes_sideload(o, 40), SIDELOAD_INIT_COPY);
	STREQ(o->supervisor_binary_path, "/usr/local/bin/openshell-sandbox");
	HAS(refused("--supervisor-sideload-method tar"), "auto, init-container, image-volume, cp");
}

TEST(supervisor_kind_follows_the_image)
{
	EQ(options("")->supervisor_kind, SUPERVISOR_UPSTREAM);
	EQ(options("--supervisor-image reg/ours:1")->supervisor_kind, SUPERVISOR_STATIC);
	EQ(options("--supervisor-kind static")->supervisor_kind, SUPERVISOR_STATIC);
	EQ(options("--supervisor-image r/o:1 --supervisor-sideload-method cp")->supervisor_kind,
	   SUPERVISOR_UPSTREAM);
	HAS(refused("--supervisor-kind mine"), "--supervisor-kind 'mine'");
}

TEST(managed_mode_checks)
{
	EQ(options("--workspace-mode managed")->workspace_mode, WORKSPACE_MANAGED);
	STREQ(refused("--workspace-mode managed --gateway-id="),
	      "managed workspace mode requires a non-empty gateway_id");
	STREQ(refused("--workspace-mode managed --gateway-id A_b"),
	      "gateway_id 'A_b' is not a valid DNS-1123 label");
	/* openshell-<33>-<19> is 63 */
	options("--workspace-mode managed --gateway-id aaaaaaaaaabbbbbbbbbbccccccccccddd");
	HAS(refused("--workspace-mode managed --gateway-id aaaaaaaaaabbbbbbbbbbccccccccccdddd"),
	    "is too long for managed mode; ");
	HAS(refused("--workspace-mode managed --managed-ssh-ingress-enabled"), "gateway_namespace");
	HAS(refused("--workspace-mode managed --managed-ssh-ingress-enabled "
		    "--managed-ssh-gateway-namespace g"),
	    "gateway_pod_selector");
	HAS(refused("--managed-ssh-gateway-pod-selector app"), "key=value");
}

TEST(operator_mode_checks)
{
	STREQ(refused("--workspace-mode operator"),
	      "operator workspace mode requires exactly one of operator_namespace_label or "
	      "operator_namespace_file");
	STREQ(refused("--workspace-mode operator --operator-namespace-label a=b "
		      "--operator-namespace-file /f"),
	      "operator workspace mode requires exactly one of operator_namespace_label or "
	      "operator_namespace_file, not both");
	options("--workspace-mode operator --operator-namespace-file /f");
}

TEST(spiffe_path_checks)
{
	options("--provider-spiffe-workload-api-socket-path /spiffe/agent.sock");
	HAS(refused("--provider-spiffe-workload-api-socket-path a/b"), "must be absolute");
	HAS(refused("--provider-spiffe-workload-api-socket-path /a\tb/c"), "whitespace");
	HAS(refused("--provider-spiffe-workload-api-socket-path /sock"), "other than /");
}

TEST(identity_range)
{
	EQ(options("--sandbox-uid 4294967294")->sandbox_uid, 4294967294);
	STREQ(refused("--sandbox-uid 0"),
	      "sandbox_uid 0 is outside the allowed range [1, 4294967294]");
	STREQ(refused("--sandbox-gid 4294967295"),
	      "sandbox_gid 4294967295 is outside the allowed range [1, 4294967294]");
	HAS(refused("--proxy-uid 999"), "proxy_uid 999 is outside");
}

TEST(token_ttl_is_clamped)
{
	EQ(options("--sa-token-ttl-secs 0")->sa_token_ttl_secs, 3600);
	EQ(options("--sa-token-ttl-secs=-5")->sa_token_ttl_secs, 3600);
	EQ(options("--sa-token-ttl-secs 1")->sa_token_ttl_secs, 600);
	EQ(options("--sa-token-ttl-secs 100000")->sa_token_ttl_secs, 86400);
}

TEST(upstream_proxy_url_checks)
{
	options("--https-proxy http://proxy.corp:3128 --no-proxy .svc --proxy-connect-by-hostname");
	options("--https-proxy http://[fd00::1]:3128");
	STREQ(refused("--https-proxy http://u:p@proxy:1"),
	      "https_proxy must not embed credentials in the URL; supply them through "
	      "proxy_auth_secret_name and proxy_auth_secret_key");
	HAS(refused("--https-proxy https://proxy:1"), "http://host:port");
	HAS(refused("--https-proxy http://proxy"), "explicit port");
	HAS(refused("--https-proxy http://proxy:0"), "explicit port");
	HAS(refused("--https-proxy http://proxy:1/x"), "path");
	HAS(refused("--https-proxy http://proxy:1?x"), "query");
	HAS(refused("--https-proxy http://proxy:1#x"), "fragment");
	STREQ(refused("--no-proxy a"), "no_proxy is set but no https_proxy is configured");
	HAS(refused("--proxy-connect-by-hostname"), "no https_proxy is configured");
}

TEST(upstream_proxy_config_rejects_credentials_in_combined_topology)
{
	const char *proxy = "--https-proxy http://proxy:1 --proxy-auth-secret-name s";

	HAS(refused(proxy), "must be set together");
	HAS(refused("--proxy-auth-secret-name s --proxy-auth-secret-key k"),
	    "no https_proxy is configured");
	HAS(refused("--https-proxy http://p:1 --proxy-auth-secret-name S --proxy-auth-secret-key "
		    "k"),
	    "DNS-1123 subdomain");
	HAS(refused("--https-proxy http://p:1 --proxy-auth-secret-name s --proxy-auth-secret-key "
		    ".."),
	    "not a valid Secret key");
	HAS(refused("--https-proxy http://p:1 --proxy-auth-secret-name s --proxy-auth-secret-key "
		    "k"),
	    "proxy_auth_allow_insecure = true");
	HAS(refused("--https-proxy http://p:1 --proxy-auth-secret-name s --proxy-auth-secret-key k "
		    "--proxy-auth-allow-insecure"),
	    "requires topology sidecar");
	HAS(refused("--proxy-auth-allow-insecure"), "no proxy_auth_secret_name");
}

/* Ours knows one topology; upstream's supervisor two. */
TEST(sidecar_topology_needs_upstreams_supervisor)
{
	EQ(options("--topology sidecar")->topology, TOPOLOGY_SIDECAR);
	HAS(refused("--topology sidecar --supervisor-image reg/ours:1"),
	    "topology sidecar is upstream's supervisor's alone");
	HAS(refused("--topology both"), "none of: combined, sidecar");
	options("--topology sidecar --https-proxy http://p:1 --proxy-auth-secret-name s "
		"--proxy-auth-secret-key k --proxy-auth-allow-insecure");
}

TEST(other_values_are_checked)
{
	const struct kubernetes_options *o = options("--app-armor-profile Localhost/my-profile");

	STREQ(o->app_armor.type, "Localhost");
	STREQ(o->app_armor.localhost, "my-profile");
	STREQ(options("--app-armor-profile Unconfined")->app_armor.type, "Unconfined");
	HAS(refused("--app-armor-profile Localhost/"), "none of");
	STREQ(options("--seccomp-profile Localhost/a/b.json")->seccomp.localhost, "a/b.json");
	HAS(refused("--seccomp-profile runtime/default"), "--seccomp-profile 'runtime/default'");
	HAS(refused("--managed-pod-security-level high"), "privileged, baseline, restricted, none");
	HAS(refused("--sandbox-image-pull-policy always"), "Always");
	HAS(refused("--network-mode bridge"), "isolated, host, auto");
	HAS(refused("--workspace-default-storage-size 2GB"), "no quantity");
	options("--workspace-default-storage-size none");
	HAS(refused("--refusal-grace-secs=-1"), "grace period");
	HAS(refused("--supervisor-mount-path relative"), "no absolute path");
	HAS(refused("--namespace A"), "not a valid DNS-1123 label");
	HAS(refused("--gateway-id -x"), "label value");
}
