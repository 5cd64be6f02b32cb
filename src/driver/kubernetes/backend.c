/*
 * The Kubernetes backend's table, its start and its end. Nothing waits for the API server: what
 * needs it is tried until it is there.
 */
#include "driver/kubernetes/kubernetes.h"

#include <stdlib.h>

#include "base/log.h"
#include "driver/kubernetes/kubernetes_impl.h"

static void version_changed(void *owner, enum sandbox_api api)
{
	struct kubernetes *k = owner;

	(void)api;
	watch_api(k->watch);
}

static void close_backend(struct backend *b)
{
	struct kubernetes *k = container_of(b, struct kubernetes, backend);

	/* first the operations: they hold requests, timers and places in the queues of the others */
	list_each(op, &k->ops, struct op, link)
		op_fail(op, GRPC_UNAVAILABLE, "the driver is ending");
	watch_free(k->watch);
	boxes_free(k);
	places_free(k);
	allowlist_free(k->allowlist);
	version_free(k->version);
	kube_client_free(k->client);
	free(k);
}

static int open_client(struct kubernetes *k, struct err *e)
{
	struct kube_config *config;

	if (kube_config_load(&config, k->options->kubeconfig, k->options->context, e) < 0)
		return -1;
	log_info("kubernetes", "server=%s origin=%s", config->server, config->origin);
	if (kube_client_new(&k->client, k->loop, config, e) < 0) {
		kube_config_free(config);
		return -1;
	}
	return 0;
}

static int open_backend(struct backend **out, const struct backend_env *env, struct err *e)
{
	struct kubernetes *k = xcalloc(1, sizeof(*k));

	k->backend.ops = &kubernetes_backend;
	k->loop = env->loop;
	k->registry = env->registry;
	k->options = env->config;
	list_init(&k->ops);
	list_init(&k->claimants);
	list_init(&k->looks);
	if (open_client(k, e) < 0) {
		close_backend(&k->backend);
		return -1;
	}
	if (k->options->workspace_mode == WORKSPACE_OPERATOR &&
	    allowlist_new(&k->allowlist, k->client, k->options, e) < 0) {
		close_backend(&k->backend);
		return -1;
	}
	k->watch = watch_new(k);
	k->version = version_new(k->client, k->options, version_changed, k);
	*out = &k->backend;
	return 0;
}

static size_t pending(const struct backend *b)
{
	return container_of(b, struct kubernetes, backend)->writing;
}

static void capabilities(struct backend *b, Openshell__Compute__V1__GetCapabilitiesResponse *out)
{
	const struct kubernetes *k = container_of(b, struct kubernetes, backend);

	out->default_image = k->options->sandbox_image;
	out->gateway_manages_lifecycle = false; /* pods outlive the gateway */
	out->supports_gpu = k->has_gpu;
}

const struct backend_ops kubernetes_backend = {
	.name = "kubernetes",
	.options = kubernetes_option_table,
	.n_options = KUBERNETES_OPTIONS,
	.config_size = sizeof(struct kubernetes_options),
	.check = kubernetes_options_check,
	.open = open_backend,
	.pending = pending,
	.close = close_backend,
	.capabilities = capabilities,
	.validate = validate_sandbox,
	.create = create_sandbox,
	.get = get_sandbox,
	.list = list_sandboxes,
	.stop = stop_sandbox,
	.start = start_sandbox,
	.delete = delete_sandbox,
	.resolve_endpoint = resolve_endpoint,
	.ensure_workspace = ensure_workspace,
	.delete_workspace = delete_workspace,
};
