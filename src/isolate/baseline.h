/*
 * The paths that a sandbox behind the proxy has besides those of its policy, so that programs can start at
 * all (supervisor contract 2.5): libraries, certificates, /proc, /tmp, and the devices of a GPU that is
 * there. Only what exists is added, and nothing that the policy lists itself is changed: what a user calls
 * read-only stays so. But for /proc, which a GPU's libraries write to: where there is one it
 * becomes read-write, as the contract has it.
 */
#ifndef OPENSHELL_ISOLATE_BASELINE_H
#define OPENSHELL_ISOLATE_BASELINE_H

#include <stdbool.h>
#include <stddef.h>

enum {
	BASELINE_PATHS_MAX =
		320, /* a list: the policy's 256 (contract 5.3) and all that is added */
};

struct path_list {
	const char *path[BASELINE_PATHS_MAX]; /* borrowed; those added here are static text */
	size_t n;
};

struct sandbox_paths {
	struct path_list read_only, read_write;
};

/* Whether a path exists; baseline_exists asks the file system. */
typedef bool path_exists_fn(const char *path);
bool baseline_exists(const char *path);

/* Adds one path to a list that has not got it. False when the list is full. */
bool path_list_add(struct path_list *list, const char *path);

/* Adds the baseline. The number of paths that were added or made writable: none means that nothing needs
 * to be told. A list that is full takes no more. */
size_t baseline_add(struct sandbox_paths *paths, path_exists_fn *exists);

#endif
