/*
 * The ladder of network modes (design section 4), tried rung by rung. A rung is never taken for granted
 * because one call happens to succeed: all of it is done in a child process, which then ends.
 */
#ifndef OPENSHELL_ISOLATE_LADDER_H
#define OPENSHELL_ISOLATE_LADDER_H

#include <stdbool.h>

#include "base/err.h"

enum rung {
	RUNG_POCKET, /* 1: a network namespace; needs CAP_SYS_ADMIN over the own user namespace */
	RUNG_USERNS, /* 2: the same inside a user namespace of its own; needs no right at all */
	RUNG_HOST,   /* 4: nothing: egress is observed, not enforced. It always works */
	RUNG_COUNT,
};

/* "pocket", "userns", "host". */
const char *rung_name(enum rung r);

struct rung_report {
	bool works;
	bool mapped;     /* RUNG_USERNS: our uid could be mapped; else it goes without a map */
	bool refuses;    /* a bypass is refused at once (and logged); else it finds no route */
	struct err why;  /* what failed, when it does not work: the call and the errno */
	struct err lost; /* why a bypass is not refused, when it works; code 0: it is */
	/* when it works: why a sandbox has no PID namespace of its own (pid_space.h), and why all files are to be
	 * seen (view.h); code 0: it has, and they are not */
	struct err no_own_pids, shown;
};

/* Does the whole of the rung in a child: the namespaces, lo and its addresses, the chain, a listening
 * socket made inside and handed out, a connection from inside accepted outside, an attempt to go
 * round it, which must fail, the PID namespace, and a view. Takes some milliseconds, 10 s at most. */
void rung_try(enum rung r, struct rung_report *out);

/* What an administrator could change to make a rung work that failed so; static text, or NULL. */
const char *rung_help(enum rung r, const struct rung_report *report);

#endif
