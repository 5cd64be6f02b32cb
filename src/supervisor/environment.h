/*
 * The environment of a sandbox's process (supervisor contract 3.10, 4.5), later ones over earlier ones:
 *
 *   the supervisor's own, without what only a supervisor may know (confine.h)
 *   the user's, OPENSHELL_USER_ENVIRONMENT: an object of texts, whose OPENSHELL_ names do not count
 *   what providers bring (providers.h)
 *   HOME, USER, SHELL, TERM, where the user says nothing; PATH, where there is none
 *   OPENSHELL_SANDBOX=1, and the way to the proxy
 *
 * Pure.
 */
#ifndef OPENSHELL_SUPERVISOR_ENVIRONMENT_H
#define OPENSHELL_SUPERVISOR_ENVIRONMENT_H

#include <netinet/in.h>
#include <stddef.h>

#include "base/err.h"

enum {
	ENVIRONMENT_MAX = 4096,         /* variables */
	ENVIRONMENT_USER_MAX = 1 << 20, /* bytes of OPENSHELL_USER_ENVIRONMENT */
};

struct environment {
	char **v; /* NULL-terminated, "NAME=value" */
	size_t n;
};

struct environment_source {
	char *const *own;        /* NULL-terminated */
	const char *user;        /* OPENSHELL_USER_ENVIRONMENT, or NULL */
	char *const *providers;  /* "NAME=value", NULL-terminated; or NULL */
	const char *home, *name; /* who the process is; NULL: what is in own stays */
	const char *shell;       /* a path */
	const char *term;        /* the terminal's type, or NULL: there is none */
	const struct sockaddr_in *proxy;
};

/* *out is released by environment_fini, also on failure. */
int environment_make(struct environment *out, const struct environment_source *from, struct err *e);
void environment_fini(struct environment *env);

/* Sets one more; fails when there are too many. */
int environment_set(struct environment *env, const char *name, const char *value, struct err *e);
/* The value of a variable, or NULL. */
const char *environment_get(const struct environment *env, const char *name);

#endif
