/*
 * Every request message, and the largest answers: bytes are read as a message, and what was read is
 * written as JSON and as bytes, which must be readable again. The first byte chooses the type.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "compute_driver.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "pack.h"
#include "wire/json.h"
#include "wire/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const ProtobufCMessageDescriptor *const types[] = {
	&openshell__compute__v1__get_capabilities_request__descriptor,
	&openshell__compute__v1__get_gateway_listener_requirements_request__descriptor,
	&openshell__compute__v1__authenticate_sandbox_request__descriptor,
	&openshell__compute__v1__validate_sandbox_create_request__descriptor,
	&openshell__compute__v1__get_sandbox_request__descriptor,
	&openshell__compute__v1__list_sandboxes_request__descriptor,
	&openshell__compute__v1__create_sandbox_request__descriptor,
	&openshell__compute__v1__stop_sandbox_request__descriptor,
	&openshell__compute__v1__start_sandbox_request__descriptor,
	&openshell__compute__v1__delete_sandbox_request__descriptor,
	&openshell__compute__v1__resolve_sandbox_endpoint_request__descriptor,
	&openshell__compute__v1__watch_sandboxes_request__descriptor,
	&openshell__compute__v1__ensure_workspace_request__descriptor,
	&openshell__compute__v1__delete_workspace_request__descriptor,
	&openshell__compute__v1__list_sandboxes_response__descriptor,
	&openshell__compute__v1__watch_sandboxes_event__descriptor,
	&google__protobuf__struct__descriptor,
	&grpc__health__v1__health_check_request__descriptor,
	&grpc__health__v1__health_list_response__descriptor,
	&grpc__reflection__v1__server_reflection_request__descriptor,
};

static void use(const ProtobufCMessageDescriptor *type, const ProtobufCMessage *m, struct arena *a)
{
	_cleanup_buf_ struct buf bytes = BUF_INIT(64 << 20);
	struct err e;

	pack(m, &bytes);
	must(wire_unpack(type, bytes.p, bytes.n, a, &e) != NULL);

	_cleanup_json_ cJSON *j = wire_to_json(m, &e);
	if (j == NULL)
		return;
	_cleanup_free_ char *text = json_text(j);
	must(text[0] != '\0');
	/* May be refused: JSON nests fewer messages than the wire. */
	wire_from_json(type, j, a, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(64 << 20);
	_cleanup_free_ uint8_t *bytes = NULL;
	struct err e = {0};

	if (n == 0)
		return 0;
	const ProtobufCMessageDescriptor *type = types[p[0] % ARRAY_LEN(types)];
	bytes = xmalloc(n - 1);
	memcpy(bytes, p + 1, n - 1);
	ProtobufCMessage *m = wire_unpack(type, bytes, n - 1, &a, &e);
	if (m == NULL)
		must(e.code != 0);
	else
		use(type, m, &a);
	return 0;
}
