#include "driver/kubernetes/events.h"
#include "k8s.h"

static const Openshell__Compute__V1__DriverPlatformEvent *mapped(const cJSON *event,
								 const cJSON *object)
{
	return k8s_event_map(event, object, &test_arena);
}

static const char *meta(const Openshell__Compute__V1__DriverPlatformEvent *e, const char *key)
{
	for (size_t i = 0; i < e->n_metadata; i++) {
		if (streq(e->metadata[i]->key, key))
			return e->metadata[i]->value;
	}
	return NULL;
}

#define PROGRESS(e, key) meta(e, "openshell.progress." key)

static cJSON *event(const char *reason, const char *path, const char *message)
{
	cJSON *e = JSON({
		"type" : "Normal",
		"count" : 3,
		"firstTimestamp" : "2026-11-25T08:00:00Z",
		"lastTimestamp" : "2026-11-25T08:00:05Z",
		"involvedObject" : {"kind" : "Pod", "name" : "team--box", "namespace" : "ns"}
	});

	json_put_str(e, "reason", reason);
	json_put_str(e, "message", message);
	if (path != NULL)
		json_put_str(json_get(e, "involvedObject"), "fieldPath", path);
	return e;
}

TEST(event_fields_are_copied)
{
	const Openshell__Compute__V1__DriverPlatformEvent *e =
		mapped(event("Killing", "spec.containers{agent}", "Stopping"), NULL);

	STREQ(e->source, "kubernetes");
	STREQ(e->type, "Normal");
	STREQ(e->reason, "Killing");
	STREQ(e->message, "Stopping");
	EQ(e->timestamp_ms, 1795593605000);
	STREQ(meta(e, "involved_kind"), "Pod");
	STREQ(meta(e, "involved_name"), "team--box");
	STREQ(meta(e, "namespace"), "ns");
	STREQ(meta(e, "count"), "3");
	STREQ(meta(e, "container"), "agent");
	EQ(e->n_metadata, 5);
}

TEST(event_times)
{
	EQ(k8s_event_time_ms(JSON({
		   "series" : {"lastObservedTime" : "2026-11-25T08:00:09.5Z", "count" : 4},
		   "eventTime" : "2026-11-25T08:00:01.000000Z",
		   "firstTimestamp" : null
	   })),
	   1795593609500);
	EQ(k8s_event_time_ms(JSON({"eventTime" : "2026-11-25T08:00:01.250000Z"})), 1795593601250);
	EQ(k8s_event_time_ms(JSON({"firstTimestamp" : "2026-11-25T08:00:00Z"})), 1795593600000);
	EQ(k8s_event_time_ms(JSON({"metadata" : {"creationTimestamp" : "2026-11-25T08:00:00Z"}})),
	   1795593600000);
	EQ(k8s_event_time_ms(JSON({"lastTimestamp" : "yesterday"})), 0);
}

TEST(scheduled_completes_the_request)
{
	const Openshell__Compute__V1__DriverPlatformEvent *e =
		mapped(event("Scheduled", NULL, "Successfully assigned"), NULL);

	STREQ(PROGRESS(e, "complete_step"), "requesting_sandbox");
	STREQ(PROGRESS(e, "complete_label"), "Sandbox allocated");
	STREQ(PROGRESS(e, "active_step"), "pulling_image");
}

/* upstream: kube_pulling_event_adds_image_progress_metadata */
TEST(pulling_names_the_image)
{
	const Openshell__Compute__V1__DriverPlatformEvent *e =
		mapped(event("Pulling", NULL, "Pulling image \"ghcr.io/x:1\""), NULL);

	STREQ(PROGRESS(e, "active_step"), "pulling_image");
	STREQ(PROGRESS(e, "active_detail"), "ghcr.io/x:1");
	EQ(PROGRESS(e, "complete_step") == NULL, true);
}

/* upstream: kube_pulled_event_adds_completed_image_progress_metadata */
TEST(pulled_completes_the_image)
{
	const Openshell__Compute__V1__DriverPlatformEvent *e =
		mapped(event("Pulled", NULL,
			     "Successfully pulled image \"x\" in 2s. Image size: 44040192 bytes."),
		       NULL);

	STREQ(PROGRESS(e, "complete_step"), "pulling_image");
	STREQ(PROGRESS(e, "complete_label"), "Image pulled (42 MB)");
	STREQ(PROGRESS(e, "active_step"), "starting_sandbox");
	e = mapped(event("Pulled", NULL, "Container image \"x\" already present on machine"), NULL);
	STREQ(PROGRESS(e, "complete_label"), "Image pulled");
}

/* Upstream takes the init container's image for the agent's, and says "Image pulled" too early. */
TEST(only_the_agents_image_completes_the_step)
{
	const cJSON *object = JSON({
		"spec" : {
			"podTemplate" : {
				"spec" :
					{"containers" : [ {"name" : "agent", "image" : "agent:1"} ]}
			}
		}
	});
	const char *sup = "Successfully pulled image \"sup:1\" in 1s";
	const char *agent = "Successfully pulled image \"agent:1\" in 1s";

	EQ(PROGRESS(
		   mapped(event("Pulled", "spec.initContainers{openshell-supervisor-install}", sup),
			  object),
		   "complete_step") == NULL,
	   true);
	EQ(PROGRESS(mapped(event("Pulled", "spec.containers{openshell-supervisor-network}", sup),
			   object),
		    "complete_step") == NULL,
	   true);
	/* an image volume is pulled without a container */
	EQ(PROGRESS(mapped(event("Pulled", NULL, sup), object), "complete_step") == NULL, true);
	STREQ(PROGRESS(mapped(event("Pulled", NULL, agent), object), "complete_step"),
	      "pulling_image");
	STREQ(PROGRESS(mapped(event("Pulled", "spec.containers{agent}", agent), object),
		       "complete_step"),
	      "pulling_image");
}

TEST(warnings_show_in_the_step_in_progress)
{
	const Openshell__Compute__V1__DriverPlatformEvent *e =
		mapped(event("ErrImageNeverPull", "spec.containers{agent}", "not present"), NULL);

	STREQ(PROGRESS(e, "active_step"), "pulling_image");
	STREQ(PROGRESS(e, "active_detail"), "not present");
	e = mapped(event("FailedScheduling", NULL, "0/1 nodes"), NULL);
	STREQ(PROGRESS(e, "active_step"), "requesting_sandbox");
	e = mapped(event("Failed", NULL, "Error: ErrImagePull"), NULL);
	EQ(PROGRESS(e, "active_step") == NULL, true);
}

/* 3.12: upstream drops the events of claims, such as FailedBinding */
TEST(events_find_their_sandbox)
{
	static const struct {
		const char *kind, *name, *object;
	} rows[] = {
		{"Sandbox", "team--box", "team--box"},
		{"Pod", "team--box", "team--box"},
		{"PersistentVolumeClaim", "workspace-team--box", "team--box"},
		{"PersistentVolumeClaim", "workspace-", NULL},
		{"PersistentVolumeClaim", "data", NULL},
	};
	struct k8s_subject s;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cJSON *e = event("x", NULL, "");
		json_put_str(json_get(e, "involvedObject"), "kind", rows[i].kind);
		json_put_str(json_get(e, "involvedObject"), "name", rows[i].name);
		EQ(k8s_event_subject(e, &s), true);
		STREQ(s.ns, "ns");
		EQ(s.object == NULL, rows[i].object == NULL);
		if (s.object != NULL)
			STREQ(s.object, rows[i].object);
	}
	EQ(k8s_event_subject(JSON({"involvedObject" : {"kind" : "Node", "name" : "n"}}), &s),
	   false);
	EQ(k8s_event_subject(JSON({"involvedObject" : {"kind" : "Pod"}}), &s), false);
	EQ(k8s_event_subject(JSON({}), &s), false);
}

TEST(objects_know_their_pods_and_claims)
{
	const cJSON *o = JSON({
		"metadata" : {
			"name" : "box",
			"namespace" : "ns",
			"annotations" : {"agents.x-k8s.io/pod-name" : "box-2"}
		},
		"spec" : {
			"podTemplate" : {
				"spec" : {
					"volumes" : [ {
						"name" : "d",
						"persistentVolumeClaim" :
							{"claimName" : "data"}
					} ]
				}
			},
			"volumeClaimTemplates" : [ {"metadata" : {"name" : "workspace"}} ]
		}
	});
	static const struct {
		const char *ns, *kind, *name;
		bool uses;
	} rows[] = {
		{"ns", "Sandbox", "box", true},
		{"ns", "Sandbox", "box-2", false},
		{"ns", "Pod", "box", true},
		{"ns", "Pod", "box-2", true},
		{"other", "Pod", "box", false},
		{"ns", "PersistentVolumeClaim", "workspace-box", true},
		{"ns", "PersistentVolumeClaim", "workspace-box2", false},
		{"ns", "PersistentVolumeClaim", "data", true},
		{"ns", "PersistentVolumeClaim", "data2", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct k8s_subject s = {rows[i].ns, rows[i].kind, rows[i].name, NULL};
		EQ(k8s_object_uses(o, &s), rows[i].uses);
	}
}

TEST(sizes)
{
	STREQ(k8s_format_bytes(5, &test_arena), "5 B");
	STREQ(k8s_format_bytes(1024, &test_arena), "1 KB");
	STREQ(k8s_format_bytes(44040192, &test_arena), "42 MB");
	STREQ(k8s_format_bytes(1610612736, &test_arena), "1.5 GB");
}

TEST(hostile_events_are_bounded)
{
	char *text = arena_zalloc(&test_arena, 100001);
	const Openshell__Compute__V1__DriverPlatformEvent *e;

	memset(text, 'x', 100000);
	e = mapped(event("Pulling", "spec.containers{", text), NULL);
	EQ(strlen(e->message), 4096);
	e = mapped(JSON({"involvedObject" : "x", "count" : "y", "series" : [], "message" : 4}),
		   NULL);
	STREQ(e->message, "");
	STREQ(meta(e, "count"), "1");
}
