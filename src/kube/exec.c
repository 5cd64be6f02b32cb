#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rfc3339.h"
#include "base/util.h"
#include "kube/exec.h"
#include "loop/child.h"

#define INFO_NAME "KUBERNETES_EXEC_INFO="

/*
 * The child's end and the end of its output come in either order; both are needed.
 *
 *   RUNNING --output closed and exited--> done
 *      \----timeout, too much output----> killed, done
 */
struct kube_exec_run {
	struct loop *loop;
	const struct kube_config *config;
	void (*done)(void *owner, struct kube_credential *c, const struct err *why);
	void *owner;
	struct child child;
	struct source output;
	struct buf text;
	struct timer deadline;
	struct later begin, free_later;
	bool exited;
	int status;
	struct err why;
};

/* ---- the answer ---- */

void kube_credential_fini(struct kube_credential *c)
{
	free_secret(c->token);
	free_secret(c->cert_pem);
	free_secret(c->key_pem);
	*c = (struct kube_credential){0};
}

static char *copy_of(const cJSON *status, const char *key)
{
	const char *s = json_str(status, key);

	return str_empty(s) ? NULL : xstrdup(s);
}

static int read_status(struct kube_credential *out, const cJSON *status, struct err *e)
{
	const char *expires = json_str(status, "expirationTimestamp");
	int32_t nanos;

	out->token = copy_of(status, "token");
	out->cert_pem = copy_of(status, "clientCertificateData");
	out->key_pem = copy_of(status, "clientKeyData");
	if ((out->cert_pem == NULL) != (out->key_pem == NULL))
		return err_set(e, EINVAL,
			       "it prints only one of clientCertificateData and "
			       "clientKeyData");
	if (out->token == NULL && out->cert_pem == NULL)
		return err_set(e, EINVAL, "it prints neither a token nor a client certificate");
	if (!str_empty(expires) && !rfc3339_parse(str_of(expires), &out->expires, &nanos))
		return err_set(e, EINVAL, "its expirationTimestamp is no RFC 3339 time");
	return 0;
}

int kube_credential_parse(struct kube_credential *out, struct str text, const char *api_version,
			  struct err *e)
{
	_cleanup_json_ cJSON *j = json_parse(text, "what it prints", e);

	*out = (struct kube_credential){0};
	if (j == NULL)
		return -1;
	if (!streq(json_str(j, "kind"), "ExecCredential"))
		return err_set(e, EINVAL, "it prints no ExecCredential");
	if (!streq(json_str(j, "apiVersion"), api_version))
		return err_set(e, EINVAL, "it prints apiVersion %.64s, but %s is configured",
			       json_str_or_empty(j, "apiVersion"), api_version);
	int r = read_status(out, json_get(j, "status"), e);
	if (r < 0)
		kube_credential_fini(out);
	return r;
}

/* ---- the question ---- */

static void put_ca(cJSON *cluster, const struct kube_config *config)
{
	_cleanup_free_ char *pem = NULL;
	struct err ignored;

	if (config->ca_pem == NULL && config->ca_file != NULL &&
	    file_read(config->ca_file, KUBE_CONFIG_MAX, &pem, NULL, &ignored) < 0)
		return;
	const char *text = config->ca_pem ? config->ca_pem : pem;
	if (text == NULL)
		return;
	_cleanup_free_ char *coded = base64_encode(str_of(text));
	json_put_str(cluster, "certificate-authority-data", coded);
}

static void put_cluster(cJSON *spec, const struct kube_config *config)
{
	cJSON *cluster = json_put_object(spec, "cluster");
	struct err ignored;

	json_put_str(cluster, "server", config->server);
	if (config->tls_server_name != NULL)
		json_put_str(cluster, "tls-server-name", config->tls_server_name);
	if (config->insecure)
		json_put_bool(cluster, "insecure-skip-tls-verify", true);
	if (config->proxy_url != NULL)
		json_put_str(cluster, "proxy-url", config->proxy_url);
	put_ca(cluster, config);
	if (config->exec->cluster_extra != NULL)
		json_put(cluster, "config",
			 json_parse(str_of(config->exec->cluster_extra), "extension", &ignored));
}

char *kube_exec_info(const struct kube_config *config)
{
	_cleanup_json_ cJSON *j = json_object();

	json_put_str(j, "apiVersion", config->exec->api_version);
	json_put_str(j, "kind", "ExecCredential");
	cJSON *spec = json_put_object(j, "spec");
	json_put_bool(spec, "interactive", false);
	if (config->exec->provide_cluster_info)
		put_cluster(spec, config);
	return json_text(j);
}

/* Whether two NAME=value texts have the same name. */
static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");

	return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

/* Ours, but for what the plugin's own list sets anew. *info is put in; the array is the caller's. */
static char **make_env(const struct kube_exec *exec, char *info)
{
	size_t ours = 0, theirs = 0, n = 0;

	while (environ[ours] != NULL)
		ours++;
	while (exec->env[theirs] != NULL)
		theirs++;
	char **env = xcalloc(ours + theirs + 2, sizeof *env);
	for (size_t i = 0; i < ours; i++) {
		bool replaced = same_name(environ[i], info);
		for (size_t k = 0; k < theirs && !replaced; k++)
			replaced = same_name(environ[i], exec->env[k]);
		if (!replaced)
			env[n++] = environ[i];
	}
	env[n++] = info;
	for (size_t k = 0; k < theirs; k++)
		env[n++] = exec->env[k];
	return env;
}

/* ---- the run ---- */

static void release(struct later *l)
{
	struct kube_exec_run *x = container_of(l, struct kube_exec_run, free_later);

	if (x->text.p != NULL)
		explicit_bzero(x->text.p, x->text.cap);
	buf_fini(&x->text);
	free(x);
}

void kube_exec_cancel(struct kube_exec_run *x)
{
	if (x == NULL)
		return;
	child_forget(&x->child);
	timer_stop(x->loop, &x->deadline);
	loop_later_cancel(&x->begin);
	loop_del(x->loop, &x->output);
	if (x->output.fd >= 0)
		close(steal_fd(&x->output.fd));
	loop_later(x->loop, &x->free_later);
}

static void finish(struct kube_exec_run *x, struct kube_credential *c)
{
	const char *hint = x->config->exec->install_hint;

	if (c == NULL)
		err_wrap(&x->why, "credential plugin %s", x->config->exec->argv[0]);
	if (c == NULL && x->why.code == ENOENT && hint != NULL) {
		size_t n = strlen(x->why.text);
		snprintf(x->why.text + n, sizeof x->why.text - n, " (%.200s)", hint);
	}
	x->done(x->owner, c, c ? NULL : &x->why);
	if (c != NULL)
		kube_credential_fini(c);
	kube_exec_cancel(x);
}

static void check_end(struct kube_exec_run *x)
{
	struct kube_credential c;

	if (!x->exited || x->output.fd >= 0)
		return;
	if (WIFSIGNALED(x->status))
		err_set(&x->why, EIO, "it was ended by signal %d", WTERMSIG(x->status));
	else if (WEXITSTATUS(x->status) != 0)
		err_set(&x->why, EIO, "it ended with status %d", WEXITSTATUS(x->status));
	else if (kube_credential_parse(&c, buf_view(&x->text), x->config->exec->api_version,
				       &x->why) == 0) {
		finish(x, &c);
		return;
	}
	finish(x, NULL);
}

static void on_output(struct source *s, uint32_t events UNUSED)
{
	struct kube_exec_run *x = container_of(s, struct kube_exec_run, output);

	for (;;) {
		char *room = buf_room(&x->text, 4096);
		if (room == NULL) {
			err_set(&x->why, EFBIG, "it prints more than %d bytes",
				KUBE_EXEC_OUTPUT_MAX);
			finish(x, NULL);
			return;
		}
		ssize_t n = read(s->fd, room, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0)
			break;
		buf_added(&x->text, (size_t)n);
	}
	loop_del(x->loop, s);
	close(steal_fd(&s->fd));
	check_end(x);
}

static void on_exited(struct child *c, int status)
{
	struct kube_exec_run *x = container_of(c, struct kube_exec_run, child);

	x->exited = true;
	x->status = status;
	check_end(x);
}

static void on_deadline(struct timer *t)
{
	struct kube_exec_run *x = container_of(t, struct kube_exec_run, deadline);

	err_set(&x->why, ETIMEDOUT, "it did not end within %d s", KUBE_EXEC_TIMEOUT_MS / 1000);
	finish(x, NULL);
}

/* From the loop, so that nothing is called back from inside kube_exec_start. */
static void begin(struct later *l)
{
	struct kube_exec_run *x = container_of(l, struct kube_exec_run, begin);
	const struct kube_exec *exec = x->config->exec;
	_cleanup_free_ char *json = kube_exec_info(x->config);
	_cleanup_free_ char *info = xasprintf(INFO_NAME "%s", json);
	_cleanup_free_ char **env = make_env(exec, info);

	if (child_start(&x->child, x->loop, exec->argv, env, CHILD_PIPE_OUT, &x->why) < 0) {
		finish(x, NULL);
		return;
	}
	x->output.fd = x->child.out;
	if (loop_add(x->loop, &x->output, EPOLLIN, &x->why) < 0)
		finish(x, NULL);
}

struct kube_exec_run *kube_exec_start(struct loop *l, const struct kube_config *config,
				      void (*done)(void *owner, struct kube_credential *c,
						   const struct err *why),
				      void *owner)
{
	struct kube_exec_run *x = xcalloc(1, sizeof *x);

	x->loop = l;
	x->config = config;
	x->done = done;
	x->owner = owner;
	x->child.exited = on_exited;
	x->output = (struct source){.fd = -1, .ready = on_output, .name = "credential plugin"};
	x->text = BUF_INIT(KUBE_EXEC_OUTPUT_MAX);
	x->deadline.fire = on_deadline;
	x->begin.run = begin;
	x->free_later.run = release;
	timer_set(l, &x->deadline, KUBE_EXEC_TIMEOUT_MS);
	loop_later(l, &x->begin);
	return x;
}
