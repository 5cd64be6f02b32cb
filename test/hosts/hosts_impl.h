/* What the parts of the program share. Included by test/hosts/ only. */
#ifndef HOSTS_IMPL_H
#define HOSTS_IMPL_H

/* workload.c: does the steps in order; returns the exit code. */
int run_steps(char **steps);

/* refuse.c: runs the command on a host that lacks what; returns its exit code, or 125 when
 * there is no such host to be had. */
int run_without(const char *what, char **command);
/* Makes a pair of veth devices in a network namespace of its own: 0, or the errno. */
int try_veth(void);

#endif
