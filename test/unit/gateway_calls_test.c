/* supervisor/gateway_calls.c, on links that the test opens and loses. Real ones are shown by test/hosts. */
#include <stdio.h>
#include <string.h>

#include "../../src/supervisor/gateway_calls.c"
#include "openshell.pb-c.h"
#include "test.h"

/* ---- in the place of gateway.c and of gRPC's client ---- */

struct gateway_link {
	const struct gateway_link_ops *ops;
	void *owner;
};

struct grpc_rpc {
	const struct grpc_rpc_ops *ops;
	void *user;
};

enum { RPCS_MAX = 8 };

static struct gateway_link the_link;
static int opened_links, closed_links;
static struct grpc_rpc rpcs[RPCS_MAX];
static size_t rpcs_n;
static int cancelled;

struct gateway_link *gateway_link_open(const struct gateway *g UNUSED, struct loop *l UNUSED,
				       struct resolver *r UNUSED,
				       const struct gateway_link_ops *ops, void *owner)
{
	opened_links++;
	the_link = (struct gateway_link){ops, owner};
	return &the_link;
}

void gateway_link_close(struct gateway_link *k)
{
	closed_links += k != NULL;
}

struct grpc_rpc *gateway_rpc_call(struct gateway_link *k, const struct grpc_rpc_config *cfg,
				  const void *request, const struct grpc_rpc_ops *ops, void *user)
{
	OK(k == &the_link && rpcs_n < RPCS_MAX);
	STREQ(cfg->path, "/openshell.v1.OpenShell/RefreshSandboxToken");
	STREQ(((const Openshell__V1__RefreshSandboxTokenRequest *)request)
		      ->extension_service_names[0],
	      "name");
	rpcs[rpcs_n] = (struct grpc_rpc){ops, user};
	return &rpcs[rpcs_n++];
}

struct grpc_rpc *gateway_rpc_call_as_account(struct gateway_link *k UNUSED,
					     const struct grpc_rpc_config *cfg UNUSED,
					     const void *request UNUSED,
					     const struct grpc_rpc_ops *ops UNUSED,
					     void *user UNUSED)
{
	FAIL("nobody has asked for that");
}

void *gateway_message_copy(const void *message)
{
	const ProtobufCMessage *m = message;
	uint8_t bytes[256];
	size_t n = protobuf_c_message_pack(m, bytes);

	return protobuf_c_message_unpack(m->descriptor, NULL, n, bytes);
}

void grpc_rpc_cancel(struct grpc_rpc *r UNUSED)
{
	cancelled++;
}

void *grpc_rpc_user(const struct grpc_rpc *r)
{
	return r->user;
}

static void link_opens(void)
{
	the_link.ops->open(the_link.owner);
}

/* As gRPC's channel does it: calls end first. */
static void link_is_lost(void)
{
	struct err why;

	for (size_t i = 0; i < rpcs_n; i++)
		rpcs[i].ops->ended(&rpcs[i], GRPC_UNAVAILABLE, STR("connection lost"));
	rpcs_n = 0;
	err_set(&why, ECONNREFUSED, "gateway g: refused");
	the_link.ops->lost(the_link.owner, &why);
}

/* ---- the calls ---- */

static struct gateway_calls *calls;
static char told[512];
static bool once_more; /* from done */

static void start(struct gateway_call *c)
{
	Openshell__V1__RefreshSandboxTokenRequest request =
		OPENSHELL__V1__REFRESH_SANDBOX_TOKEN_REQUEST__INIT;
	char name[] = "name", *names[] = {name};

	request.n_extension_service_names = 1;
	request.extension_service_names = names;
	gateway_call_start(calls, c, "RefreshSandboxToken", &request,
			   &openshell__v1__refresh_sandbox_token_response__descriptor);
	memset(name, 'x', sizeof name - 1); /* it was copied */
}

static void done(struct gateway_call *c, enum grpc_status status, const void *message,
		 struct str text)
{
	const Openshell__V1__RefreshSandboxTokenResponse *m = message;

	EQ(m != NULL, status == GRPC_OK);
	snprintf(told + strlen(told), sizeof told - strlen(told), "[%d %s%.*s]", (int)status,
		 m ? m->token : "", STR_FMT(text));
	if (once_more)
		start(c);
	once_more = false;
}

static struct gateway_call one = {.done = done}, two = {.done = done};

static void answer(size_t i, const char *token, enum grpc_status status)
{
	Openshell__V1__RefreshSandboxTokenResponse m =
		OPENSHELL__V1__REFRESH_SANDBOX_TOKEN_RESPONSE__INIT;

	m.token = (char *)token;
	if (token != NULL)
		rpcs[i].ops->message(&rpcs[i], &m);
	rpcs[i].ops->ended(&rpcs[i], status, status == GRPC_OK ? STR("") : STR("no"));
}

TEST(one_link_for_all_opened_when_it_is_needed)
{
	calls = gateway_calls_new(NULL, NULL, NULL);
	EQ(opened_links, 0);
	start(&one);
	start(&two);
	EQ(opened_links, 1);
	EQ(rpcs_n, 0);
	link_opens();
	EQ(rpcs_n, 2);
	answer(1, "b", GRPC_OK);
	answer(0, NULL, GRPC_INTERNAL);
	STREQ(told, "[0 b][13 RefreshSandboxToken: INTERNAL: no]");
	rpcs_n = 0;
	start(&one); /* on the same */
	EQ(rpcs_n, 1);
	answer(0, "c", GRPC_UNAVAILABLE); /* a message before it failed counts for nothing */
	EQ(opened_links, 1);
	HAS(told, "[14 RefreshSandboxToken: UNAVAILABLE: no]");
	gateway_calls_free(calls);
	EQ(closed_links, 1);
}

TEST(a_link_that_is_lost_is_opened_for_the_next)
{
	calls = gateway_calls_new(NULL, NULL, NULL);
	start(&one);
	once_more = true;
	link_is_lost(); /* before it was open */
	STREQ(told, "[14 gateway g: refused]");
	EQ(opened_links, 2);
	link_opens();
	EQ(rpcs_n, 1);
	link_is_lost();
	HAS(told, "[14 RefreshSandboxToken: UNAVAILABLE: connection lost]");
	EQ(opened_links, 2);
	start(&two);
	EQ(opened_links, 3);
	gateway_calls_free(calls);
	EQ(closed_links, 3);
}

TEST(what_is_cancelled_is_not_told)
{
	calls = gateway_calls_new(NULL, NULL, NULL);
	gateway_call_cancel(&one); /* it is not under way */
	start(&one);
	start(&two);
	gateway_call_cancel(&one);
	link_opens();
	EQ(rpcs_n, 1);
	gateway_call_cancel(&two);
	EQ(cancelled, 1);
	start(&one);
	start(&two);
	gateway_calls_free(calls); /* and neither is what is left */
	EQ(cancelled, 3);
	STREQ(told, "");
}
