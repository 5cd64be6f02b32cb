#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/render_impl.h"
#include "driver/kubernetes/volumes.h"

enum { MODE_OWNER_READS = 0400 };

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

static void add_client_tls(cJSON *volumes, const char *secret)
{
	cJSON *s = json_put_object(add_volume(volumes, VOLUME_CLIENT_TLS), "secret");

	json_put_str(s, "secretName", secret);
	json_put_int(s, "defaultMode", MODE_OWNER_READS);
}

static void add_spiffe(cJSON *volumes)
{
	cJSON *csi = json_put_object(add_volume(volumes, VOLUME_SPIFFE), "csi");

	json_put_str(csi, "driver", "csi.spiffe.io");
	json_put_bool(csi, "readOnly", true);
}

static void add_token(cJSON *volumes, int64_t ttl)
{
	cJSON *p = json_put_object(add_volume(volumes, VOLUME_SA_TOKEN), "projected");
	cJSON *t;

	json_put_int(p, "defaultMode", MODE_OWNER_READS);
	t = json_put_object(json_add_object(json_put_array(p, "sources")), "serviceAccountToken");
	json_put_str(t, "audience", SA_TOKEN_AUDIENCE);
	json_put_int(t, "expirationSeconds", ttl);
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
		add_client_tls(volumes, r->o->client_tls_secret_name);
	if (!str_empty(r->o->provider_spiffe_socket))
		add_spiffe(volumes);
	add_token(volumes, r->o->sa_token_ttl_secs);
	add_users(volumes, &r->config);
	add_supervisor(volumes, r);
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

cJSON *render_mounts(const struct render *r)
{
	_cleanup_free_ char *spiffe = spiffe_dir(r->o);
	cJSON *mounts = json_array();
	const cJSON *v;

	if (!str_empty(r->o->client_tls_secret_name))
		add_mount_read_only(mounts, VOLUME_CLIENT_TLS, CLIENT_TLS_DIR);
	if (spiffe != NULL)
		add_mount_read_only(mounts, VOLUME_SPIFFE, spiffe);
	add_mount_read_only(mounts, VOLUME_SA_TOKEN, SA_TOKEN_DIR);
	cJSON_ArrayForEach(v, k8s_config_mounts(&r->config)) {
		cJSON *m = add_mount(mounts, json_str(v, "name"), json_str(v, "mount_path"));
		json_put_bool(m, "readOnly", json_bool(v, "read_only", true));
		if (json_str(v, "sub_path") != NULL)
			json_put_str(m, "subPath", json_str(v, "sub_path"));
	}
	add_mount_read_only(mounts, supervisor_volume(r), r->o->supervisor_mount_path);
	if (r->workspace)
		add_mount(mounts, VOLUME_WORKSPACE, WORKSPACE_DIR);
	return mounts;
}
