#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/accounts.h"
#include "supervisor/files.h"
#include "supervisor/passwd.h"
#include "supervisor/policy_use.h"
#include "supervisor/prepare.h"
#include "supervisor/tell.h"
#include "supervisor/workspace.h"

enum {
	POLICY_FILE_MAX = 1 << 20,
	PIDS_MAX_SIZE = 64,
	MISSING_MAX = 16, /* names of rights that a kernel's Landlock lacks */
};

#define PIDS_MAX "/sys/fs/cgroup/pids.max" /* contract 1.9, 12g */

struct preparing {
	struct prepared *out;
	const struct sandbox_options *o;
	const Openshell__Sandbox__V1__GetSandboxConfigResponse *config;
	struct ocsf *events;
};

/* ---- the policy ---- */

static int put_in_force(struct preparing *p, struct policy *policy, const char *where,
			struct err *e)
{
	policy_publish(&p->out->policy, policy);
	if (policy_use_check(policy, p->events, e) < 0)
		return -1;
	tell_config(p->events, "loaded", OCSF_INFORMATIONAL, "Policy loaded [path:%s networks:%zu]",
		    where, policy->networks_n);
	return 0;
}

static int take_gateways(struct preparing *p, struct err *e)
{
	struct err *why = &p->out->refused;
	struct policy *policy = policy_of_message(p->config->policy, "the gateway's policy",
						  policy_use_resolve, NULL, why);

	if (policy != NULL)
		return put_in_force(p, policy, "gateway", e);
	tell_config(p->events, "fail_closed", OCSF_HIGH,
		    "Gateway's policy refused, using restrictive default [version:%u reason:%s]",
		    p->config->version, why->text);
	policy_publish(&p->out->policy, policy_restrictive());
	return 0;
}

static int load_policy(struct preparing *p, struct err *e)
{
	const char *path = p->o->policy_data;
	_cleanup_free_ char *text = NULL;
	size_t n;

	if (!str_empty(p->o->policy_rules))
		tell_config(p->events, "skipped", OCSF_INFORMATIONAL,
			    "Rego rules not interpreted: their meaning is built in [path:%s]",
			    p->o->policy_rules);
	if (p->config != NULL)
		return take_gateways(p, e);
	if (str_empty(path))
		return err_set(e, EINVAL,
			       "Sandbox policy required. Provide one of: --policy-data (or "
			       "OPENSHELL_POLICY_DATA), or --sandbox-id with --openshell-endpoint");
	tell_config(p->events, "loading", OCSF_INFORMATIONAL,
		    "Loading policy from a local file [path:%s]", path);
	if (file_read(path, POLICY_FILE_MAX, &text, &n, e) < 0)
		return -1;
	struct policy *policy = policy_parse(str_sub(text, n), path, policy_use_resolve, NULL, e);
	if (policy == NULL)
		return -1;
	return put_in_force(p, policy, path, e);
}

/* ---- who ---- */

/* A container's first process is the only one whose /etc and /sandbox are the sandbox's own. */
static bool first_in_container(void)
{
	return getpid() == 1;
}

static void rewrite_accounts(struct preparing *p, int root, uid_t uid, gid_t gid)
{
	struct err e;
	bool changed;

	if (passwd_write(root, uid, gid, &changed, &e) < 0)
		tell_config(p->events, "skipped", OCSF_LOW,
			    "Entry of user sandbox not written [reason:%s]", e.text);
	else if (changed)
		tell_config(p->events, "updated", OCSF_INFORMATIONAL,
			    "Entry of user sandbox written [uid:%u gid:%u]", uid, gid);
}

/* What the driver says by number, where that is well-formed; identity_resolve complains if it is not. */
static bool driver_ids(uint64_t *uid, uint64_t *gid)
{
	return str_u64(str_of(getenv("OPENSHELL_SANDBOX_UID")), uid) &&
	       str_u64(str_of(getenv("OPENSHELL_SANDBOX_GID")), gid) && *uid > 0 &&
	       *uid < UINT32_MAX && *gid < UINT32_MAX;
}

/* One that we may not read is as good as none: Podman makes files for root alone where it is told a uid,
 * and an identity of numbers needs none. */
static int read_accounts(int root, const char *path, char **out, size_t *n, struct err *e)
{
	if (accounts_read(root, path, out, n, e) == 0)
		return 0;
	if (e->code != EACCES)
		return -1;
	*out = xstrdup("");
	*n = 0;
	return 0;
}

static int decide_who(struct preparing *p, struct err *e)
{
	struct prepared *out = p->out;
	_cleanup_free_ char *passwd = NULL, *group = NULL;
	size_t n_passwd, n_group;
	uint64_t uid, gid;

	out->rights = rights_of_self();
	_cleanup_close_ int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(e, "open /");
	if (first_in_container() && out->rights.uid == 0 && driver_ids(&uid, &gid))
		rewrite_accounts(p, root, (uid_t)uid, (gid_t)gid);
	if (read_accounts(root, "etc/passwd", &passwd, &n_passwd, e) < 0 ||
	    read_accounts(root, "etc/group", &group, &n_group, e) < 0)
		return -1;
	const struct identity_source asked = {
		.uid = getenv("OPENSHELL_SANDBOX_UID"),
		.gid = getenv("OPENSHELL_SANDBOX_GID"),
		.oci_user = getenv("OPENSHELL_OCI_IMAGE_USER"),
		.run_as_user = out->policy->run_as_user,
		.run_as_group = out->policy->run_as_group,
		.passwd = str_sub(passwd, n_passwd),
		.group = str_sub(group, n_group),
	};
	if (who_decide(&asked, &out->rights, &out->who, e) < 0)
		return -1;
	if (out->who.changes)
		tell_config(p->events, "validated", OCSF_INFORMATIONAL,
			    "Sandbox identity resolved [uid:%u gid:%u groups:%zu]", out->who.id.uid,
			    out->who.id.gid, out->who.id.n_groups);
	return 0;
}

/* ---- files ---- */

int prepare_workspace(struct ocsf *events, struct err *e)
{
	const char *dir = getenv("OPENSHELL_PREPARE_WORKSPACE");
	struct workspace_copied done;
	struct err why;
	uint64_t uid, gid;

	if (str_empty(dir))
		return 0;
	if (!driver_ids(&uid, &gid))
		return err_set(e, EINVAL,
			       "workspace %s: OPENSHELL_SANDBOX_UID and OPENSHELL_SANDBOX_GID do "
			       "not say whose it is",
			       dir);
	if (workspace_prepare(dir, (uid_t)uid, (gid_t)gid, &done, &why, e) < 0)
		return err_wrap(e, "workspace %s", dir);
	if (why.text[0] != '\0')
		tell_config(events, "degraded", OCSF_MEDIUM,
			    "Workspace not seeded from the image [dir:%s reason:%s]", dir,
			    why.text);
	else
		tell_config(events, "configured", OCSF_INFORMATIONAL,
			    "Workspace ready [dir:%s files:%zu folders:%zu links:%zu skipped:%zu]",
			    dir, done.files, done.folders, done.links, done.skipped);
	return 0;
}

/*
 * A container's /sandbox, where the driver has not named a workspace to be prepared. A driver that says by numbers who
 * the sandbox is has made an image's folder of it, which is given whole; one that says the image's user mounts a
 * volume there, of which only the folder itself is (contract 1.9, 4.9).
 */
static void give_sandbox_folder(struct preparing *p)
{
	const struct identity *id = &p->out->who.id;
	bool numbers = !str_empty(getenv("OPENSHELL_SANDBOX_UID"));
	bool image = getenv("OPENSHELL_OCI_IMAGE_USER") != NULL && streq(p->o->workdir, "/sandbox");
	struct err why;
	size_t given;

	if (!str_empty(getenv("OPENSHELL_PREPARE_WORKSPACE")) || !first_in_container() ||
	    !p->out->who.changes || (!numbers && !image))
		return;
	int result = numbers ? files_give("/sandbox", id->uid, id->gid, &given, &why)
			     : files_give_folder("/sandbox", id->uid, id->gid, &why);
	if (result < 0)
		tell_config(p->events, "degraded", OCSF_MEDIUM,
			    "Workspace not given to the sandbox [reason:%s]", why.text);
}

/* Folders that the policy lets the sandbox write, and that are not there. What cannot be made is told as a
 * path that is skipped when the ruleset is built. */
static void make_folders(struct preparing *p)
{
	const struct path_list *list = &p->out->paths.read_write;
	const struct identity *id = &p->out->who.id;
	struct err why;

	for (size_t i = 0; i < list->n; i++) {
		bool made;
		if (files_make_folder(list->path[i], id->uid, id->gid, &made, &why) < 0)
			tell_config(p->events, "skipped", OCSF_LOW, "Folder not made [reason:%s]",
				    why.text);
		else if (made)
			tell_config(p->events, "created", OCSF_INFORMATIONAL,
				    "Folder made [path:%s uid:%u gid:%u]", list->path[i], id->uid,
				    id->gid);
	}
}

static int prepare_files(struct preparing *p, struct err *e)
{
	struct prepared *out = p->out;
	size_t added;

	give_sandbox_folder(p);
	if (files_paths(out->policy, p->o->workdir, &out->paths, &added, e) < 0)
		return -1;
	if (added > 0)
		tell_config(p->events, "enriched", OCSF_INFORMATIONAL,
			    "Enriched policy with baseline filesystem paths for proxy mode "
			    "[added:%zu]",
			    added);
	make_folders(p);
	return 0;
}

static int decide_cwd(struct preparing *p, struct err *e)
{
	const char *workdir = p->o->workdir;

	p->out->cwd = str_empty(workdir) ? getcwd(NULL, 0) : xstrdup(workdir);
	return p->out->cwd == NULL ? err_sys(e, "the working directory") : 0;
}

/* ---- how many it may be ---- */

/* Whether the cgroup limits the number of processes: 0, or -1 with *why. */
static int look_at_pid_limit(struct err *why)
{
	_cleanup_free_ char *text = NULL;
	uint64_t limit;

	if (file_read(PIDS_MAX, PIDS_MAX_SIZE, &text, NULL, why) < 0)
		return -1;
	return str_u64(str_trim(str_of(text)), &limit) ? 0 : err_set(why, EINVAL, PIDS_MAX ": max");
}

/* The limit is the container's; without one a sandbox may take all that the machine has. */
static int check_pid_limit(struct preparing *p, struct err *e)
{
	struct err why;

	if (look_at_pid_limit(&why) == 0)
		return 0;
	if (getenv("OPENSHELL_REQUIRE_RUNTIME_PID_LIMIT") != NULL)
		return err_set(e, EPERM, "the number of processes is not limited: %s", why.text);
	tell_config(p->events, "degraded", OCSF_LOW, "Number of processes not limited [reason:%s]",
		    why.text);
	return 0;
}

/* ---- what it is confined by ---- */

static void show(struct prepared *out, const char *path, bool write)
{
	must(out->view.n < ARRAY_LEN(out->given));
	out->given[out->view.n++] = (struct view_path){path, write};
}

/* Without Landlock nobody has looked which of the paths can be had: those that are there are shown. */
static void decide_view(struct preparing *p)
{
	struct prepared *out = p->out;
	const struct sandbox_paths *paths = &out->paths;

	out->view.paths = out->given;
	out->view.workdir = out->cwd;
	out->view.enforced = out->landlock.state == LANDLOCK_READY;
	for (size_t i = 0; i < paths->read_only.n && !out->view.enforced; i++)
		show(out, paths->read_only.path[i], false);
	for (size_t i = 0; i < paths->read_write.n && !out->view.enforced; i++)
		show(out, paths->read_write.path[i], true);
}

static void each_path(void *arg, const struct landlock_path *path)
{
	struct preparing *p = arg;
	const char *access = path->write ? "read_write" : "read_only";

	if (path->result == LANDLOCK_APPLIED) {
		show(p->out, path->path, path->write);
		return;
	}
	if (path->result == LANDLOCK_MISSING)
		tell_config(p->events, "skipped", OCSF_INFORMATIONAL,
			    "Skipping missing Landlock path [path:%s access:%s]", path->path,
			    access);
	else
		tell_config(p->events, "degraded", OCSF_MEDIUM,
			    "Skipping inaccessible Landlock path (best-effort) [path:%s access:%s "
			    "reason:%s]",
			    path->path, access,
			    path->result == LANDLOCK_SYMLINK ? "leads over a symbolic link"
							     : strerror(path->error));
}

static void tell_missing_rights(struct preparing *p, int abi)
{
	const char *names[MISSING_MAX];
	size_t n = landlock_missing(abi, names, ARRAY_LEN(names));

	for (size_t i = 0; i < n; i++)
		tell_config(p->events, "degraded", OCSF_LOW,
			    "Landlock of this kernel cannot restrict %s [abi:%d]", names[i], abi);
}

static void tell_landlock(struct preparing *p, const struct landlock *l)
{
	switch (l->state) {
	case LANDLOCK_READY:
		tell_config(p->events, "built", OCSF_INFORMATIONAL,
			    "Landlock ruleset built [abi:%d paths:%zu]", l->abi, l->applied);
		tell_missing_rights(p, l->abi);
		break;
	case LANDLOCK_NO_PATHS:
		tell_config(p->events, "skipped", OCSF_INFORMATIONAL,
			    "Landlock skipped: the policy names no paths");
		break;
	case LANDLOCK_UNAVAILABLE:
		tell_finding(p->events, "landlock-unavailable",
			     "Landlock Filesystem Sandbox Unavailable", OCSF_HIGH, l->why.text);
		break;
	}
}

static int build_landlock(struct preparing *p, struct err *e)
{
	struct prepared *out = p->out;
	const struct sandbox_paths *paths = &out->paths;
	const struct landlock_policy policy = {
		.read_only = paths->read_only.path,
		.n_read_only = paths->read_only.n,
		.read_write = paths->read_write.path,
		.n_read_write = paths->read_write.n,
		.mode = out->policy->landlock_required ? LANDLOCK_HARD_REQUIREMENT
						       : LANDLOCK_BEST_EFFORT,
		.scoped = true,
	};
	int abi = landlock_abi();

	tell_config(p->events, "probed", OCSF_INFORMATIONAL, "Landlock probed [abi:%d%s%s]",
		    MAX(abi, 0), abi < 0 ? " reason:" : "", abi < 0 ? strerror(errno) : "");
	tell_config(p->events, "applying", OCSF_INFORMATIONAL,
		    "Applying Landlock filesystem sandbox [compatibility:%s read_only:%zu "
		    "read_write:%zu]",
		    out->policy->landlock_required ? "hard_requirement" : "best_effort",
		    policy.n_read_only, policy.n_read_write);
	if (landlock_build(&policy, each_path, p, &out->landlock, e) < 0) {
		tell_config(p->events, "failed", OCSF_HIGH, "%s", e->text);
		return -1;
	}
	tell_landlock(p, &out->landlock);
	return 0;
}

int prepare(struct prepared *out, const struct sandbox_options *o,
	    const Openshell__Sandbox__V1__GetSandboxConfigResponse *config, struct ocsf *events,
	    struct err *e)
{
	struct preparing p = {out, o, config, events};

	*out = (struct prepared){.landlock = LANDLOCK_NONE};
	if (load_policy(&p, e) < 0 || decide_who(&p, e) < 0 || prepare_files(&p, e) < 0 ||
	    decide_cwd(&p, e) < 0 || check_pid_limit(&p, e) < 0 || build_landlock(&p, e) < 0)
		return -1;
	decide_view(&p);
	seccomp_make(SECCOMP_CHILD, &out->filter);
	return 0;
}

void prepared_fini(struct prepared *p)
{
	landlock_fini(&p->landlock);
	policy_unref(p->policy);
	free(p->cwd);
	*p = (struct prepared){.landlock = LANDLOCK_NONE};
}
