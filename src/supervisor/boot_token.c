#include <string.h>

#include "openshell.pb-c.h"
#include "supervisor/boot_impl.h"

int boot_token(struct boot *b, struct err *e)
{
	const struct gateway_token *token = &b->config->gateway->token;
	Openshell__V1__IssueSandboxTokenRequest request =
		OPENSHELL__V1__ISSUE_SANDBOX_TOKEN_REQUEST__INIT;
	const struct boot_rpc rpc = {
		.method = "IssueSandboxToken",
		.out = &openshell__v1__issue_sandbox_token_response__descriptor,
		.request = &request,
		.as_account = true,
		.retried = true,
	};
	void *answer;

	if (!gateway_token_is_wanted(token))
		return 0;
	if (boot_call(b, &rpc, &answer, e) < 0)
		return -1;
	const Openshell__V1__IssueSandboxTokenResponse *issued = answer;
	int r = gateway_token_set(token, str_of(issued->token), e);
	/* what is left of it in this memory ends with the process */
	protobuf_c_message_free_unpacked(answer, NULL);
	return r < 0 ? err_wrap(e, "gateway %s: the token that it issued",
				b->config->gateway->address)
		     : 0;
}
