/*
 * The command line of the driver door: its own options, and those of the backend that --backend
 * names, as one table. No I/O.
 */
#ifndef OPENSHELL_DRIVER_OPTIONS_H
#define OPENSHELL_DRIVER_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "base/opt.h"

struct backend_ops;

#define DRIVER_SOCKET_DEFAULT "/var/run/openshell-driver.sock" /* seed 000's */

/* Strings are never NULL; "" is not given. */
struct driver_options {
	char *socket;       /* "": none, TCP only */
	char *bind_address; /* HOST:PORT */
	struct opt_list allow_uid_list;
	char *backend_name, *driver_name;
	char *log_level_name, *log_format_name;
	bool help, version;

	/* what follows from them */
	uid_t *allow_uids;
	size_t n_allow_uids;
	enum log_level log_level;
	enum log_format log_format;
	const struct backend_ops *backend;
	void *backend_config; /* the backend's own struct, checked */
};

/* Reads them; the caller's, also on failure (then perhaps NULL), released by driver_options_free.
 * With help or version nothing is checked. */
int driver_options_parse(struct driver_options **out, int argc, char **argv, struct err *e);
void driver_options_free(struct driver_options *o);

/* Prints the options of the driver and of every backend. */
void driver_options_help(FILE *f);

#endif
