/*
 * Where a sandbox may go (supervisor contract 6.5): each range at its first and last address and beside
 * them, and each rule against each kind of address.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/util.h"
#include "policy.h"
#include "proxy/destination.h"
#include "test.h"

static struct address address_of(const char *text)
{
	struct address a;

	if (!resolve_literal(text, 443, &a))
		FAIL("%s is no address", text);
	return a;
}

#define PUB ADDRESS_PUBLIC
#define PRI ADDRESS_PRIVATE
#define LNK ADDRESS_LINK_LOCAL
#define NEV ADDRESS_NEVER

static const struct {
	const char *text;
	enum address_reach reach;
} v4[] = {
	{"0.0.0.0", NEV},         {"0.0.0.1", NEV},         {"0.255.255.255", NEV},
	{"1.0.0.0", PUB},         {"8.8.8.8", PUB},         {"9.255.255.255", PUB},
	{"10.0.0.0", PRI},        {"10.255.255.255", PRI},  {"11.0.0.0", PUB},
	{"10.200.0.0", PRI},      {"10.200.0.1", NEV},      {"10.200.0.2", NEV},
	{"10.200.0.3", PRI},      {"100.63.255.255", PUB},  {"100.64.0.0", PRI},
	{"100.127.255.255", PRI}, {"100.128.0.0", PUB},     {"126.255.255.255", PUB},
	{"127.0.0.0", NEV},       {"127.0.0.1", NEV},       {"127.255.255.255", NEV},
	{"128.0.0.0", PUB},       {"169.253.255.255", PUB}, {"169.254.0.0", LNK},
	{"169.254.1.2", LNK},     {"169.254.169.253", LNK}, {"169.254.169.254", NEV},
	{"169.254.169.255", LNK}, {"169.254.255.255", LNK}, {"169.255.0.0", PUB},
	{"172.15.255.255", PUB},  {"172.16.0.0", PRI},      {"172.31.255.255", PRI},
	{"172.32.0.0", PUB},      {"191.255.255.255", PUB}, {"192.0.0.0", PRI},
	{"192.0.0.255", PRI},     {"192.0.1.0", PUB},       {"192.0.1.255", PUB},
	{"192.0.2.0", PRI},       {"192.0.2.255", PRI},     {"192.0.3.0", PUB},
	{"192.88.98.255", PUB},   {"192.88.99.0", PRI},     {"192.88.99.255", PRI},
	{"192.88.100.0", PUB},    {"192.167.255.255", PUB}, {"192.168.0.0", PRI},
	{"192.168.255.255", PRI}, {"192.169.0.0", PUB},     {"198.17.255.255", PUB},
	{"198.18.0.0", PRI},      {"198.19.255.255", PRI},  {"198.20.0.0", PUB},
	{"198.51.99.255", PUB},   {"198.51.100.0", PRI},    {"198.51.100.255", PRI},
	{"198.51.101.0", PUB},    {"203.0.112.255", PUB},   {"203.0.113.0", PRI},
	{"203.0.113.255", PRI},   {"203.0.114.0", PUB},     {"223.255.255.255", PUB},
	{"224.0.0.0", NEV},       {"239.255.255.255", NEV}, {"240.0.0.0", NEV},
	{"255.255.255.254", NEV}, {"255.255.255.255", NEV},
};

TEST(addresses_of_ipv4)
{
	for (size_t i = 0; i < ARRAY_LEN(v4); i++) {
		struct address a = address_of(v4[i].text);
		if (address_reach(&a) != v4[i].reach)
			FAIL("%s: %d", v4[i].text, address_reach(&a));
	}
}

/* However an address of IPv6 carries one of IPv4, it is no nearer than that; the old forms are never
 * public. */
TEST(addresses_of_ipv4_within_ipv6)
{
	static const struct {
		const char *before, *behind;
		uint32_t flip;
		enum address_reach least;
	} forms[] = {
		{"::ffff:", "", 0, PUB},
		{"::", "", 0, PRI},
		{"::ffff:0:", "", 0, PRI},
		{"64:ff9b::", "", 0, PUB},
		{"64:ff9b:1::", "", 0, PRI},
		{"64:ff9b:1:ffff:ffff:ffff:", "", 0, PRI},
		{"2002:", "::1", 0, PUB},
		{"2001:0:", "::f7f7:f7f7", 0, PRI},
		{"2001:0:808:808::", "", 0xffffffff, PRI},
	};

	for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
		for (size_t i = 0; i < ARRAY_LEN(v4); i++) {
			char text[64];
			struct in_addr in;
			OK(inet_pton(AF_INET, v4[i].text, &in) == 1);
			uint32_t n = ntohl(in.s_addr) ^ forms[f].flip;
			snprintf(text, sizeof text, "%s%x:%x%s", forms[f].before, n >> 16,
				 n & 0xffff, forms[f].behind);
			struct address a = address_of(text);
			if (address_reach(&a) != MAX(v4[i].reach, forms[f].least))
				FAIL("%s (%s): %d", text, v4[i].text, address_reach(&a));
		}
	}
}

static const struct {
	const char *text;
	enum address_reach reach;
} v6[] = {
	{"::", NEV},
	{"::1", NEV},
	{"::2", NEV}, /* 0.0.0.2 */
	{"::1:0:0:0", PUB},
	{"64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"64:ff9b::8.8.8.8", PUB},
	{"64:ff9b::1:0:0", PUB},
	{"64:ff9b:0:ffff:ffff:ffff:ffff:ffff", PUB},
	{"64:ff9b:1::8.8.8.8", PRI},
	{"64:ff9b:1:ffff:ffff:ffff:808:808", PRI},
	{"64:ff9b:2::", PUB},
	{"ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"100::", PRI},
	{"100::ffff:ffff:ffff:ffff", PRI},
	{"100:0:0:1::", PUB},
	{"2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"2001:1::", PRI},
	{"2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", PRI},
	{"2001:200::", PUB},
	{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"2001:db8::", PRI},
	{"2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", PRI},
	{"2001:db9::", PUB},
	{"2606:4700::1111", PUB},
	{"2a00:1450:4001:830::200e", PUB},
	{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"3fff::", PRI},
	{"3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", PRI},
	{"3fff:1000::", PUB},
	{"5eff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"5f00::", PRI},
	{"5f01::", PUB},
	{"fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"fc00::", PRI},
	{"fd00:ec2::253", PRI},
	{"fd00:ec2::254", NEV},
	{"fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRI},
	{"fe00::", PUB},
	{"fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PUB},
	{"fe80::", LNK},
	{"fe80::1", LNK},
	{"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", LNK},
	{"fec0::", PRI},
	{"feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", PRI},
	{"ff00::", NEV},
	{"ff02::1", NEV},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NEV},
};

TEST(addresses_of_ipv6)
{
	for (size_t i = 0; i < ARRAY_LEN(v6); i++) {
		struct address a = address_of(v6[i].text);
		if (address_reach(&a) != v6[i].reach)
			FAIL("%s: %d", v6[i].text, address_reach(&a));
	}
}

/* ---- the rules ---- */

static const char policies[] =
	"version: 1\n"
	"network_policies:\n"
	"  exact:\n"
	"    endpoints:\n"
	"      - {host: db.example, ports: [443, 6443, 2379]}\n"
	"      - {host: 10.0.0.5, port: 443}\n"
	"      - {host: 127.0.0.1, port: 443}\n"
	"      - {host: 169.254.169.254, port: 443}\n"
	"      - {host: 8.8.8.8, ports: [443, 10250]}\n"
	"      - {host: 'fd00::5', port: 443}\n"
	"      - {host: '::ffff:10.0.0.6', port: 443}\n"
	"      - {host: host.docker.internal, ports: [443, 2380]}\n"
	"      - {host: host.openshell.internal, port: 443}\n"
	"    binaries: [{path: /b}]\n"
	"  pattern:\n"
	"    endpoints:\n"
	"      - {host: '*.pattern.example', ports: [443, 2379, 2380, 6443, 10250, 10255]}\n"
	"      - {host: '*.0.1.5', port: 443}\n"
	"    binaries: [{path: /b}]\n"
	"  ips:\n"
	"    endpoints:\n"
	"      - {host: ips.example, ports: [443, 2379, 2380, 6443, 10250, 10255], "
	"allowed_ips: ['10.1.0.0/16', 'fd00:1::/32', 192.168.7.7, 8.8.4.4]}\n"
	"      - {host: wide.example, port: 443, allowed_ips: ['224.0.0.0/4', '10.200.0.0/16', "
	"'64:ff9b::/96']}\n"
	"      - {port: 9443, allowed_ips: ['10.2.0.0/16']}\n"
	"    binaries: [{path: /b}]\n";

/* host:port, the addresses, the gateway, and what comes of it: "+" or the denial and words of its reason. */
static const struct {
	const char *host;
	uint16_t port;
	const char *addresses, *gateway, *expected;
} rules[] = {
	/* whoever is not named gets to the public internet */
	{"a.pattern.example", 443, "8.8.8.8", NULL, "+"},
	{"a.pattern.example", 443, "8.8.8.8 2606:4700::1111", NULL, "+"},
	{"a.pattern.example", 443, "64:ff9b::8.8.8.8", NULL, "+"},
	{"a.pattern.example", 443, "10.0.0.5", NULL,
	 "internal address|a.pattern.example resolves to internal address 10.0.0.5, connection "
	 "rejected"},
	{"a.pattern.example", 443, "8.8.8.8 10.0.0.5", NULL, "internal address|10.0.0.5"},
	{"a.pattern.example", 443, "8.8.8.8 127.0.0.1", NULL, "internal address|127.0.0.1"},
	{"a.pattern.example", 443, "169.254.169.254", NULL, "internal address|169.254.169.254"},
	{"a.pattern.example", 443, "::ffff:169.254.169.254", NULL, "internal address|169.254"},
	{"a.pattern.example", 443, "64:ff9b::a9fe:a9fe", NULL, "internal address|64:ff9b"},
	{"a.pattern.example", 443, "2002:7f00:1::", NULL, "internal address|2002:7f00"},
	{"a.pattern.example", 443, "0.0.0.0", NULL, "internal address|"},
	{"a.pattern.example", 443, "fd00::1", NULL, "internal address|fd00::1"},
	{"a.pattern.example", 443, "224.0.0.1", NULL, "internal address|"},
	{"a.pattern.example", 443, "", NULL, "internal address|no addresses"},
	{"a.pattern.example", 2379, "8.8.8.8", NULL, "+"},
	{"a.pattern.example", 6443, "8.8.8.8", NULL, "+"},
	{"a.pattern.example", 443, "169.254.1.2", "169.254.1.2", "internal address|"},
	/* an address that only a pattern has is nobody's wish */
	{"10.0.1.5", 443, "10.0.1.5", NULL, "internal address|"},
	{"8.0.1.5", 443, "8.0.1.5", NULL, "+"},
	/* a host that a person wrote may be private */
	{"db.example", 443, "10.0.0.5", NULL, "+"},
	{"db.example", 443, "100.64.0.1 fd00::1 192.168.1.1 172.16.0.1", NULL, "+"},
	{"db.example", 443, "8.8.8.8", NULL, "+"},
	{"db.example", 443, "64:ff9b::10.0.0.5", NULL, "+"},
	{"db.example", 443, "127.0.0.1", NULL,
	 "declared endpoint check failed|db.example resolves to always-blocked address 127.0.0.1, "
	 "connection rejected"},
	{"db.example", 443, "10.0.0.5 127.0.0.1", NULL, "declared endpoint check failed|127.0.0.1"},
	{"db.example", 443, "::1", NULL, "declared endpoint check failed|::1"},
	{"db.example", 443, "::ffff:127.0.0.1", NULL, "declared endpoint check failed|"},
	{"db.example", 443, "64:ff9b::7f00:1", NULL, "declared endpoint check failed|"},
	{"db.example", 443, "169.254.1.1", NULL, "declared endpoint check failed|"},
	{"db.example", 443, "169.254.169.254", NULL, "declared endpoint check failed|"},
	{"db.example", 443, "fe80::1", NULL, "declared endpoint check failed|"},
	{"db.example", 443, "0.0.0.0", NULL, "declared endpoint check failed|"},
	{"db.example", 443, "10.200.0.1", NULL, "declared endpoint check failed|10.200.0.1"},
	{"db.example", 443, "10.200.0.2", NULL, "declared endpoint check failed|10.200.0.2"},
	{"db.example", 443, "255.255.255.255", NULL, "declared endpoint check failed|"},
	{"db.example", 443, "", NULL, "declared endpoint check failed|no addresses"},
	{"db.example", 6443, "10.0.0.5", NULL,
	 "declared endpoint check failed|port 6443 is a blocked control-plane port"},
	{"db.example", 2379, "8.8.8.8", NULL, "declared endpoint check failed|port 2379"},
	/* an address that is written is meant, and no other */
	{"10.0.0.5", 443, "10.0.0.5", NULL, "+"},
	{"10.0.0.5", 443, "10.0.0.6", NULL, "allowed_ips check failed|10.0.0.6 which is not"},
	{"8.8.8.8", 443, "8.8.8.8", NULL, "+"},
	{"8.8.8.8", 10250, "8.8.8.8", NULL, "allowed_ips check failed|port 10250"},
	{"fd00::5", 443, "fd00::5", NULL, "+"},
	{"fd00::5", 443, "fd00::6", NULL, "allowed_ips check failed|"},
	{"::ffff:10.0.0.6", 443, "::ffff:10.0.0.6", NULL, "+"},
	{"127.0.0.1", 443, "127.0.0.1", NULL, "allowed_ips check failed|always-blocked"},
	{"169.254.169.254", 443, "169.254.169.254", NULL,
	 "allowed_ips check failed|always-blocked"},
	/* addresses that are listed */
	{"ips.example", 443, "10.1.2.3", NULL, "+"},
	{"ips.example", 443, "::ffff:10.1.2.3", NULL, "+"},
	{"ips.example", 443, "10.1.0.0 10.1.255.255 192.168.7.7 8.8.4.4 fd00:1:2::3", NULL, "+"},
	{"ips.example", 443, "10.0.255.255", NULL,
	 "allowed_ips check failed|ips.example resolves to 10.0.255.255 which is not in "
	 "allowed_ips, "
	 "connection rejected"},
	{"ips.example", 443, "10.2.0.0", NULL, "allowed_ips check failed|"},
	{"ips.example", 443, "8.8.8.8", NULL, "allowed_ips check failed|8.8.8.8"},
	{"ips.example", 443, "192.168.7.8", NULL, "allowed_ips check failed|"},
	{"ips.example", 443, "10.1.0.1 8.8.8.8", NULL, "allowed_ips check failed|8.8.8.8"},
	{"ips.example", 443, "64:ff9b::10.1.0.1", NULL, "allowed_ips check failed|"},
	{"ips.example", 443, "127.0.0.1", NULL, "allowed_ips check failed|always-blocked"},
	{"ips.example", 2379, "10.1.0.1", NULL, "allowed_ips check failed|port 2379"},
	{"ips.example", 2380, "10.1.0.1", NULL, "allowed_ips check failed|port 2380"},
	{"ips.example", 6443, "10.1.0.1", NULL, "allowed_ips check failed|port 6443"},
	{"ips.example", 10250, "10.1.0.1", NULL, "allowed_ips check failed|port 10250"},
	{"ips.example", 10255, "10.1.0.1", NULL, "allowed_ips check failed|port 10255"},
	{"any.example", 9443, "10.2.0.1", NULL, "+"},
	{"any.example", 9443, "10.1.0.1", NULL, "allowed_ips check failed|"},
	{"10.2.0.9", 9443, "10.2.0.9", NULL, "+"},
	{"10.3.0.9", 9443, "10.3.0.9", NULL, "allowed_ips check failed|"},
	{"wide.example", 443, "224.0.0.1", NULL, "allowed_ips check failed|always-blocked"},
	{"wide.example", 443, "10.200.0.1", NULL, "allowed_ips check failed|always-blocked"},
	{"wide.example", 443, "10.200.0.3", NULL, "+"},
	{"wide.example", 443, "64:ff9b::7f00:1", NULL, "allowed_ips check failed|always-blocked"},
	{"wide.example", 443, "64:ff9b::a9fe:a9fe", NULL,
	 "allowed_ips check failed|always-blocked"},
	/* the host by the driver's names */
	{"host.docker.internal", 443, "169.254.1.2", "169.254.1.2", "+"},
	{"host.openshell.internal", 443, "169.254.1.2", "169.254.1.2", "+"},
	{"host.docker.internal", 443, "169.254.1.3", "169.254.1.2",
	 "trusted-gateway check failed|169.254.1.3 which does not match the trusted host gateway"},
	{"host.docker.internal", 443, "169.254.1.2 10.0.0.5", "169.254.1.2",
	 "trusted-gateway check failed|10.0.0.5"},
	{"host.docker.internal", 443, "127.0.0.1", "169.254.1.2", "trusted-gateway check failed|"},
	{"host.docker.internal", 443, "169.254.1.2", NULL, "declared endpoint check failed|"},
	{"host.docker.internal", 2380, "169.254.1.2", "169.254.1.2",
	 "trusted-gateway check failed|port 2380"},
	{"host.docker.internal", 443, "169.254.169.254", "169.254.169.254",
	 "declared endpoint check failed|always-blocked"},
	{"host.docker.internal", 443, "127.0.0.1", "127.0.0.1",
	 "declared endpoint check failed|always-blocked"},
	{"host.docker.internal", 443, "10.88.0.1", "10.88.0.1", "+"},
	{"db.example", 443, "169.254.1.2", "169.254.1.2", "declared endpoint check failed|"},
};

static size_t addresses_of(const char *text, struct address *out)
{
	char copy[256], *save;
	size_t n = 0;

	snprintf(copy, sizeof copy, "%s", text);
	for (char *p = strtok_r(copy, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
		out[n++] = address_of(p);
	return n;
}

TEST(rules_of_destinations)
{
	struct policy *p = parse(policies);
	struct policy_caller caller = {.exe = "/b"};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		_cleanup_arena_ struct arena a = ARENA_INIT(65536);
		struct policy_target target = {str_of(rules[i].host), rules[i].port};
		struct policy_verdict v;
		struct address addresses[8], gateway;
		char reason[512], told[600];

		policy_decide(p, &target, &caller, &a, &v);
		if (!v.allowed)
			FAIL("%s:%u: %s", rules[i].host, rules[i].port, v.reason);
		if (rules[i].gateway)
			gateway = address_of(rules[i].gateway);
		struct destination d = {
			.host = target.host,
			.port = target.port,
			.addresses = addresses,
			.addresses_n = addresses_of(rules[i].addresses, addresses),
			.verdict = &v,
			.gateway = rules[i].gateway ? &gateway : NULL,
		};
		enum destination_denial r = destination_check(&d, reason, sizeof reason);
		snprintf(told, sizeof told, "%s|%s", destination_denial_text(r), reason);
		const char *wanted = rules[i].expected[0] == '+' ? "allowed|" : rules[i].expected;
		const char *bar = strchr(wanted, '|') + 1;
		if (strncmp(told, wanted, (size_t)(bar - wanted)) != 0 || !strstr(reason, bar) ||
		    (r == DESTINATION_ALLOWED) != (reason[0] == '\0'))
			FAIL("%s:%u to %s: %s", rules[i].host, rules[i].port, rules[i].addresses,
			     told);
	}
	policy_unref(p);
}

TEST(names_of_the_host)
{
	OK(destination_is_gateway_alias(STR("host.openshell.internal")));
	OK(destination_is_gateway_alias(STR("HOST.containers.internal")));
	OK(destination_is_gateway_alias(STR("host.docker.internal")));
	OK(!destination_is_gateway_alias(STR("host.docker.internal.example")));
	OK(!destination_is_gateway_alias(STR("docker.internal")));
	OK(!destination_is_gateway_alias(STR("")));
}
