/*
 * The program of a glob; for glob.c and glob_compile.c only.
 */
#ifndef OPENSHELL_POLICY_GLOB_IMPL_H
#define OPENSHELL_POLICY_GLOB_IMPL_H

#include <stdint.h>

#include "policy/glob.h"

/* A set of bytes. */
struct glob_set {
	uint64_t bits[4];
};

enum glob_op {
	GLOB_BYTE, /* takes this byte, then the next instruction */
	GLOB_SET,  /* takes a byte of the set with number arg, likewise */
	GLOB_FORK, /* goes on with the next instruction and with the one at arg */
	GLOB_JUMP, /* goes on with the one at arg */
	GLOB_END,  /* the text must end here */
};

struct glob_insn {
	uint8_t op; /* enum glob_op */
	uint8_t byte;
	uint16_t arg;
};

/* The sets that every glob has; those of its classes follow. */
enum { GLOB_SET_ANY, GLOB_SET_COMPONENT, GLOB_SETS };

enum {
	/* with "." as the delimiter a dot becomes three bytes */
	GLOB_SOURCE_MAX = 3 * GLOB_PATTERN_MAX,
	/* a "*" becomes three instructions; "**", groups and dots come to less than four a byte */
	GLOB_PROGRAM_MAX = 4 * GLOB_PATTERN_MAX + 2,
};

struct glob {
	enum glob_kind kind;
	uint16_t n;
	const struct glob_insn *program;
	const struct glob_set *sets;
};

#endif
