#include <errno.h>
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/config.h"
#include "driver/kubernetes/mounts.h"
#include "driver/kubernetes/volumes.h"

bool path_is_below(const char *a, const char *b)
{
	size_t n = strlen(b);

	return strncmp(a, b, n) == 0 && (a[n] == '\0' || a[n] == '/');
}

static bool overlap(const char *a, const char *b)
{
	return path_is_below(a, b) || path_is_below(b, a);
}

bool mounts_reserved_volume(const char *name)
{
	/* all of them, those of sidecar topology too (3.16, defect 17) */
	static const char *const reserved[] = {
		VOLUME_CLIENT_TLS, VOLUME_PROXY_AUTH,    VOLUME_SA_TOKEN,
		VOLUME_SPIFFE,     VOLUME_SUPERVISOR,    VOLUME_SUPERVISOR_CP,
		VOLUME_WORKSPACE,  VOLUME_SIDECAR_STATE, VOLUME_SIDECAR_TLS,
	};

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (streq(name, reserved[i]))
			return true;
	}
	return false;
}

static const cJSON *find_volume(const cJSON *volumes, const char *name)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, volumes) {
		if (streq(json_str_or_empty(v, "name"), name))
			return v;
	}
	return NULL;
}

static int check_volume(const cJSON *volumes, const cJSON *v, struct err *e)
{
	const char *name = json_str_or_empty(v, "name");
	const char *claim = json_str_or_empty(json_get(v, "persistent_volume_claim"), "claim_name");

	if (!str_is_dns_label(str_of(name)))
		return err_set(e, EINVAL, "volume name '%s' must be a DNS-1123 label", name);
	if (mounts_reserved_volume(name))
		return err_set(e, EINVAL,
			       "volume name '%s' is reserved for OpenShell-managed volumes", name);
	if (find_volume(volumes, name) != v)
		return err_set(e, EINVAL, "duplicate kubernetes driver_config volume '%s'", name);
	if (!str_is_dns_subdomain(str_of(claim)))
		return err_set(e, EINVAL,
			       "claim_name '%s' of volume '%s' must be a DNS-1123 subdomain", claim,
			       name);
	return 0;
}

/* Absolute and without a segment that is empty, `.` or `..`. */
static int check_path_form(const char *p, struct err *e)
{
	struct str rest = str_of(p);
	struct str trimmed = str_trim(rest);

	if (trimmed.n != rest.n || str_has_control(rest))
		return err_set(e, EINVAL,
			       "mount_path '%s' must not hold control characters or begin or end "
			       "with blanks",
			       p);
	if (p[0] != '/')
		return err_set(e, EINVAL, "mount_path '%s' must be absolute", p);
	if (p[1] == '\0')
		return err_set(e, EINVAL, "mount_path must not be '/'");
	str_cut(&rest, '/');
	while (rest.p != NULL) {
		struct str part = str_cut(&rest, '/');
		if (part.n == 0 || str_is(part, ".") || str_is(part, ".."))
			return err_set(e, EINVAL, "mount_path '%s' must be normalized", p);
	}
	return 0;
}

/* What every OpenShell container may hold something at. /var/run is /run in most images. */
static int check_path_place(const char *p, struct err *e)
{
	static const char *const reserved[] = {
		"/opt/openshell", "/etc/openshell",         "/etc/openshell-tls",
		"/run/openshell", "/run/openshell-sidecar", "/run/netns",
		"/var/run/netns", "/run/secrets/openshell",
	};

	for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
		if (overlap(p, reserved[i]))
			return err_set(e, EINVAL,
				       "mount path '%s' conflicts with reserved OpenShell path "
				       "'%s'",
				       p, reserved[i]);
	}
	if (path_is_below(WORKSPACE_DIR, p))
		return err_set(e, EINVAL, "mount path '%s' is reserved for the OpenShell workspace",
			       p);
	return 0;
}

/* What this configuration mounts there. */
static int check_path_ours(const struct kubernetes_options *o, const char *p, struct err *e)
{
	_cleanup_free_ char *spiffe = spiffe_dir(o);
	const char *ours[] = {SA_TOKEN_DIR, o->supervisor_mount_path, spiffe};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		if (ours[i] != NULL && overlap(p, ours[i]))
			return err_set(e, EINVAL,
				       "mount path '%s' conflicts with reserved OpenShell path "
				       "'%s'",
				       p, ours[i]);
	}
	return 0;
}

static int check_sub_path(const char *sub, struct err *e)
{
	struct str rest = str_of(sub);

	if (rest.n == 0)
		return err_set(e, EINVAL, "sub_path must not be empty");
	if (sub[0] == '/' || str_has_control(rest))
		return err_set(e, EINVAL, "sub_path '%s' must be relative", sub);
	while (rest.p != NULL) {
		if (str_is(str_cut(&rest, '/'), ".."))
			return err_set(e, EINVAL, "sub_path '%s' must not contain '..'", sub);
	}
	return 0;
}

static int check_mount(const cJSON *volumes, const cJSON *mounts, const cJSON *m, struct err *e)
{
	const char *name = json_str_or_empty(m, "name");
	const char *path = json_str_or_empty(m, "mount_path");
	const cJSON *v = find_volume(volumes, name);
	const char *sub = json_str(m, "sub_path");
	const cJSON *other;

	if (v == NULL)
		return err_set(e, EINVAL, "volume mount '%s' references an unknown volume '%s'",
			       path, name);
	if (!json_bool(m, "read_only", true) &&
	    json_bool(json_get(v, "persistent_volume_claim"), "read_only", true))
		return err_set(
			e, EINVAL,
			"volume mount '%s' cannot set read_only=false because the PVC volume "
			"is read_only=true",
			name);
	if (check_path_form(path, e) < 0 || check_path_place(path, e) < 0)
		return -1;
	if (sub != NULL && check_sub_path(sub, e) < 0)
		return -1;
	cJSON_ArrayForEach(other, mounts) {
		if (other == m)
			break;
		if (streq(json_str_or_empty(other, "mount_path"), path))
			return err_set(e, EINVAL, "duplicate mount_path '%s'", path);
	}
	return 0;
}

int mounts_check(const struct kubernetes_options *o, const cJSON *volumes, const cJSON *mounts,
		 bool *whole, struct err *e)
{
	const cJSON *j;

	*whole = false;
	cJSON_ArrayForEach(j, volumes) {
		if (check_volume(volumes, j, e) < 0)
			return -1;
	}
	cJSON_ArrayForEach(j, mounts) {
		if (check_mount(volumes, mounts, j, e) < 0)
			return -1;
	}
	cJSON_ArrayForEach(j, mounts) {
		if (check_path_ours(o, json_str_or_empty(j, "mount_path"), e) < 0) {
			*whole = true;
			return -1;
		}
	}
	return 0;
}
