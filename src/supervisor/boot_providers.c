#include <string.h>

#include "supervisor/boot_impl.h"

/* What is secret ends here: placeholders are said instead. */
static void say_variables(struct boot *b,
			  const Openshell__V1__GetSandboxProviderEnvironmentResponse *r)
{
	struct variables variables;
	size_t left_out = providers_variables(r, &variables);

	for (size_t i = 0; i < variables.n; i++)
		boot_say(b, BOOT_VARIABLE, variables.v[i], strlen(variables.v[i]));
	boot_tell(b, "loaded", OCSF_INFORMATIONAL, "Fetched provider environment [env_count:%zu]",
		  variables.n);
	if (left_out > 0)
		boot_tell(b, "skipped", OCSF_MEDIUM,
			  "Provider variables left out: no names, reserved, or too large "
			  "[count:%zu]",
			  left_out);
	variables_fini(&variables);
}

void boot_providers(struct boot *b)
{
	Openshell__V1__GetSandboxProviderEnvironmentRequest request;
	const struct boot_rpc rpc = {
		.method = "GetSandboxProviderEnvironment",
		.out = &openshell__v1__get_sandbox_provider_environment_response__descriptor,
		.request = &request,
	};
	struct err why;
	void *answer;

	providers_request(&request, b->config->sandbox_id);
	if (boot_call(b, &rpc, &answer, &why) == 0) {
		say_variables(b, answer);
		protobuf_c_message_free_unpacked(answer, NULL);
		return;
	}
	boot_tell(b, "fail_closed", OCSF_HIGH,
		  "Provider environment not fetched: programs have no credentials [reason:%s]",
		  why.text);
	boot_say(b, BOOT_NO_PROVIDERS, "", 0);
}
