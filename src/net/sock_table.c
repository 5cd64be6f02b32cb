#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "net/sock_table.h"

enum { READ_BYTES = 16384 };

/* ---- a line ---- */

static bool parse_hex(struct str s, size_t digits, uint32_t *out)
{
	uint32_t n = 0;

	if (s.n != digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		char c = s.p[i];
		if (c >= '0' && c <= '9')
			n = n << 4 | (uint32_t)(c - '0');
		else if (c >= 'A' && c <= 'F')
			n = n << 4 | (uint32_t)(c - 'A' + 10);
		else
			return false;
	}
	*out = n;
	return true;
}

/* "0100007F:1F90": the words of the address as this machine reads them from memory, and the port. */
static bool parse_end(struct str s, struct sock_end *out)
{
	struct str address = str_cut(&s, ':');
	bool v4 = address.n == 8;
	uint32_t word, port;

	memset(out, 0, sizeof *out);
	if ((!v4 && address.n != 32) || !parse_hex(s, 4, &port))
		return false;
	if (v4)
		out->address.s6_addr[10] = out->address.s6_addr[11] = 0xff;
	for (size_t i = 0; i < address.n / 8; i++) {
		if (!parse_hex(str_sub(address.p + 8 * i, 8), 8, &word))
			return false;
		memcpy(&out->address.s6_addr[v4 ? 12 : 4 * i], &word, sizeof word);
	}
	out->port = (uint16_t)port;
	return true;
}

/* The next word; empty at the end. */
static struct str word(struct str *line)
{
	*line = str_trim(*line);
	return str_cut(line, ' ');
}

/* N: local remote state tx:rx timer:when retransmits uid timeout inode … */
bool sock_table_parse(struct str line, struct sock_query *out)
{
	enum { BEFORE_UID = 3 };
	uint64_t uid, inode;
	uint32_t state;

	memset(out, 0, sizeof *out);
	out->protocol = IPPROTO_TCP;
	if (!str_ends(word(&line), ":") || !parse_end(word(&line), &out->local) ||
	    !parse_end(word(&line), &out->remote) || !parse_hex(word(&line), 2, &state))
		return false;
	for (int i = 0; i < BEFORE_UID; i++)
		word(&line);
	if (!str_u64(word(&line), &uid) || uid > UINT32_MAX || word(&line).n == 0 ||
	    !str_u64(word(&line), &inode) || inode > UINT32_MAX)
		return false;
	out->uid = (uid_t)uid;
	out->inode = (uint32_t)inode;
	out->state = (uint8_t)state;
	return true;
}

/* ---- a table ---- */

static void take_line(struct str line, struct sock_query *q, size_t n)
{
	struct sock_query found;

	if (!sock_table_parse(line, &found) || found.state == TCP_LISTEN)
		return;
	for (size_t i = 0; i < n; i++) {
		if (q[i].protocol != IPPROTO_TCP || q[i].error != ENOENT ||
		    !sock_end_same(&q[i].local, &found.local) ||
		    !sock_end_same(&q[i].remote, &found.remote))
			continue;
		q[i].inode = found.inode;
		q[i].uid = found.uid;
		q[i].state = found.state;
		q[i].error = found.inode != 0 ? 0 : ENOTCONN;
	}
}

static void read_table(int fd, struct sock_query *q, size_t n)
{
	char bytes[READ_BYTES];
	size_t kept = 0;
	ssize_t got;

	for (size_t total = 0; total < SOCK_TABLE_MAX; total += (size_t)got) {
		got = read(fd, bytes + kept, sizeof bytes - kept);
		if (got <= 0)
			return;
		struct str rest = str_sub(bytes, kept + (size_t)got);
		while (rest.n > 0 && memchr(rest.p, '\n', rest.n) != NULL)
			take_line(str_cut(&rest, '\n'), q, n);
		kept = rest.n <= SOCK_TABLE_LINE_MAX ? rest.n : 0;
		if (kept > 0)
			memmove(bytes, rest.p, kept);
	}
}

void sock_table_find(pid_t pid, struct sock_query *q, size_t n)
{
	static const char *const tables[] = {"tcp", "tcp6"};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/%d/net/%s", (int)pid, tables[i]);
		_cleanup_close_ int fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			read_table(fd, q, n);
	}
}
