#include "base/json.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/render.h"
#include "grpc/status.h"

/* The first number of an OpenShift range: start/size or start-end, the first of a list of them. */
static int range_start(const cJSON *ns, const char *annotation, const char *text, uint32_t *out,
		       struct err *e)
{
	struct str list = str_of(text);
	struct str first = str_trim(str_cut(&list, ','));
	size_t n = 0;
	uint64_t start = 0, second = 0;

	while (n < first.n && first.p[n] != '/' && first.p[n] != '-')
		n++;
	if (n == first.n || !str_u64(str_sub(first.p, n), &start) ||
	    !str_u64(str_sub(first.p + n + 1, first.n - n - 1), &second) || start < 1 ||
	    start > IDENTITY_MAX)
		return err_set(e, GRPC_FAILED_PRECONDITION,
			       "annotation %s of namespace %s is no range: '%s'", annotation,
			       k8s_object_name(ns), text);
	*out = (uint32_t)start;
	return 0;
}

bool k8s_identity_needs_namespace(const struct kubernetes_options *o)
{
	return o->sandbox_uid == IDENTITY_UNSET;
}

int k8s_identity(const struct kubernetes_options *o, const cJSON *ns, struct k8s_identity *out,
		 struct err *e)
{
	const cJSON *notes = json_at(ns, "metadata", "annotations", NULL);

	*out = (struct k8s_identity){.uid = (uint32_t)o->sandbox_uid};
	if (k8s_identity_needs_namespace(o)) {
		out->uid = IDENTITY_DEFAULT;
		out->from_namespace = true;
		out->uid_range = json_str(notes, ANNOTATION_UID_RANGE);
		out->groups = json_str(notes, ANNOTATION_GROUPS);
		if (out->uid_range != NULL &&
		    range_start(ns, ANNOTATION_UID_RANGE, out->uid_range, &out->uid, e) < 0)
			return -1;
	}
	out->gid = out->uid;
	if (o->sandbox_gid != IDENTITY_UNSET)
		out->gid = (uint32_t)o->sandbox_gid;
	else if (out->uid_range != NULL && out->groups != NULL)
		return range_start(ns, ANNOTATION_GROUPS, out->groups, &out->gid, e);
	return 0;
}
