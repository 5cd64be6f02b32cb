/*
 * The image's entry for `sandbox` in /etc/passwd and /etc/group, made to say what the driver says
 * (supervisor contract 1.9, 12a): programs inside look themselves up there.
 */
#ifndef OPENSHELL_SUPERVISOR_PASSWD_H
#define OPENSHELL_SUPERVISOR_PASSWD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* The file's text with the line in place of the one of that name, or at its end; the caller's. */
char *passwd_replace(struct str text, const char *name, const char *line);

/* Writes both files below the folder root, each at once by a rename; *changed says whether they said
 * anything else before. */
int passwd_write(int root, uid_t uid, gid_t gid, bool *changed, struct err *e);

#endif
