#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/providers.h"
#include "supervisor/tell.h"

enum {
	AGAIN_MS = 10000, /* ours: as often as the policy is asked for */
	HANDLE = 64,      /* hexadecimal digits, contract 6.8 */
};

typedef Openshell__V1__GetSandboxProviderEnvironmentResponse response;

/* ---- variables ---- */

bool variables_add(struct variables *to, const char *text)
{
	if (to->n == PROVIDERS_VARIABLES_MAX)
		return false;
	if (to->v == NULL)
		to->v = xcalloc(PROVIDERS_VARIABLES_MAX + 1, sizeof *to->v);
	to->v[to->n++] = xstrdup(text);
	return true;
}

void variables_fini(struct variables *v)
{
	for (size_t i = 0; i < v->n; i++)
		free(v->v[i]);
	free(v->v);
	*v = (struct variables){0};
}

/* ---- placeholders ---- */

static bool is_name(const char *name)
{
	struct str s = str_of(name);

	if (s.n == 0 || isdigit((unsigned char)s.p[0]) || str_starts(s, "OPENSHELL_"))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && s.p[i] != '_')
			return false;
	return true;
}

static bool is_plain(const response *r, const char *name)
{
	for (size_t i = 0; i < r->n_non_secret_environment_keys; i++)
		if (streq(r->non_secret_environment_keys[i], name))
			return true;
	return false;
}

/* What the gateway calls a credential for as long as it is the same one; NULL when it does not. */
static const char *handle_of(const response *r, const char *name)
{
	for (size_t i = 0; i < r->n_static_credential_bindings; i++) {
		if (!streq(r->static_credential_bindings[i]->key, name) ||
		    r->static_credential_bindings[i]->value == NULL)
			continue;
		const char *handle =
			r->static_credential_bindings[i]->value->workload_credential_handle;
		if (strlen(handle) == HANDLE && strspn(handle, "0123456789abcdef") == HANDLE)
			return handle;
	}
	return NULL;
}

static char *variable_of(const response *r, const char *name, const char *value)
{
	const char *handle = handle_of(r, name);

	if (is_plain(r, name))
		return xasprintf("%s=%s", name, value);
	if (handle != NULL)
		return xasprintf("%s=openshell:resolve:env:s%s_%s", name, handle, name);
	if (r->provider_env_revision != 0)
		return xasprintf("%s=openshell:resolve:env:v%llu_%s", name,
				 (unsigned long long)r->provider_env_revision, name);
	return xasprintf("%s=openshell:resolve:env:%s", name, name);
}

size_t providers_variables(const response *r, struct variables *out)
{
	size_t left_out = 0;

	*out = (struct variables){0};
	for (size_t i = 0; i < r->n_environment; i++) {
		const char *name = r->environment[i]->key, *value = r->environment[i]->value;
		_cleanup_free_ char *text = NULL;
		if (!is_name(name) || strlen(name) + strlen(value) > PROVIDERS_VALUE_MAX ||
		    !variables_add(out, text = variable_of(r, name, value)))
			left_out++;
	}
	return left_out;
}

/* ---- asking ---- */

void providers_request(Openshell__V1__GetSandboxProviderEnvironmentRequest *out,
		       const char *sandbox_id)
{
	*out = (Openshell__V1__GetSandboxProviderEnvironmentRequest)
		OPENSHELL__V1__GET_SANDBOX_PROVIDER_ENVIRONMENT_REQUEST__INIT;
	out->sandbox_id = (char *)sandbox_id;
	out->supports_static_credential_bindings = true;
}

static void take(struct providers *p, const response *r)
{
	variables_fini(&p->variables);
	size_t left_out = providers_variables(r, &p->variables);
	p->failed = false;
	tell_config(p->events, "loaded", OCSF_INFORMATIONAL,
		    "Fetched provider environment [env_count:%zu]", p->variables.n);
	if (left_out > 0)
		tell_config(p->events, "skipped", OCSF_MEDIUM,
			    "Provider variables left out: no names, reserved, or too large "
			    "[count:%zu]",
			    left_out);
}

static void done(struct gateway_call *c, enum grpc_status status, const void *message,
		 struct str text)
{
	struct providers *p = container_of(c, struct providers, call);

	if (status == GRPC_OK) {
		take(p, message);
		return;
	}
	_cleanup_free_ char *why = str_dup(text);
	if (!p->failed)
		tell_config(p->events, "fail_closed", OCSF_HIGH,
			    "Provider environment not fetched: programs have no credentials "
			    "[reason:%s]",
			    why);
	p->failed = true;
	variables_fini(&p->variables);
	timer_set(p->loop, &p->again, AGAIN_MS);
}

static void ask(struct providers *p)
{
	Openshell__V1__GetSandboxProviderEnvironmentRequest request;

	providers_request(&request, p->sandbox_id);
	gateway_call_start(p->calls, &p->call, "GetSandboxProviderEnvironment", &request,
			   &openshell__v1__get_sandbox_provider_environment_response__descriptor);
}

static void again(struct timer *t)
{
	ask(container_of(t, struct providers, again));
}

void providers_changed(struct providers *p)
{
	gateway_call_cancel(&p->call); /* its answer would be of before */
	timer_stop(p->loop, &p->again);
	ask(p);
}

void providers_start(struct providers *p, struct loop *l, struct gateway_calls *calls,
		     struct ocsf *events, const char *sandbox_id)
{
	p->loop = l;
	p->calls = calls;
	p->events = events;
	p->sandbox_id = sandbox_id;
	p->again.fire = again;
	p->call.done = done;
	if (p->failed)
		timer_set(l, &p->again, AGAIN_MS);
}

void providers_stop(struct providers *p)
{
	if (p->loop != NULL) {
		gateway_call_cancel(&p->call);
		timer_stop(p->loop, &p->again);
	}
	variables_fini(&p->variables);
}
