#include <string.h>

#include "base/arguments.h"
#include "base/util.h"

static char *begin;
static size_t length; /* with the last NUL */

/* The kernel lays them one behind the other. */
void arguments_are_at(int argc, char **argv)
{
	if (argc < 1)
		return;
	begin = argv[0];
	length = (size_t)(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]) + 1;
}

void arguments_replace(const char *by)
{
	if (length == 0)
		return;
	size_t n = MIN(strlen(by), length - 1);
	memset(begin, 0, length);
	memcpy(begin, by, n);
}
