/*
 * hosts: the one static program of the hosts' tests. In a sandbox it is the workload, which says what it
 * sees and what comes of its requests; around one it makes a host that lacks something. Being one
 * program, it is the only one that an image needs besides the supervisor.
 *
 *   hosts STEP...              each prints a JSON object on a line; the exit code is 0, or of `exit`:
 *       report                 who we are, what we may, what network there is
 *       get URL                a request of HTTP/1.1 by $http_proxy: status, body
 *       connect HOST:PORT      a tunnel by $http_proxy, and in it a GET of /: status of each
 *       dial HOST:PORT         goes round the proxy by TCP: errno, milliseconds
 *       datagram HOST:PORT     the same by UDP
 *       hold                   stays, SIGTERM or not
 *       read                   its input, to the end: text
 *       exit CODE
 *   hosts without namespaces|nf_tables|veth COMMAND...
 *                              runs it where the kernel says that there are none
 *   hosts veth                 makes a pair in a network namespace of its own: errno
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "hosts_impl.h"

int main(int argc, char **argv)
{
	if (argc > 3 && streq(argv[1], "without"))
		return run_without(argv[2], argv + 3);
	if (argc == 2 && streq(argv[1], "veth")) {
		printf("{\"error\":%d}\n", try_veth());
		return 0;
	}
	return run_steps(argv + 1);
}
