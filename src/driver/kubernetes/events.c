#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/rfc3339.h"
#include "driver/kubernetes/events.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/status.h"
#include "wire/generation.h"

/* What the gateway's clients read (driver contract 3.12). */
#define PROGRESS "openshell.progress."
#define STEP_REQUESTING "requesting_sandbox"
#define STEP_PULLING "pulling_image"
#define STEP_STARTING "starting_sandbox"

/* Kubernetes' events are short (1,024 bytes by its own rule); what is longer is cut. */
enum { EVENT_TEXT_MAX = 4096, METADATA_MAX = 10 };

bool k8s_event_subject(const cJSON *event, struct k8s_subject *out)
{
	const cJSON *about = json_get(event, "involvedObject");
	struct str name;

	if (about == NULL) /* events.k8s.io/v1 calls it so */
		about = json_get(event, "regarding");
	*out = (struct k8s_subject){
		.ns = json_str_or_empty(about, "namespace"),
		.kind = json_str_or_empty(about, "kind"),
		.name = json_str_or_empty(about, "name"),
	};
	name = str_of(out->name);
	if (name.n == 0)
		return false;
	if (streq(out->kind, "Sandbox") || streq(out->kind, "Pod"))
		out->object = out->name;
	else if (!streq(out->kind, "PersistentVolumeClaim"))
		return false;
	else if (str_skip(&name, WORKSPACE_CLAIM "-") && name.n > 0)
		out->object = name.p;
	return true;
}

/* The claims of an object: those of its templates, called TEMPLATE-OBJECT, and a user's own. */
static bool uses_claim(const cJSON *object, const char *claim)
{
	const cJSON *j;

	cJSON_ArrayForEach(j, json_at(object, "spec", "volumeClaimTemplates", NULL)) {
		struct str s = str_of(claim);
		if (str_skip(&s, json_str_or_empty(json_get(j, "metadata"), "name")) &&
		    str_skip(&s, "-") && str_is(s, k8s_object_name(object)))
			return true;
	}
	cJSON_ArrayForEach(j, json_at(object, "spec", "podTemplate", "spec", "volumes", NULL)) {
		if (streq(json_str(json_get(j, "persistentVolumeClaim"), "claimName"), claim))
			return true;
	}
	return false;
}

bool k8s_object_uses(const cJSON *object, const struct k8s_subject *s)
{
	if (!streq(k8s_object_namespace(object), s->ns))
		return false;
	if (streq(s->kind, "Sandbox"))
		return streq(k8s_object_name(object), s->name);
	if (streq(s->kind, "Pod"))
		return streq(k8s_pod_name(object), s->name) ||
		       streq(k8s_object_name(object), s->name);
	return uses_claim(object, s->name);
}

static bool time_ms(const char *text, int64_t *ms)
{
	int64_t seconds;
	int32_t nanos;

	if (str_empty(text) || !rfc3339_parse(str_of(text), &seconds, &nanos))
		return false;
	*ms = seconds * 1000 + nanos / 1000000;
	return true;
}

int64_t k8s_event_time_ms(const cJSON *event)
{
	const char *const times[] = {
		json_str(json_get(event, "series"), "lastObservedTime"),
		json_str(event, "eventTime"),
		json_str(event, "lastTimestamp"),
		json_str(event, "firstTimestamp"),
		json_str(json_get(event, "metadata"), "creationTimestamp"),
	};
	int64_t ms = 0;

	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		if (time_ms(times[i], &ms))
			return ms;
	}
	return 0;
}

char *k8s_format_bytes(uint64_t n, struct arena *a)
{
	if (n >= 1u << 30)
		return arena_printf(a, "%.1f GB", (double)n / (1u << 30));
	if (n >= 1u << 20)
		return arena_printf(a, "%u MB", (unsigned)(n >> 20));
	if (n >= 1u << 10)
		return arena_printf(a, "%u KB", (unsigned)(n >> 10));
	return arena_printf(a, "%u B", (unsigned)n);
}

struct mapping {
	Openshell__Compute__V1__DriverPlatformEvent *to;
	struct arena *a;
};

static char *copy(struct arena *a, const char *s)
{
	return arena_dup(a, str_utf8_prefix(str_of(s), EVENT_TEXT_MAX));
}

static void put(const struct mapping *m, const char *key, const char *value)
{
	Openshell__Compute__V1__DriverPlatformEvent__MetadataEntry *e =
		arena_zalloc(m->a, sizeof *e);

	must(m->to->n_metadata < METADATA_MAX);
	openshell__compute__v1__driver_platform_event__metadata_entry__init(e);
	e->key = copy(m->a, key);
	e->value = copy(m->a, value);
	m->to->metadata[m->to->n_metadata++] = e;
}

static struct mapping begin(struct arena *a, int64_t ms, const char *type, const char *reason,
			    const char *message)
{
	struct mapping m = {.to = arena_zalloc(a, sizeof *m.to), .a = a};

	openshell__compute__v1__driver_platform_event__init(m.to);
	m.to->source = copy(a, "kubernetes");
	m.to->type = copy(a, type);
	m.to->reason = copy(a, reason);
	m.to->message = copy(a, message);
	m.to->metadata = arena_zalloc(a, METADATA_MAX * sizeof *m.to->metadata);
	generation_set_event_time(m.to, ms, a);
	return m;
}

/* --- progress --- */

/* The name of the container in `spec.containers{agent}`, or nothing. */
static struct str container_of_path(const char *path)
{
	struct str s = str_of(path), name;

	str_cut(&s, '{');
	name = str_cut(&s, '}');
	return name;
}

/* What is between the first pair of double quotes: the image, in kubelet's messages. */
static struct str quoted(struct str s)
{
	str_cut(&s, '"');
	return str_cut(&s, '"');
}

/*
 * Whether an image event is about another container than the agent's: by its path; without one (an
 * image volume has none) by the image, when the object tells the agent's.
 */
static bool is_helpers(const cJSON *event, const cJSON *object)
{
	const cJSON *about = json_get(event, "involvedObject");
	const char *path = json_str_or_empty(about, "fieldPath");
	struct str image = quoted(str_of(json_str_or_empty(event, "message")));
	const char *agents = json_str(
		cJSON_GetArrayItem(
			json_at(object, "spec", "podTemplate", "spec", "containers", NULL), 0),
		"image");

	if (!str_empty(path))
		return !streq(path, "spec.containers{agent}");
	return agents != NULL && image.n > 0 && !str_is(image, agents);
}

/* "Image pulled (42 MB)" where the message ends with its size. */
static char *pulled_label(const char *message, struct arena *a)
{
	const char *p = strstr(message, "Image size: ");
	struct str s;
	uint64_t n;

	if (p == NULL)
		return copy(a, "Image pulled");
	s = str_of(p + strlen("Image size: "));
	if (!str_u64(str_cut(&s, ' '), &n) || !str_starts(s, "bytes"))
		return copy(a, "Image pulled");
	return arena_printf(a, "Image pulled (%s)", k8s_format_bytes(n, a));
}

static void put_pulling(const struct mapping *m, const char *message)
{
	struct str s = str_of(message);

	put(m, PROGRESS "active_step", STEP_PULLING);
	if (!str_skip(&s, "Pulling image "))
		return;
	s = str_trim(s);
	while (s.n > 0 && s.p[0] == '"')
		s = str_sub(s.p + 1, s.n - 1);
	while (s.n > 0 && s.p[s.n - 1] == '"')
		s.n--;
	put(m, PROGRESS "active_detail", arena_dup(m->a, s));
}

static const char *step_of(enum k8s_trouble_kind kind)
{
	switch (kind) {
	case TROUBLE_IMAGE:
		return STEP_PULLING;
	case TROUBLE_CONTAINER:
		return STEP_STARTING;
	case TROUBLE_NONE:
	case TROUBLE_PENDING_CLAIM:
	case TROUBLE_UNSCHEDULABLE:
	case TROUBLE_REFUSED:
	case TROUBLE_COUNT:
		break;
	}
	return STEP_REQUESTING;
}

static void put_trouble(const struct mapping *m, const struct k8s_trouble *t)
{
	put(m, PROGRESS "active_step", step_of(t->kind));
	put(m, PROGRESS "active_detail", t->text);
}

static void put_progress(const struct mapping *m, const cJSON *event, const cJSON *object)
{
	const char *reason = m->to->reason;
	struct k8s_trouble t;

	if (streq(reason, "Scheduled")) {
		put(m, PROGRESS "complete_step", STEP_REQUESTING);
		put(m, PROGRESS "complete_label", "Sandbox allocated");
		put(m, PROGRESS "active_step", STEP_PULLING);
	} else if (streq(reason, "Pulling")) {
		put_pulling(m, m->to->message);
	} else if (streq(reason, "Pulled") && !is_helpers(event, object)) {
		put(m, PROGRESS "complete_step", STEP_PULLING);
		put(m, PROGRESS "complete_label", pulled_label(m->to->message, m->a));
		put(m, PROGRESS "active_step", STEP_STARTING);
	} else if (k8s_trouble_of_event(event, 0, &t) && !t.vague) {
		put_trouble(m, &t);
	}
}

Openshell__Compute__V1__DriverPlatformEvent *k8s_event_map(const cJSON *event, const cJSON *object,
							   struct arena *a)
{
	struct mapping m =
		begin(a, k8s_event_time_ms(event), json_str_or_empty(event, "type"),
		      json_str_or_empty(event, "reason"), json_str_or_empty(event, "message"));
	int64_t count = json_int(json_get(event, "series"), "count", json_int(event, "count", 1));
	struct str container = container_of_path(
		json_str_or_empty(json_get(event, "involvedObject"), "fieldPath"));
	struct k8s_subject s;

	k8s_event_subject(event, &s);
	put(&m, "involved_kind", s.kind);
	put(&m, "involved_name", s.name);
	put(&m, "namespace", s.ns);
	put(&m, "count", arena_printf(a, "%lld", (long long)count));
	if (container.n > 0)
		put(&m, "container", arena_dup(a, container));
	if (streq(s.kind, "Pod") || streq(s.kind, "PersistentVolumeClaim"))
		put_progress(&m, event, object);
	return m.to;
}

Openshell__Compute__V1__DriverPlatformEvent *k8s_trouble_event(const struct k8s_trouble *t,
							       const cJSON *object, struct arena *a)
{
	struct mapping m = begin(a, t->since_ms, "Warning", k8s_trouble_reason(t->kind), t->text);

	put(&m, "involved_kind", "Sandbox");
	put(&m, "involved_name", k8s_object_name(object));
	put(&m, "namespace", k8s_object_namespace(object));
	put(&m, "count", "1");
	put_trouble(&m, t);
	return m.to;
}
