/*
 * The door `sandbox`: the supervisor, the first process of a sandbox's container. Two of its duties
 * are here: `copy-self`, which brings the program out of its image, and the preparation of the
 * workspace. The wall is not part of this version, and without it no workload is started.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "doors.h"
#include "supervisor/copy_self.h"
#include "supervisor/workspace.h"

enum { EXIT_USAGE = 2, EXIT_NO_WALL = 3 };

static const char usage[] =
	"usage: openshell-static sandbox copy-self DEST\n"
	"       openshell-static sandbox [supervisor options]\n"
	"\n"
	"  copy-self DEST   write this program to DEST (a folder, or a file name), mode 0755\n"
	"\n"
	"Without copy-self it is the supervisor. This version prepares the workspace named by\n"
	"OPENSHELL_PREPARE_WORKSPACE for OPENSHELL_SANDBOX_UID and OPENSHELL_SANDBOX_GID, and "
	"then\n"
	"ends with status 3: it cannot yet wall a workload in, and starts none without a wall.\n";

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

/* An id from the environment; the driver sets it (driver contract 3.7). */
static int id_of(const char *name, unsigned *out, struct err *e)
{
	const char *text = getenv(name);
	uint64_t v = 0;

	if (str_empty(text))
		return err_set(e, 1, "%s is not set", name);
	if (!str_u64(str_of(text), &v) || v >= UINT32_MAX)
		return err_set(e, 1, "%s: '%s' is not an id", name, text);
	*out = (unsigned)v;
	return 0;
}

static int prepare(const char *dir)
{
	struct workspace_copied done;
	struct err e, why;
	unsigned uid, gid;

	if (id_of("OPENSHELL_SANDBOX_UID", &uid, &e) < 0 ||
	    id_of("OPENSHELL_SANDBOX_GID", &gid, &e) < 0 ||
	    workspace_prepare(dir, uid, gid, &done, &why, &e) < 0) {
		log_error("workspace not prepared", "dir=%s reason=%s", dir, e.text);
		return -1;
	}
	if (why.text[0] != '\0')
		log_warn("workspace not seeded from the image", "dir=%s reason=%s", dir, why.text);
	else
		log_info("workspace ready", "dir=%s files=%zu folders=%zu links=%zu skipped=%zu",
			 dir, done.files, done.folders, done.links, done.skipped);
	return 0;
}

int sandbox_main(int argc, char **argv)
{
	const char *workspace = getenv("OPENSHELL_PREPARE_WORKSPACE");

	if (argc > 1 && (streq(argv[1], "--help") || streq(argv[1], "-h"))) {
		fputs(usage, stdout);
		return 0;
	}
	if (argc > 1 && streq(argv[1], "copy-self"))
		return run_copy_self(argc - 1, argv + 1);
	log_info("supervisor started", "sandbox=%s uid=%u", getenv("OPENSHELL_SANDBOX"), getuid());
	if (!str_empty(workspace) && prepare(workspace) < 0)
		return 1;
	log_error("this version has no wall, and starts no workload without one");
	return EXIT_NO_WALL;
}
