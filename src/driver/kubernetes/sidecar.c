/*
 * Sidecar topology (driver contract 3.6): the agent's container has no privilege at all; a second
 * container of the supervisor's image holds the wall, the token and the way to the gateway. An init
 * container makes the wall before either starts. The supervisor is upstream's, in three modes.
 */
#include "base/json.h"
#include "driver/kubernetes/render_impl.h"
#include "driver/kubernetes/volumes.h"

/* As whom the network supervisor runs: root where it must read of others' processes which program
 * they are. */
static int64_t network_uid(const struct render *r)
{
	return r->o->sidecar_binary_aware ? 0 : r->o->sidecar_proxy_uid;
}

/* {allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add?}}; borrowed. */
static cJSON *put_least(cJSON *container, const char *const *add, size_t n)
{
	cJSON *security = json_put_object(container, "securityContext");
	cJSON *capabilities, *list;

	json_put_bool(security, "allowPrivilegeEscalation", false);
	capabilities = json_put_object(security, "capabilities");
	json_add_str(json_put_array(capabilities, "drop"), "ALL");
	if (n == 0)
		return security;
	list = json_put_array(capabilities, "add");
	for (size_t i = 0; i < n; i++)
		json_add_str(list, add[i]);
	return security;
}

void put_sidecar_agent_security(cJSON *container, const struct render *r)
{
	cJSON *security = put_least(container, NULL, 0);

	json_put_int(security, "runAsUser", r->f->identity.uid);
	json_put_int(security, "runAsGroup", r->f->identity.gid);
	json_put_bool(security, "runAsNonRoot", true);
	put_profiles(security, r);
}

static void add_number(cJSON *command, int64_t n)
{
	_cleanup_free_ char *text = xasprintf("%lld", (long long)n);

	json_add_str(command, text);
}

void add_network_init(cJSON *list, const struct render *r)
{
	static const char *const needs[] = {"NET_ADMIN", "NET_RAW", "CHOWN", "FOWNER"};
	cJSON *c = add_container(list, "openshell-network-init", r->o->supervisor_image,
				 r->o->supervisor_image_pull_policy);
	cJSON *command = json_put_array(c, "command"), *mounts;

	add_argument(command, r->o->supervisor_binary_path);
	json_add_str(command, "--mode=network-init");
	json_add_str(command, "--proxy-uid");
	add_number(command, network_uid(r));
	json_add_str(command, "--proxy-gid");
	add_number(command, r->f->identity.gid);
	json_add_str(command, "--sidecar-state-dir");
	json_add_str(command, SIDECAR_STATE_DIR);
	json_add_str(command, "--sidecar-tls-dir");
	json_add_str(command, SIDECAR_TLS_DIR);
	put_helper_resources(c, r);
	json_put_int(put_least(c, needs, ARRAY_LEN(needs)), "runAsUser", 0);
	mounts = json_put_array(c, "volumeMounts");
	if (!str_empty(r->o->client_tls_secret_name))
		add_mount_read_only(mounts, VOLUME_CLIENT_TLS, CLIENT_TLS_DIR);
	add_sidecar_mounts(mounts);
}

void add_network_supervisor(cJSON *list, const struct render *r)
{
	static const char *const needs[] = {"SYS_PTRACE", "DAC_READ_SEARCH"};
	cJSON *c = add_container(list, "openshell-supervisor-network", r->o->supervisor_image,
				 r->o->supervisor_image_pull_policy);
	_cleanup_json_ cJSON *agent = render_resources(r);
	cJSON *resources = render_sidecar_resources(agent);
	cJSON *command = json_put_array(c, "command"), *security, *mounts;

	add_argument(command, r->o->supervisor_binary_path);
	json_add_str(command, "--mode=network");
	add_proxy_arguments(command, r);
	json_put(c, "env", render_sidecar_env(r));
	security = put_least(c, needs, r->o->sidecar_binary_aware ? ARRAY_LEN(needs) : 0);
	json_put_int(security, "runAsUser", network_uid(r));
	json_put_int(security, "runAsGroup", r->f->identity.gid);
	json_put_bool(security, "runAsNonRoot", network_uid(r) != 0);
	put_profiles(security, r);
	if (resources != NULL)
		json_put(c, "resources", resources);
	mounts = json_put_array(c, "volumeMounts");
	add_sidecar_mounts(mounts);
	add_identity_mounts(mounts, r);
	if (!str_empty(r->o->proxy_auth_secret_name))
		add_mount_read_only(mounts, VOLUME_PROXY_AUTH, PROXY_AUTH_DIR);
}
