/*
 * The inside of a pocket: a network namespace that has nothing but `lo`, set up by the process that is
 * in it (design section 4). `lo` carries the addresses at which peers' sandboxes find their proxy.
 * Where the kernel has nf_tables, a default route points at `lo`, and a chain logs (NFLOG) and refuses
 * what is not meant for the sandbox itself: a program that goes round the proxy fails at once, with
 * ECONNREFUSED, and is told of. Without nf_tables there is no route, and it fails with ENETUNREACH.
 *
 * Everything by netlink: no program is run, no file of an image is read.
 */
#ifndef OPENSHELL_ISOLATE_POCKET_H
#define OPENSHELL_ISOLATE_POCKET_H

#include <stdbool.h>

#include "base/err.h"

#define POCKET_PROXY_ADDRESS "10.200.0.1" /* supervisor contract 4.1: where a proxy is looked for */
#define POCKET_OWN_ADDRESS "10.200.0.2"

enum { POCKET_LOG_GROUP = 77 }; /* of NFLOG, within the namespace */

/* Sets up the network namespace this process has just entered. *refuses says whether the log-and-refuse
 * chain is in place; when it is not, *why says why, and the pocket is good all the same. */
int pocket_set_up(bool *refuses, struct err *why, struct err *e);

/* On top of that chain: the first packet of a connection that it will refuse waits in queue 0 (nfqueue.h), whose
 * socket this is, until that lets it go on to be refused. */
int pocket_hold_connections(int queue, struct err *e);

#endif
