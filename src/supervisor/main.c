/*
 * The door `sandbox`: the supervisor, the first process of a sandbox's container, or a command that a person
 * gives to see a program walled in. And `copy-self`, which brings this program out of its image.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "doors.h"
#include "supervisor/copy_self.h"
#include "supervisor/options.h"
#include "supervisor/supervisor.h"

enum { EXIT_USAGE = 2 };

static const char usage[] =
	"usage: openshell-static sandbox [option...] [--] [COMMAND [argument...]]\n"
	"       openshell-static sandbox copy-self DEST\n"
	"\n"
	"Walls COMMAND in as the policy says, and ends with its exit code (128 and the signal's\n"
	"number when a signal ended it, 124 when --timeout did, 1 when it could not be started).\n"
	"Without COMMAND it is OPENSHELL_MAIN_PROCESS_SPEC, else a login shell. An option wins\n"
	"over its environment variable.\n"
	"\n"
	"copy-self DEST writes this program to DEST (a folder, or a file name), mode 0755.\n"
	"\n";

static int run_copy_self(int argc, char **argv)
{
	struct err e;

	if (argc != 2) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (copy_self(argv[1], &e) < 0) {
		log_error("copy-self failed", "reason=%s", e.text);
		return 1;
	}
	log_info("copied itself", "dest=%s", argv[1]);
	return 0;
}

int sandbox_main(int argc, char **argv)
{
	struct sandbox_options o;
	struct err e;
	int status = 0;

	if (argc > 1 && streq(argv[1], "copy-self"))
		return run_copy_self(argc - 1, argv + 1);
	if (sandbox_options_parse(&o, argc, argv, &e) < 0) {
		fprintf(stderr, "openshell-sandbox: %s\n", e.text);
		status = EXIT_USAGE;
	} else if (o.help) {
		fputs(usage, stdout);
		sandbox_options_help(stdout);
	} else if (o.version) {
		puts("openshell-sandbox " OPENSHELL_VERSION);
	} else {
		log_set_level(o.log_level);
		status = supervisor_run(&o);
	}
	sandbox_options_fini(&o);
	return status;
}
