/*
 * The doors of the binary: what one program is under its several names. Each function is the main()
 * of a door, in the folder named after it; argv[0] is the door's name, and what it returns is the
 * exit code. src/main.c has the table; a new door adds a line here and there.
 */
#ifndef OPENSHELL_DOORS_H
#define OPENSHELL_DOORS_H

int ctl_main(int argc, char **argv);
int driver_main(int argc, char **argv);
int probe_main(int argc, char **argv);
int sandbox_main(int argc, char **argv);

#endif
