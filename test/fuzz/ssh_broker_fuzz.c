/* What a session of the sshd asks the supervisor for; the first byte says how many descriptors came with it. */
#include <stdint.h>

#include "../../src/supervisor/inside.c"
#include "../../src/supervisor/ssh_broker.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void is_loopback(const struct ssh_packet *p)
{
	union address at;
	socklen_t n = parse(p->connect.host, p->connect.port, &at);

	if (n == sizeof at.in)
		must(at.any.sa_family == AF_INET && ntohl(at.in.sin_addr.s_addr) >> 24 == 127);
	else if (n == sizeof at.in6)
		must(at.any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&at.in6.sin6_addr));
	else
		must(n == 0);
}

static void read_packet(const uint8_t *bytes, size_t n, size_t n_fds)
{
	static struct session s;
	const struct fdpass fds = {.n = n_fds % (FDPASS_MAX + 1), .lost = n_fds > 0x80};
	struct ssh_packet p;
	struct err e;

	list_init(&s.channels);
	memset(&p, 0xa5, sizeof p);
	memcpy(&p, bytes, MIN(n, sizeof p));
	if (check(&s, &p, n, &fds, &e) < 0) {
		must(e.code == EPROTO && e.text[0] != '\0');
		return;
	}
	must(n == sizeof p && (rows[p.message].start != NULL) != (rows[p.message].act != NULL));
	if (p.message == SSH_EXEC)
		must(p.start.text_n <= SSH_TEXT_MAX);
	if (p.message == SSH_CONNECT)
		is_loopback(&p);
	if (p.message == SSH_SIGNAL)
		must(p.signo > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0)
		read_packet(data + 1, size - 1, data[0]);
	return 0;
}
