/*
 * The command line of the door `sandbox` (supervisor contract 1.2) as one table. No I/O.
 *
 * The environment of a container is its driver's, but an image may set (ENV) what the driver does not. So
 * what could weaken the wall is taken from argv alone: --min-rung, the corporate proxy, and the binary identity
 * `relaxed` (OPENSHELL_NETWORK_BINARY_IDENTITY is not followed, which is told). OPENSHELL_NETWORK_MODE is how
 * our drivers hand on what a sandbox's owner chose, and is followed; under a driver that does not set it an
 * image could. --min-rung is proof against that. And a policy that only the environment names does not take the
 * place of a gateway's.
 */
#ifndef OPENSHELL_SUPERVISOR_OPTIONS_H
#define OPENSHELL_SUPERVISOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "isolate/ladder.h"

enum network_mode {
	NETWORK_ISOLATED, /* a rung that enforces, or no sandbox at all */
	NETWORK_AUTO,     /* the first rung that works */
	NETWORK_HOST,     /* the host's network, observed */
	NETWORK_MODE_COUNT,
};

/* "isolated", "auto", "host". */
const char *network_mode_name(enum network_mode m);

/* Strings are never NULL; "" is not given. */
struct sandbox_options {
	char *workdir;
	int64_t timeout; /* seconds; 0: none */
	bool interactive;
	char *sandbox_id, *sandbox, *endpoint;
	int64_t poll_secs; /* as given */
	char *policy_rules, *policy_data;
	char *ssh_socket_path, *inference_routes;
	char *network_mode_name, *min_rung_name, *binary_identity_name;
	char *upstream_proxy, *upstream_no_proxy, *upstream_auth_file;
	bool upstream_auth_allow_insecure, upstream_by_hostname;
	char *log_level_name, *log_dir;
	bool ocsf_json;
	/* what only other topologies use, and what upstream itself takes and does nothing with */
	char *mode, *sidecar_state_dir, *sidecar_tls_dir;
	int64_t proxy_uid, proxy_gid, health_port;
	bool health_check;
	bool help, version;

	/* what follows from them */
	enum network_mode network_mode;
	const char *network_mode_from; /* who chose it: "--network-mode", the variable, "default" */
	enum rung min_rung;
	bool identity_relaxed; /* any program may do what the policy allows some */
	enum log_level log_level;
	char *const
		*command; /* the trailing arguments, borrowed from argv; NULL when there are none */
};

/* Reads them; *out is released by sandbox_options_fini, also on failure. With help or version nothing is
 * checked. */
int sandbox_options_parse(struct sandbox_options *out, int argc, char **argv, struct err *e);
void sandbox_options_fini(struct sandbox_options *o);

/* Whether a gateway is to be called: both its endpoint and this sandbox's id are known. */
bool sandbox_options_gateway(const struct sandbox_options *o);

void sandbox_options_help(FILE *f);

#endif
