/*
 * Telling the gateway how the main process ended (supervisor contract 1.10), on a link of its own, until it is
 * acknowledged: every 250 ms to 2 s, unless the gateway refuses it for good.
 */
#ifndef OPENSHELL_SUPERVISOR_EXIT_REPORT_H
#define OPENSHELL_SUPERVISOR_EXIT_REPORT_H

#include "supervisor/gateway.h"

struct exit_report;

struct exit_report_config {
	struct loop *loop;
	struct resolver *resolver;
	const struct gateway *gateway; /* all borrowed until exit_report_free */
	const char *sandbox_id, *instance_id;
	int exit_code;
	/* Called once: it was acknowledged (why is NULL), or refused for good. */
	void (*done)(void *owner, const struct err *why);
	void *owner;
};

struct exit_report *exit_report_start(const struct exit_report_config *config);
/* It is not told any more; takes NULL. May be called from done. */
void exit_report_free(struct exit_report *x);

#endif
