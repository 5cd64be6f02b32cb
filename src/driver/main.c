/*
 * The driver door: reads the command line, listens, starts the backend, serves until a signal ends
 * it. It listens before it knows whether the platform can be reached, since a gateway that finds no
 * socket for 30 seconds gives up (driver contract 1.3), and a platform may be away for longer.
 *
 *   starting --> serving --SIGTERM, SIGINT--> draining --> flushing --> end
 *                                                |            |
 *                                                +--a second signal--> end at once
 *   draining: no new connection nor call; watches end; calls may finish
 *   flushing: operations whose callers are gone may finish
 *   both together take DRAIN_MS at most
 */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "base/version.h"
#include "doors.h"
#include "driver/backend.h"
#include "driver/listen.h"
#include "driver/notify.h"
#include "driver/options.h"
#include "driver/registry.h"
#include "driver/service.h"
#include "grpc/health.h"
#include "grpc/reflection.h"
#include "grpc/server.h"
#include "net/unix.h"

enum {
	DRAIN_MS = 10000,
	FLUSH_LOOK_MS = 20, /* how often the backend is asked whether it is done */
	EXIT_USAGE = 2,
};

struct driver {
	struct driver_options *options;
	struct loop *loop;
	struct registry *registry;
	struct backend *backend;
	struct grpc_server *server;
	struct grpc_health *health;
	struct service service;
	struct listen_users users;
	struct unix_path socket;
	struct timer flush;
	int64_t deadline; /* of draining and flushing; 0 while serving */
};

static int listen_all(struct driver *d, struct err *e)
{
	const struct driver_options *o = d->options;
	int fd;

	d->users = (struct listen_users){.uids = o->allow_uids, .n = o->n_allow_uids};
	if (!str_empty(o->socket)) {
		if (unix_listen(&fd, &d->socket, "driver socket", o->socket,
				o->n_allow_uids > 0 ? UNIX_EVERYONE : UNIX_OWNER, e) < 0 ||
		    grpc_server_listen(d->server, fd, listen_admit, &d->users, e) < 0)
			return -1;
	}
	if (!str_empty(o->bind_address)) {
		if (listen_loopback(&fd, o->bind_address, e) < 0 ||
		    grpc_server_listen(d->server, fd, NULL, NULL, e) < 0)
			return -1;
		log_warn("serving on TCP without authentication: every user of this machine can "
			 "command this driver",
			 "address=%s", o->bind_address);
	}
	return 0;
}

/* --- the end --- */

static void flush_look(struct timer *t)
{
	struct driver *d = container_of(t, struct driver, flush);
	size_t pending = d->backend->ops->pending(d->backend);

	if (pending > 0 && mono_ms() < d->deadline) {
		timer_set(d->loop, t, FLUSH_LOOK_MS);
		return;
	}
	if (pending > 0)
		log_warn("operations are cut off by the end of the driver", "count=%zu", pending);
	loop_stop(d->loop, EXIT_SUCCESS);
}

static void on_drained(void *arg)
{
	struct driver *d = arg;
	flush_look(&d->flush);
}

static void on_signal(int signo, void *arg)
{
	struct driver *d = arg;

	if (d->deadline != 0) {
		log_warn("second signal: ending at once", "signal=%d", signo);
		_exit(128 + signo);
	}
	log_info("ending", "signal=%d calls=%zu", signo, grpc_server_calls(d->server));
	notify_service_manager("STOPPING=1");
	d->deadline = mono_ms() + DRAIN_MS;
	/* While the socket is still open, so that nobody can take the path for abandoned before. */
	unix_path_remove(&d->socket);
	grpc_health_set(d->health, "", GRPC_HEALTH_NOT_SERVING);
	grpc_health_set(d->health, SERVICE_NAME, GRPC_HEALTH_NOT_SERVING);
	grpc_server_drain(d->server, DRAIN_MS, on_drained, d);
}

/* --- the beginning --- */

static int start(struct driver *d, struct err *e)
{
	const struct driver_options *o = d->options;
	const struct grpc_config config = GRPC_CONFIG_DEFAULT;

	signal(SIGPIPE, SIG_IGN);
	d->flush.fire = flush_look;
	if (loop_new(&d->loop, e) < 0 || loop_signal(d->loop, SIGTERM, on_signal, d, e) < 0 ||
	    loop_signal(d->loop, SIGINT, on_signal, d, e) < 0)
		return -1;
	d->registry = registry_new();
	d->server = grpc_server_new(d->loop, &config);
	if (listen_all(d, e) < 0)
		return -1;

	const struct backend_env env = {d->loop, d->registry, o->backend_config};
	if (o->backend->open(&d->backend, &env, e) < 0)
		return -1;
	d->service = (struct service){d->loop, d->registry, d->backend, o->driver_name};
	service_add(&d->service, d->server);
	d->health = grpc_health_new(d->server);
	grpc_health_set(d->health, SERVICE_NAME, GRPC_HEALTH_SERVING);
	grpc_reflection_add(d->server);
	log_info("serving", "version=%s backend=%s socket=%s address=%s", OPENSHELL_VERSION,
		 o->backend->name, o->socket, o->bind_address);
	notify_service_manager("READY=1");
	return 0;
}

/* Calls first: ending them ends the streams that read from the registry. */
static void release(struct driver *d)
{
	unix_path_remove(&d->socket);
	grpc_server_free(d->server);
	grpc_health_free(d->health);
	if (d->backend != NULL)
		d->backend->ops->close(d->backend);
	registry_free(d->registry);
	loop_free(d->loop);
	driver_options_free(d->options);
}

static void print_help(void)
{
	puts("usage: openshell-driver [option...]\n\n"
	     "Serves the OpenShell compute-driver contract on a Unix socket. An option wins over "
	     "its\n"
	     "environment variable.\n");
	driver_options_help(stdout);
}

int driver_main(int argc, char **argv)
{
	struct driver d = {0};
	struct err e;
	int status = EXIT_FAILURE;

	if (driver_options_parse(&d.options, argc, argv, &e) < 0) {
		fprintf(stderr, "openshell-driver: %s\n", e.text);
		driver_options_free(d.options);
		return EXIT_USAGE;
	}
	if (d.options->help || d.options->version) {
		if (d.options->help)
			print_help();
		else
			puts("openshell-driver " OPENSHELL_VERSION);
		driver_options_free(d.options);
		return EXIT_SUCCESS;
	}
	log_set_level(d.options->log_level);
	log_set_format(d.options->log_format);
	if (start(&d, &e) < 0)
		log_error("the driver cannot start", "error=%s", e.text);
	else
		status = loop_run(d.loop);
	release(&d);
	return status;
}
