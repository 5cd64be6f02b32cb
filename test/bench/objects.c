/*
 * Load on the API server itself, as the measure beside the driver's:
 *
 *   bench objects KUBECONFIG NAMESPACE post INFLIGHT COUNT FILE
 *       POSTs of FILE's Sandbox object under COUNT names, INFLIGHT at a time
 *
 * One line of key=value on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#include "kube/client.h"

static const struct kube_resource sandboxes = {"agents.x-k8s.io", "v1beta1", "sandboxes"};

struct load {
	struct loop *loop;
	struct kube_client *client;
	const char *ns;
	size_t started, wanted, ended, failed;
	cJSON *object;
	char error[256];
};

static void post(struct load *l);

static void posted(void *owner, struct kube_answer *a)
{
	struct load *l = owner;

	l->ended++;
	if (a->error != NULL) {
		l->failed++;
		snprintf(l->error, sizeof l->error, "%s: %.200s", kube_fault_name(a->error->fault),
			 a->error->message);
	}
	if (l->started < l->wanted)
		post(l);
	else if (l->ended == l->started)
		loop_stop(l->loop, 0);
}

static void post(struct load *l)
{
	_cleanup_free_ char *path = kube_path(&sandboxes, l->ns, NULL, NULL);
	_cleanup_free_ char *name = xasprintf("p%x-%zu", (unsigned)getpid() & 0xffff, l->started++);

	json_put_str(json_get(l->object, "metadata"), "name", name);
	kube_call(l->client, &(struct kube_call){.method = KUBE_POST,
						 .path = path,
						 .body = l->object,
						 .done = posted,
						 .owner = l});
}

int objects_main(int argc, char **argv)
{
	struct load l = {0};
	struct kube_config *config;
	struct err e;

	if (argc != 7 || !streq(argv[3], "post"))
		die("usage: bench objects KUBECONFIG NAMESPACE post INFLIGHT COUNT FILE");
	if (loop_new(&l.loop, &e) < 0 || kube_config_load(&config, argv[1], NULL, &e) < 0 ||
	    kube_client_new(&l.client, l.loop, config, &e) < 0)
		die("%s", e.text);
	l.ns = argv[2];
	l.wanted = (size_t)atol(argv[5]);
	l.object = bench_read_json(argv[6]);
	int64_t start = bench_us();
	for (int i = 0; i < atoi(argv[4]) && l.started < l.wanted; i++)
		post(&l);
	loop_run(l.loop);
	double seconds = (double)(bench_us() - start) / 1e6;
	printf("calls=%zu failed=%zu seconds=%.3f rate=%.1f\n", l.ended, l.failed, seconds,
	       (double)l.ended / seconds);
	if (l.error[0] != '\0')
		fprintf(stderr, "objects: %s\n", l.error);
	return l.failed != 0;
}
