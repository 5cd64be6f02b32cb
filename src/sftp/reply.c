#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "sftp/reply.h"

static void write_u32(char *to, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		to[i] = (char)(uint8_t)(v >> (24 - 8 * i));
}

void sftp_put_u32(struct buf *out, uint32_t v)
{
	char bytes[4];

	write_u32(bytes, v);
	must(buf_add(out, bytes, sizeof bytes));
}

void sftp_put_u64(struct buf *out, uint64_t v)
{
	sftp_put_u32(out, (uint32_t)(v >> 32));
	sftp_put_u32(out, (uint32_t)v);
}

void sftp_put_string(struct buf *out, struct str s)
{
	sftp_put_u32(out, (uint32_t)s.n);
	must(buf_str(out, s));
}

void sftp_put_attrs(struct buf *out, const struct sftp_attrs *a)
{
	sftp_put_u32(out, a->flags);
	if (a->flags & SFTP_ATTR_SIZE)
		sftp_put_u64(out, a->size);
	if (a->flags & SFTP_ATTR_OWNER) {
		sftp_put_u32(out, a->uid);
		sftp_put_u32(out, a->gid);
	}
	if (a->flags & SFTP_ATTR_PERMISSIONS)
		sftp_put_u32(out, a->permissions);
	if (a->flags & SFTP_ATTR_TIMES) {
		sftp_put_u32(out, a->atime);
		sftp_put_u32(out, a->mtime);
	}
}

void sftp_change_u32(struct buf *out, size_t at, uint32_t v)
{
	must(at + 4 <= out->n);
	write_u32(out->p + out->at + at, v);
}

size_t sftp_begin(struct buf *out, uint8_t type, uint32_t id)
{
	size_t begun = out->n;

	sftp_put_u32(out, 0); /* its length, in the end */
	must(buf_char(out, (char)type));
	sftp_put_u32(out, id);
	return begun;
}

void sftp_end(struct buf *out, size_t begun)
{
	sftp_change_u32(out, begun, (uint32_t)(out->n - begun - 4));
}

/* ---- whole ones ---- */

void sftp_tell_version(struct buf *out)
{
	size_t begun = sftp_begin(out, SFTP_REPLY_VERSION, SFTP_VERSION);
	const char *name, *version;

	for (enum sftp_op op = 0; op < SFTP_OP_COUNT; op++) {
		if (!sftp_extension(op, &name, &version))
			continue;
		sftp_put_string(out, str_of(name));
		sftp_put_string(out, str_of(version));
	}
	sftp_end(out, begun);
}

void sftp_tell_status(struct buf *out, uint32_t id, enum sftp_status code, const char *text)
{
	size_t begun = sftp_begin(out, SFTP_REPLY_STATUS, id);

	sftp_put_u32(out, code);
	sftp_put_string(out, str_of(text));
	sftp_put_string(out, STR_NONE); /* the language */
	sftp_end(out, begun);
}

enum sftp_status sftp_status_of(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case EBADF:
	case ELOOP:
		return SFTP_STATUS_NO_SUCH_FILE;
	case EPERM:
	case EACCES:
		return SFTP_STATUS_PERMISSION_DENIED;
	case ENAMETOOLONG:
	case EINVAL:
		return SFTP_STATUS_BAD_MESSAGE;
	case ENOSYS:
	case EOPNOTSUPP:
		return SFTP_STATUS_UNSUPPORTED;
	default:
		return SFTP_STATUS_FAILURE;
	}
}

void sftp_tell_error(struct buf *out, uint32_t id, int error)
{
	sftp_tell_status(out, id, sftp_status_of(error), strerror(error));
}

void sftp_tell_handle(struct buf *out, uint32_t id, struct sftp_name name)
{
	size_t begun = sftp_begin(out, SFTP_REPLY_HANDLE, id);

	sftp_put_u32(out, SFTP_NAME_BYTES);
	sftp_put_u32(out, name.index);
	sftp_put_u32(out, name.generation);
	sftp_end(out, begun);
}

void sftp_tell_attrs(struct buf *out, uint32_t id, const struct stat *st)
{
	size_t begun = sftp_begin(out, SFTP_REPLY_ATTRS, id);
	struct sftp_attrs a = sftp_attrs_of(st);

	sftp_put_attrs(out, &a);
	sftp_end(out, begun);
}

void sftp_tell_path(struct buf *out, uint32_t id, const char *path)
{
	const struct sftp_attrs none = {.flags = 0};
	size_t begun = sftp_begin(out, SFTP_REPLY_NAME, id);

	sftp_put_u32(out, 1);
	sftp_put_string(out, str_of(path));
	sftp_put_string(out, str_of(path));
	sftp_put_attrs(out, &none);
	sftp_end(out, begun);
}

void sftp_tell_data(struct buf *out, uint32_t id, uint32_t n)
{
	size_t begun = sftp_begin(out, SFTP_REPLY_DATA, id);

	sftp_put_u32(out, n);
	must(out->n == begun + SFTP_DATA_HEAD);
	buf_added(out, n);
	sftp_end(out, begun);
}

/* Version 3 has 32 bits for a time. */
static uint32_t seconds(time_t t)
{
	return t < 0 ? 0 : (uint32_t)MIN((uint64_t)t, (uint64_t)UINT32_MAX);
}

struct sftp_attrs sftp_attrs_of(const struct stat *st)
{
	return (struct sftp_attrs){
		.flags = SFTP_ATTR_SIZE | SFTP_ATTR_OWNER | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES,
		.size = (uint64_t)st->st_size,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.permissions = st->st_mode,
		.atime = seconds(st->st_atime),
		.mtime = seconds(st->st_mtime),
	};
}
