#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "kube/config_impl.h"

#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

struct kube_config_memory {
	struct piece {
		void *p;
		size_t n;
	} * pieces;
	size_t n, cap;
};

struct kube_config *kube_config_new(void)
{
	struct kube_config *c = xcalloc(1, sizeof *c);

	c->memory = xcalloc(1, sizeof *c->memory);
	return c;
}

void *kube_config_alloc(struct kube_config *c, size_t n)
{
	struct kube_config_memory *m = c->memory;

	if (m->n == m->cap) {
		m->cap = MAX(m->cap * 2, (size_t)16);
		m->pieces = xrealloc(m->pieces, m->cap * sizeof *m->pieces);
	}
	m->pieces[m->n] = (struct piece){xcalloc(1, n), n};
	return m->pieces[m->n++].p;
}

const char *kube_config_keep_str(struct kube_config *c, struct str text)
{
	char *p = kube_config_alloc(c, text.n + 1);

	if (text.n > 0)
		memcpy(p, text.p, text.n);
	return p;
}

const char *kube_config_keep(struct kube_config *c, const char *text)
{
	return text ? kube_config_keep_str(c, str_of(text)) : NULL;
}

void kube_config_free(struct kube_config *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->memory->n; i++) {
		explicit_bzero(c->memory->pieces[i].p, c->memory->pieces[i].n);
		free(c->memory->pieces[i].p);
	}
	free(c->memory->pieces);
	free(c->memory);
	free(c);
}

/* ---- in the cluster ---- */

static const char *keep_path(struct kube_config *c, const char *dir, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	return kube_config_keep(c, path);
}

/* The pod's namespace; absent when the token was projected without it. */
static void read_namespace(struct kube_config *c, const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/namespace", dir);
	_cleanup_free_ char *text = NULL;
	struct err ignored;

	if (file_read(path, 253, &text, NULL, &ignored) == 0) {
		struct str ns = str_trim(str_of(text));
		c->ns = ns.n ? kube_config_keep_str(c, ns) : NULL;
	}
}

static int must_be_readable(const char *path, struct err *e)
{
	if (access(path, R_OK) < 0)
		return err_sys(e, "in-cluster configuration: read %s", path);
	return 0;
}

int kube_config_in_cluster(struct kube_config *c, const char *dir, const char *host,
			   const char *port, struct err *e)
{
	if (str_empty(port))
		return err_set(e, EINVAL,
			       "in-cluster configuration: KUBERNETES_SERVICE_HOST is "
			       "set, but KUBERNETES_SERVICE_PORT is not");
	bool v6 = strchr(host, ':') != NULL && host[0] != '[';
	_cleanup_free_ char *server =
		xasprintf("https://%s%s%s:%s", v6 ? "[" : "", host, v6 ? "]" : "", port);
	c->origin = "in-cluster";
	c->server = kube_config_keep(c, server);
	c->token_file = keep_path(c, dir, "token");
	c->ca_file = keep_path(c, dir, "ca.crt");
	read_namespace(c, dir);
	if (must_be_readable(c->token_file, e) < 0)
		return -1;
	return must_be_readable(c->ca_file, e);
}

/* ---- which one ---- */

/* Cuts $KUBECONFIG at its colons; the texts are the caller's. */
static size_t split_list(const char *list, char *paths[KUBE_CONFIG_FILES_MAX])
{
	struct str rest = str_of(list);
	size_t n = 0;

	while (rest.n > 0 && n < KUBE_CONFIG_FILES_MAX) {
		struct str path = str_cut(&rest, ':');
		if (path.n > 0)
			paths[n++] = str_dup(path);
	}
	return n;
}

static int load_list(struct kube_config *c, const char *list, const char *context, struct err *e)
{
	char *paths[KUBE_CONFIG_FILES_MAX];
	size_t n = split_list(list, paths);
	int r = kubeconfig_load(c, (const char *const *)paths, n, n > 1, context, e);

	for (size_t i = 0; i < n; i++)
		free(paths[i]);
	return r;
}

static int load_home(struct kube_config *c, const char *context, struct err *e)
{
	const char *home = getenv("HOME");
	_cleanup_free_ char *path = xasprintf("%s/.kube/config", home ? home : "");
	const char *const paths[] = {path};

	if (str_empty(home) || access(path, F_OK) < 0)
		return err_set(
			e, ENOENT,
			"no cluster is configured: no kubeconfig was named, KUBECONFIG is not "
			"set, this is no pod (KUBERNETES_SERVICE_HOST), and there is no "
			"~/.kube/config");
	return kubeconfig_load(c, paths, 1, false, context, e);
}

static int load(struct kube_config *c, const char *kubeconfig, const char *context, struct err *e)
{
	const char *list = getenv("KUBECONFIG");
	const char *host = getenv("KUBERNETES_SERVICE_HOST");

	if (!str_empty(kubeconfig))
		return kubeconfig_load(c, &kubeconfig, 1, false, context, e);
	if (!str_empty(list))
		return load_list(c, list, context, e);
	if (!str_empty(host) && context == NULL)
		return kube_config_in_cluster(c, SERVICE_ACCOUNT_DIR, host,
					      getenv("KUBERNETES_SERVICE_PORT"), e);
	return load_home(c, context, e);
}

int kube_config_load(struct kube_config **out, const char *kubeconfig, const char *context,
		     struct err *e)
{
	struct kube_config *c = kube_config_new();

	if (load(c, kubeconfig, str_empty(context) ? NULL : context, e) < 0) {
		kube_config_free(c);
		return -1;
	}
	*out = c;
	return 0;
}
