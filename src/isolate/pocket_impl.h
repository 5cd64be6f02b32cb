/* The two halves of a pocket. Included by src/isolate/pocket*.c and their tests only. */
#ifndef OPENSHELL_ISOLATE_POCKET_IMPL_H
#define OPENSHELL_ISOLATE_POCKET_IMPL_H

#include "net/netlink.h"

/* lo up, with the pocket's addresses. */
int pocket_make_lo(int route_fd, struct err *e);
/* The default route to lo, on top of the chain. */
int pocket_make_route(int route_fd, struct err *e);
/* The chain that lets what is local pass, logs the rest and refuses it. */
int pocket_make_chain(struct err *e);
/* Its messages, for pocket_make_chain. */
void pocket_write_chain(struct nl_batch *b);

#endif
