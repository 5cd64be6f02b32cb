#include <unistd.h>

#include "base/util.h"
#include "supervisor/ssh_broker_impl.h"

static void connected(struct inside_dial *d, int fd, const struct err *why)
{
	struct channel *ch = container_of(d, struct channel, dial);
	_cleanup_close_ int socket = fd;

	if (fd < 0) {
		ssh_channel_refused(ch, why);
		return;
	}
	ch->state = CHANNEL_OPEN;
	ssh_channel_started(ch, &socket, 1);
}

int ssh_inside_connect(struct channel *ch, const struct ssh_packet *p, struct err *e)
{
	const struct ssh_broker *b = broker_of(ch);

	ch->state = CHANNEL_CONNECTING;
	ch->dial.done = connected;
	return inside_dial(&ch->dial, b->c.loop, b->c.keeper, p->connect.host, p->connect.port, e);
}
