/*
 * What takes every right away from the sshd and its sessions (sshd_config.confine), which parse what foreign clients
 * send: no capability, no file, no signal to a process outside, and no system calls but those that a server on open
 * descriptors needs. Called by the sshd itself, in its own process.
 */
#ifndef OPENSHELL_SUPERVISOR_SSH_CONFINE_H
#define OPENSHELL_SUPERVISOR_SSH_CONFINE_H

#include "base/err.h"

/* Confines the calling process, for good. Where the kernel has no Landlock, the calls that would need it are refused
 * all the same. arg is nothing. */
int ssh_confine(void *arg, struct err *e);

#endif
