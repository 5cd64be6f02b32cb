/*
 * v1 and v1alpha differ in nothing but the name of the service, so both are served with v1's
 * messages.
 */
#include "base/map.h"
#include "base/util.h"
#include "grpc/reflection.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "wire/descriptors.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest request;
typedef Grpc__Reflection__V1__ServerReflectionResponse response;

enum {
	FILES_MAX = 64,           /* of one answer: a file and what it imports */
	ANSWER_MAX = 1024 * 1024, /* memory that an answer is made in, besides the descriptors */
};

/* A stream: the answer that its client has not taken yet. While there is one, the next question is
 * not read. */
struct asker {
	struct h2_chunk *pending;
};

static void set_error(response *r, struct arena *a, enum grpc_status code, const char *text)
{
	Grpc__Reflection__V1__ErrorResponse *er = arena_zalloc(a, sizeof *er);

	grpc__reflection__v1__error_response__init(er);
	er->error_code = (int32_t)code;
	er->error_message = arena_dup(a, str_of(text));
	r->error_response = er;
	r->message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
}

static bool add_file(Grpc__Reflection__V1__FileDescriptorResponse *f, struct str file)
{
	for (size_t i = 0; i < f->n_file_descriptor_proto; i++) {
		if (f->file_descriptor_proto[i].data == (const uint8_t *)file.p)
			return true;
	}
	if (f->n_file_descriptor_proto == FILES_MAX)
		return false;
	f->file_descriptor_proto[f->n_file_descriptor_proto++] =
		(ProtobufCBinaryData){file.n, (uint8_t *)file.p};
	return true;
}

/* The file and all that it needs: not every client asks for the imports. */
static void set_file(response *r, struct arena *a, struct str file)
{
	Grpc__Reflection__V1__FileDescriptorResponse *f = arena_zalloc(a, sizeof *f);

	grpc__reflection__v1__file_descriptor_response__init(f);
	f->file_descriptor_proto = arena_zalloc(a, FILES_MAX * sizeof *f->file_descriptor_proto);
	add_file(f, file);
	for (size_t i = 0; i < f->n_file_descriptor_proto; i++) {
		const ProtobufCBinaryData *of = &f->file_descriptor_proto[i];
		struct str name, imported;
		size_t at = 0;
		while (descriptors_import(str_sub(of->data, of->len), &at, &name)) {
			if (descriptors_file(name, &imported))
				must(add_file(f, imported));
		}
	}
	r->file_descriptor_response = f;
	r->message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
}

static void set_services(response *r, struct arena *a, const struct grpc_server *srv)
{
	Grpc__Reflection__V1__ListServiceResponse *l = arena_zalloc(a, sizeof *l);
	struct str name;
	size_t n = 0, at = 0;

	grpc__reflection__v1__list_service_response__init(l);
	while (grpc_server_services(srv, &at, &name))
		n++;
	l->service = arena_zalloc(a, n * sizeof(void *));
	for (at = 0; grpc_server_services(srv, &at, &name);) {
		Grpc__Reflection__V1__ServiceResponse *s = arena_zalloc(a, sizeof *s);
		grpc__reflection__v1__service_response__init(s);
		s->name = arena_dup(a, name);
		l->service[l->n_service++] = s;
	}
	r->list_services_response = l;
	r->message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
}

/* No message of ours can be extended: the answer for those that exist is an empty list. */
static void set_no_extensions(response *r, struct arena *a, char *type)
{
	Grpc__Reflection__V1__ExtensionNumberResponse *n = arena_zalloc(a, sizeof *n);

	grpc__reflection__v1__extension_number_response__init(n);
	n->base_type_name = type;
	r->all_extension_numbers_response = n;
	r->message_response_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ALL_EXTENSION_NUMBERS_RESPONSE;
}

static void answer(struct grpc_call *call, request *q, response *r, struct arena *a)
{
	struct str file;

	switch ((int)q->message_request_case) {
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
		if (descriptors_file(str_of(q->file_by_filename), &file))
			set_file(r, a, file);
		else
			set_error(r, a, GRPC_NOT_FOUND, "no such file");
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
		if (descriptors_file_of(str_of(q->file_containing_symbol), &file))
			set_file(r, a, file);
		else
			set_error(r, a, GRPC_NOT_FOUND, "no such symbol");
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_EXTENSION:
		set_error(r, a, GRPC_NOT_FOUND, "no such extension");
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_ALL_EXTENSION_NUMBERS_OF_TYPE:
		if (descriptors_file_of(str_of(q->all_extension_numbers_of_type), &file))
			set_no_extensions(r, a, q->all_extension_numbers_of_type);
		else
			set_error(r, a, GRPC_NOT_FOUND, "no such type");
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
		set_services(r, a, grpc_service(call));
		break;
	case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST__NOT_SET:
	default:
		set_error(r, a, GRPC_INVALID_ARGUMENT, "nothing is asked for");
	}
}

static void on_message(struct grpc_call *call, void *message)
{
	struct asker *asker = grpc_user(call);
	_cleanup_arena_ struct arena a = ARENA_INIT(ANSWER_MAX);
	request *q = message;
	response r = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;

	r.valid_host = q->host;
	r.original_request = q;
	answer(call, q, &r, &a);
	struct h2_chunk *c = grpc_pack(&r);
	if (grpc_send_packed(call, c)) {
		h2_chunk_unref(c);
		return;
	}
	asker->pending = c;
	grpc_pause(call);
}

static void on_writable(struct grpc_call *call)
{
	struct asker *asker = grpc_user(call);

	if (asker->pending == NULL || !grpc_send_packed(call, asker->pending))
		return;
	h2_chunk_unref(asker->pending);
	asker->pending = NULL;
	grpc_resume(call);
}

static void on_half_close(struct grpc_call *call)
{
	grpc_finish(call);
}

static void on_cancelled(struct grpc_call *call)
{
	struct asker *asker = grpc_user(call);

	h2_chunk_unref(asker->pending);
	asker->pending = NULL;
	grpc_fail(call, GRPC_CANCELLED, "cancelled");
}

static const struct grpc_call_ops ops = {
	.message = on_message,
	.half_close = on_half_close,
	.writable = on_writable,
	.cancelled = on_cancelled,
};

static void info(struct grpc_call *call, void *none UNUSED)
{
	grpc_set_ops(call, &ops, arena_zalloc(grpc_arena(call), sizeof(struct asker)));
}

#define METHOD(path)                                                                               \
	{                                                                                          \
		path, GRPC_BIDI, &grpc__reflection__v1__server_reflection_request__descriptor,     \
			&grpc__reflection__v1__server_reflection_response__descriptor, info        \
	}

static const struct grpc_method methods[] = {
	METHOD("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
	METHOD("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
};

void grpc_reflection_add(struct grpc_server *srv)
{
	grpc_server_add(srv, methods, ARRAY_LEN(methods), srv);
}
