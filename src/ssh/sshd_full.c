/*
 * What a client hears for which there is no room: the version and one packet, SSH_MSG_DISCONNECT with the reason (RFC 4253,
 * 4.2, 6 and 11.1), before any key. It is a process of its own, so that it can wait until the client has read that and
 * goes: one whose connection, or the ProxyCommand that holds it, ends while it writes reports that and nothing else.
 * No byte of the client's is looked at.
 */
#include <endian.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "ssh/sshd_impl.h"

enum {
	DISCONNECT = 1,
	TOO_MANY_CONNECTIONS = 12,
	BLOCK = 8, /* what a packet's size is a multiple of while there is no cipher */
	PADDING_MIN = 4,
	LINGER_S = 5, /* for the client to go; ours */
};

#define VERSION "SSH-2.0-" SSHD_BANNER "\r\n"
#define WHY "too many SSH sessions are open in this sandbox"

static size_t put_u32(uint8_t *to, uint32_t n)
{
	n = htobe32(n);
	memcpy(to, &n, sizeof n);
	return sizeof n;
}

/* Returns the size. */
static size_t make_packet(uint8_t *out)
{
	uint8_t *p = out + 5; /* after the two sizes */

	*p++ = DISCONNECT;
	p += put_u32(p, TOO_MANY_CONNECTIONS);
	p += put_u32(p, strlen(WHY));
	p = (uint8_t *)mempcpy(p, WHY, strlen(WHY));
	p += put_u32(p, 0); /* of no language */
	size_t n = (size_t)(p - out), padding = BLOCK - n % BLOCK;
	if (padding < PADDING_MIN)
		padding += BLOCK;
	memset(p, 0, padding);
	put_u32(out, (uint32_t)(n + padding - 4));
	out[4] = (uint8_t)padding;
	return n + padding;
}

void sshd_say_full(int client)
{
	static uint8_t bytes[sizeof VERSION + sizeof WHY + 64];
	struct pollfd p = {.fd = client, .events = POLLIN};
	size_t n = sizeof VERSION - 1;

	alarm(LINGER_S);
	memcpy(bytes, VERSION, n);
	n += make_packet(bytes + n);
	/* that much has room in a connection that is new */
	send(client, bytes, n, MSG_NOSIGNAL);
	while (poll(&p, 1, -1) > 0 && recv(client, bytes, sizeof bytes, 0) > 0)
		;
	_exit(0);
}
