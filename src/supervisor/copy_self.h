/*
 * `copy-self DEST`: how the supervisor gets out of its image, which holds nothing else, into the
 * volume that the sandbox's container executes it from. Called by an init container (driver
 * contract 3.6), before anything else is there: no loop, no threads.
 */
#ifndef OPENSHELL_SUPERVISOR_COPY_SELF_H
#define OPENSHELL_SUPERVISOR_COPY_SELF_H

#include "base/err.h"

/* Copies the running program to dest, mode 0755, under a name of its own first, so that nobody sees
 * half of it. When dest is a folder (or ends with '/') the program keeps its file name in there.
 * Folders that are missing are made, mode 0755. */
int copy_self(const char *dest, struct err *e);

#endif
