/*
 * What /proc/PID/cmdline says of this process, and so ps. A process that is forked shows the arguments that its
 * program was started with, to whoever may list it: some of those shall not know them.
 */
#ifndef OPENSHELL_BASE_ARGUMENTS_H
#define OPENSHELL_BASE_ARGUMENTS_H

/* Where they are: those of main, before anything changes them. */
void arguments_are_at(int argc, char **argv);

/* Puts this in their place, cut where it is longer than they were. They are gone then: nobody may use them any more.
 * Does nothing before arguments_are_at. */
void arguments_replace(const char *by);

#endif
