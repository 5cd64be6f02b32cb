/*
 * Addresses and networks of allowed_ips. IPv4 is kept as ::ffff:a.b.c.d, so that there is one kind.
 */
#include <arpa/inet.h>
#include <string.h>

#include "policy/policy_impl.h"

static bool parse_address(const char *text, struct policy_net *out)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	out->prefix = 128;
	if (inet_pton(AF_INET6, text, out->addr) == 1)
		return true;
	memcpy(out->addr, mapped, sizeof mapped);
	return inet_pton(AF_INET, text, out->addr + 12) == 1;
}

bool policy_net_parse(const char *text, struct policy_net *out)
{
	char address[INET6_ADDRSTRLEN];
	struct str rest = str_trim(str_of(text));
	struct str a = str_cut(&rest, '/');
	uint64_t prefix;

	if (a.n >= sizeof address)
		return false;
	memcpy(address, a.p, a.n);
	address[a.n] = '\0';
	if (!parse_address(address, out))
		return false;
	if (rest.p == NULL)
		return true;
	unsigned first = memchr(address, ':', a.n) ? 0 : 96;
	if (!str_u64(rest, &prefix) || prefix > 128 - first)
		return false;
	out->prefix = first + (unsigned)prefix;
	return true;
}

static bool same_prefix(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
	unsigned whole = bits / 8, left = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return left == 0 || (a[whole] ^ b[whole]) >> (8 - left) == 0;
}

bool policy_net_has(const struct policy_net *net, const uint8_t addr[16])
{
	return same_prefix(net->addr, addr, net->prefix);
}

bool policy_net_overlap(const struct policy_net *a, const struct policy_net *b)
{
	return same_prefix(a->addr, b->addr, MIN(a->prefix, b->prefix));
}

const char *policy_net_blocked(const struct policy_net *net)
{
	static const char *const blocked[] = {"127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/32",
					      "::1/128",     "fe80::/10",      "::/128"};

	for (size_t i = 0; i < ARRAY_LEN(blocked); i++) {
		struct policy_net b;
		must(policy_net_parse(blocked[i], &b));
		if (policy_net_overlap(net, &b))
			return blocked[i];
	}
	return NULL;
}
