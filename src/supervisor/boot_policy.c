/*
 * The policy that a sandbox starts with (supervisor contract 2.5). Where the gateway has none, the image may bring
 * one: it is foreign text, read with limits, and given to the gateway, whose answer then counts. A policy with
 * networks also gets the paths that every program behind the proxy needs.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "isolate/accounts.h"
#include "isolate/baseline.h"
#include "openshell.pb-c.h"
#include "policy/policy.h"
#include "supervisor/boot_impl.h"

typedef Openshell__Sandbox__V1__GetSandboxConfigResponse config_response;
typedef Openshell__Sandbox__V1__SandboxPolicy policy_message;
typedef Openshell__Sandbox__V1__SandboxPolicy__NetworkPoliciesEntry network_entry;

#define POLICY_FILE "etc/openshell/policy.yaml"
#define POLICY_FILE_LEGACY "etc/navigator/policy.yaml"

enum { POLICY_ARENA_MAX = 16 << 20 };

/* ---- calls ---- */

static int get_config(struct boot *b, bool retried, config_response **out, struct err *e)
{
	Openshell__Sandbox__V1__GetSandboxConfigRequest request =
		OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_REQUEST__INIT;
	const struct boot_rpc rpc = {
		.method = "GetSandboxConfig",
		.out = &openshell__sandbox__v1__get_sandbox_config_response__descriptor,
		.request = &request,
		.retried = retried,
	};
	void *answer;

	request.sandbox_id = (char *)b->config->sandbox_id;
	if (boot_call(b, &rpc, &answer, e) < 0)
		return -1;
	openshell__sandbox__v1__get_sandbox_config_response__free_unpacked(*out, NULL);
	*out = answer;
	return 0;
}

/* What a provider brings is the gateway's own: keys of its layers are no part of a policy that is given to it.
 * Entries are borrowed; the array is the caller's. */
static network_entry **without_providers(const policy_message *m, size_t *n)
{
	network_entry **kept = xcalloc(m->n_network_policies, sizeof(*kept));

	*n = 0;
	for (size_t i = 0; i < m->n_network_policies; i++)
		if (!str_starts(str_of(m->network_policies[i]->key), "_provider_"))
			kept[(*n)++] = m->network_policies[i];
	return kept;
}

/* Gives the gateway a policy, and takes what it then has. */
static int sync_policy(struct boot *b, const policy_message *policy, bool retried,
		       config_response **config, struct err *e)
{
	policy_message given = *policy;
	Openshell__V1__UpdateConfigRequest request = OPENSHELL__V1__UPDATE_CONFIG_REQUEST__INIT;
	const struct boot_rpc rpc = {
		.method = "UpdateConfig",
		.out = &openshell__v1__update_config_response__descriptor,
		.request = &request,
		.retried = retried,
	};
	void *answer;

	if (str_empty(b->config->sandbox_name))
		return err_set(e, EINVAL,
			       "a policy cannot be given to gateway %s: neither --sandbox nor "
			       "OPENSHELL_SANDBOX is set",
			       b->config->gateway->address);
	_cleanup_free_ network_entry **networks =
		without_providers(policy, &given.n_network_policies);
	given.network_policies = networks;
	request.name = (char *)b->config->sandbox_name;
	request.workspace = (*config)->workspace;
	request.policy = &given;
	if (boot_call(b, &rpc, &answer, e) < 0)
		return -1;
	protobuf_c_message_free_unpacked(answer, NULL);
	if (get_config(b, true, config, e) < 0)
		return -1;
	return (*config)->policy != NULL
		       ? 0
		       : err_set(e, EPROTO, "gateway %s: it took a policy and has none",
				 b->config->gateway->address);
}

/* ---- discovery ---- */

/* 1, and the text, when there is such a file; 0 when not. */
static int read_file(int root, const char *path, char **text, size_t *n, struct err *e)
{
	if (accounts_read(root, path, text, n, e) < 0)
		return -1;
	return *n > 0;
}

static struct policy *parse_file(struct boot *b, const char *path, struct str text)
{
	_cleanup_free_ char *what = xasprintf("/%s", path);
	struct err why;
	struct policy *p = policy_parse(text, what, NULL, NULL, &why);

	if (p != NULL)
		boot_tell(b, "loaded", OCSF_INFORMATIONAL,
			  "Loaded sandbox policy from container disk [path:/%s]", path);
	else if (why.code == EPERM)
		boot_tell_finding(b, "unsafe-disk-policy",
				  "Unsafe policy in the image, restrictive default used",
				  OCSF_MEDIUM, why.text);
	else
		boot_tell(b, "fallback", OCSF_MEDIUM,
			  "Policy file refused, using restrictive default [reason:%s]", why.text);
	return p;
}

/* What the image has, or NULL. */
static struct policy *find_policy(struct boot *b)
{
	_cleanup_free_ char *text = NULL;
	const char *path = POLICY_FILE;
	struct err why;
	size_t n;

	_cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int found = root < 0 ? err_sys(&why, "open /") : read_file(root, path, &text, &n, &why);
	if (found == 0) {
		free(text);
		path = POLICY_FILE_LEGACY;
		found = read_file(root, path, &text, &n, &why);
		if (found > 0)
			boot_tell(b, "loaded", OCSF_INFORMATIONAL,
				  "Policy found at legacy path [path:/%s]", path);
	}
	if (found > 0)
		return parse_file(b, path, str_sub(text, n));
	if (found < 0)
		boot_tell(b, "fallback", OCSF_MEDIUM,
			  "Policy file refused, using restrictive default [reason:%s]", why.text);
	else
		boot_tell(b, "default", OCSF_INFORMATIONAL,
			  "No policy file on disk, using restrictive default");
	return NULL;
}

static int discover(struct boot *b, config_response **config, struct err *e)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(POLICY_ARENA_MAX);

	boot_tell(b, "discovery", OCSF_INFORMATIONAL,
		  "Server returned no policy; attempting local discovery");
	struct policy *found = find_policy(b);
	if (found == NULL)
		found = policy_restrictive();
	const policy_message *m = policy_to_message(found, &a, e);
	policy_unref(found);
	if (m == NULL || sync_policy(b, m, true, config, e) < 0)
		return -1;
	boot_tell(b, "updated", OCSF_INFORMATIONAL, "Policy given to the gateway [version:%u]",
		  (*config)->version);
	return 0;
}

/* ---- enrichment ---- */

static bool add_all(struct path_list *list, char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!path_list_add(list, v[i]))
			return false;
	return true;
}

/* Gives the gateway its policy with the paths added that it lacks; a failure leaves it as it is. They count here in
 * any case (files.h), and a global policy is not a sandbox's to change. */
static void enrich(struct boot *b, config_response **config)
{
	Openshell__Sandbox__V1__FilesystemPolicy files =
		OPENSHELL__SANDBOX__V1__FILESYSTEM_POLICY__INIT;
	policy_message with = *(*config)->policy;
	struct sandbox_paths paths = {0};
	struct err why;

	if (with.filesystem != NULL)
		files = *with.filesystem;
	else
		files.include_workdir = true; /* as for one without the section (contract 5.2) */
	if (with.n_network_policies == 0 ||
	    (*config)->policy_source ==
		    OPENSHELL__SANDBOX__V1__POLICY_SOURCE__POLICY_SOURCE_GLOBAL ||
	    !add_all(&paths.read_only, files.read_only, files.n_read_only) ||
	    !add_all(&paths.read_write, files.read_write, files.n_read_write))
		return;
	size_t added = baseline_add(&paths, baseline_exists);
	if (added == 0)
		return;
	files.read_only = (char **)paths.read_only.path;
	files.n_read_only = paths.read_only.n;
	files.read_write = (char **)paths.read_write.path;
	files.n_read_write = paths.read_write.n;
	with.filesystem = &files;
	if (sync_policy(b, &with, false, config, &why) == 0) {
		boot_tell(b, "enriched", OCSF_INFORMATIONAL,
			  "Enriched policy with baseline filesystem paths for proxy mode "
			  "[added:%zu]",
			  added);
		return;
	}
	boot_tell(b, "degraded", OCSF_MEDIUM,
		  "Gateway did not take the baseline paths: they count here only [reason:%s]",
		  why.text);
	boot_say(b, BOOT_DIFFERS, "", 0);
}

/* A policy that is a file's is the whole policy: what is asked for is what else there is, and may come later. */
static void ask_for_settings(struct boot *b)
{
	config_response none = OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_RESPONSE__INIT;
	config_response *config = NULL;
	struct err why;

	if (get_config(b, false, &config, &why) < 0)
		boot_tell(b, "degraded", OCSF_LOW,
			  "Settings not fetched: the gateway is asked again [reason:%s]", why.text);
	boot_say_message(b, BOOT_CONFIG, config != NULL ? config : &none);
}

int boot_policy(struct boot *b, struct err *e)
{
	config_response *config = NULL;

	if (b->config->by_file) {
		ask_for_settings(b);
		return 0;
	}
	if (get_config(b, true, &config, e) < 0 ||
	    (config->policy == NULL && discover(b, &config, e) < 0))
		return -1;
	enrich(b, &config);
	boot_say_message(b, BOOT_CONFIG, config);
	return 0;
}
