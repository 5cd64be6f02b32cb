/*
 * What a sandbox's main process is (supervisor contract 1.7): the trailing arguments, else
 * OPENSHELL_MAIN_PROCESS_SPEC, else a login shell on a terminal. Pure.
 */
#ifndef OPENSHELL_SUPERVISOR_MAIN_SPEC_H
#define OPENSHELL_SUPERVISOR_MAIN_SPEC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/* Contract 1.7: what a gateway accepts of a command, and so what a driver may hand on. */
enum {
	MAIN_SPEC_ARGS_MAX = 256,
	MAIN_SPEC_ARG_MAX = 32 << 10,    /* bytes of one */
	MAIN_SPEC_TOTAL_MAX = 256 << 10, /* … of all */
};

#define MAIN_SPEC_SHELL "/bin/bash"
#define MAIN_SPEC_SHELL_INSTEAD "/bin/sh" /* where an image has no bash */

enum main_spec_from {
	MAIN_FROM_ARGV,
	MAIN_FROM_SPEC,
	MAIN_FROM_DEFAULT,
};

struct main_spec {
	enum main_spec_from from;
	char **argv; /* NULL-terminated */
	bool tty;    /* never with MAIN_FROM_ARGV: what a person has there decides */
};

/* argv may be NULL, spec (the variable) NULL or "". *out is released by main_spec_fini, also on failure. */
int main_spec_resolve(struct main_spec *out, char *const *argv, const char *spec, struct err *e);
void main_spec_fini(struct main_spec *s);

/* Whether it is the login shell of the contract, which a driver may also spell out. */
bool main_spec_is_login_shell(const struct main_spec *s);

#endif
