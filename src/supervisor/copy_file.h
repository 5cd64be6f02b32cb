/* The bytes of one file into another, for copy_self and workspace. */
#ifndef OPENSHELL_SUPERVISOR_COPY_FILE_H
#define OPENSHELL_SUPERVISOR_COPY_FILE_H

/* Copies from's content, from its offset to its end, to to's offset: inside the kernel where both
 * file systems can. 0, or -1 with errno. */
int copy_file(int from, int to);

#endif
