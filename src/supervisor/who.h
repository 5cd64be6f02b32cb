/*
 * Who the sandbox's processes shall be, decided before anything is forked: identity.h says who was asked
 * for; here it meets what this supervisor may do.
 *
 *   it may change its identity     who was asked for, or an error
 *   it may not (an unprivileged    the supervisor's own user, when that is who was asked for, or when only a name
 *   user, a container without      was ("sandbox", also by saying nothing): told as a degradation. A number
 *   CAP_SETUID and CAP_SETGID)     that is not its own is an error: somebody counts on it
 */
#ifndef OPENSHELL_SUPERVISOR_WHO_H
#define OPENSHELL_SUPERVISOR_WHO_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "isolate/baseline.h"
#include "isolate/identity.h"

struct rights {
	uid_t uid;
	gid_t gid;
	bool change; /* CAP_SETUID and CAP_SETGID are effective */
	bool look;   /* CAP_SYS_PTRACE is */
};

/* Of the calling process. */
struct rights rights_of_self(void);

struct who {
	struct identity id;  /* who it becomes; when it stays, the supervisor's uid and gid alone */
	bool changes;        /* else it stays who the supervisor is */
	bool exact;          /* asked for by number: nobody else will do */
	bool numeric, image; /* for who_home: a number was asked for; the image's user was */
	struct err kept;     /* why it stays although another was asked for; code 0: none was */
};

int who_decide(const struct identity_source *asked, const struct rights *rights, struct who *out,
	       struct err *e);

/* The same where the change turned out to be refused, why: who stays, or an error (exact). */
int who_stay(struct who *who, const struct rights *rights, const struct err *why, struct err *e);

/* HOME (supervisor contract 3.9); NULL when it stays what it is. Borrowed from who, workdir, or static. */
const char *who_home(const struct who *who, const char *workdir, path_exists_fn *exists);
/* USER; the same. */
const char *who_name(const struct who *who);

#endif
