/* supervisor/gateway.c: what is read of the endpoint and the environment. Links are shown by test/hosts. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../src/supervisor/gateway.c"
#include "test.h"

static struct gateway g;
static struct err e;

static const char *refused(const char *endpoint)
{
	EQ(gateway_init(&g, endpoint, &e), -1);
	gateway_fini(&g);
	return e.text;
}

TEST(an_endpoint_is_a_scheme_and_a_host)
{
	setenv("OPENSHELL_SANDBOX_TOKEN_FILE", "/token", 1);
	HAS(refused("gateway:8080"), "--openshell-endpoint");
	HAS(refused("ftp://gateway"), "--openshell-endpoint");
	HAS(refused("http://gateway/path"), "not only a scheme, host and port");
	HAS(refused("http://me:secret@gateway"), "not only a scheme, host and port");
	OK(strstr(e.text, "secret") == NULL);
	EQ(gateway_init(&g, "http://Gateway:8080/", &e), 0);
	STREQ(g.address, "gateway:8080");
	gateway_fini(&g);
}

TEST(what_is_missing_is_named)
{
	STREQ(refused("http://gateway:80"),
	      "no token for gateway gateway:80: neither OPENSHELL_SANDBOX_TOKEN, "
	      "OPENSHELL_SANDBOX_TOKEN_FILE nor OPENSHELL_K8S_SA_TOKEN_FILE is set");
	setenv("OPENSHELL_SANDBOX_TOKEN_FILE", "/token", 1);
	setenv("OPENSHELL_TLS_CA", "/ca", 1);
	setenv("OPENSHELL_TLS_KEY", "/key", 1);
	STREQ(refused("https://gateway"),
	      "OPENSHELL_TLS_CERT is not set, which gateway https://gateway:443 needs");
	setenv("OPENSHELL_TLS_CERT", "/cert", 1);
	EQ(gateway_init(&g, "https://gateway", &e), 0);
	struct tls_client *tls;
	EQ(read_identity(&g, &tls, &e), -1);
	HAS(e.text, "/ca");
	gateway_fini(&g);
}
