/* The descriptors that a process was born with and shall not keep. Called by what src/isolate and src/ssh fork. */
#ifndef OPENSHELL_BASE_FDS_H
#define OPENSHELL_BASE_FDS_H

#include <stddef.h>

/* Closes all but 0, 1, 2 and those named (-1 names none). */
void fds_close_all_but(const int *kept, size_t n);

/* The same, or a close-on-exec duplicate when it is 0, 1 or 2, which a process may have been started without. */
int fds_above_stdio(int fd);

/* Makes 0 and 1 lead nowhere, and 2 when it is closed: so no descriptor made later is one of them. */
void fds_set_stdio_aside(void);

#endif
