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
	setenv(TOKEN_FILE, "/token", 1);
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
	      "no token for gateway gateway:80: neither OPENSHELL_SANDBOX_TOKEN nor "
	      "OPENSHELL_SANDBOX_TOKEN_FILE is set");
	setenv(TOKEN_FILE, "/token", 1);
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

TEST(a_token_leaves_the_environment)
{
	static char variable_text[] = TOKEN "=the-token\n";
	char *bearer;

	putenv(variable_text);
	EQ(gateway_init(&g, "http://gateway", &e), 0);
	OK(getenv(TOKEN) == NULL);
	EQ(variable_text[sizeof TOKEN], '\0'); /* and the text is wiped where it stood */
	EQ(read_bearer(&g, &bearer, &e), 0);
	STREQ(bearer, "Bearer the-token");
	free_secret(bearer);
	gateway_fini(&g);
}

TEST(a_token_is_one_word)
{
	char path[] = "/tmp/token-XXXXXX", *bearer;
	int fd = mkstemp(path);

	OK(fd >= 0);
	setenv(TOKEN_FILE, path, 1);
	EQ(gateway_init(&g, "http://gateway", &e), 0);
	EQ(read_bearer(&g, &bearer, &e), -1); /* empty */
	HAS(e.text, path);
	EQ(write(fd, " one\n", 5), 5);
	EQ(read_bearer(&g, &bearer, &e), 0); /* it is read anew */
	STREQ(bearer, "Bearer one");
	free_secret(bearer);
	EQ(write(fd, "x: two\n", 7), 7);
	EQ(read_bearer(&g, &bearer, &e), -1);
	OK(strstr(e.text, "two") == NULL);
	close(fd);
	unlink(path);
	EQ(read_bearer(&g, &bearer, &e), -1);
	HAS(e.text, path);
	gateway_fini(&g);
}
