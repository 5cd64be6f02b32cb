/*
 * Reading whole small files: configuration, keys, tokens. Descriptors to their end. And the way to a file without
 * a symbolic link.
 */
#ifndef OPENSHELL_BASE_FILE_H
#define OPENSHELL_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

/* Reads a file of at most max bytes; the text is the caller's, with a NUL behind it that does not
 * count in *n (n may be NULL). What is neither a file nor a pipe, and what is larger, is an error
 * that names the path. No other copy of the bytes is left in memory: it may be a secret. */
int file_read(const char *path, size_t max, char **out, size_t *n, struct err *e);

/* Reads until the end of what fd has, at most max bytes, in as many calls as it takes. How many, or -1
 * with errno. For descriptors that block: EAGAIN is an error. */
ssize_t file_read_all(int fd, void *to, size_t max);
/* Writes all of it. 0, or -1 with errno, and then some of it may be written. For such descriptors, too. */
int file_write_all(int fd, const void *from, size_t n);

/* Opens (O_PATH) what is at a path below a folder's descriptor (AT_FDCWD: the working directory), name by name, each
 * of which must be no symbolic link: ELOOP. Empty names count for nothing, so "" is the folder, and "/a" is below it,
 * too. -1 with errno. */
int file_open_without_links(int folder, const char *path);

#endif
