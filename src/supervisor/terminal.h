/*
 * The operator's terminal, while an interactive sandbox is on it: every key goes to the sandbox's own
 * terminal, which knows what to do with it. However this process ends in order, the terminal is as before;
 * a workload never holds it.
 */
#ifndef OPENSHELL_SUPERVISOR_TERMINAL_H
#define OPENSHELL_SUPERVISOR_TERMINAL_H

#include <stdint.h>

#include "base/err.h"

/* Hands every key on unchanged from now on; fd must be a terminal, and stay open. One a process. */
int terminal_raw(int fd, struct err *e);
/* As it was before; harmless when it is. Also called at exit. */
void terminal_restore(void);

/* A new terminal of 24 rows and 80 columns, or as large as the one at like (which may be -1): *master,
 * non-blocking, and *slave are the caller's. */
int terminal_new(int like, int *master, int *slave, struct err *e);
/* Makes the terminal behind the master as large as the one at like. */
void terminal_resize(int master, int like);
/* … or as large as this. */
void terminal_set_size(int master, uint16_t rows, uint16_t columns);

#endif
