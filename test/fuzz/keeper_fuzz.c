/*
 * What goes between a supervisor, its keeper and the nursery. The first byte says who reads the rest, the
 * second how many descriptors came with it: 0 the keeper, 1 the supervisor, 2 a workload before its exec.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "isolate/keeper_impl.h"
#include "isolate/nursery.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_message(enum keeper_side from, const uint8_t *p, size_t n, size_t fds)
{
	/* as the channel does it: what is longer does not come this far */
	struct keeper_packet packet;
	struct fdpass pass = {.n = fds % (FDPASS_MAX + 1), .lost = fds > 0x80};
	struct err e;

	memset(&packet, 0xa5, sizeof packet);
	memcpy(&packet, p, MIN(n, sizeof packet));
	if (keeper_check(from, &packet, MIN(n, sizeof packet), &pass, &e) < 0) {
		must(e.code == EPROTO && e.text[0] != '\0');
		return;
	}
	must(n >= keeper_size(packet.message));
	if (packet.message == KEEPER_SPAWN)
		must(packet.kind.builtin < KEEPER_BUILTIN_COUNT);
	if (packet.message == KEEPER_LISTEN || packet.message == KEEPER_CONNECT)
		for (enum rung r = 0; r < RUNG_COUNT; r++)
			keeper_address_is_inside(&packet.address, r);
	if (packet.message == KEEPER_FAILED)
		must(strlen(packet.why.text) < sizeof packet.why.text && packet.why.code != 0);
}

static void read_text(const uint8_t *p, size_t n)
{
	static struct nursery_text text;
	/* its own memory, so that a byte beyond it is seen */
	char *copy = memcpy(xmalloc(n), p, n);
	size_t sum = 2 * sizeof(uint32_t);
	struct err e;

	if (nursery_text_read(copy, n, &text, &e) == 0) {
		must(text.argv[0] != NULL);
		sum += strlen(text.cwd) + 1;
		for (char **s = text.argv; *s; s++)
			sum += strlen(*s) + 1;
		for (char **s = text.env; *s; s++)
			sum += strlen(*s) + 1;
		must(sum == n);
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	switch (data[0] % 3) {
	case 0:
		read_message(KEEPER_ASKS, data + 2, size - 2, data[1]);
		break;
	case 1:
		read_message(KEEPER_TELLS, data + 2, size - 2, data[1]);
		break;
	default:
		read_text(data + 2, size - 2);
	}
	return 0;
}
