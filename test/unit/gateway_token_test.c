/* supervisor/gateway_token.c and jwt.c: where the token comes from, what follows another, how long it lives. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/supervisor/gateway_token.c"
#include "base/base64.h"
#include "test.h"

static struct gateway_token token;
static struct err e;

static const char *bearer(void)
{
	static char text[GATEWAY_TOKEN_MAX + 16];
	_cleanup_secret_ char *made = NULL;

	if (gateway_token_bearer(&token, &made, &e) < 0)
		return e.text;
	snprintf(text, sizeof text, "%s", made);
	return text;
}

TEST(a_token_leaves_the_environment)
{
	static char variable_text[] = TOKEN "=the-token\n";

	putenv(variable_text);
	EQ(gateway_token_init(&token, "g", &e), 0);
	OK(getenv(TOKEN) == NULL);
	EQ(variable_text[sizeof TOKEN], '\0'); /* and the text is wiped where it stood */
	STREQ(bearer(), "Bearer the-token");
	EQ(gateway_token_is_wanted(&token), false);
	gateway_token_fini(&token);
}

TEST(what_no_gateway_needs_is_wiped)
{
	static char variable_text[] = TOKEN "=the-token";

	gateway_token_forget(); /* there is none */
	putenv(variable_text);
	gateway_token_forget();
	OK(getenv(TOKEN) == NULL);
	EQ(variable_text[sizeof TOKEN], '\0');
}

TEST(a_token_in_the_environment_is_one_word)
{
	setenv(TOKEN, "one two", 1);
	EQ(gateway_token_init(&token, "g", &e), -1);
	HAS(e.text, TOKEN " is no token");
	OK(strstr(e.text, "two") == NULL);
	gateway_token_fini(&token);
}

static char path[] = "/tmp/token-XXXXXX";

/* What is in the file from now on, and some time later than before. */
static void say(const char *text)
{
	static time_t now = 1000000;
	int fd = open(path, O_WRONLY | O_TRUNC);

	OK(fd >= 0);
	EQ(write(fd, text, strlen(text)), strlen(text));
	now++;
	EQ(futimens(fd, (struct timespec[]){{now, 0}, {now, 0}}), 0);
	close(fd);
}

TEST(a_file_is_followed)
{
	close(mkstemp(path));
	setenv(TOKEN_FILE, path, 1);
	EQ(gateway_token_init(&token, "g", &e), 0);
	HAS(bearer(), "is empty, or no token");
	HAS(e.text, path);
	say(" one\n");
	STREQ(bearer(), "Bearer one");
	say("two");
	STREQ(bearer(), "Bearer two");
	EQ(gateway_token_set(&token, STR("renewed"), &e), 0); /* by the gateway */
	STREQ(bearer(), "Bearer renewed");
	say("no: token"); /* half written, it may be */
	STREQ(bearer(), "Bearer renewed");
	say("three");
	STREQ(bearer(), "Bearer three");
	unlink(path);
	STREQ(bearer(), "Bearer three");
	gateway_token_fini(&token);
	EQ(gateway_token_init(&token, "g", &e), 0);
	HAS(bearer(), path);
	gateway_token_fini(&token);
}

TEST(a_service_accounts_is_exchanged)
{
	_cleanup_secret_ char *account = NULL;

	setenv(ACCOUNT_FILE, "/nowhere/token", 1);
	EQ(gateway_token_init(&token, "g", &e), 0);
	EQ(gateway_token_is_wanted(&token), true);
	STREQ(bearer(), "there is no token yet");
	EQ(gateway_token_account_bearer(&token, &account, &e), -1);
	HAS(e.text, "/nowhere/token");
	EQ(gateway_token_set(&token, STR("is sued"), &e), -1);
	EQ(gateway_token_set(&token, STR_NONE, &e), -1);
	EQ(gateway_token_set(&token, STR("issued"), &e), 0);
	EQ(gateway_token_is_wanted(&token), false);
	STREQ(bearer(), "Bearer issued");
	EQ(gateway_token_set(&token, STR("b"), &e), 0); /* a shorter one leaves nothing of it */
	STREQ(bearer(), "Bearer b");
	gateway_token_fini(&token);
}

static struct str jwt(const char *claims)
{
	static char text[1024];
	_cleanup_free_ char *middle = base64_encode(str_of(claims));

	snprintf(text, sizeof text, "e30.%s.c2ln", middle);
	return str_of(text);
}

TEST(when_a_token_expires)
{
	int64_t s = 0;

	OK(jwt_expiry(jwt("{\"exp\":1795593601,\"sub\":\"spiffe://openshell/sandbox/1\"}"), &s));
	EQ(s, 1795593601);
	OK(jwt_expiry(jwt("{\"exp\":0}"), &s));
	EQ(s, 0);
	OK(!jwt_expiry(jwt("{}"), &s));
	OK(!jwt_expiry(jwt("{\"exp\":\"1\"}"), &s));
	OK(!jwt_expiry(jwt("{\"exp\":-1}"), &s));
	OK(!jwt_expiry(jwt("{\"exp\":1e300}"), &s));
	OK(!jwt_expiry(jwt("[1"), &s));
	OK(!jwt_expiry(STR("opaque"), &s));
	OK(!jwt_expiry(STR("a.!.c"), &s));
	OK(!jwt_expiry(STR("e30.e30"), &s));
	OK(!jwt_expiry(STR_NONE, &s));
}

static int64_t renewal_of(int64_t left_s)
{
	char claims[64];

	snprintf(claims, sizeof claims, "{\"exp\":%lld}",
		 left_s ? (long long)(wall_ms() / 1000 + left_s) : 0LL);
	EQ(gateway_token_set(&token, jwt(claims), &e), 0);
	return gateway_token_renewal_ms(&token);
}

TEST(when_it_is_renewed)
{
	setenv(TOKEN, "opaque", 1);
	EQ(gateway_token_init(&token, "g", &e), 0);
	EQ(gateway_token_renewal_ms(&token), 6 * 3600 * 1000);
	EQ(renewal_of(0), 6 * 3600 * 1000);
	EQ(renewal_of(-5), 1000);
	EQ(renewal_of(1), 1000);
	for (int i = 0; i < 100; i++) {
		int64_t ms = renewal_of(1000);
		OK(ms > 790000 && ms <= 900000);
	}
	EQ(renewal_of(30 * 24 * 3600), 12 * 3600 * 1000);
	EQ(renewal_of(INT64_C(9000000000000)), 12 * 3600 * 1000);
	gateway_token_fini(&token);
}
