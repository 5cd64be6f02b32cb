/*
 * The supervisor: a sandbox's life from its options to its exit code. Called by the door (main.c) once.
 */
#ifndef OPENSHELL_SUPERVISOR_SUPERVISOR_H
#define OPENSHELL_SUPERVISOR_SUPERVISOR_H

#include "supervisor/options.h"

/* Runs the sandbox to its end and returns the exit code (supervisor contract 1.10): the main process's, 128
 * and the signal that ended it, 124 for the time limit, 1 when it could not be started or its keeper was
 * lost. Nothing that was inside is left. */
int supervisor_run(const struct sandbox_options *o);

#endif
