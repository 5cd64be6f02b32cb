#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/render_impl.h"
#include "driver/kubernetes/volumes.h"

/* What a supervisor before v0.0.111 runs, where it is told no command (driver contract 2.3). */
#define OLD_COMMAND "sleep infinity"

char *no_expansion(const char *text)
{
	char *out = xmalloc(2 * strlen(text) + 1), *p = out;

	for (; *text != '\0'; text++) {
		*p++ = *text;
		if (text[0] == '$' && (text[1] == '$' || text[1] == '('))
			*p++ = '$';
	}
	*p = '\0';
	return out;
}

bool env_is_users(const char *name)
{
	/* all that begins with OPENSHELL_ steers the supervisor; these do no harm */
	static const char *const harmless[] = {
		"OPENSHELL_LOG_LEVEL",
		"OPENSHELL_LOG_PUSH_LEVEL",
		"OPENSHELL_POLICY_POLL_INTERVAL_SECS",
		"OPENSHELL_DENIAL_FLUSH_INTERVAL_SECS",
		"OPENSHELL_ACTIVITY_FLUSH_INTERVAL_SECS",
		"OPENSHELL_ROUTE_REFRESH_INTERVAL_SECS",
	};

	if (!str_starts(str_of(name), "OPENSHELL_"))
		return true;
	for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
		if (streq(name, harmless[i]))
			return true;
	}
	return false;
}

/* An object serves as ordered map: each name once, the last value wins. */
static cJSON *users_environment(const struct render *r)
{
	cJSON *env = json_object();

	for (size_t i = 0; i < r->template->n_environment; i++) {
		if (env_is_users(r->template->environment[i]->key))
			json_put_str(env, r->template->environment[i]->key,
				     r->template->environment[i]->value);
	}
	for (size_t i = 0; i < r->spec->n_environment; i++) {
		if (env_is_users(r->spec->environment[i]->key))
			json_put_str(env, r->spec->environment[i]->key,
				     r->spec->environment[i]->value);
	}
	if (!str_empty(r->spec->log_level))
		json_put_str(env, "OPENSHELL_LOG_LEVEL", r->spec->log_level);
	return env;
}

/* {"version":1,"command":[...],"tty":b}; the caller's. */
static char *main_process(const Openshell__Compute__V1__DriverSandboxSpec *spec)
{
	_cleanup_json_ cJSON *j = json_object();
	cJSON *command;

	json_put_int(j, "version", 1);
	command = json_put_array(j, "command");
	for (size_t i = 0; i < spec->n_command; i++)
		json_add_str(command, spec->command[i]);
	if (spec->n_command == 0) { /* gateways before v0.0.111 */
		json_add_str(command, "/bin/bash");
		json_add_str(command, "-l");
	}
	json_put_bool(j, "tty", spec->n_command == 0 || spec->tty);
	return json_text(j);
}

static void put_number(cJSON *env, const char *name, uint32_t n)
{
	char text[16];

	snprintf(text, sizeof text, "%u", n);
	json_put_str(env, name, text);
}

/* What a person or a gateway chose for this sandbox. */
static void put_sandbox(cJSON *env, const struct render *r)
{
	_cleanup_free_ char *process = main_process(r->spec);
	const char *mode = json_str(r->config.driver, "network_mode");

	json_put_str(env, "OPENSHELL_MAIN_PROCESS_SPEC", process);
	json_put_str(env, "OPENSHELL_SANDBOX_COMMAND", OLD_COMMAND);
	json_put_str(env, "OPENSHELL_SANDBOX_ID", r->sandbox->id);
	json_put_str(env, "OPENSHELL_SANDBOX", r->sandbox->name);
	json_put_str(env, "OPENSHELL_NETWORK_MODE", mode ? mode : r->o->network_mode);
	if (r->workspace && r->o->supervisor_kind == SUPERVISOR_STATIC)
		json_put_str(env, "OPENSHELL_PREPARE_WORKSPACE", WORKSPACE_DIR);
	put_number(env, "OPENSHELL_SANDBOX_UID", r->f->identity.uid);
	put_number(env, "OPENSHELL_SANDBOX_GID", r->f->identity.gid);
	/* empty, not absent: an image's own USER must not count beside the two */
	json_put_str(env, "OPENSHELL_OCI_IMAGE_USER", "");
}

/* What the operator chose for all of them. */
static void put_site(cJSON *env, const struct kubernetes_options *o)
{
	json_put_str(env, "OPENSHELL_ENDPOINT", o->gateway_endpoint);
	json_put_str(env, "OPENSHELL_TELEMETRY_ENABLED", o->telemetry ? "true" : "false");
	json_put_str(env, "OPENSHELL_NETWORK_RUNTIME_CAPABILITIES", "");
	json_put_str(env, "OPENSHELL_SSH_SOCKET_PATH", o->ssh_socket_path);
	if (!str_empty(o->client_tls_secret_name)) {
		json_put_str(env, "OPENSHELL_TLS_CA", CLIENT_TLS_DIR "/ca.crt");
		json_put_str(env, "OPENSHELL_TLS_CERT", CLIENT_TLS_DIR "/tls.crt");
		json_put_str(env, "OPENSHELL_TLS_KEY", CLIENT_TLS_DIR "/tls.key");
	}
	json_put_str(env, "OPENSHELL_K8S_SA_TOKEN_FILE", SA_TOKEN_DIR "/token");
	if (!str_empty(o->provider_spiffe_socket))
		json_put_str(env, "OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET",
			     o->provider_spiffe_socket);
}

/* What both containers of sidecar topology are told. */
static void put_sidecar(cJSON *env)
{
	json_put_str(env, "OPENSHELL_SUPERVISOR_TOPOLOGY", "sidecar");
	json_put_str(env, "OPENSHELL_NETWORK_ENFORCEMENT_MODE", "sidecar-nftables");
	json_put_str(env, "OPENSHELL_SSH_SOCKET_PATH", "@openshell-sidecar-ssh");
	json_put_str(env, "OPENSHELL_SIDECAR_CONTROL_SOCKET", SIDECAR_STATE_DIR "/control.sock");
	json_put_str(env, "OPENSHELL_PROXY_TLS_DIR", SIDECAR_TLS_DIR);
}

/* The agent's container is not to reach the gateway, nor to say who it is. */
static void drop_identity(cJSON *env)
{
	static const char *const names[] = {
		"OPENSHELL_ENDPOINT",          "OPENSHELL_TLS_CA",
		"OPENSHELL_TLS_CERT",          "OPENSHELL_TLS_KEY",
		"OPENSHELL_K8S_SA_TOKEN_FILE", "OPENSHELL_PROVIDER_SPIFFE_WORKLOAD_API_SOCKET",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(env, names[i]);
}

static cJSON *to_list(const cJSON *env)
{
	cJSON *list = json_array();
	const cJSON *v;

	cJSON_ArrayForEach(v, env) {
		_cleanup_free_ char *value = no_expansion(v->valuestring);
		cJSON *entry = json_add_object(list);
		json_put_str(entry, "name", v->string);
		json_put_str(entry, "value", value);
	}
	return list;
}

cJSON *render_env(const struct render *r)
{
	_cleanup_json_ cJSON *env = users_environment(r);

	if (env->child != NULL) {
		_cleanup_free_ char *users = json_text(env);
		json_put_str(env, "OPENSHELL_USER_ENVIRONMENT", users);
	}
	put_sandbox(env, r);
	put_site(env, r->o);
	if (is_sidecar(r)) {
		put_sidecar(env);
		drop_identity(env);
	}
	return to_list(env);
}

cJSON *render_sidecar_env(const struct render *r)
{
	_cleanup_json_ cJSON *env = json_object();

	if (!str_empty(r->spec->log_level))
		json_put_str(env, "OPENSHELL_LOG_LEVEL", r->spec->log_level);
	put_sandbox(env, r);
	put_site(env, r->o);
	put_sidecar(env);
	if (!str_empty(r->o->client_tls_secret_name)) {
		/* network-init has copied them for this container's user */
		json_put_str(env, "OPENSHELL_TLS_CA", SIDECAR_TLS_DIR "/client/ca.crt");
		json_put_str(env, "OPENSHELL_TLS_CERT", SIDECAR_TLS_DIR "/client/tls.crt");
		json_put_str(env, "OPENSHELL_TLS_KEY", SIDECAR_TLS_DIR "/client/tls.key");
	}
	if (!r->o->sidecar_binary_aware)
		json_put_str(env, "OPENSHELL_NETWORK_BINARY_IDENTITY", "relaxed");
	return to_list(env);
}
