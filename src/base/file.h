/*
 * Reading whole small files: configuration, keys, tokens.
 */
#ifndef OPENSHELL_BASE_FILE_H
#define OPENSHELL_BASE_FILE_H

#include <stddef.h>

#include "base/err.h"

/* Reads a file of at most max bytes; the text is the caller's, with a NUL behind it that does not
 * count in *n (n may be NULL). What is neither a file nor a pipe, and what is larger, is an error
 * that names the path. No other copy of the bytes is left in memory: it may be a secret. */
int file_read(const char *path, size_t max, char **out, size_t *n, struct err *e);

#endif
