#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/capabilities.h"
#include "supervisor/who.h"

#define HOME_OF_NUMBERS "/sandbox"
#define NAME_OF_NUMBERS "sandbox"

struct rights rights_of_self(void)
{
	const uint64_t has = capabilities_effective();
	const uint64_t change = CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID);

	return (struct rights){
		.uid = geteuid(),
		.gid = getegid(),
		.change = (has & change) == change,
		.look = (has & CAPABILITY(CAP_SYS_PTRACE)) != 0,
	};
}

static bool is_number(struct str s)
{
	uint64_t n;

	return str_u64(s, &n);
}

/* What the one who decides (identity.h) wrote: a number, or a name. */
static void look_at_source(const struct identity_source *asked, struct who *out)
{
	if (!str_empty(asked->uid) || !str_empty(asked->gid)) {
		out->exact = out->numeric = true;
	} else if (!str_empty(asked->oci_user)) {
		struct str rest = str_of(asked->oci_user);
		out->image = true;
		out->exact = is_number(str_cut(&rest, ':'));
	} else {
		out->numeric = is_number(str_of(asked->run_as_user));
		out->exact = out->numeric;
	}
}

int who_stay(struct who *who, const struct rights *rights, const struct err *why, struct err *e)
{
	if (who->exact)
		return err_set(e, why->code ? why->code : EPERM,
			       "the sandbox is to be user %u, and user %u may not become that: %s",
			       who->id.uid, rights->uid, why->text);
	who->changes = false;
	who->kept = *why;
	who->id = (struct identity){.uid = rights->uid, .gid = rights->gid};
	return 0;
}

int who_decide(const struct identity_source *asked, const struct rights *rights, struct who *out,
	       struct err *e)
{
	struct err why;

	*out = (struct who){0};
	look_at_source(asked, out);
	if (identity_resolve(asked, &out->id, &why) < 0) {
		if (rights->change || out->exact) {
			*e = why;
			return -1;
		}
		return who_stay(out, rights, &why, e);
	}
	if (rights->change) {
		out->changes = true;
		return 0;
	}
	if (out->id.uid == rights->uid && out->id.gid == rights->gid) {
		out->id.n_groups = 0;
		return 0;
	}
	err_set(&why, EPERM, "no CAP_SETUID and CAP_SETGID");
	return who_stay(out, rights, &why, e);
}

const char *who_home(const struct who *who, const char *workdir, path_exists_fn *exists)
{
	if (!who->changes)
		return NULL;
	if (who->image && !str_empty(workdir))
		return workdir;
	if (who->numeric && exists(HOME_OF_NUMBERS))
		return HOME_OF_NUMBERS;
	if (!str_empty(who->id.home))
		return who->id.home;
	return str_empty(workdir) ? "/" : workdir;
}

const char *who_name(const struct who *who)
{
	if (!who->changes)
		return NULL;
	return str_empty(who->id.name) ? NAME_OF_NUMBERS : who->id.name;
}
