/* Container runtimes and clusters that a driver could use. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/unix_address.h"
#include "probe/probe_impl.h"

/* The first place in PATH that holds the program, or NULL; the caller's. */
static char *in_path(const char *program)
{
	const char *path = getenv("PATH");
	struct str rest = str_of(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin");

	while (rest.p != NULL) {
		struct str dir = str_cut(&rest, ':');
		_cleanup_free_ char *at = xasprintf("%.*s/%s", STR_FMT(dir), program);
		if (dir.n > 0 && access(at, X_OK) == 0)
			return steal(&at);
	}
	return NULL;
}

static void put_socket(cJSON *o, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct err e;

	if (access(path, F_OK) < 0)
		return;
	json_put_str(o, path, unix_connect(&fd, path, &e) == 0 ? "answers" : strerror(e.code));
}

void probe_runtimes(cJSON *o)
{
	static const char *const programs[] = {
		"podman",
		"docker",
		"crun",
		"runc",
		"containerd",
		"crio",
		"kubelet",
		"kubectl",
		"qemu-system-x86_64",
		"qemu-system-aarch64",
	};
	static const char *const sockets[] = {
		"/run/podman/podman.sock",
		"/var/run/docker.sock",
		"/run/containerd/containerd.sock",
		"/run/crio/crio.sock",
	};
	const char *runtime_dir = getenv("XDG_RUNTIME_DIR");

	for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
		_cleanup_free_ char *at = in_path(programs[i]);
		if (at != NULL)
			json_put_str(o, programs[i], at);
	}
	for (size_t i = 0; i < ARRAY_LEN(sockets); i++)
		put_socket(o, sockets[i]);
	if (!str_empty(runtime_dir)) {
		_cleanup_free_ char *own = xasprintf("%s/podman/podman.sock", runtime_dir);
		put_socket(o, own);
	}
	if (o->child == NULL)
		json_put_str(o, "found", "none");
}

/* The content of such a file is a secret: only whether it can be read is told. */
static void put_readable(cJSON *o, const char *key, const char *path)
{
	bool there = access(path, F_OK) == 0;
	const char *say = access(path, R_OK) == 0 ? "readable" : there ? "not readable" : "absent";
	_cleanup_free_ char *text = xasprintf("%s (%s)", path, say);

	json_put_str(o, key, text);
}

void probe_cluster(cJSON *o)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *config = getenv("KUBECONFIG");
	const char *home = getenv("HOME");

	json_put_bool(o, "in_cluster", !str_empty(host));
	if (!str_empty(host))
		put_readable(o, "service_account_token",
			     "/var/run/secrets/kubernetes.io/serviceaccount/token");
	if (!str_empty(config))
		json_put_str(o, "KUBECONFIG", config);
	if (!str_empty(home)) {
		_cleanup_free_ char *path = xasprintf("%s/.kube/config", home);
		put_readable(o, "kubeconfig", path);
	}
}
