#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/render_impl.h"
#include "driver/kubernetes/volumes.h"

/* In sidecar topology the container that needs the secrets is not root but of the pod's group; the
 * agent's container does not have them. */
static int secret_mode(const struct render *r)
{
	return is_sidecar(r) ? 0440 : 0400;
}

char *spiffe_dir(const struct kubernetes_options *o)
{
	const char *slash = strrchr(o->provider_spiffe_socket, '/');

	if (slash == NULL)
		return NULL;
	return xstrndup(o->provider_spiffe_socket, (size_t)(slash - o->provider_spiffe_socket));
}

const char *supervisor_volume(const struct render *r)
{
	return r->sideload == SIDELOAD_INIT_COPY ? VOLUME_SUPERVISOR_CP : VOLUME_SUPERVISOR;
}

static cJSON *add_volume(cJSON *volumes, const char *name)
{
	cJSON *v = json_add_object(volumes);

	json_put_str(v, "name", name);
	return v;
}

static void add_client_tls(cJSON *volumes, const struct render *r)
{
	cJSON *s = json_put_object(add_volume(volumes, VOLUME_CLIENT_TLS), "secret");

	json_put_str(s, "secretName", r->o->client_tls_secret_name);
	json_put_int(s, "defaultMode", secret_mode(r));
}

static void add_proxy_auth(cJSON *volumes, const struct render *r)
{
	cJSON *s = json_put_object(add_volume(volumes, VOLUME_PROXY_AUTH), "secret");
	cJSON *item;

	json_put_str(s, "secretName", r->o->proxy_auth_secret_name);
	json_put_int(s, "defaultMode", secret_mode(r));
	item = json_add_object(json_put_array(s, "items"));
	json_put_str(item, "key", r->o->proxy_auth_secret_key);
	json_put_str(item, "path", PROXY_AUTH_FILE);
}

static void add_spiffe(cJSON *volumes)
{
	cJSON *csi = json_put_object(add_volume(volumes, VOLUME_SPIFFE), "csi");

	json_put_str(csi, "driver", "csi.spiffe.io");
	json_put_bool(csi, "readOnly", true);
}

static void add_token(cJSON *volumes, const struct render *r)
{
	cJSON *p = json_put_object(add_volume(volumes, VOLUME_SA_TOKEN), "projected");
	cJSON *t;

	json_put_int(p, "defaultMode", secret_mode(r));
	t = json_put_object(json_add_object(json_put_array(p, "sources")), "serviceAccountToken");
	json_put_str(t, "audience", SA_TOKEN_AUDIENCE);
	json_put_int(t, "expirationSeconds", r->o->sa_token_ttl_secs);
	json_put_str(t, "path", "token");
}

static void add_users(cJSON *volumes, const struct k8s_config *c)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, k8s_config_volumes(c)) {
		const cJSON *from = json_get(v, "persistent_volume_claim");
		cJSON *to = json_put_object(add_volume(volumes, json_str(v, "name")),
					    "persistentVolumeClaim");
		json_put_str(to, "claimName", json_str(from, "claim_name"));
		json_put_bool(to, "readOnly", json_bool(from, "read_only", true));
	}
}

static void add_supervisor(cJSON *volumes, const struct render *r)
{
	cJSON *v = add_volume(volumes, supervisor_volume(r));
	cJSON *image;

	if (r->sideload != SIDELOAD_IMAGE_VOLUME) {
		json_put_object(v, "emptyDir");
		return;
	}
	image = json_put_object(v, "image");
	json_put_str(image, "reference", r->o->supervisor_image);
	if (!str_empty(r->o->supervisor_image_pull_policy))
		json_put_str(image, "pullPolicy", r->o->supervisor_image_pull_policy);
}

cJSON *render_volumes(const struct render *r)
{
	cJSON *volumes = json_array();

	if (!str_empty(r->o->client_tls_secret_name))
		add_client_tls(volumes, r);
	if (!str_empty(r->o->proxy_auth_secret_name))
		add_proxy_auth(volumes, r);
	if (!str_empty(r->o->provider_spiffe_socket))
		add_spiffe(volumes);
	add_token(volumes, r);
	add_users(volumes, &r->config);
	add_supervisor(volumes, r);
	if (is_sidecar(r)) {
		json_put_object(add_volume(volumes, VOLUME_SIDECAR_STATE), "emptyDir");
		json_put_object(add_volume(volumes, VOLUME_SIDECAR_TLS), "emptyDir");
	}
	return volumes;
}

cJSON *add_mount(cJSON *mounts, const char *volume, const char *path)
{
	cJSON *m = json_add_object(mounts);

	json_put_str(m, "name", volume);
	json_put_str(m, "mountPath", path);
	return m;
}

cJSON *add_mount_read_only(cJSON *mounts, const char *volume, const char *path)
{
	cJSON *m = add_mount(mounts, volume, path);

	json_put_bool(m, "readOnly", true);
	return m;
}

void add_identity_mounts(cJSON *mounts, const struct render *r)
{
	_cleanup_free_ char *spiffe = spiffe_dir(r->o);

	if (spiffe != NULL)
		add_mount_read_only(mounts, VOLUME_SPIFFE, spiffe);
	add_mount_read_only(mounts, VOLUME_SA_TOKEN, SA_TOKEN_DIR);
}

void add_sidecar_mounts(cJSON *mounts)
{
	add_mount(mounts, VOLUME_SIDECAR_STATE, SIDECAR_STATE_DIR);
	add_mount(mounts, VOLUME_SIDECAR_TLS, SIDECAR_TLS_DIR);
}

cJSON *render_mounts(const struct render *r)
{
	cJSON *mounts = json_array();
	const cJSON *v;

	if (!is_sidecar(r)) {
		if (!str_empty(r->o->client_tls_secret_name))
			add_mount_read_only(mounts, VOLUME_CLIENT_TLS, CLIENT_TLS_DIR);
		add_identity_mounts(mounts, r);
	}
	cJSON_ArrayForEach(v, k8s_config_mounts(&r->config)) {
		cJSON *m = add_mount(mounts, json_str(v, "name"), json_str(v, "mount_path"));
		json_put_bool(m, "readOnly", json_bool(v, "read_only", true));
		if (json_str(v, "sub_path") != NULL)
			json_put_str(m, "subPath", json_str(v, "sub_path"));
	}
	add_mount_read_only(mounts, supervisor_volume(r), r->o->supervisor_mount_path);
	if (is_sidecar(r))
		add_sidecar_mounts(mounts);
	if (r->workspace)
		add_mount(mounts, VOLUME_WORKSPACE, WORKSPACE_DIR);
	return mounts;
}
