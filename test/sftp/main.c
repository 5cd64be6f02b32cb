/* The SFTP server as a program of its own, for the clients of OpenSSH (`sftp -D`): in the folder that
 * OPENSHELL_SFTP_HOME names, or that OPENSHELL_SFTP_ROOT does and then there is nothing else; as the user and group
 * OPENSHELL_SFTP_ID. */
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"
#include "sftp/sftp.h"

extern char **environ;

int main(int argc UNUSED, char **argv)
{
	const char *root = getenv("OPENSHELL_SFTP_ROOT"), *id = getenv("OPENSHELL_SFTP_ID");
	const char *home = getenv("OPENSHELL_SFTP_HOME");
	unsigned n = id ? (unsigned)strtoul(id, NULL, 10) : 0;

	if (root && (chroot(root) < 0 || chdir("/") < 0))
		die("OPENSHELL_SFTP_ROOT is no folder, or we are not root");
	if (!root && (!home || chdir(home) < 0))
		die("OPENSHELL_SFTP_HOME is no folder");
	if (id && (setgroups(0, NULL) < 0 || setgid(n) < 0 || setuid(n) < 0))
		die("OPENSHELL_SFTP_ID cannot be taken");
	return sftp_serve(argv, environ);
}
