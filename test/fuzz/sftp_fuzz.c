/* What an SFTP client sends, packet after packet; and, where the first byte is 0xff, a passwd file of an image. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "sftp/names.h"
#include "sftp/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct str part, struct str whole)
{
	return part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n);
}

static void read_request(struct str packet)
{
	static struct sftp_request q;
	enum sftp_parsed r = sftp_request_parse(packet, &q);

	must(r != SFTP_MORE && r != SFTP_TOO_LONG);
	must(memchr(q.path[0], 0, sizeof q.path[0]) && memchr(q.path[1], 0, sizeof q.path[1]));
	must(lies_in(q.data, packet));
	must((q.attrs.flags & ~15u) == 0);
	must(r == SFTP_NO_ID ? packet.n < 5 : packet.n >= 5);
	if (r == SFTP_OK)
		must(q.op >= 0 && q.op < SFTP_OP_COUNT);
}

static void read_stream(struct str in)
{
	struct str packet;
	enum sftp_parsed r;

	while ((r = sftp_packet(in, &packet)) == SFTP_OK) {
		must(lies_in(packet, in) && packet.n > 0 && packet.n <= SFTP_PACKET_MAX);
		/* its own memory, so that a byte beyond it is seen */
		char *copy = memcpy(xmalloc(packet.n), packet.p, packet.n);
		read_request(str_sub(copy, packet.n));
		free(copy);
		in = str_sub(in.p + 4 + packet.n, in.n - 4 - packet.n);
	}
	must(r == SFTP_MORE || r == SFTP_TOO_LONG);
}

static void read_passwd(struct str text)
{
	const struct stat st = {.st_mode = S_IFREG | 0644, .st_uid = 7, .st_gid = 7};
	struct sftp_names names = {.read = true, .passwd = str_dup(text), .group = str_dup(text)};
	char line[SFTP_LINE_HEAD + sizeof "name"];

	must(lies_in(sftp_home_of(text, STR("u")), text));
	must(lies_in(sftp_name_of(text, 7), text));
	sftp_line(&names, "name", &st, 0, line, sizeof line);
	must(!str_has_control(str_of(line)));
	sftp_names_fini(&names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0 && data[0] == 0xff)
		read_passwd(str_sub(data + 1, size - 1));
	else
		read_stream(str_sub(data, size));
	return 0;
}
