/* The SFTP server as a program of its own, for the clients of OpenSSH (`sftp -D`): in the folder that
 * OPENSHELL_SFTP_HOME names, as the user and group OPENSHELL_SFTP_ID when that is set. */
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/util.h"
#include "sftp/sftp.h"

extern char **environ;

int main(int argc UNUSED, char **argv)
{
	const char *home = getenv("OPENSHELL_SFTP_HOME"), *id = getenv("OPENSHELL_SFTP_ID");
	unsigned n = id ? (unsigned)strtoul(id, NULL, 10) : 0;

	if (!home || chdir(home) < 0)
		die("OPENSHELL_SFTP_HOME is no folder");
	if (id && (setgroups(0, NULL) < 0 || setgid(n) < 0 || setuid(n) < 0))
		die("OPENSHELL_SFTP_ID cannot be taken");
	return sftp_serve(argv, environ);
}
