#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "isolate/accounts.h"
#include "isolate/identity.h"

#define DEFAULT_NAME "sandbox"

/* A number from 1 to the last one that is an id. */
static int read_id(const char *text, const char *what, uint32_t *out, struct err *e)
{
	uint64_t id;

	if (!str_u64(str_of(text), &id) || id == 0 || id >= UINT32_MAX)
		return err_set(e, EINVAL, "%s %.64s: not a number from 1 to %u", what, text,
			       UINT32_MAX - 1);
	*out = (uint32_t)id;
	return 0;
}

/* Copies what may become an environment variable; what does not fit or has control characters, not. */
static void copy_text(char *to, size_t room, struct str s)
{
	to[0] = '\0';
	if (s.n >= room || str_has_control(s) || !str_is_utf8(s))
		return;
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

static void take_account(struct identity *out, const struct account *a)
{
	copy_text(out->name, sizeof out->name, a->name);
	copy_text(out->home, sizeof out->home, a->home);
}

static int take_groups(struct identity *out, struct str group, struct str user, struct err *e)
{
	int n = groups_of(group, user, out->gid, out->groups, IDENTITY_GROUPS_MAX, e);

	if (n < 0)
		return -1;
	out->n_groups = (size_t)n;
	return 0;
}

/* Name and home of a user that was given by number. */
static int describe(const struct identity_source *from, struct identity *out, struct err *e)
{
	struct account a;
	int r = account_by_uid(from->passwd, out->uid, &a, e);

	if (r > 0)
		take_account(out, &a);
	return r < 0 ? -1 : 0;
}

static int find_account(struct str passwd, struct str name, struct account *a, struct err *e)
{
	int r = account_by_name(passwd, name, a, e);

	if (r == 0)
		return err_set(e, ENOENT, "user %.*s: not in the image's /etc/passwd",
			       (int)MIN(name.n, (size_t)64), name.p);
	return r < 0 ? -1 : 0;
}

static int find_group(struct str group, struct str name, gid_t *gid, struct err *e)
{
	int r = group_by_name(group, name, gid, e);

	if (r == 0)
		return err_set(e, ENOENT, "group %.*s: not in the image's /etc/group",
			       (int)MIN(name.n, (size_t)64), name.p);
	return r < 0 ? -1 : 0;
}

static int from_driver(const struct identity_source *from, struct identity *out, struct err *e)
{
	if (str_empty(from->uid) || str_empty(from->gid))
		return err_set(
			e, EINVAL,
			"OPENSHELL_SANDBOX_UID and OPENSHELL_SANDBOX_GID: one without the other");
	if (!str_empty(from->oci_user))
		return err_set(
			e, EINVAL,
			"OPENSHELL_OCI_IMAGE_USER besides OPENSHELL_SANDBOX_UID: who is it?");
	if (read_id(from->uid, "OPENSHELL_SANDBOX_UID", &out->uid, e) < 0 ||
	    read_id(from->gid, "OPENSHELL_SANDBOX_GID", &out->gid, e) < 0)
		return -1;
	return describe(from, out, e);
}

/* USER by name, or by number: with an entry or without. *user is the name its groups go by. */
static int oci_user(const struct identity_source *from, struct str text, struct identity *out,
		    struct str *user, struct err *e)
{
	struct account a;
	uint64_t id;
	int r;

	*user = STR_NONE;
	if (!str_u64(text, &id)) {
		if (find_account(from->passwd, text, &a, e) < 0)
			return -1;
	} else {
		if (id >= UINT32_MAX)
			return err_set(e, EINVAL, "not a uid");
		out->uid = out->gid = (uint32_t)id;
		r = account_by_uid(from->passwd, (uid_t)id, &a, e);
		if (r <= 0)
			return r;
	}
	out->uid = a.uid;
	out->gid = a.gid;
	*user = a.name;
	take_account(out, &a);
	return 0;
}

static int oci_group(const struct identity_source *from, struct str text, gid_t *gid, struct err *e)
{
	uint64_t id;

	if (!str_u64(text, &id))
		return find_group(from->group, text, gid, e);
	if (id >= UINT32_MAX)
		return err_set(e, EINVAL, "not a gid");
	*gid = (gid_t)id;
	return 0;
}

/* As container engines do: with a group, that one alone; without, the user's groups too. */
static int from_image(const struct identity_source *from, struct identity *out, struct err *e)
{
	struct str group = str_of(from->oci_user), name;
	struct str user = str_cut(&group, ':');

	if (user.n == 0)
		return err_set(e, EINVAL, "names no user");
	if (oci_user(from, user, out, &name, e) < 0)
		return -1;
	if (group.n > 0)
		return oci_group(from, group, &out->gid, e);
	return name.n > 0 ? take_groups(out, from->group, name, e) : 0;
}

/* A name is looked up and has its groups; a number has none. */
static int from_policy(const struct identity_source *from, struct identity *out, struct err *e)
{
	const char *user = str_empty(from->run_as_user) ? DEFAULT_NAME : from->run_as_user;
	const char *group = str_empty(from->run_as_group) ? DEFAULT_NAME : from->run_as_group;
	struct account a;

	if (streq(group, DEFAULT_NAME)) {
		if (find_group(from->group, str_of(group), &out->gid, e) < 0)
			return -1;
	} else if (read_id(group, "run_as_group", &out->gid, e) < 0) {
		return -1;
	}
	if (!streq(user, DEFAULT_NAME))
		return read_id(user, "run_as_user", &out->uid, e) < 0 ? -1 : describe(from, out, e);
	if (find_account(from->passwd, str_of(user), &a, e) < 0)
		return -1;
	out->uid = a.uid;
	take_account(out, &a);
	return take_groups(out, from->group, a.name, e);
}

int identity_resolve(const struct identity_source *from, struct identity *out, struct err *e)
{
	int r;

	memset(out, 0, sizeof *out);
	if (!str_empty(from->uid) || !str_empty(from->gid)) {
		r = from_driver(from, out, e);
	} else if (!str_empty(from->oci_user)) {
		r = from_image(from, out, e);
		if (r < 0)
			err_wrap(e, "the image's user %.64s", from->oci_user);
	} else {
		r = from_policy(from, out, e);
	}
	if (r == 0 && out->uid == 0)
		return err_set(e, EPERM, "a sandbox is not run as root, which %s",
			       str_empty(from->oci_user) ? "user " DEFAULT_NAME " of the image is"
							 : "the image asks for");
	return r;
}
