/*
 * The kernel's Landlock interface by its numbers: which are ABI, while the headers of the C library
 * at hand may be years older. Included by src/isolate/landlock.c and its test only.
 * Source: the kernel's include/uapi/linux/landlock.h and Documentation/userspace-api/landlock.rst.
 */
#ifndef OPENSHELL_ISOLATE_LANDLOCK_ABI_H
#define OPENSHELL_ISOLATE_LANDLOCK_ABI_H

#include <stdint.h>

enum {
	CALL_CREATE_RULESET = 444, /* the same on every architecture, as all calls since 424 */
	CALL_ADD_RULE = 445,
	CALL_RESTRICT_SELF = 446,

	CREATE_RULESET_VERSION = 1,
	RULE_PATH_BENEATH = 1,
};

/* Rights of files and folders. */
enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,        /* ABI 2; before it, moving between folders is always refused */
	FS_TRUNCATE = 1 << 14,     /* ABI 3 */
	FS_IOCTL_DEV = 1 << 15,    /* ABI 5 */
	FS_RESOLVE_UNIX = 1 << 16, /* ABI 9 */
};

/* Scopes, ABI 6. */
enum {
	SCOPE_ABSTRACT_UNIX = 1 << 0,
	SCOPE_SIGNAL = 1 << 1,
};

/* A kernel takes a longer one when what it does not know is zero, and a shorter one always. */
struct ruleset_attr {
	uint64_t handled_fs;
	uint64_t handled_net; /* ABI 4 */
	uint64_t scoped;      /* ABI 6 */
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

#endif
