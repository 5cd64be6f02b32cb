#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/util.h"
#include "kube/auth.h"
#include "kube/exec.h"
#include "test.h"

#include "../../src/kube/auth.c"

static struct loop *loop;
static char dir[64];
static int changes;

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	OK(f != NULL);
	fputs(text, f);
	fclose(f);
	chmod(name, 0755);
}

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (system(command) != 0)
		perror(dir);
}

static void setup(void)
{
	struct err e;

	snprintf(dir, sizeof dir, "/tmp/kube-auth-test-XXXXXX");
	OK(mkdtemp(dir) != NULL && chdir(dir) == 0);
	atexit(remove_dir);
	OK(loop_new(&loop, &e) == 0);
}

static void changed(void *owner UNUSED)
{
	changes++;
	loop_stop(loop, 0);
}

/* ---- without a plugin ---- */

TEST(nothing_is_nothing)
{
	struct kube_config c = {0};
	struct err e;

	setup();
	struct kube_auth *a = kube_auth_new(loop, &c, changed, NULL);
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	OK(kube_auth_header(a) == NULL);
	OK(!kube_auth_rejected(a, kube_auth_generation(a)));
	kube_auth_free(a);
}

TEST(a_fixed_token_and_a_password)
{
	struct kube_config token = {.token = "t", .username = "ignored"};
	struct kube_config password = {.username = "Aladdin", .password = "open sesame"};

	setup();
	struct kube_auth *a = kube_auth_new(loop, &token, changed, NULL);
	STREQ(kube_auth_header(a), "Bearer t");
	OK(!kube_auth_rejected(a, kube_auth_generation(a))); /* it cannot become better */
	kube_auth_free(a);
	a = kube_auth_new(loop, &password, changed, NULL);
	STREQ(kube_auth_header(a), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	kube_auth_free(a);
}

TEST(a_token_file_is_read_again)
{
	struct kube_config c = {.token_file = "token"};
	struct err e = {0};

	setup();
	struct kube_auth *a = kube_auth_new(loop, &c, changed, NULL);
	EQ(kube_auth_check(a, &e), KUBE_AUTH_FAILED);
	HAS(e.text, "read token: No such file");
	put("token", "\n");
	EQ(kube_auth_check(a, &e), KUBE_AUTH_FAILED);
	HAS(e.text, "the token file token is empty");
	put("token", "one\n");
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	STREQ(kube_auth_header(a), "Bearer one");
	unsigned first = kube_auth_generation(a);

	put("token", "two");
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	STREQ(kube_auth_header(a), "Bearer one"); /* still fresh */
	a->read_at -= KUBE_TOKEN_FRESH_MS;
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	STREQ(kube_auth_header(a), "Bearer two");
	OK(kube_auth_generation(a) != first);
	OK(kube_auth_rejected(a, first)); /* a request that still had the old one */
	EQ(a->stale, false);

	put("token", "three");
	OK(kube_auth_rejected(a, kube_auth_generation(a)));
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	STREQ(kube_auth_header(a), "Bearer three");

	unlink("token"); /* while it is being replaced the old one is used */
	a->read_at -= KUBE_TOKEN_FRESH_MS;
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	STREQ(kube_auth_header(a), "Bearer three");
	kube_auth_free(a);
}

TEST(a_token_cannot_add_headers)
{
	struct kube_config c = {.token_file = "token"};
	struct err e = {0};

	setup();
	put("token", "one\r\nX-Evil: 1");
	struct kube_auth *a = kube_auth_new(loop, &c, changed, NULL);
	EQ(kube_auth_check(a, &e), KUBE_AUTH_FAILED);
	HAS(e.text, "holds more than a token");
	kube_auth_free(a);
}

/* ---- with a plugin ---- */

#define V1 "client.authentication.k8s.io/v1"

static char *plugin_argv[] = {"./plugin", "--flag", NULL};
static char *plugin_env[] = {"PLUGIN_NAME=me", NULL};
static struct kube_exec plugin = {.api_version = V1, .argv = plugin_argv, .env = plugin_env};
static struct kube_config plugged = {.server = "https://h", .exec = &plugin};

static struct kube_auth *run_plugin(const char *script, enum kube_auth_state expected,
				    struct err *e)
{
	setup();
	put("plugin", script);
	struct kube_auth *a = kube_auth_new(loop, &plugged, changed, NULL);
	EQ(kube_auth_check(a, e), KUBE_AUTH_WAIT);
	EQ(kube_auth_check(a, e), KUBE_AUTH_WAIT); /* one run for all that wait */
	loop_run(loop);
	EQ(changes, 1);
	EQ(kube_auth_check(a, e), expected);
	return a;
}

TEST(a_plugin_gives_a_token)
{
	struct err e = {0};
	struct kube_auth *a =
		run_plugin("#!/bin/sh\n[ \"$1\" = --flag ] && [ \"$PLUGIN_NAME\" = me ] || exit 9\n"
			   "echo \"$KUBERNETES_EXEC_INFO\" > info\n"
			   "echo '{\"apiVersion\":\"" V1
			   "\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"t1\"}}'\n",
			   KUBE_AUTH_READY, &e);

	STREQ(kube_auth_header(a), "Bearer t1");
	OK(kube_auth_cert_pem(a) == NULL);
	kube_auth_free(a);
}

#define PRINTS(status)                                                                             \
	"#!/bin/sh\necho '{\"apiVersion\":\"" V1                                                   \
	"\",\"kind\":\"ExecCredential\",\"status\":" status "}'\n"

TEST(a_plugin_gives_a_certificate)
{
	struct err e = {0};
	struct kube_auth *a =
		run_plugin(PRINTS("{\"clientCertificateData\":\"C\",\"clientKeyData\":\"K\"}"),
			   KUBE_AUTH_READY, &e);

	OK(kube_auth_header(a) == NULL);
	STREQ(kube_auth_cert_pem(a), "C");
	STREQ(kube_auth_key_pem(a), "K");
	EQ(kube_auth_generation(a), 1);
	kube_auth_free(a);
}

TEST(a_plugins_credential_expires)
{
	struct err e = {0};
	struct kube_auth *a = run_plugin(
		PRINTS("{\"token\":\"t\",\"expirationTimestamp\":\"2020-01-01T00:00:00Z\"}"),
		KUBE_AUTH_READY, &e); /* not run in a circle */

	STREQ(kube_auth_header(a), "Bearer t");
	a->ran_at -= KUBE_EXEC_RETRY_MS;
	EQ(kube_auth_check(a, &e), KUBE_AUTH_WAIT);
	put("plugin",
	    PRINTS("{\"token\":\"t2\",\"expirationTimestamp\":\"2120-01-01T00:00:00Z\"}"));
	loop_run(loop);
	STREQ(kube_auth_header(a), "Bearer t2");
	a->ran_at -= KUBE_EXEC_RETRY_MS;
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	OK(kube_auth_rejected(a, kube_auth_generation(a)));
	EQ(kube_auth_check(a, &e), KUBE_AUTH_WAIT);
	loop_run(loop);
	EQ(kube_auth_check(a, &e), KUBE_AUTH_READY);
	kube_auth_free(a);
}

static void plugin_fails(const char *script, const char *why)
{
	struct err e = {0};
	struct kube_auth *a = run_plugin(script, KUBE_AUTH_FAILED, &e);

	HAS(e.text, "credential plugin ./plugin: ");
	HAS(e.text, why);
	kube_auth_free(a);
}

TEST(a_plugin_that_fails_says_so)
{
	plugin_fails("#!/bin/sh\nexit 3\n", "it ended with status 3");
}

TEST(a_plugin_that_is_killed_says_so)
{
	plugin_fails("#!/bin/sh\nkill -9 $$\n", "it was ended by signal 9");
}

TEST(a_plugin_that_prints_something_else_says_so)
{
	plugin_fails("#!/bin/sh\necho hello\n", "what it prints is not JSON");
}

TEST(a_plugin_of_another_version_says_so)
{
	plugin_fails("#!/bin/sh\necho '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1
		     "beta1\"}'\n",
		     "it prints apiVersion " V1 "beta1, but " V1 " is configured");
}

TEST(a_plugin_that_gives_nothing_says_so)
{
	plugin_fails(PRINTS("{}"), "neither a token nor a client certificate");
}

TEST(a_plugin_that_gives_half_a_certificate_says_so)
{
	plugin_fails(PRINTS("{\"clientKeyData\":\"K\"}"), "only one of");
}

TEST(a_plugin_that_prints_too_much_is_ended)
{
	plugin_fails("#!/bin/sh\nexec yes\n", "it prints more than 1048576 bytes");
}

TEST(a_plugin_that_is_not_there_is_named_with_its_hint)
{
	static char *argv[] = {"/nowhere/plugin", NULL};
	static struct kube_exec absent = {.api_version = V1,
					  .argv = argv,
					  .env = plugin_env,
					  .install_hint = "brew install it"};
	static struct kube_config c = {.exec = &absent};
	struct err e = {0};

	setup();
	struct kube_auth *a = kube_auth_new(loop, &c, changed, NULL);
	EQ(kube_auth_check(a, &e), KUBE_AUTH_WAIT);
	loop_run(loop);
	EQ(kube_auth_check(a, &e), KUBE_AUTH_FAILED);
	HAS(e.text,
	    "credential plugin /nowhere/plugin: run /nowhere/plugin (exec): No such file or "
	    "directory (brew install it)");
	kube_auth_free(a);
}

TEST(a_plugin_that_hangs_can_be_cancelled)
{
	struct err e;

	setup();
	put("plugin", "#!/bin/sh\nsleep 100\n");
	struct kube_auth *a = kube_auth_new(loop, &plugged, changed, NULL);
	EQ(kube_auth_check(a, &e), KUBE_AUTH_WAIT);
	kube_auth_free(a);
}

TEST(the_cluster_is_told_when_asked_for)
{
	struct kube_exec x = {
		.api_version = V1, .provide_cluster_info = true, .cluster_extra = "{\"a\":1}"};
	struct kube_config c = {.server = "https://h", .ca_pem = "pem", .exec = &x};
	_cleanup_free_ char *info = kube_exec_info(&c);

	STREQ(info, "{\"apiVersion\":\"" V1
		    "\",\"kind\":\"ExecCredential\",\"spec\":{\"interactive\":false,"
		    "\"cluster\":{\"server\":\"https://h\",\"certificate-authority-data\":\"cGVt\","
		    "\"config\":{\"a\":1}}}}");
}
