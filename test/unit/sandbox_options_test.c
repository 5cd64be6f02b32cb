/* supervisor/: the command line, the main process's spec, its environment, its streams, who it is. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/environment.h"
#include "supervisor/main_process.h"
#include "supervisor/main_spec.h"
#include "supervisor/options.h"
#include "supervisor/upstream.h"
#include "supervisor/who.h"
#include "test.h"

static struct sandbox_options o;
static struct err e;

/* Splits at blanks. */
static int parse(const char *line)
{
	static char *argv[64];
	static char text[4096];
	int argc = 0;

	snprintf(text, sizeof text, "sandbox %s", line);
	for (char *p = strtok(text, " "); p != NULL; p = strtok(NULL, " "))
		argv[argc++] = p;
	argv[argc] = NULL;
	sandbox_options_fini(&o); /* of the line before */
	return sandbox_options_parse(&o, argc, argv, &e);
}

static const char *refused(const char *line)
{
	EQ(parse(line), -1);
	return e.text;
}

static void no_environment(void)
{
	OK(clearenv() == 0);
}

TEST(options_have_the_contracts_defaults)
{
	no_environment();
	EQ(parse(""), 0);
	EQ(o.network_mode, NETWORK_AUTO);
	EQ(o.min_rung, RUNG_HOST);
	EQ(o.timeout, 0);
	EQ(o.log_level, LOG_WARN);
	OK(o.command == NULL);
	OK(!o.interactive && !o.identity_relaxed);
	STREQ(o.log_dir, "/var/log");
}

TEST(options_take_every_flag_of_the_contract)
{
	no_environment();
	EQ(parse("-w /sandbox -t 5 -i --sandbox-id ID --sandbox box --openshell-endpoint "
		 "http://gw:1 --policy-rules r --policy-data d --log-level debug "
		 "--ssh-socket-path @s --inference-routes i --health-check --health-port 1 "
		 "--mode process,network --proxy-uid 1 --proxy-gid 2 --sidecar-state-dir a "
		 "--sidecar-tls-dir b --upstream-proxy http://p:1 --upstream-no-proxy n "
		 "--upstream-proxy-auth-file f --upstream-proxy-auth-allow-insecure "
		 "--upstream-proxy-connect-by-hostname -- cmd -x --timeout 7"),
	   0);
	STREQ(o.workdir, "/sandbox");
	EQ(o.timeout, 5);
	OK(o.interactive && sandbox_options_gateway(&o));
	STREQ(o.policy_data, "d");
	EQ(o.log_level, LOG_DEBUG);
	STREQ(o.command[0], "cmd");
	STREQ(o.command[1], "-x");
	STREQ(o.command[3], "7");
	OK(o.command[4] == NULL);
}

TEST(options_a_command_needs_no_dashes)
{
	no_environment();
	EQ(parse("--workdir /w sleep -1"), 0);
	STREQ(o.command[0], "sleep");
	STREQ(o.command[1], "-1");
}

TEST(options_network_mode_of_argv_wins)
{
	no_environment();
	setenv("OPENSHELL_NETWORK_MODE", "isolated", 1);
	EQ(parse(""), 0);
	EQ(o.network_mode, NETWORK_ISOLATED);
	STREQ(o.network_mode_from, "OPENSHELL_NETWORK_MODE");
	EQ(parse("--network-mode host"), 0);
	EQ(o.network_mode, NETWORK_HOST);
	setenv("OPENSHELL_NETWORK_MODE", "host", 1);
	EQ(parse(""), 0);
	EQ(o.network_mode, NETWORK_HOST);
	EQ(parse("--network-mode isolated"), 0);
	EQ(o.network_mode, NETWORK_ISOLATED);
	HAS(refused("--min-rung userns"), "OPENSHELL_NETWORK_MODE host contradicts");
	setenv("OPENSHELL_NETWORK_MODE", "bridge", 1);
	HAS(refused(""), "OPENSHELL_NETWORK_MODE 'bridge' is none of: isolated, auto, host");
}

TEST(options_of_the_wall_do_not_listen_to_the_environment)
{
	no_environment();
	setenv("OPENSHELL_MIN_RUNG", "pocket", 1);
	setenv("OPENSHELL_NETWORK_BINARY_IDENTITY", "relaxed", 1);
	setenv("OPENSHELL_UPSTREAM_PROXY", "http://p:1", 1);
	EQ(parse(""), 0);
	EQ(o.min_rung, RUNG_HOST);
	OK(!o.identity_relaxed);
	STREQ(o.upstream_proxy, "");
}

TEST(options_a_policy_of_the_environment_gives_way_to_a_gateway)
{
	no_environment();
	setenv("OPENSHELL_POLICY_DATA", "/of/the/image", 1);
	EQ(parse(""), 0);
	STREQ(o.policy_data, "/of/the/image");
	setenv("OPENSHELL_SANDBOX_ID", "id", 1);
	setenv("OPENSHELL_ENDPOINT", "http://gw:1", 1);
	EQ(parse(""), 0);
	STREQ(o.policy_data, "");
	EQ(parse("--policy-data p"), 0);
	STREQ(o.policy_data, "p");
}

TEST(options_refuse_what_has_no_meaning)
{
	no_environment();
	HAS(refused("--network-mode none"), "--network-mode 'none'");
	HAS(refused("--min-rung mediated"), "--min-rung 'mediated' is none of");
	HAS(refused("--network-mode host --min-rung userns"), "contradicts");
	HAS(refused("--timeout -1"), "--timeout");
	HAS(refused("--timeout 99999999999"), "--timeout");
	HAS(refused("--timeout x"), "not a whole number");
	HAS(refused("--workdir here"), "not absolute");
	HAS(refused("--mode network"), "topology sidecar is not supported");
	HAS(refused("--mode network-init"), "topology sidecar is not supported");
	HAS(refused("--mode all"), "each is network, process or network-init");
	HAS(refused("--binary-identity off"), "neither required nor relaxed");
	HAS(refused("--log-level loud"), "loud");
	HAS(refused("--no-such"), "unknown option");
}

TEST(options_rust_log_wins)
{
	no_environment();
	setenv("RUST_LOG", "hyper=info,debug", 1);
	EQ(parse("--log-level error"), 0);
	EQ(o.log_level, LOG_DEBUG);
}

/* ---- upstream proxy ---- */

static struct upstream u;

static int upstream(const char *line)
{
	EQ(parse(line), 0);
	upstream_fini(&u);
	return upstream_read(&u, &o, &e);
}

TEST(upstream_is_http_host_port_exactly)
{
	static const char *const bad[] = {
		"https://p:1",  "http://p",       "http://p:1/",    "http://p:1/x",
		"p:1",          "http://u:w@p:1", "http://u@p:1",   "socks5://p:1",
		"http://p:0x1", "http://[::1]",   "http://p:1?a=b",
	};
	char line[128];

	no_environment();
	EQ(upstream(""), 0);
	EQ(upstream("--upstream-proxy http://Proxy.corp:3128"), 1);
	STREQ(u.proxy.url->host, "proxy.corp");
	EQ(u.proxy.url->port, 3128);
	EQ(upstream("--upstream-proxy http://[fd00::1]:80"), 1);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(line, sizeof line, "--upstream-proxy %s", bad[i]);
		if (upstream(line) != -1)
			FAIL("%s was taken", bad[i]);
	}
	EQ(upstream("--upstream-no-proxy x"), -1);
	EQ(upstream("--upstream-proxy-auth-file x"), -1);
}

TEST(upstream_credentials_come_from_a_file)
{
	char path[] = "/tmp/upstream-test-XXXXXX", line[256];
	FILE *f = fdopen(mkstemp(path), "w");

	no_environment();
	fputs("me:pa:ss\n", f);
	fclose(f);
	snprintf(line, sizeof line, "--upstream-proxy http://p:1 --upstream-proxy-auth-file %s",
		 path);
	EQ(upstream(line), -1);
	HAS(e.text, "--upstream-proxy-auth-allow-insecure");
	strcat(line, " --upstream-proxy-auth-allow-insecure");
	EQ(upstream(line), 1);
	STREQ(u.url.user, "me");
	STREQ(u.url.password, "pa:ss");
	f = fopen(path, "w");
	fputs("nothing", f);
	fclose(f);
	EQ(upstream(line), -1);
	HAS(e.text, "not user:password");
	OK(strstr(e.text, "nothing") == NULL);
	unlink(path);
	EQ(upstream(line), -1);
	HAS(e.text, path);
}

/* ---- main process spec ---- */

static struct main_spec spec;

static const char *bad_spec(const char *text)
{
	EQ(main_spec_resolve(&spec, NULL, text, &e), -1);
	main_spec_fini(&spec);
	return e.text;
}

TEST(spec_argv_wins_then_the_variable_then_a_login_shell)
{
	char *argv[] = {"a", "b", NULL};

	EQ(main_spec_resolve(&spec, argv, "{", &e), 0);
	STREQ(spec.argv[1], "b");
	OK(spec.from == MAIN_FROM_ARGV && !spec.tty && spec.argv[2] == NULL);
	main_spec_fini(&spec);
	EQ(main_spec_resolve(&spec, NULL,
			     "{\"version\":1,\"command\":[\"sh\",\"-c\",\"\"],\"tty\":true}", &e),
	   0);
	STREQ(spec.argv[0], "sh");
	STREQ(spec.argv[2], "");
	OK(spec.from == MAIN_FROM_SPEC && spec.tty);
	main_spec_fini(&spec);
	EQ(main_spec_resolve(&spec, NULL, "", &e), 0);
	OK(main_spec_is_login_shell(&spec) && spec.tty && spec.from == MAIN_FROM_DEFAULT);
	main_spec_fini(&spec);
}

TEST(spec_may_be_base64url)
{
	/* {"version":1,"command":["echo","?>~"]} */
	EQ(main_spec_resolve(&spec, NULL,
			     "base64url:"
			     "eyJ2ZXJzaW9uIjoxLCJjb21tYW5kIjpbImVjaG8iLCI_Pn4iXX0",
			     &e),
	   0);
	STREQ(spec.argv[1], "?>~");
	OK(!spec.tty);
	main_spec_fini(&spec);
	HAS(bad_spec("base64url:eyJ9="), "without padding");
	HAS(bad_spec("base64url:a b"), "not base64url");
	HAS(bad_spec("base64url:AAAA"), "not base64url"); /* NULs */
}

TEST(spec_is_strict)
{
	HAS(bad_spec("{"), "OPENSHELL_MAIN_PROCESS_SPEC");
	HAS(bad_spec("[]"), "not an object");
	HAS(bad_spec("{\"version\":2,\"command\":[\"a\"]}"), "version is not 1");
	HAS(bad_spec("{\"version\":\"1\",\"command\":[\"a\"]}"), "version is not 1");
	HAS(bad_spec("{\"command\":[\"a\"]}"), "version is not 1");
	HAS(bad_spec("{\"version\":1,\"command\":[]}"), "no command");
	HAS(bad_spec("{\"version\":1,\"command\":\"a\"}"), "no command");
	HAS(bad_spec("{\"version\":1,\"command\":[1]}"), "is no text");
	HAS(bad_spec("{\"version\":1,\"command\":[\"\"]}"), "name is empty");
	HAS(bad_spec("{\"version\":1,\"command\":[\"a\"],\"tty\":1}"), "tty is neither");
	HAS(bad_spec("{\"version\":1,\"command\":[\"a\"],\"user\":\"root\"}"),
	    "unknown member 'user'");
}

TEST(spec_has_the_gateways_bounds)
{
	_cleanup_free_ char *text = xcalloc(1, 1 << 20), *arg = xcalloc(1, MAIN_SPEC_ARG_MAX + 2);
	char *p = text;

	memset(arg, 'x', MAIN_SPEC_ARG_MAX + 1);
	snprintf(text, 1 << 20, "{\"version\":1,\"command\":[\"%s\"]}", arg);
	HAS(bad_spec(text), "more than 256 arguments");
	p += sprintf(p, "{\"version\":1,\"command\":[\"a\"");
	for (int i = 1; i < MAIN_SPEC_ARGS_MAX; i++)
		p += sprintf(p, ",\"a\"");
	strcpy(p, "]}");
	EQ(main_spec_resolve(&spec, NULL, text, &e), 0);
	main_spec_fini(&spec);
	strcpy(p, ",\"a\"]}");
	HAS(bad_spec(text), "more than 256 arguments");
}

/* ---- streams ---- */

static void plan_is(enum main_spec_from from, bool tty, bool interactive, const char *terminals,
		    const char *want)
{
	static const char letters[] = "onpt";
	const struct main_spec s = {.from = from, .tty = tty};
	const bool terminal[3] = {terminals[0] == 't', terminals[1] == 't', terminals[2] == 't'};
	struct stream_plan p =
		main_process_plan(&s, interactive ? OPERATOR_TYPES : OPERATOR_NONE, terminal);
	char got[5];

	for (int i = 0; i < 3; i++)
		got[i] = letters[p.stream[i]];
	got[3] = p.typed ? '+' : '-';
	got[4] = '\0';
	STREQ(got, want);
}

TEST(streams_never_are_the_operators_terminal)
{
	/* o: ours, n: /dev/null, p: a pipe, t: a terminal of its own; +: what is typed goes there */
	plan_is(MAIN_FROM_ARGV, false, false, "---", "ooo-");
	plan_is(MAIN_FROM_ARGV, false, false, "ttt", "npp-");
	plan_is(MAIN_FROM_ARGV, false, false, "t-t", "nop-");
	plan_is(MAIN_FROM_ARGV, false, false, "-t-", "opo-");
	plan_is(MAIN_FROM_ARGV, false, true, "---", "ooo-");
	plan_is(MAIN_FROM_ARGV, false, true, "ttt", "ttt+");
	plan_is(MAIN_FROM_ARGV, false, true, "t--", "poo+");
	plan_is(MAIN_FROM_SPEC, false, false, "---", "poo-");
	plan_is(MAIN_FROM_SPEC, false, false, "ttt", "ppp-");
	plan_is(MAIN_FROM_SPEC, true, false, "---", "ttt-");
	plan_is(MAIN_FROM_DEFAULT, true, false, "ttt", "ttt-");
	plan_is(MAIN_FROM_DEFAULT, true, true, "ttt", "ttt+");
	plan_is(MAIN_FROM_SPEC, false, true, "---", "ooo-");
}

/* ---- environment ---- */

static struct environment env;
static struct sockaddr_in proxy_address;

static int make(char *const *own, const char *user, struct environment_source from)
{
	proxy_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(3128)};
	inet_pton(AF_INET, "10.200.0.1", &proxy_address.sin_addr);
	from.own = own;
	from.user = user;
	from.proxy = &proxy_address;
	from.shell = from.shell ? from.shell : "/bin/bash";
	return environment_make(&env, &from, &e);
}

TEST(environment_keeps_its_own_but_for_what_is_the_supervisors)
{
	char *own[] = {"LANG=C",
		       "OPENSHELL_SANDBOX_TOKEN=secret",
		       "OPENSHELL_TLS_KEY=/key",
		       "OPENSHELL_NETWORK_MODE=auto",
		       "OPENSHELL_SANDBOX=box",
		       "HTTP_PROXY=http://corp:1",
		       "HOME=/root",
		       NULL};

	EQ(make(own, NULL, (struct environment_source){.home = "/sandbox", .name = "sandbox"}), 0);
	STREQ(environment_get(&env, "LANG"), "C");
	OK(environment_get(&env, "OPENSHELL_SANDBOX_TOKEN") == NULL);
	OK(environment_get(&env, "OPENSHELL_TLS_KEY") == NULL);
	OK(environment_get(&env, "OPENSHELL_NETWORK_MODE") == NULL);
	STREQ(environment_get(&env, "OPENSHELL_SANDBOX"), "1");
	STREQ(environment_get(&env, "HOME"), "/sandbox");
	STREQ(environment_get(&env, "USER"), "sandbox");
	STREQ(environment_get(&env, "SHELL"), "/bin/bash");
	STREQ(environment_get(&env, "TERM"), "dumb");
	STREQ(environment_get(&env, "PATH"),
	      "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	static const char *const proxies[] = {"ALL_PROXY",  "HTTP_PROXY",  "HTTPS_PROXY",
					      "http_proxy", "https_proxy", "grpc_proxy"};
	for (size_t i = 0; i < ARRAY_LEN(proxies); i++)
		STREQ(environment_get(&env, proxies[i]), "http://10.200.0.1:3128");
	STREQ(environment_get(&env, "NO_PROXY"), "127.0.0.1,localhost,::1");
	STREQ(environment_get(&env, "no_proxy"), "127.0.0.1,localhost,::1");
	STREQ(environment_get(&env, "NODE_USE_ENV_PROXY"), "1");
	OK(environment_get(&env, "SSL_CERT_FILE") == NULL);
	OK(env.v[env.n] == NULL);
	environment_fini(&env);
}

TEST(environment_of_the_user_wins_but_for_the_wall)
{
	char *own[] = {"HOME=/root", "EDITOR=ed", NULL};

	EQ(make(own,
		"{\"HOME\":\"/mine\",\"TERM\":\"vt100\",\"EDITOR\":\"vi\",\"EMPTY\":\"\","
		"\"http_proxy\":\"http://evil:1\",\"OPENSHELL_SANDBOX_TOKEN\":\"x\"}",
		(struct environment_source){.home = "/sandbox", .term = "xterm"}),
	   0);
	STREQ(environment_get(&env, "HOME"), "/mine");
	STREQ(environment_get(&env, "TERM"), "vt100");
	STREQ(environment_get(&env, "EDITOR"), "vi");
	STREQ(environment_get(&env, "EMPTY"), "");
	STREQ(environment_get(&env, "http_proxy"), "http://10.200.0.1:3128");
	OK(environment_get(&env, "OPENSHELL_SANDBOX_TOKEN") == NULL);
	environment_fini(&env);
}

TEST(environment_of_one_who_stays_is_kept)
{
	char *own[] = {"HOME=/home/me", "USER=me", NULL};

	EQ(make(own, NULL, (struct environment_source){0}), 0);
	STREQ(environment_get(&env, "HOME"), "/home/me");
	STREQ(environment_get(&env, "USER"), "me");
	environment_fini(&env);
}

TEST(environment_refuses_what_is_none)
{
	char *own[] = {NULL};

	EQ(make(own, "[]", (struct environment_source){0}), -1);
	HAS(e.text, "OPENSHELL_USER_ENVIRONMENT: not an object");
	environment_fini(&env);
	EQ(make(own, "{\"A\":1}", (struct environment_source){0}), -1);
	HAS(e.text, "'A' is no variable");
	environment_fini(&env);
	EQ(make(own, "{\"A=B\":\"\"}", (struct environment_source){0}), -1);
	environment_fini(&env);
	EQ(make(own, "{", (struct environment_source){0}), -1);
	environment_fini(&env);
}

TEST(environment_is_bounded)
{
	_cleanup_free_ char **own = xcalloc(ENVIRONMENT_MAX + 1, sizeof *own);

	for (int i = 0; i < ENVIRONMENT_MAX; i++)
		own[i] = "A=1";
	EQ(make(own, NULL, (struct environment_source){0}), -1);
	environment_fini(&env);
	own[ENVIRONMENT_MAX - 5] = NULL;
	EQ(make(own, NULL, (struct environment_source){0}), -1); /* no room for ours */
	environment_fini(&env);
}

/* ---- who ---- */

#define PASSWD "root:x:0:0::/root:/bin/sh\nsandbox:x:998:997::/home/sandbox:/bin/sh\n"
#define GROUP "root:x:0:\nsandbox:x:997:\nvideo:x:44:sandbox\n"

static struct who who;
static const struct rights root = {.uid = 0, .gid = 0, .change = true};
static const struct rights bare_root = {.uid = 0, .gid = 0};
static const struct rights user = {.uid = 1000, .gid = 1000};

static int decide(struct identity_source from, const struct rights *rights)
{
	from.passwd = from.passwd.p ? from.passwd : STR(PASSWD);
	from.group = from.group.p ? from.group : STR(GROUP);
	return who_decide(&from, rights, &who, &e);
}

static bool everything_exists(const char *path UNUSED)
{
	return true;
}

static bool nothing_exists(const char *path UNUSED)
{
	return false;
}

TEST(who_root_becomes_whom_it_is_told)
{
	EQ(decide((struct identity_source){0}, &root), 0);
	OK(who.changes && who.id.uid == 998 && who.id.gid == 997 && who.id.n_groups == 1);
	STREQ(who_home(&who, "/w", everything_exists), "/home/sandbox");
	STREQ(who_name(&who), "sandbox");
	EQ(decide((struct identity_source){.uid = "1234", .gid = "5"}, &root), 0);
	OK(who.changes && who.id.uid == 1234 && who.id.n_groups == 0 && who.exact);
	STREQ(who_home(&who, "/w", everything_exists), "/sandbox");
	STREQ(who_home(&who, "/w", nothing_exists), "/w");
	STREQ(who_home(&who, "", nothing_exists), "/");
	STREQ(who_name(&who), "sandbox");
	EQ(decide((struct identity_source){.oci_user = "sandbox"}, &root), 0);
	STREQ(who_home(&who, "/work", everything_exists), "/work");
	EQ(decide((struct identity_source){.passwd = STR("")}, &root), -1);
	HAS(e.text, "not in the image's");
	EQ(decide((struct identity_source){.oci_user = "root"}, &root), -1);
}

TEST(who_without_the_right_stays_unless_a_number_is_asked_for)
{
	EQ(decide((struct identity_source){0}, &user), 0);
	OK(!who.changes && who.id.uid == 1000 && who.kept.code != 0);
	OK(who_home(&who, "/w", everything_exists) == NULL && who_name(&who) == NULL);
	EQ(decide((struct identity_source){.passwd = STR("")}, &user), 0);
	OK(!who.changes && who.kept.code != 0);
	EQ(decide((struct identity_source){.run_as_user = "1000", .run_as_group = "1000"}, &user),
	   0);
	OK(!who.changes && who.kept.code == 0);
	EQ(decide((struct identity_source){.run_as_user = "1001", .run_as_group = "1000"}, &user),
	   -1);
	HAS(e.text, "is to be user 1001, and user 1000 may not become that");
	EQ(decide((struct identity_source){.uid = "1000", .gid = "1001"}, &user), -1);
	EQ(decide((struct identity_source){.oci_user = "7"}, &user), -1);
	EQ(decide((struct identity_source){.oci_user = "sandbox"}, &bare_root), 0);
	OK(!who.changes && who.id.uid == 0 && who.kept.code != 0);
	EQ(decide((struct identity_source){.uid = "1000", .gid = "1000"}, &bare_root), -1);
}

TEST(who_stays_where_a_rung_refuses_the_change)
{
	struct err why;

	err_set(&why, EPERM, "set the uid");
	EQ(decide((struct identity_source){0}, &root), 0);
	EQ(who_stay(&who, &root, &why, &e), 0);
	OK(!who.changes && who.id.uid == 0);
	EQ(decide((struct identity_source){.uid = "7", .gid = "7"}, &root), 0);
	EQ(who_stay(&who, &root, &why, &e), -1);
	HAS(e.text, "is to be user 7, and user 0 may not become that: set the uid");
}
