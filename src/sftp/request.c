#include <string.h>

#include "base/util.h"
#include "sftp/request.h"

/* ---- the table ---- */

enum { EXTENDED = 200, ID_BYTES = 4, ATTR_EXTENDED = 0x80000000 };

/*
 * The fields of each operation, in their order:
 *
 *	p path      h handle    o offset    n length
 *	d data      f pflags    a attributes
 */
static const struct row {
	const char *fields;
	const char *extension, *version; /* NULL: it has a type of its own */
	uint8_t type;
} rows[] = {
	[SFTP_INIT] = {"", NULL, NULL, 1},
	[SFTP_OPEN] = {"pfa", NULL, NULL, 3},
	[SFTP_CLOSE] = {"h", NULL, NULL, 4},
	[SFTP_READ] = {"hon", NULL, NULL, 5},
	[SFTP_WRITE] = {"hod", NULL, NULL, 6},
	[SFTP_LSTAT] = {"p", NULL, NULL, 7},
	[SFTP_FSTAT] = {"h", NULL, NULL, 8},
	[SFTP_SETSTAT] = {"pa", NULL, NULL, 9},
	[SFTP_FSETSTAT] = {"ha", NULL, NULL, 10},
	[SFTP_OPENDIR] = {"p", NULL, NULL, 11},
	[SFTP_READDIR] = {"h", NULL, NULL, 12},
	[SFTP_REMOVE] = {"p", NULL, NULL, 13},
	[SFTP_MKDIR] = {"pa", NULL, NULL, 14},
	[SFTP_RMDIR] = {"p", NULL, NULL, 15},
	[SFTP_REALPATH] = {"p", NULL, NULL, 16},
	[SFTP_STAT] = {"p", NULL, NULL, 17},
	[SFTP_RENAME] = {"pp", NULL, NULL, 18},
	[SFTP_READLINK] = {"p", NULL, NULL, 19},
	/* OpenSSH has always sent the target first, against the draft, and all who talk to it do */
	[SFTP_SYMLINK] = {"pp", NULL, NULL, 20},
	[SFTP_POSIX_RENAME] = {"pp", "posix-rename@openssh.com", "1", EXTENDED},
	[SFTP_STATVFS] = {"p", "statvfs@openssh.com", "2", EXTENDED},
	[SFTP_FSTATVFS] = {"h", "fstatvfs@openssh.com", "2", EXTENDED},
	[SFTP_HARDLINK] = {"pp", "hardlink@openssh.com", "1", EXTENDED},
	[SFTP_FSYNC] = {"h", "fsync@openssh.com", "1", EXTENDED},
	[SFTP_LSETSTAT] = {"pa", "lsetstat@openssh.com", "1", EXTENDED},
	[SFTP_LIMITS] = {"", "limits@openssh.com", "1", EXTENDED},
	[SFTP_EXPAND_PATH] = {"p", "expand-path@openssh.com", "1", EXTENDED},
	[SFTP_HOME_DIRECTORY] = {"p", "home-directory", "1", EXTENDED},
};
_Static_assert(ARRAY_LEN(rows) == SFTP_OP_COUNT, "a row for each operation");

bool sftp_extension(enum sftp_op op, const char **name, const char **version)
{
	must(op >= 0 && op < SFTP_OP_COUNT);
	*name = rows[op].extension;
	*version = rows[op].version;
	return *name != NULL;
}

/* ---- fields ---- */

/* Once something was missing, all that follows is empty. */
struct reader {
	struct str rest;
	bool bad;
};

static struct str get_bytes(struct reader *r, size_t n)
{
	struct str s = {r->rest.p, n};

	r->bad = r->bad || n > r->rest.n;
	if (r->bad)
		return STR_NONE;
	r->rest.p += n;
	r->rest.n -= n;
	return s;
}

static uint64_t get_number(struct reader *r, size_t bytes)
{
	struct str s = get_bytes(r, bytes);
	uint64_t v = 0;

	for (size_t i = 0; i < s.n; i++)
		v = v << 8 | (uint8_t)s.p[i];
	return v;
}

static uint8_t get_u8(struct reader *r)
{
	return (uint8_t)get_number(r, 1);
}

static uint32_t get_u32(struct reader *r)
{
	return (uint32_t)get_number(r, 4);
}

static uint64_t get_u64(struct reader *r)
{
	return get_number(r, 8);
}

static struct str get_string(struct reader *r)
{
	return get_bytes(r, get_u32(r));
}

static void get_path(struct reader *r, char to[SFTP_PATH_MAX + 1])
{
	struct str s = get_string(r);

	r->bad = r->bad || s.n > SFTP_PATH_MAX || (s.n > 0 && memchr(s.p, 0, s.n));
	if (r->bad || s.n == 0)
		return;
	memcpy(to, s.p, s.n);
	to[s.n] = '\0';
}

static struct sftp_name get_handle(struct reader *r)
{
	struct reader name = {.rest = get_string(r)};

	if (name.rest.n != SFTP_NAME_BYTES)
		return (struct sftp_name){SFTP_NO_INDEX, 0};
	uint32_t index = get_u32(&name);
	return (struct sftp_name){index, get_u32(&name)};
}

/* A flag that is unknown may bring anything. */
static void get_attrs(struct reader *r, struct sftp_attrs *a)
{
	uint32_t flags = get_u32(r);

	a->flags = flags &
		   (SFTP_ATTR_SIZE | SFTP_ATTR_OWNER | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES);
	r->bad = r->bad || (flags & ~(uint32_t)ATTR_EXTENDED) != a->flags;
	if (a->flags & SFTP_ATTR_SIZE)
		a->size = get_u64(r);
	if (a->flags & SFTP_ATTR_OWNER) {
		a->uid = get_u32(r);
		a->gid = get_u32(r);
	}
	if (a->flags & SFTP_ATTR_PERMISSIONS)
		a->permissions = get_u32(r);
	if (a->flags & SFTP_ATTR_TIMES) {
		a->atime = get_u32(r);
		a->mtime = get_u32(r);
	}
	if (!(flags & ATTR_EXTENDED))
		return;
	for (uint32_t n = get_u32(r); n > 0 && !r->bad; n--) {
		get_string(r);
		get_string(r);
	}
}

static void get_fields(struct reader *r, const char *fields, struct sftp_request *out)
{
	size_t paths = 0;

	for (; *fields; fields++) {
		switch (*fields) {
		case 'p':
			get_path(r, out->path[paths++]);
			break;
		case 'h':
			out->handle = get_handle(r);
			break;
		case 'o':
			out->offset = get_u64(r);
			break;
		case 'n':
			out->length = get_u32(r);
			break;
		case 'd':
			out->data = get_string(r);
			break;
		case 'f':
			out->pflags = get_u32(r);
			break;
		default:
			get_attrs(r, &out->attrs);
		}
	}
}

/* ---- packets ---- */

static enum sftp_op find(uint8_t type, struct reader *r)
{
	struct str name = type == EXTENDED ? get_string(r) : STR_NONE;
	enum sftp_op op = 0;

	while (op < SFTP_OP_COUNT &&
	       (rows[op].type != type || (rows[op].extension && !str_is(name, rows[op].extension))))
		op++;
	return op;
}

enum sftp_parsed sftp_packet(struct str in, struct str *packet)
{
	struct reader r = {.rest = in};
	uint32_t n = get_u32(&r);

	if (r.bad)
		return SFTP_MORE;
	if (n == 0 || n > SFTP_PACKET_MAX)
		return SFTP_TOO_LONG;
	*packet = get_bytes(&r, n);
	return r.bad ? SFTP_MORE : SFTP_OK;
}

/* The paths' bytes are left as they are behind their ends: 8 KiB for each request would be too much to clear. */
static void clear(struct sftp_request *q)
{
	q->path[0][0] = q->path[1][0] = '\0';
	q->handle = (struct sftp_name){0, 0};
	q->offset = 0;
	q->length = q->pflags = 0;
	q->data = STR_NONE;
	q->attrs = (struct sftp_attrs){0};
}

enum sftp_parsed sftp_request_parse(struct str packet, struct sftp_request *out)
{
	struct reader r = {.rest = packet};

	clear(out);
	uint8_t type = get_u8(&r);
	out->id = get_u32(&r);
	if (r.bad)
		return SFTP_NO_ID;
	enum sftp_op op = find(type, &r);
	if (r.bad)
		return SFTP_MALFORMED;
	if (op == SFTP_OP_COUNT)
		return SFTP_UNKNOWN;
	out->op = op;
	get_fields(&r, rows[op].fields, out);
	return r.bad ? SFTP_MALFORMED : SFTP_OK;
}
