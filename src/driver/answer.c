#include "base/arena.h"
#include "driver/answer.h"
#include "grpc/server.h"

/* Field 1 of a message, encoded already: protobuf-c copies a field that it does not know as it is. */
static ProtobufCMessageUnknownField encoded_field(struct str bytes)
{
	return (ProtobufCMessageUnknownField){
		.tag = 1,
		.wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
		.len = bytes.n - 1, /* without the tag, which is one byte */
		.data = (uint8_t *)bytes.p + 1,
	};
}

void answer_sandbox(struct grpc_call *call, const struct registry_sandbox *s)
{
	Openshell__Compute__V1__GetSandboxResponse out =
		OPENSHELL__COMPUTE__V1__GET_SANDBOX_RESPONSE__INIT;
	ProtobufCMessageUnknownField field = encoded_field(registry_encoded(s));

	out.base.n_unknown_fields = 1;
	out.base.unknown_fields = &field;
	grpc_reply(call, &out);
}

/* Whether a list of so many bytes may go out; else the call is answered. */
static bool fits(struct grpc_call *call, size_t sandboxes, size_t bytes)
{
	if (bytes <= ANSWER_MAX)
		return true;
	grpc_fail(call, GRPC_RESOURCE_EXHAUSTED,
		  "a list of %zu sandboxes has %zu bytes, a gateway decodes %d at most", sandboxes,
		  bytes, ANSWER_MAX);
	return false;
}

void answer_sandboxes(struct grpc_call *call, const struct registry *r)
{
	Openshell__Compute__V1__ListSandboxesResponse out =
		OPENSHELL__COMPUTE__V1__LIST_SANDBOXES_RESPONSE__INIT;
	size_t n = registry_count(r), i = 0;

	if (!fits(call, n, registry_encoded_total(r)))
		return;
	_cleanup_free_ ProtobufCMessageUnknownField *fields = xcalloc(n, sizeof *fields);
	for (const struct registry_sandbox *s = NULL; (s = registry_next(r, s)) != NULL;)
		fields[i++] = encoded_field(registry_encoded(s));
	must(i == n);
	out.base.n_unknown_fields = (unsigned)n;
	out.base.unknown_fields = fields;
	grpc_reply(call, &out);
}

void answer_list(struct grpc_call *call, Openshell__Compute__V1__ListSandboxesResponse *list)
{
	for (size_t i = 0; i < list->n_sandboxes; i++)
		list->sandboxes[i]->spec = NULL;
	if (fits(call, list->n_sandboxes, protobuf_c_message_get_packed_size(&list->base)))
		grpc_reply(call, list);
}
