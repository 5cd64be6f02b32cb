/*
 * What the tests of the Kubernetes backend's live part share: a backend that is opened on the fake
 * API server of fake_kube.h, brought to rest, and told of objects by its watch.
 */
#ifndef OPENSHELL_TEST_LIVE_H
#define OPENSHELL_TEST_LIVE_H

#include <fcntl.h>
#include <stdarg.h>
#include <unistd.h>

#include "driver/backend.h"
#include "driver/kubernetes/kubernetes_impl.h"
#include "driver/kubernetes/kubernetes.h"
#include "fake_kube.h"
#include "k8s.h"

#define ID "0b3e9a22-a861-934f-8000-0123456789ab"
#define SANDBOXES "/apis/agents.x-k8s.io/v1beta1/namespaces/default/sandboxes"
#define OLD_SANDBOXES "/apis/agents.x-k8s.io/v1alpha1/namespaces/default/sandboxes"
#define EMPTY_LIST "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[]}"

static struct kubernetes *k;
static struct backend *backend;
static struct registry *registry;
static struct grpc_call call;

/* Any: the client that is made from it is the fake one. */
static void write_kubeconfig(char path[64])
{
	static const char text[] =
		"clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
		"users: [{name: u, user: {}}]\n"
		"contexts: [{name: x, context: {cluster: c, user: u}}]\n"
		"current-context: x\n";
	_cleanup_close_ int fd = -1;

	strcpy(path, "/tmp/openshell-test-XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	EQ(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
}

/* Starts the backend with options; nothing is answered yet. */
UNUSED static void open_with(const char *arguments)
{
	struct backend_env env = {.config = options(arguments)};
	char path[64];
	struct err e;

	write_kubeconfig(path);
	setenv("KUBECONFIG", path, 1);
	EQ(loop_new(&env.loop, &e), 0);
	registry = env.registry = registry_new();
	if (kubernetes_backend.open(&backend, &env, &e) < 0)
		FAIL("%s", e.text);
	k = container_of(backend, struct kubernetes, backend);
	unlink(path);
}

UNUSED static void close_all(void)
{
	struct loop *l = k->loop;

	kubernetes_backend.close(backend);
	turn_for(0); /* what was put off, the end of the reflectors too */
	drop_requests();
	registry_free(registry);
	loop_free(l);
	arena_fini(&call.arena);
}

/* The version is chosen, every list told and every watch open: as in daily life. */
UNUSED static void settle_on(const char *version)
{
	char path[160];

	snprintf(path, sizeof(path), "agents.x-k8s.io/%s", version);
	answer(expect(KUBE_GET, "limit=1"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/version"), 200, "{\"minor\":\"34\"}");
	answer(expect(KUBE_GET, path), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/pods?"), 200, EMPTY_LIST);
	answer(expect(KUBE_GET, "/events?"), 200, EMPTY_LIST);
}

/* A backend at rest, and the watch of its objects. */
UNUSED static struct kube_request *settled(const char *arguments)
{
	struct kube_request *watch;

	open_with(arguments);
	settle_on("v1beta1");
	watch = expect(KUBE_GET,
		       "/sandboxes?labelSelector=openshell.ai%2Fmanaged-by%3Dopenshell&watch");
	watch->stream.opened(watch->stream.owner);
	return watch;
}

UNUSED static char *object_text(const char *version, const char *uid, const char *id,
				const char *more)
{
	return arena_printf(
		&test_arena,
		"{\"metadata\":{\"name\":\"team--box\",\"namespace\":\"default\","
		"\"uid\":\"%s\",\"resourceVersion\":\"%s\",\"generation\":1,"
		"\"labels\":{\"openshell.ai/managed-by\":\"openshell\","
		"\"openshell.ai/gateway-id\":\"openshell\","
		"\"openshell.ai/sandbox-id\":\"%s\",\"openshell.ai/sandbox-name\":\"box\","
		"\"openshell.ai/sandbox-workspace\":\"team\"}},"
		"\"spec\":{\"operatingMode\":\"Running\"}%s}",
		uid, version, id, more);
}

UNUSED static void watched(struct kube_request *watch, const char *type, const char *object)
{
	watch->stream.line(
		watch->stream.owner,
		str_of(arena_printf(&test_arena, "{\"type\":\"%s\",\"object\":%s}", type, object)));
}

#endif
