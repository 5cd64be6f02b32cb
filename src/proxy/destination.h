/*
 * Where a sandbox may not go whatever names lead there (supervisor contract 6.5): the rules against
 * requests that use the proxy's own place in the network. A function of the policy's verdict and the
 * addresses that the name has; it resolves nothing. Whoever dials dials these addresses and no others.
 */
#ifndef OPENSHELL_PROXY_DESTINATION_H
#define OPENSHELL_PROXY_DESTINATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "net/resolver.h"
#include "policy/decide.h"

/* How far an address is from the public internet. An address of IPv6 that carries one of IPv4 (mapped,
 * compatible, translated, 6to4, Teredo, NAT64) is at least as far as that one. */
enum address_reach {
	ADDRESS_PUBLIC,
	/* RFC 1918, 100.64/10, 192.0.0/24, 198.18/15, the TEST-NETs, ULA and their like: for who is meant
	 * explicitly */
	ADDRESS_PRIVATE,
	/* 169.254/16 and fe80::/10: a trusted host gateway may be there, else nobody */
	ADDRESS_LINK_LOCAL,
	/* loopback, unspecified, multicast, broadcast and 240/4, the metadata service, and the addresses of a
	 * pocket (10.200.0.1 and .2): nobody, ever */
	ADDRESS_NEVER,
};

enum address_reach address_reach(const struct address *a);

/* Which of the rules refused. */
enum destination_denial {
	DESTINATION_ALLOWED,
	DESTINATION_INTERNAL,
	DESTINATION_ALLOWED_IPS,
	DESTINATION_DECLARED,
	DESTINATION_GATEWAY,
	DESTINATION_DENIALS
};

/* As the contract's answers say it: "internal address", "allowed_ips check failed"… */
const char *destination_denial_text(enum destination_denial d);

struct destination {
	struct str host; /* as host.h has it */
	uint16_t port;
	const struct address *addresses; /* all that host resolves to, or host itself */
	size_t addresses_n;
	const struct policy_verdict *verdict; /* which allows it */
	/* what the driver's aliases of the host (host.openshell.internal…) lead to; or NULL */
	const struct address *gateway;
};

/* DESTINATION_ALLOWED: each of the addresses may be dialled. Otherwise none, and reason says why:
 * "db.example resolves to internal address 10.0.0.5, connection rejected". */
enum destination_denial destination_check(const struct destination *d, char *reason, size_t size);

/* Whether host is one of the driver's names for the host (contract 6.5, 1). */
bool destination_is_gateway_alias(struct str host);

#endif
