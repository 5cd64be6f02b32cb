/* What programs get of providers: placeholders (supervisor contract 6.8). */
#include <stdlib.h>
#include <string.h>

#include "../../src/supervisor/providers.c"
#include "test.h"

#define R(name) Openshell__V1__##name
#define HANDLE_TEXT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

typedef R(GetSandboxProviderEnvironmentResponse__EnvironmentEntry) entry;

static R(GetSandboxProviderEnvironmentResponse) r;
static entry entries[PROVIDERS_VARIABLES_MAX + 1];
static entry *pointers[PROVIDERS_VARIABLES_MAX + 1];

static void begin(void)
{
	r = (R(GetSandboxProviderEnvironmentResponse))
		OPENSHELL__V1__GET_SANDBOX_PROVIDER_ENVIRONMENT_RESPONSE__INIT;
	r.environment = pointers;
}

static void add(const char *name, const char *value)
{
	entries[r.n_environment] = (entry)
		OPENSHELL__V1__GET_SANDBOX_PROVIDER_ENVIRONMENT_RESPONSE__ENVIRONMENT_ENTRY__INIT;
	entries[r.n_environment].key = (char *)name;
	entries[r.n_environment].value = (char *)value;
	pointers[r.n_environment] = &entries[r.n_environment];
	r.n_environment++;
}

static struct variables v;

static const char *only(void)
{
	variables_fini(&v);
	EQ(providers_variables(&r, &v), 0);
	EQ(v.n, 1);
	OK(v.v[1] == NULL);
	return v.v[0];
}

TEST(a_secret_becomes_a_placeholder)
{
	begin();
	add("API_KEY", "secret");
	STREQ(only(), "API_KEY=openshell:resolve:env:API_KEY");
	r.provider_env_revision = 7;
	STREQ(only(), "API_KEY=openshell:resolve:env:v7_API_KEY");
	variables_fini(&v);
}

TEST(a_handle_names_it)
{
	R(StaticCredentialBinding) binding = OPENSHELL__V1__STATIC_CREDENTIAL_BINDING__INIT;
	R(GetSandboxProviderEnvironmentResponse__StaticCredentialBindingsEntry)
	bound = OPENSHELL__V1__GET_SANDBOX_PROVIDER_ENVIRONMENT_RESPONSE__STATIC_CREDENTIAL_BINDINGS_ENTRY__INIT;

	begin();
	add("API_KEY", "secret");
	bound.key = "API_KEY", bound.value = &binding;
	r.n_static_credential_bindings = 1;
	r.static_credential_bindings = (R(
		GetSandboxProviderEnvironmentResponse__StaticCredentialBindingsEntry) *[]){&bound};
	STREQ(only(), "API_KEY=openshell:resolve:env:API_KEY"); /* it has none */
	binding.workload_credential_handle = HANDLE_TEXT;
	r.provider_env_revision = 7;
	STREQ(only(), "API_KEY=openshell:resolve:env:s" HANDLE_TEXT "_API_KEY");
	binding.workload_credential_handle = "0123 and no handle";
	STREQ(only(), "API_KEY=openshell:resolve:env:v7_API_KEY");
	bound.key = "OTHER", binding.workload_credential_handle = HANDLE_TEXT;
	STREQ(only(), "API_KEY=openshell:resolve:env:v7_API_KEY");
	variables_fini(&v);
}

TEST(what_is_no_secret_is_plain)
{
	begin();
	add("GCP_PROJECT_ID", "my project");
	r.n_non_secret_environment_keys = 1;
	r.non_secret_environment_keys = (char *[]){"GCP_PROJECT_ID"};
	STREQ(only(), "GCP_PROJECT_ID=my project");
	variables_fini(&v);
}

TEST(names_that_are_none_are_left_out)
{
	static const char *const names[] = {"",   "A=B", "A B", "1A", "OPENSHELL_SANDBOX_TOKEN",
					    "A\n"};
	static char long_value[PROVIDERS_VALUE_MAX + 1];

	begin();
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		add(names[i], "x");
	memset(long_value, 'x', sizeof long_value - 1);
	add("LONG", long_value);
	add("_good1", "x");
	EQ(providers_variables(&r, &v), ARRAY_LEN(names) + 1);
	EQ(v.n, 1);
	STREQ(v.v[0], "_good1=openshell:resolve:env:_good1");
	variables_fini(&v);
}

TEST(there_are_not_too_many)
{
	begin();
	for (size_t i = 0; i < PROVIDERS_VARIABLES_MAX + 1; i++)
		add("KEY", "x");
	EQ(providers_variables(&r, &v), 1);
	EQ(v.n, PROVIDERS_VARIABLES_MAX);
	OK(v.v[v.n] == NULL);
	variables_fini(&v);
}
