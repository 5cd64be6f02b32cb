#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/str.h"
#include "base/util.h"
#include "supervisor/policy_use.h"
#include "supervisor/tell.h"

char *policy_use_resolve(void *arg UNUSED, const char *path)
{
	char target[PATH_MAX];

	return realpath(path, target) != NULL && !streq(path, target) ? xstrdup(target) : NULL;
}

/* What endpoints ask for that this version does not do. */
struct asked {
	size_t policy_dns, credentials;
};

static struct asked what_is_asked(const struct policy *policy)
{
	struct asked asked = {0};

	for (size_t i = 0; i < policy->networks_n; i++) {
		const struct policy_network *n = &policy->networks[i];
		for (size_t k = 0; k < n->endpoints_n; k++) {
			const struct policy_endpoint *ep = &n->endpoints[k];
			asked.policy_dns += ep->protocol == POLICY_TCP;
			asked.credentials += !str_empty(ep->credential_provider) ||
					     !str_empty(ep->credential_signing) ||
					     ep->request_body_credential_rewrite ||
					     ep->websocket_credential_rewrite;
		}
	}
	return asked;
}

int policy_use_check(const struct policy *policy, struct ocsf *events, struct err *e)
{
	const struct asked asked = what_is_asked(policy);

	for (size_t i = 0; i < policy->warnings.n; i++)
		tell_config(events, "validated", OCSF_MEDIUM, "%s", policy->warnings.v[i]);
	if (asked.credentials > 0)
		tell_config(events, "degraded", OCSF_MEDIUM,
			    "Credentials are not put into requests by this version "
			    "[endpoints:%zu]",
			    asked.credentials);
	if (policy->middlewares_n > 0)
		tell_config(events, "degraded", OCSF_MEDIUM,
			    "Network middlewares are not run by this version; where one is "
			    "fail_closed nothing is let through [middlewares:%zu]",
			    policy->middlewares_n);
	if (asked.policy_dns == 0)
		return 0;
	/* contract 1.9, 7 */
	err_set(e, ENOTSUP,
		"policy contains protocol: tcp endpoints, but the selected runtime does not "
		"advertise policy DNS and transparent TCP support");
	tell_config(events, "unsupported_runtime", OCSF_MEDIUM, "%s", e->text);
	return -1;
}

/* ---- what holds from the start on ---- */

static bool has(const struct policy_texts *t, const char *text)
{
	for (size_t i = 0; i < t->n; i++)
		if (streq(t->v[i], text))
			return true;
	return false;
}

static bool all_are_in(const struct policy_texts *a, const struct policy_texts *b)
{
	for (size_t i = 0; i < a->n; i++)
		if (!has(b, a->v[i]))
			return false;
	return true;
}

static bool same_paths(const struct policy_texts *a, const struct policy_texts *b)
{
	return all_are_in(a, b) && all_are_in(b, a);
}

size_t policy_use_static_changes(const struct policy *in_force, const struct policy *next,
				 const char *names[POLICY_STATIC_SECTIONS])
{
	size_t n = 0;

	if (in_force->include_workdir != next->include_workdir ||
	    !same_paths(&in_force->read_only, &next->read_only) ||
	    !same_paths(&in_force->read_write, &next->read_write))
		names[n++] = "filesystem_policy";
	if (in_force->landlock_required != next->landlock_required)
		names[n++] = "landlock";
	if (!streq(in_force->run_as_user, next->run_as_user) ||
	    !streq(in_force->run_as_group, next->run_as_group))
		names[n++] = "process";
	return n;
}
