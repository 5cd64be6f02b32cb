/* Lines of /proc/net/tcp, any bytes: one that is taken says whose socket it is. */
#include "base/util.h"
#include "net/sock_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_sub(data, size);
	struct sock_query q;

	while (rest.n > 0)
		if (sock_table_parse(str_cut(&rest, '\n'), &q))
			must(q.protocol == IPPROTO_TCP && q.error == 0);
	return 0;
}
