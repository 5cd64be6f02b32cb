/* The gateway's address, as a driver or a container engine wrote it into /etc/hosts. Pure. */
#ifndef OPENSHELL_SUPERVISOR_HOSTS_H
#define OPENSHELL_SUPERVISOR_HOSTS_H

#include <stdbool.h>

#include "base/str.h"
#include "net/resolver.h"

/* The address (with port 0) of host.openshell.internal, or else host.containers.internal or
 * host.docker.internal, in a text like /etc/hosts; false when it has none. */
bool hosts_gateway(struct str text, struct address *out);

#endif
