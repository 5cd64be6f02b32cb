#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "policy/policy.h"
#include "proxy/destination.h"

/* ---- what an address is ---- */

struct range {
	struct policy_net net;
	enum address_reach reach;
};

#define V4(a, b, c, d, bits, reach)                                                                \
	{                                                                                          \
		{{[10] = 0xff, 0xff, a, b, c, d}, 96 + (bits)}, reach                              \
	}
#define V6(bits, reach, ...)                                                                       \
	{                                                                                          \
		{{__VA_ARGS__}, bits}, reach                                                       \
	}

/* The IANA registries of special-purpose addresses (RFC 6890) and what the contract adds. Of all that have an
 * address the farthest counts. */
static const struct range ranges[] = {
	V4(0, 0, 0, 0, 8, ADDRESS_NEVER), /* Linux takes 0.0.0.0 for itself */
	V4(10, 0, 0, 0, 8, ADDRESS_PRIVATE),
	V4(10, 200, 0, 1, 32, ADDRESS_NEVER), /* a pocket's, contract 4.1 */
	V4(10, 200, 0, 2, 32, ADDRESS_NEVER),
	V4(100, 64, 0, 0, 10, ADDRESS_PRIVATE),
	V4(127, 0, 0, 0, 8, ADDRESS_NEVER),
	V4(169, 254, 0, 0, 16, ADDRESS_LINK_LOCAL),
	V4(169, 254, 169, 254, 32, ADDRESS_NEVER), /* the metadata service */
	V4(172, 16, 0, 0, 12, ADDRESS_PRIVATE),
	V4(192, 0, 0, 0, 24, ADDRESS_PRIVATE),
	V4(192, 0, 2, 0, 24, ADDRESS_PRIVATE),
	V4(192, 88, 99, 0, 24, ADDRESS_PRIVATE), /* relays of 6to4 */
	V4(192, 168, 0, 0, 16, ADDRESS_PRIVATE),
	V4(198, 18, 0, 0, 15, ADDRESS_PRIVATE),
	V4(198, 51, 100, 0, 24, ADDRESS_PRIVATE),
	V4(203, 0, 113, 0, 24, ADDRESS_PRIVATE),
	V4(224, 0, 0, 0, 3, ADDRESS_NEVER), /* multicast, reserved, broadcast */
	/* :: and ::1; the rest is IPv4-compatible, long since given up */
	V6(127, ADDRESS_NEVER, 0),
	V6(96, ADDRESS_PRIVATE, 0),
	/* IPv4-translated ::ffff:0:a.b.c.d, and NAT64 of one's own 64:ff9b:1::/48 */
	V6(96, ADDRESS_PRIVATE, [8] = 0xff, 0xff),
	V6(48, ADDRESS_PRIVATE, 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01),
	V6(64, ADDRESS_PRIVATE, 0x01, 0x00), /* discard */
	V6(23, ADDRESS_PRIVATE, 0x20, 0x01), /* protocol assignments, Teredo among them */
	V6(32, ADDRESS_PRIVATE, 0x20, 0x01, 0x0d, 0xb8),
	V6(20, ADDRESS_PRIVATE, 0x3f, 0xff), /* documentation */
	V6(16, ADDRESS_PRIVATE, 0x5f, 0x00), /* segment routing */
	V6(7, ADDRESS_PRIVATE, 0xfc),
	V6(128, ADDRESS_NEVER, 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54), /* metadata of AWS */
	V6(10, ADDRESS_LINK_LOCAL, 0xfe, 0x80),
	V6(10, ADDRESS_PRIVATE, 0xfe, 0xc0), /* site-local */
	V6(8, ADDRESS_NEVER, 0xff),
};

/* Where an address of IPv6 carries one of IPv4. */
static const struct carrier {
	struct policy_net net;
	unsigned at;
	uint8_t flip; /* its bits are inverted */
} carriers[] = {
	{{{0}, 96}, 12, 0},                                  /* compatible */
	{{{[8] = 0xff, 0xff}, 96}, 12, 0},                   /* translated */
	{{{0x00, 0x64, 0xff, 0x9b}, 96}, 12, 0},             /* NAT64 */
	{{{0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}, 48}, 12, 0}, /* NAT64 of one's own, /96 */
	{{{0x20, 0x02}, 16}, 2, 0},                          /* 6to4 */
	{{{0x20, 0x01, 0x00, 0x00}, 32}, 4, 0},              /* Teredo's server */
	{{{0x20, 0x01, 0x00, 0x00}, 32}, 12, 0xff},          /* Teredo's client */
};

static enum address_reach reach_of(const uint8_t a[16])
{
	enum address_reach r = ADDRESS_PUBLIC;

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
		if (policy_net_has(&ranges[i].net, a))
			r = MAX(r, ranges[i].reach);
	return r;
}

static void mapped(const uint8_t v4[4], uint8_t flip, uint8_t out[16])
{
	memset(out, 0, 10);
	out[10] = out[11] = 0xff;
	for (int i = 0; i < 4; i++)
		out[12 + i] = v4[i] ^ flip;
}

/* As in struct policy_net. */
static void bytes_of(const struct address *a, uint8_t out[16])
{
	if (a->sa.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)&a->sa;
		mapped((const uint8_t *)&in->sin_addr, 0, out);
		return;
	}
	must(a->sa.ss_family == AF_INET6);
	memcpy(out, &((const struct sockaddr_in6 *)(const void *)&a->sa)->sin6_addr, 16);
}

enum address_reach address_reach(const struct address *address)
{
	uint8_t a[16], inner[16];

	bytes_of(address, a);
	enum address_reach r = reach_of(a);
	for (size_t i = 0; i < ARRAY_LEN(carriers); i++) {
		const struct carrier *c = &carriers[i];
		if (!policy_net_has(&c->net, a))
			continue;
		mapped(a + c->at, c->flip, inner);
		enum address_reach carried = reach_of(inner);
		r = MAX(r, carried);
	}
	return r;
}

/* ---- who may be reached ---- */

/* The rules in the order in which they are tried; the first that applies decides (contract 6.5). */
enum rule { GATEWAY, ALLOWED_IPS, LITERAL, DECLARED, PUBLIC };

static const char *const denial_texts[] = {
	[DESTINATION_ALLOWED] = "allowed",
	[DESTINATION_INTERNAL] = "internal address",
	[DESTINATION_ALLOWED_IPS] = "allowed_ips check failed",
	[DESTINATION_DECLARED] = "declared endpoint check failed",
	[DESTINATION_GATEWAY] = "trusted-gateway check failed",
};
_Static_assert(ARRAY_LEN(denial_texts) == DESTINATION_DENIALS, "a text for each denial");

const char *destination_denial_text(enum destination_denial d)
{
	return denial_texts[d];
}

bool destination_is_gateway_alias(struct str host)
{
	static const char *const aliases[] = {"host.openshell.internal", "host.containers.internal",
					      "host.docker.internal"};

	for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
		if (str_ieq(host, str_of(aliases[i])))
			return true;
	return false;
}

/* Whether the host is an address, and which. */
static bool is_literal(struct str host, uint8_t out[16])
{
	char text[INET6_ADDRSTRLEN];
	uint8_t v4[4];

	if (host.n >= sizeof text)
		return false;
	snprintf(text, sizeof text, "%.*s", STR_FMT(host));
	if (inet_pton(AF_INET6, text, out) == 1)
		return true;
	if (inet_pton(AF_INET, text, v4) != 1)
		return false;
	mapped(v4, 0, out);
	return true;
}

/* Whether an endpoint has this very host, and no pattern that matches it. */
static bool is_written(const struct policy_verdict *v, struct str host)
{
	for (size_t i = 0; i < v->endpoints_n; i++)
		if (v->endpoints[i]->host.glob == NULL &&
		    str_ieq(str_of(v->endpoints[i]->host.text), host))
			return true;
	return false;
}

static bool has_nets(const struct policy_verdict *v)
{
	for (size_t i = 0; i < v->endpoints_n; i++)
		if (v->endpoints[i]->allowed_ips.n > 0)
			return true;
	return false;
}

static bool in_nets(const struct policy_verdict *v, const uint8_t a[16])
{
	for (size_t i = 0; i < v->endpoints_n; i++) {
		const struct policy_endpoint *ep = v->endpoints[i];
		for (size_t j = 0; j < ep->allowed_ips.n; j++)
			if (policy_net_has(&ep->nets[j], a))
				return true;
	}
	return false;
}

static enum rule rule_for(const struct destination *d)
{
	/* a gateway elsewhere needs no exception: it is declared like any other host */
	if (d->gateway != NULL && address_reach(d->gateway) == ADDRESS_LINK_LOCAL &&
	    destination_is_gateway_alias(d->host))
		return GATEWAY;
	if (has_nets(d->verdict))
		return ALLOWED_IPS;
	uint8_t literal[16];
	if (is_literal(d->host, literal) && is_written(d->verdict, d->host))
		return LITERAL;
	return d->verdict->exact_host ? DECLARED : PUBLIC;
}

/* etcd, the Kubernetes API, kubelets. */
static bool is_control_plane(uint16_t port)
{
	return port == 2379 || port == 2380 || port == 6443 || port == 10250 || port == 10255;
}

static bool same_address(const struct address *a, const struct address *b)
{
	uint8_t x[16], y[16];

	bytes_of(a, x);
	bytes_of(b, y);
	return memcmp(x, y, sizeof x) == 0;
}

/* What is wrong with an address, in words around it. */
struct refusal {
	const char *before, *after;
};

static struct refusal refuse(const struct destination *d, enum rule rule, const struct address *a)
{
	enum address_reach reach = address_reach(a);
	uint8_t bytes[16], literal[16];

	if (rule == PUBLIC)
		return (struct refusal){reach == ADDRESS_PUBLIC ? NULL : "internal address ", ""};
	if (rule == GATEWAY)
		return (struct refusal){same_address(a, d->gateway) ? NULL : "",
					" which does not match the trusted host gateway"};
	if (reach >= ADDRESS_LINK_LOCAL)
		return (struct refusal){"always-blocked address ", ""};
	bytes_of(a, bytes);
	bool listed = rule == ALLOWED_IPS ? in_nets(d->verdict, bytes)
					  : rule != LITERAL || (is_literal(d->host, literal) &&
								memcmp(bytes, literal, 16) == 0);
	return (struct refusal){listed ? NULL : "", " which is not in allowed_ips"};
}

static void text_of(const struct address *a, char out[INET6_ADDRSTRLEN])
{
	const void *at = a->sa.ss_family == AF_INET
				 ? (const void *)&((const struct sockaddr_in *)(const void *)&a->sa)
					   ->sin_addr
				 : &((const struct sockaddr_in6 *)(const void *)&a->sa)->sin6_addr;

	must(inet_ntop(a->sa.ss_family, at, out, INET6_ADDRSTRLEN) != NULL);
}

enum destination_denial destination_check(const struct destination *d, char *reason, size_t size)
{
	static const enum destination_denial denials[] = {
		[GATEWAY] = DESTINATION_GATEWAY,     [ALLOWED_IPS] = DESTINATION_ALLOWED_IPS,
		[LITERAL] = DESTINATION_ALLOWED_IPS, [DECLARED] = DESTINATION_DECLARED,
		[PUBLIC] = DESTINATION_INTERNAL,
	};
	enum rule rule = rule_for(d);

	reason[0] = '\0';
	if (rule != PUBLIC && is_control_plane(d->port)) {
		snprintf(reason, size,
			 "port %u is a blocked control-plane port, connection rejected", d->port);
		return denials[rule];
	}
	if (d->addresses_n == 0) {
		snprintf(reason, size, "DNS resolution returned no addresses for %.*s",
			 STR_FMT(d->host));
		return denials[rule];
	}
	for (size_t i = 0; i < d->addresses_n; i++) {
		struct refusal r = refuse(d, rule, &d->addresses[i]);
		char text[INET6_ADDRSTRLEN];
		if (r.before == NULL)
			continue;
		text_of(&d->addresses[i], text);
		snprintf(reason, size, "%.*s resolves to %s%s%s, connection rejected",
			 STR_FMT(d->host), r.before, text, r.after);
		return denials[rule];
	}
	return DESTINATION_ALLOWED;
}
