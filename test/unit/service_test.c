#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/util.h"
#include "base/version.h"
#include "driver/answer.h"
#include "driver/backend.h"
#include "driver/registry.h"
#include "driver/service.h"
#include "grpc/client.h"
#include "grpc/server.h"
#include "test.h"
#include "wire/wire.h"

#define PB(name) Openshell__Compute__V1__##name
#define NEW(var, Type, INIT)                                                                       \
	Openshell__Compute__V1__##Type var = OPENSHELL__COMPUTE__V1__##INIT##__INIT

/* --- a backend that says who called it --- */

struct fake {
	struct backend base;
	const char *called; /* the last function */
	struct grpc_call *held;
	bool hold;   /* does not answer by itself */
	size_t live; /* how many sandboxes a live list finds */
};

static struct loop *loop;
static struct registry *registry;
static struct grpc_server *server;
static struct fake backend;
static struct service service;

/* Answers with an empty message of the method's own type. */
static void answer(struct grpc_call *call)
{
	void *m = wire_new(grpc_call_method(call)->out, grpc_arena(call));
	grpc_reply(call, m);
}

static void called(struct backend *b, struct grpc_call *call, const char *name)
{
	struct fake *f = container_of(b, struct fake, base);
	f->called = name;
	f->held = f->hold ? call : NULL;
	if (!f->hold)
		answer(call);
}

#define FAKE(function, Type)                                                                       \
	static void fake_##function(struct backend *b, struct grpc_call *call,                     \
				    const Openshell__Compute__V1__##Type *r UNUSED)                \
	{                                                                                          \
		called(b, call, #function);                                                        \
	}

FAKE(validate, ValidateSandboxCreateRequest)
FAKE(create, CreateSandboxRequest)
FAKE(get, GetSandboxRequest)
FAKE(stop, StopSandboxRequest)
FAKE(start, StartSandboxRequest)
FAKE(delete, DeleteSandboxRequest)
FAKE(resolve_endpoint, ResolveSandboxEndpointRequest)
FAKE(ensure_workspace, EnsureWorkspaceRequest)
FAKE(delete_workspace, DeleteWorkspaceRequest)

/* Sandboxes of about 1 KiB, with the spec that a careless backend might leave in. */
static void fake_list(struct backend *b, struct grpc_call *call,
		      const PB(ListSandboxesRequest) * r UNUSED)
{
	struct fake *f = container_of(b, struct fake, base);
	NEW(out, ListSandboxesResponse, LIST_SANDBOXES_RESPONSE);
	NEW(spec, DriverSandboxSpec, DRIVER_SANDBOX_SPEC);
	char name[1000];

	f->called = "list";
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	spec.log_level = name;
	out.sandboxes = arena_zalloc(grpc_arena(call), (f->live + 1) * sizeof *out.sandboxes);
	for (size_t i = 0; i < f->live; i++) {
		out.sandboxes[i] = arena_zalloc(grpc_arena(call), sizeof **out.sandboxes);
		openshell__compute__v1__driver_sandbox__init(out.sandboxes[i]);
		out.sandboxes[i]->name = name;
		out.sandboxes[i]->spec = &spec;
	}
	out.n_sandboxes = f->live;
	answer_list(call, &out);
}

static void fake_capabilities(struct backend *b UNUSED, PB(GetCapabilitiesResponse) * out)
{
	out->default_image = (char *)"image:1";
	out->supports_gpu = true;
	out->gpu_count = 3;
}

static const struct backend_ops fake_ops = {
	.name = "fake",
	.capabilities = fake_capabilities,
	.validate = fake_validate,
	.create = fake_create,
	.get = fake_get,
	.list = fake_list,
	.stop = fake_stop,
	.start = fake_start,
	.delete = fake_delete,
	.resolve_endpoint = fake_resolve_endpoint,
	.ensure_workspace = fake_ensure_workspace,
	.delete_workspace = fake_delete_workspace,
};

/* --- a server and clients in one process, over socket pairs --- */

static struct grpc_channel *dial(void)
{
	const struct grpc_channel_config config = GRPC_CHANNEL_CONFIG_DEFAULT;
	struct conn *ours, *theirs;
	struct err e;
	int fds[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
	OK(conn_of_fd(&ours, loop, fds[0], "server", &e) == 0);
	OK(conn_of_fd(&theirs, loop, fds[1], "client", &e) == 0);
	grpc_server_serve(server, ours);
	return grpc_channel_new(theirs, &config, NULL, NULL);
}

static struct grpc_channel *channel;

static void tear_down(void)
{
	grpc_channel_free(channel);
	grpc_server_free(server);
	registry_free(registry);
	loop_free(loop);
}

static void set_up(void)
{
	const struct grpc_config config = GRPC_CONFIG_DEFAULT;
	struct err e;

	OK(loop_new(&loop, &e) == 0);
	registry = registry_new();
	server = grpc_server_new(loop, &config);
	backend = (struct fake){.base.ops = &fake_ops};
	service = (struct service){loop, registry, &backend.base, "kubernetes"};
	service_add(&service, server);
	channel = dial();
	atexit(tear_down);
}

/* How the last call ended. */
static struct {
	enum grpc_status status;
	char text[512];
	void *message; /* packed and unpacked again, so that it survives; freed by the next call */
	const ProtobufCMessageDescriptor *type;
} last;

static void on_message(struct grpc_rpc *r UNUSED, void *message)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *bytes = xmalloc(n);

	protobuf_c_message_pack(message, bytes);
	last.type = ((ProtobufCMessage *)message)->descriptor;
	last.message = protobuf_c_message_unpack(last.type, NULL, n, bytes);
}

static void on_ended(struct grpc_rpc *r UNUSED, enum grpc_status status, struct str text)
{
	last.status = status;
	snprintf(last.text, sizeof last.text, "%.*s", STR_FMT(text));
	loop_stop(loop, 0);
}

static const struct grpc_rpc_ops unary = {.message = on_message, .ended = on_ended};

static void forget_message(void)
{
	if (last.message != NULL)
		protobuf_c_message_free_unpacked(last.message, NULL);
	last.message = NULL;
}

static struct grpc_rpc *begin(const char *rpc, const void *request,
			      const ProtobufCMessageDescriptor *out)
{
	char path[128];

	snprintf(path, sizeof path, "/" SERVICE_NAME "/%s", rpc);
	const struct grpc_rpc_config config = {.path = path, .out = out};
	forget_message();
	return grpc_rpc_call(channel, &config, request, &unary, NULL);
}

static enum grpc_status call(const char *rpc, const void *request,
			     const ProtobufCMessageDescriptor *out)
{
	static bool registered;

	if (!registered)
		atexit(forget_message);
	registered = true;
	begin(rpc, request, out);
	loop_run(loop);
	return last.status;
}

#define CALL(rpc, request, in_out)                                                                 \
	call(rpc, request, &openshell__compute__v1__##in_out##_response__descriptor)

static void put(const char *id, const char *name, const char *reason)
{
	NEW(s, DriverSandbox, DRIVER_SANDBOX);
	NEW(status, DriverSandboxStatus, DRIVER_SANDBOX_STATUS);

	status.instance_id = (char *)reason;
	s.id = (char *)id;
	s.name = (char *)name;
	s.namespace_ = (char *)"ns";
	s.workspace = (char *)"w";
	s.status = &status;
	registry_put(registry, &s, id, 0);
}

/* --- about the driver --- */

TEST(capabilities)
{
	NEW(r, GetCapabilitiesRequest, GET_CAPABILITIES_REQUEST);
	set_up();
	EQ(CALL("GetCapabilities", &r, get_capabilities), GRPC_OK);
	const PB(GetCapabilitiesResponse) *out = last.message;
	STREQ(out->driver_name, "kubernetes");
	STREQ(out->driver_version, OPENSHELL_VERSION);
	STREQ(out->default_image, "image:1");
	OK(out->supports_gpu);
	EQ(out->gpu_count, 3);
	OK(!out->gateway_manages_lifecycle);
	OK(out->extension == NULL);
}

TEST(a_gateway_of_another_generation_is_told_both_versions)
{
	NEW(r, GetCapabilitiesRequest, GET_CAPABILITIES_REQUEST);
	Openshell__Extension__V1__PeerMetadata peer = OPENSHELL__EXTENSION__V1__PEER_METADATA__INIT;
	peer.implementation_name = (char *)"openshell/gateway";
	peer.implementation_version = (char *)"0.1.9";
	r.gateway = &peer;
	set_up();
	EQ(CALL("GetCapabilities", &r, get_capabilities), GRPC_FAILED_PRECONDITION);
	HAS(last.text, "0.0");
	HAS(last.text, "0.1");
}

TEST(no_listener_is_required_and_nobody_is_authenticated)
{
	NEW(l, GetGatewayListenerRequirementsRequest, GET_GATEWAY_LISTENER_REQUIREMENTS_REQUEST);
	NEW(a, AuthenticateSandboxRequest, AUTHENTICATE_SANDBOX_REQUEST);
	set_up();
	EQ(CALL("GetGatewayListenerRequirements", &l, get_gateway_listener_requirements), GRPC_OK);
	const PB(GetGatewayListenerRequirementsResponse) *out = last.message;
	EQ(out->n_requirements, 0);
	EQ(CALL("AuthenticateSandbox", &a, authenticate_sandbox), GRPC_UNIMPLEMENTED);
}

/* --- checks --- */

static void expect_invalid(const char *want)
{
	EQ(last.status, GRPC_INVALID_ARGUMENT);
	STREQ(last.text, want);
	OK(backend.called == NULL);
}

TEST(what_is_missing_is_named)
{
	NEW(validate, ValidateSandboxCreateRequest, VALIDATE_SANDBOX_CREATE_REQUEST);
	NEW(create, CreateSandboxRequest, CREATE_SANDBOX_REQUEST);
	NEW(get, GetSandboxRequest, GET_SANDBOX_REQUEST);
	NEW(stop, StopSandboxRequest, STOP_SANDBOX_REQUEST);
	NEW(start, StartSandboxRequest, START_SANDBOX_REQUEST);
	NEW(del, DeleteSandboxRequest, DELETE_SANDBOX_REQUEST);
	NEW(resolve, ResolveSandboxEndpointRequest, RESOLVE_SANDBOX_ENDPOINT_REQUEST);
	NEW(ensure, EnsureWorkspaceRequest, ENSURE_WORKSPACE_REQUEST);
	NEW(forget, DeleteWorkspaceRequest, DELETE_WORKSPACE_REQUEST);
	set_up();
	CALL("ValidateSandboxCreate", &validate, validate_sandbox_create);
	expect_invalid("sandbox is required");
	CALL("CreateSandbox", &create, create_sandbox);
	expect_invalid("sandbox is required");
	CALL("GetSandbox", &get, get_sandbox);
	expect_invalid("sandbox_id is required");
	CALL("StopSandbox", &stop, stop_sandbox);
	expect_invalid("sandbox_id is required");
	CALL("StartSandbox", &start, start_sandbox);
	expect_invalid("sandbox_id is required");
	CALL("DeleteSandbox", &del, delete_sandbox);
	expect_invalid("sandbox_id is required");
	CALL("ResolveSandboxEndpoint", &resolve, resolve_sandbox_endpoint);
	expect_invalid("sandbox is required");
	CALL("EnsureWorkspace", &ensure, ensure_workspace);
	expect_invalid("workspace is required");
	CALL("DeleteWorkspace", &forget, delete_workspace);
	expect_invalid("workspace is required");
}

TEST(a_sandbox_needs_id_name_and_spec)
{
	NEW(create, CreateSandboxRequest, CREATE_SANDBOX_REQUEST);
	NEW(sandbox, DriverSandbox, DRIVER_SANDBOX);
	NEW(spec, DriverSandboxSpec, DRIVER_SANDBOX_SPEC);
	char long_name[1026];

	memset(long_name, 'a', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	create.sandbox = &sandbox;
	set_up();
	CALL("CreateSandbox", &create, create_sandbox);
	expect_invalid("sandbox.id is required");
	sandbox.id = (char *)"1";
	CALL("CreateSandbox", &create, create_sandbox);
	expect_invalid("sandbox.name is required");
	sandbox.name = (char *)"a\nb";
	CALL("CreateSandbox", &create, create_sandbox);
	expect_invalid("sandbox.name holds a control character");
	sandbox.name = long_name;
	CALL("CreateSandbox", &create, create_sandbox);
	expect_invalid("sandbox.name is too long");
	sandbox.name = (char *)"a";
	CALL("CreateSandbox", &create, create_sandbox);
	expect_invalid("sandbox.spec is required");
	sandbox.spec = &spec;
	EQ(CALL("CreateSandbox", &create, create_sandbox), GRPC_OK);
	STREQ(backend.called, "create");
}

TEST(each_rpc_reaches_its_function)
{
	NEW(sandbox, DriverSandbox, DRIVER_SANDBOX);
	NEW(spec, DriverSandboxSpec, DRIVER_SANDBOX_SPEC);
	NEW(validate, ValidateSandboxCreateRequest, VALIDATE_SANDBOX_CREATE_REQUEST);
	NEW(stop, StopSandboxRequest, STOP_SANDBOX_REQUEST);
	NEW(start, StartSandboxRequest, START_SANDBOX_REQUEST);
	NEW(del, DeleteSandboxRequest, DELETE_SANDBOX_REQUEST);
	NEW(resolve, ResolveSandboxEndpointRequest, RESOLVE_SANDBOX_ENDPOINT_REQUEST);
	NEW(ensure, EnsureWorkspaceRequest, ENSURE_WORKSPACE_REQUEST);
	NEW(forget, DeleteWorkspaceRequest, DELETE_WORKSPACE_REQUEST);
	sandbox.id = sandbox.name = (char *)"a";
	sandbox.spec = &spec;
	validate.sandbox = resolve.sandbox = &sandbox;
	stop.sandbox_id = start.sandbox_id = (char *)"a";
	del.sandbox_name = (char *)"a"; /* a name alone will do */
	ensure.workspace = forget.workspace = (char *)"w";
	set_up();
	EQ(CALL("ValidateSandboxCreate", &validate, validate_sandbox_create), GRPC_OK);
	STREQ(backend.called, "validate");
	EQ(CALL("StopSandbox", &stop, stop_sandbox), GRPC_OK);
	STREQ(backend.called, "stop");
	EQ(CALL("StartSandbox", &start, start_sandbox), GRPC_OK);
	STREQ(backend.called, "start");
	EQ(CALL("DeleteSandbox", &del, delete_sandbox), GRPC_OK);
	STREQ(backend.called, "delete");
	EQ(CALL("ResolveSandboxEndpoint", &resolve, resolve_sandbox_endpoint), GRPC_OK);
	STREQ(backend.called, "resolve_endpoint");
	EQ(CALL("EnsureWorkspace", &ensure, ensure_workspace), GRPC_OK);
	STREQ(backend.called, "ensure_workspace");
	EQ(CALL("DeleteWorkspace", &forget, delete_workspace), GRPC_OK);
	STREQ(backend.called, "delete_workspace");
}

/* --- get and list --- */

TEST(get_reads_the_registry_once_it_is_synced)
{
	NEW(get, GetSandboxRequest, GET_SANDBOX_REQUEST);
	get.sandbox_id = (char *)"1";
	get.sandbox_name = (char *)"a";
	set_up();
	put("1", "a", "pod-a");
	EQ(CALL("GetSandbox", &get, get_sandbox), GRPC_OK);
	STREQ(backend.called, "get"); /* not synced: a live read */
	backend.called = NULL;
	registry_set_synced(registry, true);
	EQ(CALL("GetSandbox", &get, get_sandbox), GRPC_OK);
	OK(backend.called == NULL);
	const PB(GetSandboxResponse) *out = last.message;
	STREQ(out->sandbox->id, "1");
	STREQ(out->sandbox->name, "a");
	STREQ(out->sandbox->status->instance_id, "pod-a");
	EQ(out->base.n_unknown_fields, 0);
	get.sandbox_id = (char *)"2"; /* absence is never taken from memory */
	EQ(CALL("GetSandbox", &get, get_sandbox), GRPC_OK);
	STREQ(backend.called, "get");
}

TEST(list_reads_the_registry_once_it_is_synced)
{
	NEW(list, ListSandboxesRequest, LIST_SANDBOXES_REQUEST);
	char id[16];
	set_up();
	EQ(CALL("ListSandboxes", &list, list_sandboxes), GRPC_OK);
	STREQ(backend.called, "list");
	backend.called = NULL;
	registry_set_synced(registry, true);
	EQ(CALL("ListSandboxes", &list, list_sandboxes), GRPC_OK);
	EQ(((const PB(ListSandboxesResponse) *)last.message)->n_sandboxes, 0);
	for (int i = 0; i < 100; i++) {
		snprintf(id, sizeof id, "%d", i);
		put(id, id, "x");
	}
	EQ(CALL("ListSandboxes", &list, list_sandboxes), GRPC_OK);
	OK(backend.called == NULL);
	const PB(ListSandboxesResponse) *out = last.message;
	EQ(out->n_sandboxes, 100);
	STREQ(out->sandboxes[42]->id, "42");
}

TEST(a_list_that_no_gateway_can_decode_is_refused_not_cut)
{
	NEW(list, ListSandboxesRequest, LIST_SANDBOXES_REQUEST);
	char id[16], state[1000];
	set_up();
	registry_set_synced(registry, true);
	memset(state, 'x', sizeof state - 1);
	state[sizeof state - 1] = '\0';
	for (int i = 0; registry_encoded_total(registry) <= ANSWER_MAX; i++) {
		snprintf(id, sizeof id, "%d", i);
		put(id, id, state);
	}
	EQ(CALL("ListSandboxes", &list, list_sandboxes), GRPC_RESOURCE_EXHAUSTED);
	HAS(last.text, "4194304");
	registry_remove(registry, "ns", "0", 0);
	EQ(CALL("ListSandboxes", &list, list_sandboxes), GRPC_OK);
	EQ(((const PB(ListSandboxesResponse) *)last.message)->n_sandboxes,
	   registry_count(registry));
}

TEST(a_live_list_is_bounded_too_and_holds_no_specs)
{
	NEW(list, ListSandboxesRequest, LIST_SANDBOXES_REQUEST);
	set_up();
	backend.live = 4000;
	EQ(CALL("ListSandboxes", &list, list_sandboxes), GRPC_OK);
	const PB(ListSandboxesResponse) *out = last.message;
	EQ(out->n_sandboxes, 4000);
	OK(out->sandboxes[3999]->spec == NULL);
	backend.live = 4500;
	EQ(CALL("ListSandboxes", &list, list_sandboxes), GRPC_RESOURCE_EXHAUSTED);
	HAS(last.text, "4500 sandboxes");
}

/* --- callers that go away --- */

static void stop_loop(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

/* Runs the loop until what is under way has settled. */
static void settle(void)
{
	struct timer t = {.fire = stop_loop};
	timer_set(loop, &t, test_ms(50));
	loop_run(loop);
	timer_stop(loop, &t);
}

/* Runs the loop until the condition holds; never a measure of speed. */
#define EVENTUALLY(condition)                                                                      \
	do {                                                                                       \
		for (int tries = 0; !(condition); tries++) {                                       \
			if (tries == 150)                                                          \
				FAIL("never: %s", #condition);                                     \
			settle();                                                                  \
		}                                                                                  \
	} while (0)

TEST(an_operation_outlives_its_caller)
{
	NEW(stop, StopSandboxRequest, STOP_SANDBOX_REQUEST);
	stop.sandbox_id = (char *)"1";
	set_up();
	backend.hold = true;
	struct grpc_rpc *r = begin("StopSandbox", &stop,
				   &openshell__compute__v1__stop_sandbox_response__descriptor);
	EVENTUALLY(backend.held != NULL);
	STREQ(backend.called, "stop");
	grpc_rpc_cancel(r);
	EVENTUALLY(grpc_cancelled(backend.held));
	answer(backend.held);
	EVENTUALLY(grpc_server_calls(server) == 0);
}

/* --- watching --- */

struct viewer {
	struct grpc_rpc *rpc;
	struct buf seen; /* "+id:state ", "-id ", "!id:reason " */
	bool ended, opened;
	enum grpc_status status;
	struct list link;
};

static void on_watch_headers(struct grpc_rpc *r)
{
	((struct viewer *)grpc_rpc_user(r))->opened = true;
}

static void on_watch_message(struct grpc_rpc *r, void *message)
{
	struct viewer *v = grpc_rpc_user(r);
	const PB(WatchSandboxesEvent) *ev = message;

	switch (ev->payload_case) {
	case OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_SANDBOX:
		buf_printf(&v->seen, "+%s:%s ", ev->sandbox->sandbox->id,
			   ev->sandbox->sandbox->status->instance_id);
		break;
	case OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_DELETED:
		buf_printf(&v->seen, "-%s ", ev->deleted->sandbox_id);
		break;
	case OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD_PLATFORM_EVENT:
		buf_printf(&v->seen, "!%s:%s ", ev->platform_event->sandbox_id,
			   ev->platform_event->event->reason);
		break;
	case OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD__NOT_SET:
	case _OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_EVENT__PAYLOAD__CASE_IS_INT_SIZE:
		FAIL("an event without payload");
	}
}

static void on_watch_ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct viewer *v = grpc_rpc_user(r);

	v->ended = true;
	v->status = status;
	snprintf(last.text, sizeof last.text, "%.*s", STR_FMT(text));
}

static const struct grpc_rpc_ops watching = {
	.headers = on_watch_headers,
	.message = on_watch_message,
	.ended = on_watch_ended,
};

static void view(struct viewer *v, struct grpc_channel *ch)
{
	static PB(WatchSandboxesRequest) request =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_REQUEST__INIT;
	const struct grpc_rpc_config config = {
		.path = "/" SERVICE_NAME "/WatchSandboxes",
		.out = &openshell__compute__v1__watch_sandboxes_event__descriptor,
		.streams = true,
	};

	*v = (struct viewer){.seen = BUF_INIT(16 << 20)};
	v->rpc = grpc_rpc_call(ch, &config, &request, &watching, v);
}

static const char *seen(struct viewer *v)
{
	static struct buf text = BUF_INIT(16 << 20);

	buf_clear(&text);
	buf_str(&text, buf_view(&v->seen));
	buf_char(&text, '\0');
	buf_clear(&v->seen);
	return text.p;
}

static bool has_seen(const struct viewer *v, const char *words)
{
	struct str seen_so_far = buf_view(&v->seen);

	return seen_so_far.n > 0 &&
	       memmem(seen_so_far.p, seen_so_far.n, words, strlen(words)) != NULL;
}

TEST(a_watch_opens_at_once_and_tells_what_happens)
{
	NEW(event, DriverPlatformEvent, DRIVER_PLATFORM_EVENT);
	struct viewer v;
	set_up();
	view(&v, channel);
	EVENTUALLY(v.opened);
	STREQ(seen(&v), "");
	put("1", "a", "x");
	EVENTUALLY(has_seen(&v, "+1:x "));
	STREQ(seen(&v), "+1:x ");
	put("1", "a", "y");
	put("1", "a", "z"); /* in one turn: only the newest */
	event.reason = (char *)"Pulling";
	registry_event(registry, "1", &event);
	registry_remove(registry, "ns", "1", 0);
	EVENTUALLY(has_seen(&v, "-1 "));
	STREQ(seen(&v), "!1:Pulling -1 ");
	grpc_rpc_cancel(v.rpc);
	EVENTUALLY(grpc_server_calls(server) == 0);
	put("2", "b", "x"); /* nobody is woken */
	buf_fini(&v.seen);
}

TEST(a_viewer_that_does_not_read_costs_little_and_then_sees_the_newest)
{
	struct viewer v;
	char id[32], state[512];
	set_up();
	memset(state, 's', sizeof state - 1);
	state[sizeof state - 1] = '\0';
	view(&v, channel);
	EVENTUALLY(v.opened);
	grpc_rpc_pause(v.rpc);
	/* more than the queues of both sides and the socket hold, and each sandbox many times */
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(id, sizeof id, "%d", i);
			snprintf(state, 8, "%07d", round);
			state[7] = 's';
			put(id, id, state);
		}
		settle();
	}
	registry_remove(registry, "ns", "7", 0);
	buf_clear(&v.seen);
	grpc_rpc_resume(v.rpc);
	EVENTUALLY(has_seen(&v, "+999:0000019") && has_seen(&v, "-7 "));
	OK(!has_seen(&v, "+7:0000019"));
	OK(buf_view(&v.seen).n < 4000u * 520);
	grpc_rpc_cancel(v.rpc);
	buf_fini(&v.seen);
}

TEST(a_viewer_that_lost_deletions_is_told_so)
{
	struct viewer v;
	char id[32];
	set_up();
	view(&v, channel);
	EVENTUALLY(v.opened);
	grpc_rpc_pause(v.rpc);
	for (int i = 0; i < REGISTRY_DELETIONS_MAX + 30000; i++) {
		snprintf(id, sizeof id, "%d", i);
		put(id, id, "x");
		registry_remove(registry, "ns", id, 0);
		if (i == 20000)
			settle();
	}
	grpc_rpc_resume(v.rpc);
	EVENTUALLY(v.ended);
	EQ(v.status, GRPC_RESOURCE_EXHAUSTED);
	HAS(last.text, "deletions behind");
	buf_fini(&v.seen);
}

static bool drained;

static void on_drained(void *arg UNUSED)
{
	drained = true;
}

TEST(the_end_of_the_driver_ends_watches_and_lets_calls_finish)
{
	NEW(stop, StopSandboxRequest, STOP_SANDBOX_REQUEST);
	struct viewer v;
	stop.sandbox_id = (char *)"1";
	set_up();
	view(&v, channel);
	backend.hold = true;
	begin("StopSandbox", &stop, &openshell__compute__v1__stop_sandbox_response__descriptor);
	EVENTUALLY(v.opened && backend.held != NULL);
	grpc_server_drain(server, 5000, on_drained, NULL);
	EVENTUALLY(v.ended);
	EQ(v.status, GRPC_UNAVAILABLE);
	OK(!drained);
	last.status = GRPC_UNKNOWN;
	answer(backend.held);
	EVENTUALLY(last.status == GRPC_OK);
	EVENTUALLY(drained);
	EQ(grpc_server_connections(server), 0);
	buf_fini(&v.seen);
}

TEST(fifty_viewers_see_every_sandbox)
{
	enum { VIEWERS = 50, SANDBOXES = 200 };
	static struct viewer v[VIEWERS];
	struct grpc_channel *channels[VIEWERS];
	char id[32];
	set_up();
	for (int i = 0; i < VIEWERS; i++) {
		channels[i] = dial();
		view(&v[i], channels[i]);
	}
	for (int i = 0; i < VIEWERS; i++)
		EVENTUALLY(v[i].opened);
	for (int i = 0; i < SANDBOXES; i++) {
		snprintf(id, sizeof id, "%d", i);
		put(id, id, "x");
	}
	settle();
	for (int i = 0; i < VIEWERS; i++) {
		EVENTUALLY(has_seen(&v[i], "+199:"));
		const char *at = seen(&v[i]);
		int n = 0;
		for (; (at = strchr(at, '+')) != NULL; at++)
			n++;
		EQ(n, SANDBOXES);
		buf_fini(&v[i].seen);
		grpc_channel_free(channels[i]);
	}
}
