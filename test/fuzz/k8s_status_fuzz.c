/*
 * Up to three JSON texts, one a line, as an API server might send them: a Sandbox object, its pod,
 * an Event. What the gateway is told must be a message that protobuf can carry, and must not change
 * when it is asked for again.
 */
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "driver/kubernetes/events.h"
#include "driver/kubernetes/status.h"
#include "pack.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct kubernetes_options options = {
	.gateway_id = (char *)"openshell",
	.namespace = (char *)"default",
	.refusal_grace_secs = 60,
	.pending_grace_secs = 600,
};

static cJSON *next(struct str *rest)
{
	struct err e;

	return json_parse(str_cut(rest, '\n'), "input", &e);
}

/* Packs it, and has it read as a peer would. */
static void carry(const void *message, const ProtobufCMessageDescriptor *type, struct buf *bytes)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(64 << 20);
	struct err e;

	pack(message, bytes);
	_cleanup_free_ char *copy = xmalloc(bytes->n);
	memcpy(copy, bytes->p, bytes->n);
	must(wire_unpack(type, copy, bytes->n, &a, &e) != NULL);
}

static void tell(const struct k8s_view *v)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(64 << 20);
	_cleanup_buf_ struct buf first = BUF_INIT(64 << 20), second = BUF_INIT(64 << 20);
	const ProtobufCMessageDescriptor *type =
		&openshell__compute__v1__driver_sandbox__descriptor;

	carry(k8s_sandbox_of(&options, v, &a), type, &first);
	carry(k8s_sandbox_of(&options, v, &a), type, &second);
	must(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(64 << 20);
	_cleanup_buf_ struct buf bytes = BUF_INIT(64 << 20);
	struct str rest = str_sub(p, n);
	_cleanup_json_ cJSON *object = next(&rest), *pod = next(&rest), *event = next(&rest);
	struct k8s_trouble known = {0}, seen;
	struct k8s_subject subject;
	const char *message;

	for (unsigned i = 0; i < 12; i++) {
		struct k8s_view v = {.object = object,
				     .pod = i & 1 ? pod : NULL,
				     .presence = (enum pod_presence)(i >> 1 & 3) % 3,
				     .trouble = &known,
				     .end_pending = i & 1,
				     .now_ms = 1000000 + i * 60000};
		tell(&v);
		k8s_next_change_ms(&options, &v);
		k8s_stop_state(object, v.presence, &message);
		if (k8s_trouble_of_pod(pod, v.now_ms, &seen))
			k8s_trouble_see(&known, &seen);
		if (k8s_trouble_of_object(object, v.now_ms, &seen))
			k8s_trouble_see(&known, &seen);
	}
	k8s_is_ours(&options, object);
	if (event == NULL || !k8s_event_subject(event, &subject))
		return 0;
	k8s_object_uses(object, &subject);
	carry(k8s_event_map(event, object, &a),
	      &openshell__compute__v1__driver_platform_event__descriptor, &bytes);
	if (k8s_trouble_of_event(event, 0, &seen) && k8s_trouble_see(&known, &seen))
		carry(k8s_trouble_event(&known, object, &a),
		      &openshell__compute__v1__driver_platform_event__descriptor, &bytes);
	k8s_trouble_heal(&known, event);
	return 0;
}
