/*
 * The kernel's answers about sockets, any bytes: whatever they hold, a question that counts as answered well
 * has an inode.
 */
#include <netinet/in.h>

#include "base/util.h"
#include "net/sock_diag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sock_query q[3] = {{.protocol = IPPROTO_TCP, .error = -1},
				  {.protocol = IPPROTO_UDP, .error = -1},
				  {.protocol = IPPROTO_TCP, .local = {.port = 80}, .error = -1}};
	uint32_t left = 7;

	sock_diag_parse(data, size, q, ARRAY_LEN(q), &left);
	must((left & ~UINT32_C(7)) == 0);
	for (size_t i = 0; i < ARRAY_LEN(q); i++) {
		bool open = (left >> i & 1) != 0;
		must(open == (q[i].error == -1));
		must(q[i].error != 0 || q[i].inode != 0);
	}
	return 0;
}
