/* The table of messages between the supervisor and the keeper, and their reading. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "isolate/keeper_impl.h"
#include "isolate/pocket.h"

#define SIZE_WITH(member)                                                                          \
	(offsetof(struct keeper_packet, member) + sizeof(((struct keeper_packet *)0)->member))

/* Unknown is refused; so is a message from the wrong side, of another size, or with other descriptors. */
static const struct row {
	const char *name;
	enum keeper_side from;
	size_t size;
	size_t fds_min, fds_max;
} rows[] = {
	[KEEPER_SPAWN] = {"spawn", KEEPER_ASKS, SIZE_WITH(kind), 4, 4},
	[KEEPER_LISTEN] = {"listen", KEEPER_ASKS, SIZE_WITH(address), 0, 0},
	[KEEPER_CONNECT] = {"connect", KEEPER_ASKS, SIZE_WITH(address), 0, 0},
	[KEEPER_CANCEL] = {"cancel", KEEPER_ASKS, offsetof(struct keeper_packet, kind), 0, 0},
	[KEEPER_SIGNAL] = {"signal", KEEPER_ASKS, SIZE_WITH(signal), 0, 0},
	[KEEPER_RELEASE] = {"release", KEEPER_ASKS, offsetof(struct keeper_packet, kind), 0, 0},
	[KEEPER_DONE] = {"done", KEEPER_TELLS, SIZE_WITH(pid), 0, 1},
	[KEEPER_FAILED] = {"failed", KEEPER_TELLS, SIZE_WITH(why), 0, 0},
	[KEEPER_EXITED] = {"exited", KEEPER_TELLS, SIZE_WITH(exited), 0, 0},
	[KEEPER_BYPASS] = {"bypass", KEEPER_TELLS, SIZE_WITH(bypass), 0, 0},
	[KEEPER_BYPASSES_LOST] = {"bypasses_lost", KEEPER_TELLS, SIZE_WITH(lost), 0, 0},
};
_Static_assert(ARRAY_LEN(rows) == KEEPER_MESSAGE_COUNT, "a row for each message");

size_t keeper_size(enum keeper_message m)
{
	must(m >= 0 && m < KEEPER_MESSAGE_COUNT);
	return rows[m].size;
}

int keeper_check(enum keeper_side from, const struct keeper_packet *p, size_t n,
		 const struct fdpass *fds, struct err *e)
{
	const char *who = from == KEEPER_ASKS ? "supervisor" : "keeper";

	if (n < offsetof(struct keeper_packet, kind))
		return err_set(e, EPROTO, "the %s sent a message of %zu bytes", who, n);
	if (p->message >= KEEPER_MESSAGE_COUNT)
		return err_set(e, EPROTO, "the %s sent message %u, which there is not", who,
			       p->message);
	const struct row *r = &rows[p->message];
	if (r->from != from)
		return err_set(e, EPROTO, "the %s sent message %s, which is not its to send", who,
			       r->name);
	if (n != r->size)
		return err_set(e, EPROTO, "the %s sent message %s of %zu bytes instead of %zu", who,
			       r->name, n, r->size);
	if (!fds->lost && (fds->n < r->fds_min || fds->n > r->fds_max))
		return err_set(e, EPROTO, "the %s sent message %s with %zu descriptors", who,
			       r->name, fds->n);
	if (p->message == KEEPER_SPAWN && p->kind.builtin >= KEEPER_BUILTIN_COUNT)
		return err_set(e, EPROTO, "the %s asked for builtin %u, which there is not", who,
			       p->kind.builtin);
	if (p->message == KEEPER_FAILED &&
	    (p->why.code == 0 || !memchr(p->why.text, 0, sizeof p->why.text)))
		return err_set(e, EPROTO, "the %s sent a failure without a reason", who);
	return 0;
}

int keeper_receive(int channel, enum keeper_side from, struct keeper_packet *p, struct fdpass *fds,
		   struct err *e)
{
	const char *who = from == KEEPER_ASKS ? "supervisor" : "keeper";
	ssize_t n = fdpass_receive(channel, p, sizeof *p, fds);

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		return err_sys(e, "read from the %s", who);
	if (n == 0)
		return err_set(e, ECONNRESET, "the %s is gone", who);
	if (keeper_check(from, p, (size_t)n, fds, e) == 0)
		return 1;
	fdpass_close(fds);
	return -1;
}

static bool is_own_address(struct in_addr a)
{
	return a.s_addr == inet_addr(POCKET_PROXY_ADDRESS) ||
	       a.s_addr == inet_addr(POCKET_OWN_ADDRESS);
}

bool keeper_address_is_inside(const struct keeper_address *a, enum rung r)
{
	if (a->n == sizeof a->at.in && a->at.any.sa_family == AF_INET)
		return ntohl(a->at.in.sin_addr.s_addr) >> 24 == 127 ||
		       (r != RUNG_HOST && is_own_address(a->at.in.sin_addr));
	return a->n == sizeof a->at.in6 && a->at.any.sa_family == AF_INET6 &&
	       IN6_IS_ADDR_LOOPBACK(&a->at.in6.sin6_addr);
}
