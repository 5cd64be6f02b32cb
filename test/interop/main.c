/* interop server [PORT] | interop client PORT CASE */
#include "base/str.h"
#include "base/util.h"
#include "interop.h"

int main(int argc, char **argv)
{
	if (argc >= 2 && streq(argv[1], "server"))
		return interop_server(argc - 1, argv + 1);
	if (argc >= 2 && streq(argv[1], "client"))
		return interop_client(argc - 1, argv + 1);
	die("usage: interop server [PORT] | interop client PORT CASE");
}
