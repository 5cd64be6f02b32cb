#include "supervisor/boot_impl.h"

typedef Openshell__Sandbox__V1__GetSandboxConfigResponse config_response;

static int get_config(struct boot *b, config_response **out, struct err *e)
{
	Openshell__Sandbox__V1__GetSandboxConfigRequest request =
		OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_REQUEST__INIT;
	const struct boot_rpc rpc = {
		.method = "GetSandboxConfig",
		.out = &openshell__sandbox__v1__get_sandbox_config_response__descriptor,
		.request = &request,
		.retried = true,
	};

	request.sandbox_id = (char *)b->config->sandbox_id;
	return boot_call(b, &rpc, (void **)out, e);
}

int boot_policy(struct boot *b, struct err *e)
{
	config_response *config;

	if (get_config(b, &config, e) < 0)
		return -1;
	boot_say_message(b, BOOT_CONFIG, config);
	return 0;
}
