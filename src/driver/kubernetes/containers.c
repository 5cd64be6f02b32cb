#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/render_impl.h"
#include "driver/kubernetes/volumes.h"

/*
 * Fills a new workspace with what the image has, where the supervisor cannot (render.h). Whoever
 * finds the sentinel leaves it alone; the sandbox owns the result. Where a storage refuses chown
 * (NFS that squashes root) the supervisor has to live with what it finds.
 */
#define WORKSPACE_INIT_DIR "/workspace-pvc"
#define WORKSPACE_INIT_SCRIPT                                                                      \
	"set -e\n"                                                                                 \
	"to=" WORKSPACE_INIT_DIR "\n"                                                              \
	"if [ -e $to/.workspace-initialized ]; then exit 0; fi\n"                                  \
	"if [ -d " WORKSPACE_DIR " ]; then cp -RP " WORKSPACE_DIR "/. $to/; fi\n"                  \
	"chown -R %u:%u $to || echo \"the workspace stays root's\" >&2\n"                          \
	"touch $to/.workspace-initialized\n"

static const char *file_name(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* Where the supervisor is in the agent's container; the caller's. */
static char *supervisor_path(const struct render *r)
{
	const char *dir = r->o->supervisor_mount_path;

	switch (r->sideload) {
	case SIDELOAD_IMAGE_VOLUME: /* the image's root is there */
		return xasprintf("%s%s", dir, r->o->supervisor_binary_path);
	case SIDELOAD_INIT_COPY:
		return xasprintf("%s/%s", dir, file_name(r->o->supervisor_binary_path));
	case SIDELOAD_INIT_CONTAINER:
		return xasprintf("%s/openshell-sandbox", dir);
	case SIDELOAD_AUTO:
		break;
	}
	must(!"the method is resolved");
	return NULL;
}

void add_argument(cJSON *command, const char *argument)
{
	_cleanup_free_ char *text = no_expansion(argument);

	json_add_str(command, text);
}

cJSON *add_container(cJSON *list, const char *name, const char *image, const char *policy)
{
	cJSON *c = json_add_object(list);

	json_put_str(c, "name", name);
	json_put_str(c, "image", image);
	if (!str_empty(policy))
		json_put_str(c, "imagePullPolicy", policy);
	/* what it said last then stands in the pod's status, and from there reaches the user */
	json_put_str(c, "terminationMessagePolicy", "FallbackToLogsOnError");
	return c;
}

void add_proxy_arguments(cJSON *command, const struct render *r)
{
	const struct kubernetes_options *o = r->o;

	if (!str_empty(o->https_proxy)) {
		json_add_str(command, "--upstream-proxy");
		add_argument(command, o->https_proxy);
	}
	if (!str_empty(o->no_proxy)) {
		json_add_str(command, "--upstream-no-proxy");
		add_argument(command, o->no_proxy);
	}
	if (!str_empty(o->proxy_auth_secret_name)) {
		json_add_str(command, "--upstream-proxy-auth-file");
		json_add_str(command, PROXY_AUTH_DIR "/" PROXY_AUTH_FILE);
		json_add_str(command, "--upstream-proxy-auth-allow-insecure");
	}
	if (o->proxy_connect_by_hostname)
		json_add_str(command, "--upstream-proxy-connect-by-hostname");
}

static void put_command(cJSON *container, const struct render *r)
{
	_cleanup_free_ char *path = supervisor_path(r);
	cJSON *command = json_put_array(container, "command");

	add_argument(command, path);
	if (is_sidecar(r))
		json_add_str(command, "--mode=process");
	json_add_str(command, "--workdir");
	json_add_str(command, WORKSPACE_DIR);
	if (!is_sidecar(r)) /* there it is the other container that reaches the world */
		add_proxy_arguments(command, r);
}

static void put_profile(cJSON *security, const char *key, const struct profile *p)
{
	cJSON *o;

	if (p->type == NULL)
		return;
	o = json_put_object(security, key);
	json_put_str(o, "type", p->type);
	if (p->localhost != NULL)
		json_put_str(o, "localhostProfile", p->localhost);
}

void put_profiles(cJSON *security, const struct render *r)
{
	put_profile(security, "appArmorProfile", &r->o->app_armor);
	put_profile(security, "seccompProfile", &r->o->seccomp);
	if (!str_empty(r->o->selinux_type))
		json_put_str(json_put_object(security, "seLinuxOptions"), "type",
			     r->o->selinux_type);
}

/* Root with what it takes to build the wall; the supervisor gives it all up for its children. */
static void put_security(cJSON *container, const struct render *r)
{
	static const char *const always[] = {"SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"};
	/* a user namespace's root does not have these towards the files of others otherwise */
	static const char *const in_user_namespace[] = {"SETUID", "SETGID", "DAC_READ_SEARCH"};
	cJSON *security = json_put_object(container, "securityContext");
	cJSON *add;

	json_put_int(security, "runAsUser", 0);
	add = json_put_array(json_put_object(security, "capabilities"), "add");
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		json_add_str(add, always[i]);
	for (size_t i = 0; r->user_namespaces && i < ARRAY_LEN(in_user_namespace); i++)
		json_add_str(add, in_user_namespace[i]);
	put_profiles(security, r);
}

cJSON *render_containers(const struct render *r)
{
	cJSON *list = json_array();
	cJSON *c = add_container(list, "agent", r->image, r->o->sandbox_image_pull_policy);
	cJSON *resources = render_resources(r);

	put_command(c, r);
	json_put(c, "env", render_env(r));
	if (is_sidecar(r))
		put_sidecar_agent_security(c, r);
	else
		put_security(c, r);
	if (resources != NULL)
		json_put(c, "resources", resources);
	json_put(c, "volumeMounts", render_mounts(r));
	if (is_sidecar(r))
		add_network_supervisor(list, r);
	return list;
}

void put_helper_resources(cJSON *container, const struct render *r)
{
	_cleanup_json_ cJSON *agent = render_resources(r);
	cJSON *resources = render_helper_resources(agent);

	if (resources != NULL)
		json_put(container, "resources", resources);
}

static void put_root(cJSON *container)
{
	json_put_int(json_put_object(container, "securityContext"), "runAsUser", 0);
}

static void add_supervisor_install(cJSON *list, const struct render *r)
{
	bool cp = r->sideload == SIDELOAD_INIT_COPY;
	cJSON *c = add_container(list, cp ? "supervisor-init" : "openshell-supervisor-install",
				 r->o->supervisor_image, r->o->supervisor_image_pull_policy);
	_cleanup_free_ char *to =
		cp ? xasprintf("%s/", r->o->supervisor_mount_path) : supervisor_path(r);
	cJSON *command;

	command = json_put_array(c, "command");
	if (cp)
		json_add_str(command, "cp");
	add_argument(command, r->o->supervisor_binary_path);
	if (!cp)
		json_add_str(command, "copy-self");
	add_argument(command, to);
	put_root(c);
	put_helper_resources(c, r);
	add_mount(json_put_array(c, "volumeMounts"), supervisor_volume(r),
		  r->o->supervisor_mount_path);
}

static void add_workspace_init(cJSON *list, const struct render *r)
{
	cJSON *c = add_container(list, "workspace-init", r->image, r->o->sandbox_image_pull_policy);
	_cleanup_free_ char *script =
		xasprintf(WORKSPACE_INIT_SCRIPT, r->f->identity.uid, r->f->identity.gid);
	cJSON *command;

	command = json_put_array(c, "command");
	json_add_str(command, "sh");
	json_add_str(command, "-c");
	json_add_str(command, script);
	put_root(c);
	put_helper_resources(c, r);
	add_mount(json_put_array(c, "volumeMounts"), VOLUME_WORKSPACE, WORKSPACE_INIT_DIR);
}

cJSON *render_init_containers(const struct render *r)
{
	cJSON *list = json_array();

	if (r->sideload != SIDELOAD_IMAGE_VOLUME)
		add_supervisor_install(list, r);
	if (is_sidecar(r))
		add_network_init(list, r);
	if (r->workspace && r->o->supervisor_kind == SUPERVISOR_UPSTREAM)
		add_workspace_init(list, r);
	if (list->child == NULL) {
		cJSON_Delete(list);
		return NULL;
	}
	return list;
}
