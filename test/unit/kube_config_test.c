#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "kube/config_impl.h"
#include "test.h"

static char dir[64];

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (system(command) != 0)
		perror(dir);
}

/* A folder of this test's own; the files in it are named relative to it. */
static void make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/kube-config-test-XXXXXX");
	OK(mkdtemp(dir) != NULL);
	OK(chdir(dir) == 0);
	atexit(remove_dir);
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	unsetenv("KUBERNETES_SERVICE_PORT");
	setenv("HOME", dir, 1);
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	OK(f != NULL);
	fputs(text, f);
	fclose(f);
}

static struct kube_config *load(const char *kubeconfig, const char *context)
{
	struct kube_config *c = NULL;
	struct err e = {0};

	kube_config_load(&c, kubeconfig, context, &e);
	STREQ(e.text, "");
	return c;
}

static void refused(const char *kubeconfig, const char *context, const char *why)
{
	struct kube_config *c = NULL;
	struct err e = {0};

	EQ(kube_config_load(&c, kubeconfig, context, &e), -1);
	HAS(e.text, why);
}

#define ONE                                                                                        \
	"apiVersion: v1\nkind: Config\ncurrent-context: dev\n"                                     \
	"contexts:\n- name: dev\n  context: {cluster: c1, user: u1, namespace: ns1}\n"             \
	"- name: other\n  context: {cluster: c2, user: u2}\n"                                      \
	"clusters:\n- name: c1\n  cluster: {server: 'https://one:6443'}\n"                         \
	"- name: c2\n  cluster: {server: 'https://two:6443', insecure-skip-tls-verify: true}\n"    \
	"users:\n- name: u1\n  user: {token: t1}\n- name: u2\n  user: {username: a, password: "    \
	"0123}\n"

TEST(the_current_context_is_read)
{
	make_dir();
	put("config", ONE);
	struct kube_config *c = load("config", NULL);
	STREQ(c->server, "https://one:6443");
	STREQ(c->ns, "ns1");
	STREQ(c->token, "t1");
	STREQ(c->origin, "config context \"dev\"");
	OK(!c->insecure && c->ca_pem == NULL && c->exec == NULL && c->proxy_url == NULL);
	kube_config_free(c);
}

TEST(another_context_may_be_named)
{
	make_dir();
	put("config", ONE);
	struct kube_config *c = load("config", "other");
	STREQ(c->server, "https://two:6443");
	OK(c->ns == NULL && c->token == NULL && c->insecure);
	STREQ(c->username, "a");
	STREQ(c->password, "0123"); /* as written, not as a number */
	kube_config_free(c);
	refused("config", "nope", "config: there is no context \"nope\"");
}

TEST(json_is_taken_as_well)
{
	make_dir();
	put("config",
	    "{\"current-context\":\"x\",\"contexts\":[{\"name\":\"x\",\"context\":{\"cluster\":"
	    "\"c\"}}],\"clusters\":[{\"name\":\"c\",\"cluster\":{\"server\":\"https://h\"}}]}");
	struct kube_config *c = load("config", NULL);
	STREQ(c->server, "https://h");
	kube_config_free(c);
}

TEST(the_order_of_the_sources)
{
	make_dir();
	mkdir(".kube", 0755);
	refused(NULL, NULL, "no cluster is configured");
	put(".kube/config", ONE);
	struct kube_config *c = load(NULL, NULL);
	STREQ(c->server, "https://one:6443");
	kube_config_free(c);

	setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	refused(NULL, NULL, "in-cluster configuration: read /var/run/secrets");
	c = load(NULL, "other"); /* a context can only be one of a kubeconfig */
	STREQ(c->server, "https://two:6443");
	kube_config_free(c);

	put("env", "current-context: e\ncontexts: [{name: e, context: {cluster: e}}]\n"
		   "clusters: [{name: e, cluster: {server: 'https://env'}}]\n");
	setenv("KUBECONFIG", "env", 1);
	c = load(NULL, NULL);
	STREQ(c->server, "https://env");
	kube_config_free(c);

	c = load(".kube/config", NULL);
	STREQ(c->server, "https://one:6443");
	kube_config_free(c);
}

TEST(files_are_merged_as_kubectl_does)
{
	make_dir();
	put("a", "contexts: [{name: x, context: {cluster: c, user: u}}]\n"
		 "users: [{name: u, user: {token: from-a}}]\n");
	put("b", "current-context: x\n"
		 "contexts: [{name: x, context: {cluster: wrong, namespace: wrong}}]\n"
		 "users: [{name: u, user: {token: from-b, username: b}}]\n"
		 "clusters: [{name: c, cluster: {server: 'https://from-b'}}]\n");
	put("c",
	    "current-context: y\nclusters: [{name: c, cluster: {server: 'https://from-c'}}]\n");
	setenv("KUBECONFIG", "a:missing::b:c", 1);
	struct kube_config *c = load(NULL, NULL);
	STREQ(c->token, "from-a");
	OK(c->username == NULL); /* nothing is mixed within an entry */
	OK(c->ns == NULL);
	STREQ(c->server, "https://from-b");
	STREQ(c->origin, "a context \"x\"");
	kube_config_free(c);
	refused(NULL, "y", "a:b:c: there is no context \"y\"");
}

TEST(missing_files_are_named_when_there_is_nothing_else)
{
	make_dir();
	setenv("KUBECONFIG", "nope1:nope2", 1);
	refused(NULL, NULL, "read nope2: No such file");
	setenv("KUBECONFIG", "nope", 1);
	refused(NULL, NULL, "read nope: No such file");
	refused("explicit", NULL, "read explicit: No such file");
	refused("/", NULL, "read /: a directory");
}

TEST(relative_paths_are_those_of_the_files_folder)
{
	make_dir();
	mkdir("sub", 0755);
	put("sub/config",
	    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
	    "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.crt}}]\n"
	    "users: [{name: u, user: {client-certificate: /abs/c.crt, client-key: ../k.key,"
	    " tokenFile: tok, exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plug,"
	    " interactiveMode: Never}}}]\n");
	struct kube_config *c = load("sub/config", NULL);
	STREQ(c->ca_file, "sub/ca.crt");
	STREQ(c->cert_file, "/abs/c.crt");
	STREQ(c->key_file, "sub/../k.key");
	STREQ(c->token_file, "sub/tok");
	STREQ(c->exec->argv[0], "sub/./plug");
	OK(c->exec->argv[1] == NULL && c->exec->env[0] == NULL);
	kube_config_free(c);
}

TEST(data_counts_more_than_a_file)
{
	make_dir();
	put("config",
	    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
	    "clusters: [{name: c, cluster: {server: 'https://h', certificate-authority: ca.crt,"
	    " certificate-authority-data: aGVs\n  bG8=}}]\n"
	    "users: [{name: u, user: {client-certificate-data: Y2VydA==, client-key-data: "
	    "a2V5}}]\n");
	struct kube_config *c = load("config", NULL);
	STREQ(c->ca_pem, "hello");
	OK(c->ca_file == NULL);
	STREQ(c->cert_pem, "cert");
	STREQ(c->key_pem, "key");
	kube_config_free(c);
}

TEST(a_plugin_is_read_whole)
{
	make_dir();
	put("config",
	    "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
	    "clusters:\n- name: c\n  cluster:\n    server: https://h\n    extensions:\n"
	    "    - name: client.authentication.k8s.io/exec\n      extension: {audience: me}\n"
	    "users:\n- name: u\n  user:\n    exec:\n      apiVersion: "
	    "client.authentication.k8s.io/v1beta1\n"
	    "      command: get-token\n      args: [--id, 5]\n      env:\n      - {name: A, value: "
	    "b}\n"
	    "      - {name: B}\n      installHint: brew it\n      provideClusterInfo: true\n");
	struct kube_config *c = load("config", NULL);
	STREQ(c->exec->argv[0], "get-token");
	STREQ(c->exec->argv[1], "--id");
	STREQ(c->exec->argv[2], "5");
	OK(c->exec->argv[3] == NULL);
	STREQ(c->exec->env[0], "A=b");
	STREQ(c->exec->env[1], "B=");
	STREQ(c->exec->install_hint, "brew it");
	STREQ(c->exec->cluster_extra, "{\"audience\":\"me\"}");
	OK(c->exec->provide_cluster_info);
	kube_config_free(c);
}

/* A kubeconfig with this user and cluster. */
static void with(const char *user, const char *cluster, const char *why)
{
	char text[1024];

	snprintf(text, sizeof text,
		 "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
		 "clusters: [{name: b, cluster: {}}, {name: c, cluster: %s}]\n"
		 "users: [{name: u, user: %s}]\n",
		 cluster, user);
	put("config", text);
	refused("config", NULL, why);
}

TEST(errors_name_the_file_and_the_key)
{
	static const char ok[] = "{server: 'https://h'}";

	make_dir();
	with("{}", "{}", "config: clusters[1] \"c\": cluster.server is missing");
	with("{}", "{server: []}", "cluster.server must be text");
	with("{}", "{server: x, insecure-skip-tls-verify: maybe}", "must be true or false");
	with("{}", "{server: x, insecure-skip-tls-verify: true, certificate-authority: y}",
	     "a certificate-authority is given as well");
	with("{}", "{server: x, certificate-authority-data: '%%'}",
	     "cluster.certificate-authority-data is not base64");
	with("{client-certificate: a}", ok, "users[0] \"u\": user.client-key is missing");
	with("{client-key: a}", ok, "user.client-certificate is missing");
	with("{auth-provider: {name: gcp}}", ok, "user.auth-provider is not supported");
	with("{as: root}", ok, "user.as is not supported");
	with("{exec: {command: a}}", ok, "user.exec.apiVersion is missing");
	with("{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: a}}", ok,
	     "user.exec.apiVersion is client.authentication.k8s.io/v1alpha1: only");
	with("{exec: {apiVersion: client.authentication.k8s.io/v1}}", ok,
	     "user.exec.command is missing");
	with("{exec: {apiVersion: client.authentication.k8s.io/v1, command: a, interactiveMode: "
	     "Always}}",
	     ok, "there is no terminal");
	with("{exec: {apiVersion: client.authentication.k8s.io/v1, command: a, env: [{value: x}]}}",
	     ok, "user.exec.env has an entry without a usable name");
	with("[]", ok, "users[0].user must be a mapping");
	put("config", "current-context: x\ncontexts: {}\n");
	refused("config", NULL, "config: contexts must be a list");
	put("config", "current-context: x\ncontexts: [{context: {}}]\n");
	refused("config", NULL, "config: contexts[0].name is missing");
	put("config", "current-context: x\ncontexts: [{name: x}, {name: x}]\n");
	refused("config", NULL, "config: contexts[1] \"x\" is there twice");
	put("config", "current-context: x\ncontexts: [{name: x}]\n");
	refused("config", NULL, "context.cluster is missing");
	put("config", "contexts: []\n");
	refused("config", NULL, "config: current-context is not set");
	put("config", "a: [\n");
	refused("config", NULL, "config: line 2 column 1");
	put("config", "- a\n");
	refused("config", NULL, "config is no kubeconfig");
}

TEST(in_the_cluster)
{
	struct err e = {0};

	make_dir();
	struct kube_config *c = kube_config_new();
	EQ(kube_config_in_cluster(c, dir, "10.0.0.1", "443", &e), -1);
	HAS(e.text, "/token: No such file");
	put("token", "t\n");
	put("ca.crt", "x");
	put("namespace", "team\n");
	EQ(kube_config_in_cluster(c, dir, "10.0.0.1", "443", &e), 0);
	STREQ(c->server, "https://10.0.0.1:443");
	STREQ(c->ns, "team");
	HAS(c->token_file, "/token");
	HAS(c->ca_file, "/ca.crt");
	EQ(kube_config_in_cluster(c, dir, "fd00::1", "6443", &e), 0);
	STREQ(c->server, "https://[fd00::1]:6443");
	EQ(kube_config_in_cluster(c, dir, "10.0.0.1", NULL, &e), -1);
	HAS(e.text, "KUBERNETES_SERVICE_PORT is not");
	kube_config_free(c);
}

TEST(a_file_is_read_up_to_its_limit)
{
	struct err e = {0};
	char *text = NULL;
	size_t n = 0;

	make_dir();
	put("f", "12345");
	EQ(file_read("f", 5, &text, &n, &e), 0);
	EQ(n, 5);
	STREQ(text, "12345");
	free(text);
	EQ(file_read("f", 4, &text, &n, &e), -1);
	HAS(e.text, "read f: larger than 4 bytes");
	EQ(file_read("/dev/null", 4, &text, &n, &e), -1);
	HAS(e.text, "not a file");
	put("f", "");
	EQ(file_read("f", 4, &text, NULL, &e), 0);
	STREQ(text, "");
	free(text);
}
