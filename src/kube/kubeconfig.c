/*
 * Kubeconfig files: the type kubectl calls clientcmd/v1.Config. Several files are merged as kubectl
 * merges them: the first file that sets current-context, or has an entry of a name, counts, and
 * nothing is mixed within an entry. Paths in a file are relative to its folder.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/util.h"
#include "base/yaml.h"
#include "kube/config_impl.h"

struct file {
	const char *path;
	cJSON *root;
};

struct files {
	struct file v[KUBE_CONFIG_FILES_MAX];
	size_t n;
};

/* Where we are, for errors and relative paths: FILE: users[2] "dev": user.token … */
struct place {
	struct kube_config *c;
	const char *path;   /* of the file */
	const char *list;   /* clusters, users, contexts */
	const char *member; /* cluster, user, context */
	int index;
	const char *name;
	const cJSON *body; /* what stands under member */
	struct err *e;
};

__attribute__((format(printf, 3, 4))) static int bad(const struct place *at, const char *key,
						     const char *fmt, ...)
{
	char words[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof words, fmt, ap);
	va_end(ap);
	return err_set(at->e, EINVAL, "%s: %s[%d] \"%s\": %s.%s %s", at->path, at->list, at->index,
		       at->name, at->member, key, words);
}

/* ---- values ---- */

/* The text under key; *out stays NULL when it is absent, null or empty. dotted is the key's name in
 * an error. */
static int text_in(const struct place *at, const cJSON *o, const char *key, const char *dotted,
		   const char **out)
{
	const cJSON *j = json_get(o, key);
	const char *text = yaml_text(j);

	if (j != NULL && !cJSON_IsNull(j) && text == NULL)
		return bad(at, dotted, "must be text");
	*out = str_empty(text) ? NULL : kube_config_keep(at->c, text);
	return 0;
}

static int text(const struct place *at, const char *key, const char **out)
{
	return text_in(at, at->body, key, key, out);
}

static int flag_in(const struct place *at, const cJSON *o, const char *key, const char *dotted,
		   bool *out)
{
	const cJSON *j = json_get(o, key);

	if (j != NULL && !cJSON_IsNull(j) && !cJSON_IsBool(j))
		return bad(at, dotted, "must be true or false");
	*out = cJSON_IsTrue(j);
	return 0;
}

/* A path; one that is relative is made whole by the folder of its file. */
static const char *resolve(const struct place *at, const char *path)
{
	const char *slash = strrchr(at->path, '/');

	if (path == NULL || path[0] == '/' || slash == NULL)
		return path;
	_cleanup_free_ char *whole = xasprintf("%.*s/%s", (int)(slash - at->path), at->path, path);
	return kube_config_keep(at->c, whole);
}

static int path(const struct place *at, const char *key, const char **out)
{
	if (text(at, key, out) < 0)
		return -1;
	*out = resolve(at, *out);
	return 0;
}

/* Base64, which YAML may have broken into lines. */
static int data(const struct place *at, const char *key, const char **out)
{
	const char *coded;

	if (text(at, key, &coded) < 0)
		return -1;
	if (coded == NULL)
		return 0;
	size_t n = 0;
	char *packed = kube_config_alloc(at->c, strlen(coded) + 1);
	for (const char *p = coded; *p != '\0'; p++) {
		if (strchr(" \t\r\n", *p) == NULL)
			packed[n++] = *p;
	}
	char *plain = kube_config_alloc(at->c, base64_decoded_max(n) + 1);
	size_t plain_n = 0;
	if (!base64_decode(str_sub(packed, n), (uint8_t *)plain, &plain_n))
		return bad(at, key, "is not base64");
	if (strlen(plain) != plain_n)
		return bad(at, key, "holds binary data where PEM is expected");
	*out = plain;
	return 0;
}

/* PEM as data or as a file; data counts when both are there, as in client-go. */
static int pem(const struct place *at, const char *key, const char **pem_out, const char **file_out)
{
	char data_key[64];

	snprintf(data_key, sizeof data_key, "%s-data", key);
	if (data(at, data_key, pem_out) < 0)
		return -1;
	return *pem_out != NULL ? 0 : path(at, key, file_out);
}

/* ---- finding entries ---- */

/* The entry of that name in one file. Returns 1 and fills *at, 0 when there is none, or -1. */
static int find_in_file(struct place *at, const struct file *f)
{
	const cJSON *list = json_get(f->root, at->list);
	const cJSON *entry;
	int i = 0, found = 0;

	at->path = f->path;
	if (list != NULL && !cJSON_IsNull(list) && !cJSON_IsArray(list))
		return err_set(at->e, EINVAL, "%s: %s must be a list", f->path, at->list);
	cJSON_ArrayForEach(entry, list) {
		const char *name = yaml_text(json_get(entry, "name"));
		if (str_empty(name))
			return err_set(at->e, EINVAL, "%s: %s[%d].name is missing", f->path,
				       at->list, i);
		if (streq(name, at->name) && found++)
			return err_set(at->e, EINVAL, "%s: %s[%d] \"%s\" is there twice", f->path,
				       at->list, i, name);
		if (streq(name, at->name)) {
			at->index = i;
			at->body = json_get(entry, at->member);
		}
		i++;
	}
	if (found && at->body != NULL && !cJSON_IsNull(at->body) && !cJSON_IsObject(at->body))
		return err_set(at->e, EINVAL, "%s: %s[%d].%s must be a mapping", f->path, at->list,
			       at->index, at->member);
	return found;
}

static void add_names(struct buf *b, const struct files *files)
{
	for (size_t i = 0; i < files->n; i++)
		buf_printf(b, "%s%s", i ? ":" : "", files->v[i].path);
}

/* The same in all of them, the first that has it. */
static int find(struct place *at, const struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		int r = find_in_file(at, &files->v[i]);
		if (r != 0)
			return r < 0 ? -1 : 0;
	}
	_cleanup_buf_ struct buf names = BUF_INIT(ERR_TEXT_MAX / 2);
	add_names(&names, files);
	return err_set(at->e, ENOENT, "%.*s: there is no %s \"%s\"", STR_FMT(buf_view(&names)),
		       at->member, at->name);
}

/* ---- credential plugins ---- */

static const char *const exec_versions[] = {
	"client.authentication.k8s.io/v1",
	"client.authentication.k8s.io/v1beta1",
};

static int exec_version(const struct place *at, const cJSON *exec, struct kube_exec *x)
{
	if (text_in(at, exec, "apiVersion", "exec.apiVersion", &x->api_version) < 0)
		return -1;
	if (x->api_version == NULL)
		return bad(at, "exec.apiVersion", "is missing");
	for (size_t i = 0; i < ARRAY_LEN(exec_versions); i++) {
		if (streq(x->api_version, exec_versions[i]))
			return 0;
	}
	return bad(at, "exec.apiVersion", "is %s: only %s and v1beta1 are supported",
		   x->api_version, exec_versions[0]);
}

/* A plugin that must ask a person cannot be run by a server. */
static int exec_mode(const struct place *at, const cJSON *exec)
{
	const char *mode;

	if (text_in(at, exec, "interactiveMode", "exec.interactiveMode", &mode) < 0)
		return -1;
	if (mode == NULL || streq(mode, "Never") || streq(mode, "IfAvailable"))
		return 0;
	if (streq(mode, "Always"))
		return bad(at, "exec.interactiveMode",
			   "is Always, but there is no terminal that the plugin could use");
	return bad(at, "exec.interactiveMode", "must be Never, IfAvailable or Always");
}

static int exec_argv(const struct place *at, const cJSON *exec, struct kube_exec *x)
{
	const cJSON *args = json_get(exec, "args"), *arg;
	const char *command;
	size_t n = 1;

	if (text_in(at, exec, "command", "exec.command", &command) < 0)
		return -1;
	if (command == NULL)
		return bad(at, "exec.command", "is missing");
	if (strchr(command, '/') != NULL) /* a bare name is searched in PATH */
		command = resolve(at, command);
	if (args != NULL && !cJSON_IsNull(args) && !cJSON_IsArray(args))
		return bad(at, "exec.args", "must be a list");
	x->argv =
		kube_config_alloc(at->c, ((size_t)cJSON_GetArraySize(args) + 2) * sizeof *x->argv);
	x->argv[0] = (char *)command;
	cJSON_ArrayForEach(arg, args) {
		if (yaml_text(arg) == NULL)
			return bad(at, "exec.args", "must be a list of texts");
		x->argv[n++] = (char *)kube_config_keep(at->c, yaml_text(arg));
	}
	return 0;
}

static int exec_env(const struct place *at, const cJSON *exec, struct kube_exec *x)
{
	const cJSON *env = json_get(exec, "env"), *entry;
	size_t n = 0;

	if (env != NULL && !cJSON_IsNull(env) && !cJSON_IsArray(env))
		return bad(at, "exec.env", "must be a list");
	x->env = kube_config_alloc(at->c, ((size_t)cJSON_GetArraySize(env) + 1) * sizeof *x->env);
	cJSON_ArrayForEach(entry, env) {
		const char *name, *value;
		if (text_in(at, entry, "name", "exec.env.name", &name) < 0 ||
		    text_in(at, entry, "value", "exec.env.value", &value) < 0)
			return -1;
		if (name == NULL || strchr(name, '=') != NULL)
			return bad(at, "exec.env", "has an entry without a usable name");
		_cleanup_secret_ char *pair = xasprintf("%s=%s", name, value ? value : "");
		x->env[n++] = (char *)kube_config_keep(at->c, pair);
	}
	return 0;
}

static int exec(const struct place *at)
{
	const cJSON *exec = json_get(at->body, "exec");

	if (exec == NULL || cJSON_IsNull(exec))
		return 0;
	if (!cJSON_IsObject(exec))
		return bad(at, "exec", "must be a mapping");
	struct kube_exec *x = kube_config_alloc(at->c, sizeof *x);
	if (exec_version(at, exec, x) < 0 || exec_mode(at, exec) < 0 ||
	    exec_argv(at, exec, x) < 0 || exec_env(at, exec, x) < 0 ||
	    text_in(at, exec, "installHint", "exec.installHint", &x->install_hint) < 0 ||
	    flag_in(at, exec, "provideClusterInfo", "exec.provideClusterInfo",
		    &x->provide_cluster_info) < 0)
		return -1;
	at->c->exec = x;
	return 0;
}

/* The cluster's own words for the plugin: clusters[].cluster.extensions[] of that name. */
static void exec_extra(const struct place *at)
{
	const cJSON *extension;

	cJSON_ArrayForEach(extension, json_get(at->body, "extensions")) {
		if (!streq(json_str(extension, "name"), "client.authentication.k8s.io/exec"))
			continue;
		_cleanup_free_ char *json = json_text(json_get(extension, "extension"));
		at->c->exec->cluster_extra = kube_config_keep(at->c, json);
	}
}

/* ---- the three kinds of entry ---- */

static int read_cluster(struct place *at)
{
	struct kube_config *c = at->c;

	if (text(at, "server", &c->server) < 0 || text(at, "proxy-url", &c->proxy_url) < 0 ||
	    text(at, "tls-server-name", &c->tls_server_name) < 0 ||
	    flag_in(at, at->body, "insecure-skip-tls-verify", "insecure-skip-tls-verify",
		    &c->insecure) < 0 ||
	    pem(at, "certificate-authority", &c->ca_pem, &c->ca_file) < 0)
		return -1;
	if (c->server == NULL)
		return bad(at, "server", "is missing");
	if (c->insecure && (c->ca_pem != NULL || c->ca_file != NULL))
		return bad(at, "insecure-skip-tls-verify",
			   "is true, but a certificate-authority is given as well");
	if (c->exec != NULL)
		exec_extra(at);
	return 0;
}

/* What other clients know and this one does not is said, not passed over. */
static int refuse_unsupported(const struct place *at)
{
	static const char *const keys[] = {"as", "as-uid", "as-groups", "as-user-extra"};
	const cJSON *provider = json_get(at->body, "auth-provider");

	if (provider != NULL && !cJSON_IsNull(provider))
		return bad(at, "auth-provider",
			   "is not supported (Kubernetes removed it in 1.26): use an exec plugin");
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const cJSON *j = json_get(at->body, keys[i]);
		if (j != NULL && !cJSON_IsNull(j))
			return bad(at, keys[i], "is not supported: nobody can be impersonated");
	}
	return 0;
}

static int read_user(struct place *at)
{
	struct kube_config *c = at->c;

	if (refuse_unsupported(at) < 0 || text(at, "token", &c->token) < 0 ||
	    path(at, "tokenFile", &c->token_file) < 0 || text(at, "username", &c->username) < 0 ||
	    text(at, "password", &c->password) < 0 ||
	    pem(at, "client-certificate", &c->cert_pem, &c->cert_file) < 0 ||
	    pem(at, "client-key", &c->key_pem, &c->key_file) < 0 || exec(at) < 0)
		return -1;
	bool cert = c->cert_pem != NULL || c->cert_file != NULL;
	bool key = c->key_pem != NULL || c->key_file != NULL;
	if (cert && !key)
		return bad(at, "client-key", "is missing, but there is a client-certificate");
	if (key && !cert)
		return bad(at, "client-certificate", "is missing, but there is a client-key");
	return 0;
}

static int read_context(struct kube_config *c, const struct files *files, const char *name,
			struct err *e)
{
	struct place context = {c, NULL, "contexts", "context", 0, name, NULL, e};
	struct place user = {c, NULL, "users", "user", 0, NULL, NULL, e};
	struct place cluster = {c, NULL, "clusters", "cluster", 0, NULL, NULL, e};

	if (find(&context, files) < 0 || text(&context, "cluster", &cluster.name) < 0 ||
	    text(&context, "user", &user.name) < 0 || text(&context, "namespace", &c->ns) < 0)
		return -1;
	if (cluster.name == NULL)
		return bad(&context, "cluster", "is missing");
	_cleanup_free_ char *origin = xasprintf("%s context \"%s\"", context.path, name);
	c->origin = kube_config_keep(c, origin);
	if (user.name != NULL && (find(&user, files) < 0 || read_user(&user) < 0))
		return -1;
	if (find(&cluster, files) < 0)
		return -1;
	return read_cluster(&cluster);
}

/* ---- files ---- */

static int read_file(struct files *files, const char *path, struct err *e)
{
	_cleanup_secret_ char *text = NULL;
	size_t n;

	if (file_read(path, KUBE_CONFIG_MAX, &text, &n, e) < 0)
		return -1;
	cJSON *root = yaml_parse(str_sub(text, n), path, e);
	if (root == NULL)
		return -1;
	files->v[files->n++] = (struct file){path, root};
	if (!cJSON_IsObject(root) && !cJSON_IsNull(root))
		return err_set(e, EINVAL, "%s is no kubeconfig", path);
	return 0;
}

static int read_files(struct files *files, const char *const *paths, size_t n, bool missing_ok,
		      struct err *e)
{
	for (size_t i = 0; i < n && i < KUBE_CONFIG_FILES_MAX; i++) {
		bool last_hope = i + 1 == n && files->n == 0;
		if (missing_ok && !last_hope && access(paths[i], F_OK) < 0 && errno == ENOENT)
			continue;
		if (read_file(files, paths[i], e) < 0)
			return -1;
	}
	return 0;
}

static const char *current_context(const struct files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		const char *name = yaml_text(json_get(files->v[i].root, "current-context"));
		if (!str_empty(name))
			return name;
	}
	return NULL;
}

static int choose(struct kube_config *c, const struct files *files, const char *context,
		  struct err *e)
{
	const char *name = context ? context : current_context(files);

	if (name != NULL)
		return read_context(c, files, name, e);
	_cleanup_buf_ struct buf names = BUF_INIT(ERR_TEXT_MAX / 2);
	add_names(&names, files);
	return err_set(e, ENOENT,
		       "%.*s: current-context is not set (a context may be named by "
		       "--context)",
		       STR_FMT(buf_view(&names)));
}

/* The strings of the tree hold tokens and keys. */
static void wipe(cJSON *j)
{
	for (; j != NULL; j = j->next) {
		if (j->valuestring != NULL)
			explicit_bzero(j->valuestring, strlen(j->valuestring));
		wipe(j->child);
	}
}

int kubeconfig_load(struct kube_config *c, const char *const *paths, size_t n, bool missing_ok,
		    const char *context, struct err *e)
{
	struct files files = {.n = 0};
	int r = read_files(&files, paths, n, missing_ok, e);

	if (r == 0)
		r = choose(c, &files, context, e);
	for (size_t i = 0; i < files.n; i++) {
		wipe(files.v[i].root);
		cJSON_Delete(files.v[i].root);
	}
	return r;
}
