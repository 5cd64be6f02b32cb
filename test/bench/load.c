/*
 * Load on a compute driver's socket, ours or a peer's: it uses nothing but the contract.
 *
 *   bench load SOCKET unary INFLIGHT SECONDS       GetCapabilities, INFLIGHT at a time
 *   bench load SOCKET create INFLIGHT COUNT FILE PREFIX   CreateSandbox of FILE's sandbox, as PREFIX-0…
 *   bench load SOCKET list                         one ListSandboxes
 *   bench load SOCKET watch READERS SECONDS        as many WatchSandboxes streams
 *
 * One line of key=value on stdout.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#include "compute_driver.pb-c.h"
#include "grpc/client.h"
#include "wire/json.h"

#define SERVICE "/openshell.compute.v1.ComputeDriver/"

struct load {
	struct loop *loop;
	struct grpc_channel *channel;
	size_t started, wanted, ended, failed, messages, sandboxes;
	int64_t until_us; /* no new calls after that; 0: as many as wanted */
	struct bench_times times;
	cJSON *sandbox; /* create: the template */
	const char *prefix;
	struct timer clock;
	char error[256];
};

struct shot {
	struct load *load;
	int64_t start_us;
	size_t messages;
};

static void fire(struct load *l);

static bool more(const struct load *l)
{
	return l->until_us ? bench_us() < l->until_us : l->started < l->wanted;
}

static void on_ended(struct grpc_rpc *r, enum grpc_status status, struct str text)
{
	struct shot *s = grpc_rpc_user(r);
	struct load *l = s->load;

	bench_add(&l->times, bench_us() - s->start_us);
	free(s);
	l->ended++;
	if (status != GRPC_OK) {
		l->failed++;
		snprintf(l->error, sizeof l->error, "%s: %.*s", grpc_status_name(status),
			 STR_FMT(text));
	}
	if (more(l))
		fire(l);
	else if (l->ended == l->started)
		loop_stop(l->loop, 0);
}

static const struct grpc_rpc_ops unary_ops = {.ended = on_ended};

static void create(struct load *l, struct shot *s)
{
	static const struct grpc_rpc_config cfg = {
		.path = SERVICE "CreateSandbox",
		.out = &openshell__compute__v1__create_sandbox_response__descriptor,
	};
	_cleanup_arena_ struct arena arena = ARENA_INIT(1 << 20);
	_cleanup_json_ cJSON *request = json_object();
	cJSON *sandbox = json_put(request, "sandbox", json_copy(l->sandbox));
	struct err e;
	char id[64];

	snprintf(id, sizeof id, "%08zx-0000-4000-8000-%012x", l->started, (unsigned)getpid());
	json_put_str(sandbox, "id", id);
	snprintf(id, sizeof id, "%s-%zu", l->prefix, l->started - 1);
	json_put_str(sandbox, "name", id);
	void *message = wire_from_json(&openshell__compute__v1__create_sandbox_request__descriptor,
				       request, &arena, &e);
	if (message == NULL)
		die("%s", e.text);
	grpc_rpc_call(l->channel, &cfg, message, &unary_ops, s);
}

static void fire(struct load *l)
{
	static const struct grpc_rpc_config cfg = {
		.path = SERVICE "GetCapabilities",
		.out = &openshell__compute__v1__get_capabilities_response__descriptor,
	};
	Openshell__Compute__V1__GetCapabilitiesRequest request =
		OPENSHELL__COMPUTE__V1__GET_CAPABILITIES_REQUEST__INIT;
	struct shot *s = xcalloc(1, sizeof *s);

	*s = (struct shot){.load = l, .start_us = bench_us()};
	l->started++;
	if (l->sandbox != NULL)
		create(l, s);
	else
		grpc_rpc_call(l->channel, &cfg, &request, &unary_ops, s);
}

static void run_calls(struct load *l, int inflight)
{
	int64_t start = bench_us();

	for (int i = 0; i < inflight && more(l); i++)
		fire(l);
	loop_run(l->loop);
	int64_t us = bench_us() - start;
	printf("calls=%zu failed=%zu seconds=%.3f rate=%.1f p50_us=%lld p99_us=%lld\n", l->ended,
	       l->failed, (double)us / 1e6, (double)l->ended * 1e6 / (double)us,
	       (long long)bench_percentile(&l->times, 50),
	       (long long)bench_percentile(&l->times, 99));
}

static void count_sandboxes(struct grpc_rpc *r, void *message)
{
	struct shot *s = grpc_rpc_user(r);
	const Openshell__Compute__V1__ListSandboxesResponse *m = message;

	s->load->sandboxes = m->n_sandboxes;
}

static void run_list(struct load *l)
{
	static const struct grpc_rpc_config cfg = {
		.path = SERVICE "ListSandboxes",
		.out = &openshell__compute__v1__list_sandboxes_response__descriptor,
	};
	static const struct grpc_rpc_ops ops = {.message = count_sandboxes, .ended = on_ended};
	Openshell__Compute__V1__ListSandboxesRequest request =
		OPENSHELL__COMPUTE__V1__LIST_SANDBOXES_REQUEST__INIT;
	struct shot *s = xcalloc(1, sizeof *s);

	*s = (struct shot){.load = l, .start_us = bench_us()};
	l->started = 1;
	grpc_rpc_call(l->channel, &cfg, &request, &ops, s);
	loop_run(l->loop);
	printf("sandboxes=%zu failed=%zu ms=%.1f\n", l->sandboxes, l->failed,
	       (double)bench_percentile(&l->times, 50) / 1000);
}

static void count_message(struct grpc_rpc *r, void *message UNUSED)
{
	struct shot *s = grpc_rpc_user(r);

	s->messages++;
	s->load->messages++;
}

static void time_over(struct timer *t)
{
	loop_stop(container_of(t, struct load, clock)->loop, 0);
}

static void run_watch(struct load *l, size_t readers, int64_t seconds)
{
	static const struct grpc_rpc_config cfg = {
		.path = SERVICE "WatchSandboxes",
		.out = &openshell__compute__v1__watch_sandboxes_event__descriptor,
		.streams = true,
	};
	static const struct grpc_rpc_ops ops = {.message = count_message, .ended = on_ended};
	Openshell__Compute__V1__WatchSandboxesRequest request =
		OPENSHELL__COMPUTE__V1__WATCH_SANDBOXES_REQUEST__INIT;
	struct shot **shots = xcalloc(readers, sizeof(struct shot *));
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < readers; i++) {
		shots[i] = xcalloc(1, sizeof *shots[i]);
		shots[i]->load = l;
		l->started++;
		grpc_rpc_call(l->channel, &cfg, &request, &ops, shots[i]);
	}
	l->clock.fire = time_over;
	timer_set(l->loop, &l->clock, seconds * 1000);
	loop_run(l->loop);
	for (size_t i = 0; i < readers && l->ended == 0; i++)
		least = MIN(least, shots[i]->messages);
	printf("readers=%zu messages=%zu least=%zu ended=%zu\n", readers, l->messages,
	       l->ended ? 0 : least, l->ended);
}

int load_main(int argc, char **argv)
{
	struct load l = {0};
	struct err e;
	const char *mode = argc > 2 ? argv[2] : "";

	if (argc < 3)
		die("usage: bench load SOCKET unary|create|list|watch …");
	if (loop_new(&l.loop, &e) < 0 ||
	    grpc_channel_unix(&l.channel, l.loop, argv[1], &GRPC_CHANNEL_CONFIG_DEFAULT, NULL, NULL,
			      &e) < 0)
		die("%s", e.text);
	if (streq(mode, "unary") && argc == 5) {
		l.until_us = bench_us() + atol(argv[4]) * 1000000;
		run_calls(&l, atoi(argv[3]));
	} else if (streq(mode, "create") && argc == 7) {
		l.prefix = argv[6];
		l.wanted = (size_t)atol(argv[4]);
		l.sandbox = bench_read_json(argv[5]);
		run_calls(&l, atoi(argv[3]));
	} else if (streq(mode, "list")) {
		run_list(&l);
	} else if (streq(mode, "watch") && argc == 5) {
		run_watch(&l, (size_t)atol(argv[3]), atol(argv[4]));
	} else {
		die("load: what is '%s'?", mode);
	}
	if (l.error[0] != '\0')
		fprintf(stderr, "load: %s\n", l.error);
	return l.failed != 0;
}
