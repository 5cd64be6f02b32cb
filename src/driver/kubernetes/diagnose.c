/* Trouble: what is wrong with a pod that does not come (status.h). */
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/events.h"
#include "driver/kubernetes/status_impl.h"

const char *k8s_trouble_reason(enum k8s_trouble_kind kind)
{
	static const char *const reasons[] = {
		[TROUBLE_NONE] = "",
		[TROUBLE_PENDING_CLAIM] = "VolumeNotBound",
		[TROUBLE_UNSCHEDULABLE] = "Unschedulable",
		[TROUBLE_IMAGE] = "ImagePullFailed",
		[TROUBLE_CONTAINER] = "ContainerFailed",
		[TROUBLE_REFUSED] = "PodRefused",
	};
	_Static_assert(ARRAY_LEN(reasons) == TROUBLE_COUNT, "every kind has a reason");

	must((unsigned)kind < ARRAY_LEN(reasons));
	return reasons[kind];
}

int64_t k8s_trouble_grace_ms(const struct kubernetes_options *o, enum k8s_trouble_kind kind)
{
	int64_t s = kind == TROUBLE_IMAGE || kind == TROUBLE_REFUSED ? o->refusal_grace_secs
								     : o->pending_grace_secs;

	return kind == TROUBLE_NONE || s == 0 || s > INT64_MAX / 1000 ? INT64_MAX : s * 1000;
}

/* Fills *out; the words in one line, cut where a character ends. */
static bool found(struct k8s_trouble *out, enum k8s_trouble_kind kind, int64_t now_ms,
		  const char *label, const char *words)
{
	*out = (struct k8s_trouble){.kind = kind, .since_ms = now_ms};
	snprintf(out->text, sizeof out->text, "%s%s%s", label,
		 !str_empty(label) && !str_empty(words) ? ": " : "", words);
	for (char *p = out->text; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = ' ';
	}
	out->text[str_utf8_prefix(str_of(out->text), sizeof out->text).n] = '\0';
	return true;
}

static bool has(const char *text, const char *part)
{
	return strstr(text, part) != NULL;
}

/* Words of an API server that will say the same again: admission, quota, SCC, PSA, webhooks, a
 * service account or class that is not there, a pod that is malformed. */
static bool is_refusal(const char *message)
{
	return has(message, "is forbidden") || has(message, "exceeded quota") ||
	       has(message, "denied the request") || has(message, "is invalid");
}

/* A scheduler's words: is it the volumes that it waits for? */
static bool scheduler_says(struct k8s_trouble *out, int64_t now_ms, const char *message)
{
	if (has(message, "persistentvolumeclaim") && has(message, "not found"))
		return found(out, TROUBLE_PENDING_CLAIM, now_ms, "", message);
	if (has(message, "unbound immediate PersistentVolumeClaim")) {
		found(out, TROUBLE_PENDING_CLAIM, now_ms, "", message);
		out->vague = true; /* the claim's own events say why */
		return true;
	}
	return found(out, TROUBLE_UNSCHEDULABLE, now_ms, "", message);
}

bool k8s_trouble_of_object(const cJSON *object, int64_t now_ms, struct k8s_trouble *out)
{
	struct condition c;
	struct str words;

	*out = (struct k8s_trouble){0};
	if (!k8s_wants_run(object))
		return false;
	if (condition_find(object, "Ready", &c) && c.fresh && condition_is(&c, "False") &&
	    streq(c.reason, "ReconcilerError") && is_refusal(c.message)) {
		words = str_of(c.message);
		str_skip(&words, "Error seen: ");
		return found(out, TROUBLE_REFUSED, now_ms, "", words.p);
	}
	if (condition_find(object, "PodScheduled", &c) && c.fresh && condition_is(&c, "False") &&
	    streq(c.reason, "Unschedulable"))
		return scheduler_says(out, now_ms, c.message);
	return false;
}

/* --- pods --- */

static enum k8s_trouble_kind kind_of_waiting(const char *reason)
{
	static const struct {
		const char *reason;
		enum k8s_trouble_kind kind;
	} reasons[] = {
		{"ErrImagePull", TROUBLE_IMAGE},
		{"ImagePullBackOff", TROUBLE_IMAGE},
		{"ErrImageNeverPull", TROUBLE_IMAGE},
		{"InvalidImageName", TROUBLE_IMAGE},
		{"ImageInspectError", TROUBLE_IMAGE},
		{"RegistryUnavailable", TROUBLE_IMAGE},
		{"SignatureValidationFailed", TROUBLE_IMAGE},
		{"CreateContainerConfigError", TROUBLE_CONTAINER},
		{"CreateContainerError", TROUBLE_CONTAINER},
		{"RunContainerError", TROUBLE_CONTAINER},
	};

	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (streq(reason, reasons[i].reason))
			return reasons[i].kind;
	}
	return TROUBLE_NONE;
}

static bool of_containers(const cJSON *statuses, int64_t now_ms, struct k8s_trouble *out)
{
	const cJSON *s;

	cJSON_ArrayForEach(s, statuses) {
		const cJSON *w = json_at(s, "state", "waiting", NULL);
		const char *reason = json_str_or_empty(w, "reason");
		enum k8s_trouble_kind kind = kind_of_waiting(reason);
		if (kind == TROUBLE_NONE)
			continue;
		found(out, kind, now_ms, reason, json_str_or_empty(w, "message"));
		/* before 1.31 it named no cause */
		out->vague = streq(reason, "ImagePullBackOff") && !has(out->text, "ErrImagePull");
		return true;
	}
	return false;
}

bool k8s_trouble_of_pod(const cJSON *pod, int64_t now_ms, struct k8s_trouble *out)
{
	const cJSON *status = json_get(pod, "status");
	const cJSON *c;

	*out = (struct k8s_trouble){0};
	if (of_containers(json_get(status, "initContainerStatuses"), now_ms, out) ||
	    of_containers(json_get(status, "containerStatuses"), now_ms, out))
		return true;
	cJSON_ArrayForEach(c, json_get(status, "conditions")) {
		if (streq(json_str(c, "type"), "PodScheduled") &&
		    streq(json_str(c, "status"), "False") &&
		    streq(json_str(c, "reason"), "Unschedulable"))
			return scheduler_says(out, now_ms, json_str_or_empty(c, "message"));
	}
	return false;
}

/* --- events --- */

/* kubelet's `Failed`: first the cause, then "Error: " and the name of the state that follows. */
static bool of_failed(const char *message, int64_t now_ms, struct k8s_trouble *out)
{
	struct str s = str_of(message);

	if (str_starts(s, "Failed to pull image"))
		return found(out, TROUBLE_IMAGE, now_ms, "", message);
	if (!str_skip(&s, "Error: "))
		return false;
	if (kind_of_waiting(s.p) == TROUBLE_IMAGE) {
		found(out, TROUBLE_IMAGE, now_ms, "", s.p);
		out->vague = true;
		return true;
	}
	return found(out, TROUBLE_CONTAINER, now_ms, "", s.p);
}

static bool of_pod_event(const char *reason, const char *message, int64_t now_ms,
			 struct k8s_trouble *out)
{
	static const char *const container[] = {"FailedMount", "FailedAttachVolume",
						"FailedMapVolume", "FailedCreatePodSandBox"};

	if (streq(reason, "FailedScheduling"))
		return scheduler_says(out, now_ms, message);
	if (streq(reason, "Failed"))
		return of_failed(message, now_ms, out);
	if (streq(reason, "ErrImageNeverPull") || streq(reason, "InspectFailed"))
		return found(out, TROUBLE_IMAGE, now_ms, "", message);
	for (size_t i = 0; i < ARRAY_LEN(container); i++) {
		if (streq(reason, container[i]))
			return found(out, TROUBLE_CONTAINER, now_ms, "", message);
	}
	return false;
}

bool k8s_trouble_of_event(const cJSON *event, int64_t now_ms, struct k8s_trouble *out)
{
	const char *reason = json_str_or_empty(event, "reason");
	const char *message = json_str_or_empty(event, "message");
	struct k8s_subject s;

	*out = (struct k8s_trouble){0};
	if (!k8s_event_subject(event, &s))
		return false;
	if (streq(s.kind, "Pod"))
		return of_pod_event(reason, message, now_ms, out);
	/* FailedBinding is of type Normal, though nothing will come of it */
	if (streq(s.kind, "PersistentVolumeClaim") &&
	    (streq(reason, "FailedBinding") || streq(reason, "ProvisioningFailed")))
		return found(out, TROUBLE_PENDING_CLAIM, now_ms, "", message);
	return false;
}

/* --- what is known --- */

bool k8s_trouble_see(struct k8s_trouble *known, const struct k8s_trouble *seen)
{
	if (seen->kind == TROUBLE_NONE || seen->kind < known->kind)
		return false;
	if (seen->kind > known->kind) {
		*known = *seen;
		return true;
	}
	if (!seen->vague || known->vague) {
		memcpy(known->text, seen->text, sizeof known->text);
		known->vague = seen->vague;
	}
	return false;
}

bool k8s_trouble_heal(struct k8s_trouble *known, const cJSON *event)
{
	static const struct {
		const char *reason;
		enum k8s_trouble_kind from, to; /* the kinds that it ends */
	} good[] = {
		{"ProvisioningSucceeded", TROUBLE_PENDING_CLAIM, TROUBLE_PENDING_CLAIM},
		{"Scheduled", TROUBLE_PENDING_CLAIM, TROUBLE_UNSCHEDULABLE},
		{"Pulled", TROUBLE_PENDING_CLAIM, TROUBLE_IMAGE},
		{"Started", TROUBLE_PENDING_CLAIM, TROUBLE_CONTAINER},
	};
	const char *reason = json_str_or_empty(event, "reason");

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!streq(reason, good[i].reason) || known->kind < good[i].from ||
		    known->kind > good[i].to)
			continue;
		*known = (struct k8s_trouble){0};
		return true;
	}
	return false;
}
