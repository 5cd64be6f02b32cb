#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/options.h"

#define AT(member) offsetof(struct sandbox_options, member)
#define NETWORK_MODE_ENV "OPENSHELL_NETWORK_MODE"
#define POLICY_DATA_ENV "OPENSHELL_POLICY_DATA"
#define POLICY_RULES_ENV "OPENSHELL_POLICY_RULES"

enum { TIMEOUT_MAX = 366 * 24 * 3600 };

static const char *const mode_names[] = {"isolated", "auto", "host"};
_Static_assert(ARRAY_LEN(mode_names) == NETWORK_MODE_COUNT, "a name for each mode");

/* Names, variables and defaults of supervisor contract 1.2; the group "Wall" is ours. */
static const struct opt table[] = {
	{.name = "workdir",
	 .alias = "w",
	 .arg = "DIR",
	 .kind = OPT_STR,
	 .offset = AT(workdir),
	 .group = "Workload",
	 .help = "where it starts, and what it may write when the policy includes it; else it "
		 "starts "
		 "here"},
	{.name = "timeout",
	 .alias = "t",
	 .arg = "SECONDS",
	 .def = "0",
	 .kind = OPT_INT,
	 .offset = AT(timeout),
	 .help = "end it after so long, with status 124; 0: never"},
	{.name = "interactive",
	 .alias = "i",
	 .kind = OPT_FLAG,
	 .offset = AT(interactive),
	 .help = "what is typed here goes to it; on a terminal it gets one of its own"},
	{.name = "network-mode",
	 .arg = "MODE",
	 .kind = OPT_STR,
	 .offset = AT(network_mode_name),
	 .group = "Wall",
	 .help = "isolated: egress is enforced, or nothing starts; auto (default): the first rung "
		 "of "
		 "the ladder that works; host: the host's network, observed. "
		 "Also " NETWORK_MODE_ENV},
	{.name = "min-rung",
	 .arg = "RUNG",
	 .def = "host",
	 .kind = OPT_STR,
	 .offset = AT(min_rung_name),
	 .help = "the lowest rung to go down to: pocket, userns or host"},
	{.name = "binary-identity",
	 .arg = "MODE",
	 .def = "required",
	 .kind = OPT_STR,
	 .offset = AT(binary_identity_name),
	 .help = "required: the policy's binaries count; relaxed: any program may do what some "
		 "may"},
	{.name = "policy-data",
	 .arg = "PATH",
	 .kind = OPT_STR,
	 .offset = AT(policy_data),
	 .group = "Policy",
	 .help = "the policy, YAML; also " POLICY_DATA_ENV " where no gateway is named"},
	{.name = "policy-rules",
	 .arg = "PATH",
	 .kind = OPT_STR,
	 .offset = AT(policy_rules),
	 .help = "a Rego file; accepted and not interpreted: its meaning is built in. Also "
		 "" POLICY_RULES_ENV},
	{.name = "upstream-proxy",
	 .arg = "URL",
	 .kind = OPT_STR,
	 .offset = AT(upstream_proxy),
	 .group = "Corporate proxy",
	 .help = "http://host:port by which tunnels leave"},
	{.name = "upstream-no-proxy",
	 .arg = "LIST",
	 .kind = OPT_STR,
	 .offset = AT(upstream_no_proxy),
	 .help = "names, addresses and CIDRs that are reached without it"},
	{.name = "upstream-proxy-auth-file",
	 .arg = "PATH",
	 .kind = OPT_STR,
	 .offset = AT(upstream_auth_file),
	 .help = "user:password"},
	{.name = "upstream-proxy-auth-allow-insecure",
	 .kind = OPT_FLAG,
	 .offset = AT(upstream_auth_allow_insecure),
	 .help = "send them over plain http; needed with an auth file"},
	{.name = "upstream-proxy-connect-by-hostname",
	 .kind = OPT_FLAG,
	 .offset = AT(upstream_by_hostname),
	 .help = "CONNECT names the host instead of the address that was checked"},
	{.name = "sandbox-id",
	 .env = "OPENSHELL_SANDBOX_ID",
	 .arg = "UUID",
	 .kind = OPT_STR,
	 .offset = AT(sandbox_id),
	 .group = "Gateway",
	 .help = "this sandbox, as its gateway knows it"},
	{.name = "sandbox",
	 .env = "OPENSHELL_SANDBOX",
	 .arg = "NAME",
	 .kind = OPT_STR,
	 .offset = AT(sandbox),
	 .help = "its name"},
	{.name = "openshell-endpoint",
	 .env = "OPENSHELL_ENDPOINT",
	 .arg = "URL",
	 .kind = OPT_STR,
	 .offset = AT(endpoint),
	 .help = "the gateway: http:// or https://"},
	{.env = "OPENSHELL_POLICY_POLL_INTERVAL_SECS",
	 .arg = "SECONDS",
	 .def = "10",
	 .kind = OPT_INT,
	 .offset = AT(poll_secs),
	 .help = "how often it is asked for a new policy, from 1 to 60"},
	{.name = "ssh-socket-path",
	 .env = "OPENSHELL_SSH_SOCKET_PATH",
	 .arg = "PATH",
	 .kind = OPT_STR,
	 .offset = AT(ssh_socket_path),
	 .help = "accepted; for sessions of a gateway"},
	{.name = "inference-routes",
	 .env = "OPENSHELL_INFERENCE_ROUTES",
	 .arg = "PATH",
	 .kind = OPT_STR,
	 .offset = AT(inference_routes),
	 .help = "accepted; for a gateway's inference"},
	{.name = "log-level",
	 .env = "OPENSHELL_LOG_LEVEL",
	 .arg = "LEVEL",
	 .def = "warn",
	 .kind = OPT_STR,
	 .offset = AT(log_level_name),
	 .group = "Logs",
	 .help = "error, warn, info or debug; a plain level in RUST_LOG wins"},
	{.name = "log-dir",
	 .arg = "DIR",
	 .def = "/var/log",
	 .kind = OPT_STR,
	 .offset = AT(log_dir),
	 .help = "where the daily files of logs and events are kept"},
	{.name = "ocsf-json",
	 .kind = OPT_FLAG,
	 .offset = AT(ocsf_json),
	 .help = "also keep the events as OCSF records, one JSON object a line"},
	{.name = "mode",
	 .arg = "LIST",
	 .def = "network,process",
	 .kind = OPT_STR,
	 .offset = AT(mode),
	 .group = "Accepted, for command lines made for other supervisors",
	 .help = "network,process; the halves of topology sidecar are refused"},
	{.name = "proxy-uid",
	 .env = "OPENSHELL_PROXY_UID",
	 .arg = "UID",
	 .def = "1337",
	 .kind = OPT_INT,
	 .offset = AT(proxy_uid),
	 .help = "of topology sidecar"},
	{.name = "proxy-gid",
	 .env = "OPENSHELL_PROXY_GID",
	 .arg = "GID",
	 .def = "1337",
	 .kind = OPT_INT,
	 .offset = AT(proxy_gid),
	 .help = "of topology sidecar"},
	{.name = "sidecar-state-dir",
	 .env = "OPENSHELL_SIDECAR_STATE_DIR",
	 .arg = "DIR",
	 .kind = OPT_STR,
	 .offset = AT(sidecar_state_dir),
	 .help = "of topology sidecar"},
	{.name = "sidecar-tls-dir",
	 .env = "OPENSHELL_PROXY_TLS_DIR",
	 .arg = "DIR",
	 .kind = OPT_STR,
	 .offset = AT(sidecar_tls_dir),
	 .help = "of topology sidecar"},
	{.name = "health-check",
	 .kind = OPT_FLAG,
	 .offset = AT(health_check),
	 .help = "without effect, as upstream"},
	{.name = "health-port",
	 .arg = "PORT",
	 .def = "8080",
	 .kind = OPT_INT,
	 .offset = AT(health_port),
	 .help = "without effect, as upstream"},
	{.name = "help", .alias = "h", .kind = OPT_FLAG, .offset = AT(help), .help = "print this"},
	{.name = "version", .kind = OPT_FLAG, .offset = AT(version), .help = "print the version"},
};

const char *network_mode_name(enum network_mode m)
{
	must(m >= 0 && m < NETWORK_MODE_COUNT);
	return mode_names[m];
}

static int mode_parse(const char *text, enum network_mode *out)
{
	for (int i = 0; i < NETWORK_MODE_COUNT; i++) {
		if (streq(text, mode_names[i])) {
			*out = (enum network_mode)i;
			return 0;
		}
	}
	return -1;
}

static int check_network_mode(struct sandbox_options *o, struct err *e)
{
	const char *env = getenv(NETWORK_MODE_ENV);
	bool argv = !str_empty(o->network_mode_name);
	const char *text = argv ? o->network_mode_name : env;

	o->network_mode = NETWORK_AUTO;
	o->network_mode_from = "default";
	if (str_empty(text))
		return 0;
	o->network_mode_from = argv ? "--network-mode" : NETWORK_MODE_ENV;
	if (mode_parse(text, &o->network_mode) < 0)
		return err_set(e, EINVAL, "%s '%s' is none of: isolated, auto, host",
			       o->network_mode_from, text);
	return 0;
}

static int check_min_rung(struct sandbox_options *o, struct err *e)
{
	for (int i = 0; i < RUNG_COUNT; i++) {
		if (streq(o->min_rung_name, rung_name((enum rung)i))) {
			o->min_rung = (enum rung)i;
			if (o->network_mode == NETWORK_HOST && o->min_rung < RUNG_HOST)
				return err_set(e, EINVAL, "%s host contradicts --min-rung %s",
					       o->network_mode_from, o->min_rung_name);
			return 0;
		}
	}
	return err_set(e, EINVAL, "--min-rung '%s' is none of: pocket, userns, host",
		       o->min_rung_name);
}

static int check_binary_identity(struct sandbox_options *o, struct err *e)
{
	o->identity_relaxed = streq(o->binary_identity_name, "relaxed");
	if (!o->identity_relaxed && !streq(o->binary_identity_name, "required"))
		return err_set(e, EINVAL, "--binary-identity '%s' is neither required nor relaxed",
			       o->binary_identity_name);
	return 0;
}

/* Which halves of the supervisor this process is to be; here it is always both. */
static int check_topology(const struct sandbox_options *o, struct err *e)
{
	struct str rest = str_of(o->mode);
	bool network = false, process = false;

	while (rest.p != NULL) {
		struct str item = str_trim(str_cut(&rest, ','));
		if (str_is(item, "network"))
			network = true;
		else if (str_is(item, "process"))
			process = true;
		else if (!str_is(item, "network-init"))
			return err_set(e, EINVAL,
				       "--mode '%s': each is network, process or network-init",
				       o->mode);
	}
	if (!network || !process)
		return err_set(e, ENOTSUP,
			       "--mode '%s': topology sidecar is not supported; this supervisor "
			       "is network,process in one container",
			       o->mode);
	return 0;
}

bool sandbox_options_gateway(const struct sandbox_options *o)
{
	return !str_empty(o->sandbox_id) && !str_empty(o->endpoint);
}

static void take_policy_from_environment(struct sandbox_options *o)
{
	const char *data = getenv(POLICY_DATA_ENV), *rules = getenv(POLICY_RULES_ENV);

	if (sandbox_options_gateway(o))
		return;
	if (str_empty(o->policy_data) && !str_empty(data)) {
		free(o->policy_data);
		o->policy_data = xstrdup(data);
	}
	if (str_empty(o->policy_rules) && !str_empty(rules)) {
		free(o->policy_rules);
		o->policy_rules = xstrdup(rules);
	}
}

static int check(struct sandbox_options *o, struct err *e)
{
	if (log_level_choose(o->log_level_name, &o->log_level, e) < 0 || check_topology(o, e) < 0 ||
	    check_network_mode(o, e) < 0 || check_min_rung(o, e) < 0 ||
	    check_binary_identity(o, e) < 0)
		return -1;
	if (o->timeout < 0 || o->timeout > TIMEOUT_MAX)
		return err_set(e, EINVAL, "--timeout: not a number of seconds from 0 to %d",
			       TIMEOUT_MAX);
	if (!str_empty(o->workdir) && o->workdir[0] != '/')
		return err_set(e, EINVAL, "--workdir '%s' is not absolute", o->workdir);
	take_policy_from_environment(o);
	return 0;
}

int sandbox_options_parse(struct sandbox_options *out, int argc, char **argv, struct err *e)
{
	int rest;

	*out = (struct sandbox_options){0};
	if (opt_parse(table, ARRAY_LEN(table), out, argc, argv, &rest, e) < 0)
		return -1;
	if (out->help || out->version)
		return 0;
	if (rest < argc)
		out->command = argv + rest;
	return check(out, e);
}

void sandbox_options_fini(struct sandbox_options *o)
{
	opt_free(table, ARRAY_LEN(table), o);
}

void sandbox_options_help(FILE *f)
{
	opt_print_help(f, table, ARRAY_LEN(table));
}
