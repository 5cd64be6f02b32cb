/*
 * The table of doors: which program this is, by the name it was started under (openshell-driver, …)
 * or else by its first argument. It does nothing else.
 */

#include <stdio.h>
#include <string.h>

#include "base/arguments.h"
#include "base/version.h"
#include "doors.h"

struct door {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
};

static int version_main(int argc, char **argv);

static const struct door doors[] = {
	{"ctl", ctl_main, "a client for a driver's socket"},
	{"driver", driver_main, "the compute driver: sandboxes for a gateway, by a Unix socket"},
	{"probe", probe_main, "what this host lets a sandbox do"},
	{"sandbox", sandbox_main, "the supervisor: the first process of a sandbox; also copy-self"},
	{"version", version_main, "print the version"},
};

#define DOORS (sizeof doors / sizeof *doors)
#define NAME_PREFIX "openshell-"

static int version_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	puts("openshell-static " OPENSHELL_VERSION);
	return 0;
}

static const struct door *find(const char *name)
{
	for (size_t i = 0; i < DOORS; i++)
		if (!strcmp(doors[i].name, name))
			return &doors[i];
	return NULL;
}

static void usage(FILE *to)
{
	fputs("usage: openshell-static DOOR [argument...]\n\n"
	      "One binary with several doors; a link named openshell-DOOR opens that door.\n\n",
	      to);
	for (size_t i = 0; i < DOORS; i++)
		fprintf(to, "  %-9s %s\n", doors[i].name, doors[i].what);
	fputs("\nDOOR --help says more about each.\n", to);
}

int main(int argc, char **argv)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash ? slash + 1 : argc > 0 ? argv[0] : "";
	const struct door *door = NULL;

	arguments_are_at(argc, argv);
	if (!strncmp(name, NAME_PREFIX, strlen(NAME_PREFIX)))
		door = find(name + strlen(NAME_PREFIX));
	if (door)
		return door->run(argc, argv);
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		usage(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version"))
		return version_main(argc, argv);
	door = find(argv[1]);
	if (!door) {
		fprintf(stderr, "openshell-static: there is no door '%s'; see --help\n", argv[1]);
		return 2;
	}
	return door->run(argc - 1, argv + 1);
}
