/*
 * What NFLOG tells of a refused packet: the first byte says whether the rest is a netlink datagram or a
 * packet as a sandbox may have made it.
 */
#include <sys/socket.h>

#include "base/util.h"
#include "isolate/nflog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct bypass *b, void *arg)
{
	size_t *count = arg;
	bool ports = b->sport != 0 || b->dport != 0;

	must(b->family == AF_INET || b->family == AF_INET6);
	must(b->family == AF_INET6 || IN6_IS_ADDR_V4MAPPED(&b->dst));
	must(!ports || (b->type == 0 && b->code == 0));
	++*count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bypass b;
	size_t count = 0;

	if (size < 1)
		return 0;
	if (data[0] == 'P') {
		if (nflog_parse_packet(data + 1, size - 1, &b))
			check(&b, &count);
		return 0;
	}
	size_t told = nflog_parse(data + 1, size - 1, check, &count);
	must(told == count);
	return 0;
}
