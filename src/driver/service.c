#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "driver/answer.h"
#include "driver/backend.h"
#include "driver/registry.h"
#include "driver/service.h"
#include "driver/watch.h"
#include "grpc/server.h"
#include "wire/generation.h"

/* --- checks; each answers the call when it says no --- */

static bool refuse(struct grpc_call *call, const char *what, const char *why)
{
	grpc_fail(call, GRPC_INVALID_ARGUMENT, "%s %s", what, why);
	return false;
}

enum { TEXT_MAX = 1024 }; /* bytes of a name: more than any platform takes */

/* Names end up in logs, in labels and on terminals. */
static bool check_text(struct grpc_call *call, const char *what, const char *text)
{
	if (strlen(text) > TEXT_MAX)
		return refuse(call, what, "is too long");
	if (str_has_control(str_of(text)))
		return refuse(call, what, "holds a control character");
	return true;
}

static bool check_given(struct grpc_call *call, const char *what, const char *text)
{
	if (text[0] == '\0')
		return refuse(call, what, "is required");
	return check_text(call, what, text);
}

/* The id is what counts; a request that has but a name is taken too (driver/lookup.h). */
static bool check_key(struct grpc_call *call, const char *id, const char *name)
{
	if (id[0] == '\0' && name[0] == '\0')
		return refuse(call, "sandbox_id", "is required");
	return check_text(call, "sandbox_id", id) && check_text(call, "sandbox_name", name);
}

static bool check_sandbox(struct grpc_call *call, const Openshell__Compute__V1__DriverSandbox *s)
{
	if (s == NULL)
		return refuse(call, "sandbox", "is required");
	return check_given(call, "sandbox.id", s->id) &&
	       check_given(call, "sandbox.name", s->name) &&
	       check_text(call, "sandbox.namespace", s->namespace_) &&
	       check_text(call, "sandbox.workspace", s->workspace) &&
	       (s->spec != NULL || refuse(call, "sandbox.spec", "is required"));
}

/* --- about the driver --- */

static void get_capabilities(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	Openshell__Compute__V1__GetCapabilitiesResponse out =
		OPENSHELL__COMPUTE__V1__GET_CAPABILITIES_RESPONSE__INIT;
	struct err e;

	if (generation_of(request) != GENERATION_0_0) {
		generation_refuse(request, &e);
		grpc_fail(call, GRPC_FAILED_PRECONDITION, "%s", e.text);
		return;
	}
	s->backend->ops->capabilities(s->backend, &out);
	out.driver_name = (char *)s->driver_name;
	out.driver_version = OPENSHELL_VERSION;
	grpc_reply(call, &out);
}

/* None: sandboxes call the gateway at the address that they are given. */
static void get_listener_requirements(struct grpc_call *call, void *request)
{
	Openshell__Compute__V1__GetGatewayListenerRequirementsResponse out =
		OPENSHELL__COMPUTE__V1__GET_GATEWAY_LISTENER_REQUIREMENTS_RESPONSE__INIT;

	(void)request;
	grpc_reply(call, &out);
}

static void authenticate_sandbox(struct grpc_call *call, void *request)
{
	(void)request;
	grpc_fail(call, GRPC_UNIMPLEMENTED,
		  "AuthenticateSandbox belongs to protocol 0.1, this driver speaks 0.0");
}

/* --- reading --- */

static void get_sandbox(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__GetSandboxRequest *r = request;
	const struct registry_sandbox *known;

	if (!check_key(call, r->sandbox_id, r->sandbox_name))
		return;
	if (registry_synced(s->registry)) {
		enum lookup found =
			registry_find(s->registry, r->sandbox_id, r->sandbox_name, &known);
		if (found == LOOKUP_ID || found == LOOKUP_NAME) {
			answer_sandbox(call, known);
			return;
		}
	}
	/* Whoever is told that a sandbox is absent forgets it: that takes a look of our own. */
	s->backend->ops->get(s->backend, call, r);
}

static void list_sandboxes(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);

	if (registry_synced(s->registry))
		answer_sandboxes(call, s->registry);
	else
		s->backend->ops->list(s->backend, call, request);
}

static void watch_sandboxes(struct grpc_call *call, void *request)
{
	(void)request;
	watch_start(grpc_service(call), call);
}

static void resolve_sandbox_endpoint(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__ResolveSandboxEndpointRequest *r = request;

	if (r->sandbox == NULL) {
		refuse(call, "sandbox", "is required");
		return;
	}
	/* One without a name is the backend's to refuse (driver contract 2.3, rule 3). */
	if (check_text(call, "sandbox.id", r->sandbox->id) &&
	    check_text(call, "sandbox.name", r->sandbox->name))
		s->backend->ops->resolve_endpoint(s->backend, call, r);
}

/* --- changing; what is asked for is said, what comes of it is told to the caller --- */

static void validate_sandbox_create(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__ValidateSandboxCreateRequest *r = request;

	if (check_sandbox(call, r->sandbox))
		s->backend->ops->validate(s->backend, call, r);
}

static void create_sandbox(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__CreateSandboxRequest *r = request;

	if (!check_sandbox(call, r->sandbox))
		return;
	log_info("create sandbox", "id=%s name=%s workspace=%s", r->sandbox->id, r->sandbox->name,
		 r->sandbox->workspace);
	s->backend->ops->create(s->backend, call, r);
}

static void stop_sandbox(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__StopSandboxRequest *r = request;

	if (!check_key(call, r->sandbox_id, r->sandbox_name))
		return;
	log_info("stop sandbox", "id=%s name=%s", r->sandbox_id, r->sandbox_name);
	s->backend->ops->stop(s->backend, call, r);
}

static void start_sandbox(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__StartSandboxRequest *r = request;

	if (!check_key(call, r->sandbox_id, r->sandbox_name))
		return;
	log_info("start sandbox", "id=%s name=%s", r->sandbox_id, r->sandbox_name);
	s->backend->ops->start(s->backend, call, r);
}

static void delete_sandbox(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__DeleteSandboxRequest *r = request;

	if (!check_key(call, r->sandbox_id, r->sandbox_name))
		return;
	log_info("delete sandbox", "id=%s name=%s", r->sandbox_id, r->sandbox_name);
	s->backend->ops->delete (s->backend, call, r);
}

static void ensure_workspace(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__EnsureWorkspaceRequest *r = request;

	if (!check_given(call, "workspace", r->workspace))
		return;
	log_debug("ensure workspace", "workspace=%s", r->workspace);
	s->backend->ops->ensure_workspace(s->backend, call, r);
}

static void delete_workspace(struct grpc_call *call, void *request)
{
	const struct service *s = grpc_service(call);
	const Openshell__Compute__V1__DeleteWorkspaceRequest *r = request;

	if (!check_given(call, "workspace", r->workspace))
		return;
	log_info("delete workspace", "workspace=%s", r->workspace);
	s->backend->ops->delete_workspace(s->backend, call, r);
}

/* --- the table --- */

#define UNARY(rpc, in_out, function)                                                               \
	{                                                                                          \
		"/" SERVICE_NAME "/" rpc, GRPC_UNARY,                                              \
			&openshell__compute__v1__##in_out##_request__descriptor,                   \
			&openshell__compute__v1__##in_out##_response__descriptor, function         \
	}

static const struct grpc_method methods[] = {
	UNARY("GetCapabilities", get_capabilities, get_capabilities),
	UNARY("GetGatewayListenerRequirements", get_gateway_listener_requirements,
	      get_listener_requirements),
	UNARY("AuthenticateSandbox", authenticate_sandbox, authenticate_sandbox),
	UNARY("ValidateSandboxCreate", validate_sandbox_create, validate_sandbox_create),
	UNARY("GetSandbox", get_sandbox, get_sandbox),
	UNARY("ListSandboxes", list_sandboxes, list_sandboxes),
	UNARY("CreateSandbox", create_sandbox, create_sandbox),
	UNARY("StopSandbox", stop_sandbox, stop_sandbox),
	UNARY("StartSandbox", start_sandbox, start_sandbox),
	UNARY("DeleteSandbox", delete_sandbox, delete_sandbox),
	UNARY("ResolveSandboxEndpoint", resolve_sandbox_endpoint, resolve_sandbox_endpoint),
	{"/" SERVICE_NAME "/WatchSandboxes", GRPC_SERVER_STREAM,
	 &openshell__compute__v1__watch_sandboxes_request__descriptor,
	 &openshell__compute__v1__watch_sandboxes_event__descriptor, watch_sandboxes},
	UNARY("EnsureWorkspace", ensure_workspace, ensure_workspace),
	UNARY("DeleteWorkspace", delete_workspace, delete_workspace),
};

void service_add(struct service *s, struct grpc_server *srv)
{
	grpc_server_add(srv, methods, ARRAY_LEN(methods), s);
}
