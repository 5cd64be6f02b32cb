/*
 * Going down the ladder of network modes (design section 4): the first rung that works is taken, for good.
 */
#ifndef OPENSHELL_SUPERVISOR_WALL_H
#define OPENSHELL_SUPERVISOR_WALL_H

#include "isolate/keeper.h"
#include "ocsf/ocsf.h"
#include "supervisor/options.h"
#include "supervisor/who.h"

/* supervisor contract 4.5: where a proxy is looked for in a namespace of its own */
enum { WALL_PROXY_PORT = 3128 };

struct wall_config {
	enum network_mode mode;
	const char *mode_from; /* who asked for it (options.h) */
	enum rung min_rung;
	int landlock_fd; /* or -1 */
	const struct view *view;
	const struct seccomp_filter *filter;
	const struct rights *rights;
	struct ocsf *events;
};

struct wall {
	struct keeper *keeper;
	struct keeper_started started;
	enum rung rung;
};

/*
 * Starts the keeper on the best rung that mode and min_rung allow, and tells which it is and what it
 * lacks. who may come to stay who the supervisor is, where a rung cannot make it another. When no rung
 * can be had: one error that names each with its reason, and the event. The listener and the socket
 * in w->started are the caller's from then on.
 */
int wall_up(struct wall *w, const struct wall_config *c, struct who *who, struct err *e);

#endif
