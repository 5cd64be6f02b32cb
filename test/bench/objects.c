/*
 * Load on the API server itself, as the measure beside the driver's:
 *
 *   bench objects KUBECONFIG NAMESPACE post INFLIGHT COUNT FILE    POSTs of FILE's object under COUNT names
 *   bench objects KUBECONFIG NAMESPACE stir RATE SECONDS COUNT PREFIX   status patches, RATE a second, of the
 *                                                            objects PREFIX-0 … PREFIX-(COUNT-1)
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
	const char *ns, *prefix;
	size_t started, wanted, ended, failed, count;
	int64_t start_us, until_us, rate;
	struct timer tick;
	cJSON *object;
	char error[256];
};

static void post(struct load *l);

static void note(struct load *l, const struct kube_answer *a)
{
	l->ended++;
	if (a->error == NULL)
		return;
	l->failed++;
	snprintf(l->error, sizeof l->error, "%s: %.200s", kube_fault_name(a->error->fault),
		 a->error->message);
}

static void posted(void *owner, struct kube_answer *a)
{
	struct load *l = owner;

	note(l, a);
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

static void stirred(void *owner, struct kube_answer *a)
{
	struct load *l = owner;

	note(l, a);
	if (bench_us() >= l->until_us && l->ended == l->started)
		loop_stop(l->loop, 0);
}

static void stir(struct load *l)
{
	_cleanup_free_ char *name = xasprintf("%s-%zu", l->prefix, l->started % l->count);
	_cleanup_free_ char *path = kube_path(&sandboxes, l->ns, name, "status");
	_cleanup_free_ char *message = xasprintf("round %zu", l->started++);
	_cleanup_json_ cJSON *patch = json_object();
	cJSON *c = json_add_object(json_put_array(json_put_object(patch, "status"), "conditions"));

	json_put_str(c, "type", "Ready");
	json_put_str(c, "status", "False");
	json_put_str(c, "reason", "DependenciesNotReady");
	json_put_str(c, "message", message);
	json_put_str(c, "lastTransitionTime", "2026-01-01T00:00:00Z");
	kube_call(l->client, &(struct kube_call){.method = KUBE_PATCH,
						 .type = KUBE_MERGE_PATCH,
						 .path = path,
						 .body = patch,
						 .done = stirred,
						 .owner = l});
}

static void tick(struct timer *t)
{
	struct load *l = container_of(t, struct load, tick);
	int64_t now = bench_us();

	while (now < l->until_us && (int64_t)l->started < (now - l->start_us) * l->rate / 1000000 &&
	       l->started - l->ended < 256)
		stir(l);
	if (now < l->until_us)
		timer_set(l->loop, t, 5);
	else if (l->ended == l->started)
		loop_stop(l->loop, 0);
}

int objects_main(int argc, char **argv)
{
	struct load l = {0};
	struct kube_config *config;
	struct err e;

	if (argc < 7)
		die("usage: bench objects KUBECONFIG NAMESPACE post|stir …");
	if (loop_new(&l.loop, &e) < 0 || kube_config_load(&config, argv[1], NULL, &e) < 0 ||
	    kube_client_new(&l.client, l.loop, config, &e) < 0)
		die("%s", e.text);
	l.ns = argv[2];
	l.start_us = bench_us();
	if (streq(argv[3], "post")) {
		l.wanted = (size_t)atol(argv[5]);
		l.object = bench_read_json(argv[6]);
		for (int i = 0; i < atoi(argv[4]) && l.started < l.wanted; i++)
			post(&l);
	} else if (streq(argv[3], "stir") && argc == 8) {
		l.rate = atol(argv[4]);
		l.until_us = l.start_us + atol(argv[5]) * 1000000;
		l.count = (size_t)atol(argv[6]);
		l.prefix = argv[7];
		l.tick.fire = tick;
		timer_set(l.loop, &l.tick, 0);
	} else {
		die("objects: what is '%s'?", argv[3]);
	}
	loop_run(l.loop);
	double seconds = (double)(bench_us() - l.start_us) / 1e6;
	printf("calls=%zu failed=%zu seconds=%.3f rate=%.1f\n", l.ended, l.failed, seconds,
	       (double)l.ended / seconds);
	if (l.error[0] != '\0')
		fprintf(stderr, "objects: %s\n", l.error);
	return l.failed != 0;
}
