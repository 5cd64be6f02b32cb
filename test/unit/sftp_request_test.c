/* sftp/request, sftp/reply, sftp/names: bytes into requests, replies into bytes, lines of a listing. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "sftp.h"
#include "sftp/names.h"
#include "sftp/reply.h"
#include "sftp/request.h"
#include "test.h"

static struct sftp_request q;

static enum sftp_parsed parse(struct buf *b)
{
	enum sftp_parsed r = sftp_request_parse(buf_view(b), &q);

	buf_clear(b);
	return r;
}

/* ---- packets ---- */

TEST(sftp_packet_has_a_length_that_holds)
{
	struct str packet;
	char bytes[8] = {0, 0, 0, 3, 'a', 'b', 'c', 'd'};

	for (size_t n = 0; n < 7; n++)
		EQ(sftp_packet(str_sub(bytes, n), &packet), SFTP_MORE);
	EQ(sftp_packet(str_sub(bytes, 7), &packet), SFTP_OK);
	OK(str_is(packet, "abc"));
	EQ(sftp_packet(str_sub(bytes, 8), &packet), SFTP_OK);
	OK(str_is(packet, "abc"));
	bytes[3] = 0;
	EQ(sftp_packet(str_sub(bytes, 8), &packet), SFTP_TOO_LONG);
	memcpy(bytes, "\0\4\0\0", 4); /* 256 KiB */
	EQ(sftp_packet(str_sub(bytes, 8), &packet), SFTP_MORE);
	memcpy(bytes, "\0\4\0\1", 4);
	EQ(sftp_packet(str_sub(bytes, 4), &packet), SFTP_TOO_LONG);
	memcpy(bytes, "\377\377\377\377", 4);
	EQ(sftp_packet(str_sub(bytes, 8), &packet), SFTP_TOO_LONG);
}

TEST(sftp_request_without_an_id)
{
	struct buf b = BUF_INIT(64);

	for (size_t n = 0; n < 5; n++) {
		buf_add(&b, "\4\0\0\0\1", n);
		EQ(parse(&b), SFTP_NO_ID);
	}
	buf_add(&b, "\4\0\0\0\1", 5);
	EQ(parse(&b), SFTP_MALFORMED);
	EQ(q.id, 1);
	buf_fini(&b);
}

TEST(sftp_request_that_there_is_not)
{
	struct buf b = BUF_INIT(64);

	for (int type = 0; type < 256; type++) {
		put_head(&b, (uint8_t)type, 7);
		enum sftp_parsed r = parse(&b);
		EQ(q.id, 7);
		if (type == 0 || type == 2 || (type > 20 && type != 200))
			EQ(r, SFTP_UNKNOWN);
		else
			EQ(r, type == 1 ? SFTP_OK : SFTP_MALFORMED);
	}
	put_head(&b, 200, 9);
	put_text(&b, "statvfs@openssh.co");
	EQ(parse(&b), SFTP_UNKNOWN);
	put_head(&b, 200, 9);
	put_text(&b, "");
	EQ(parse(&b), SFTP_UNKNOWN);
	put_head(&b, 200, 9);
	put_u32(&b, 20); /* of a name that is cut */
	EQ(parse(&b), SFTP_MALFORMED);
	EQ(q.id, 9);
	buf_fini(&b);
}

/* ---- fields ---- */

TEST(sftp_request_open)
{
	struct buf b = BUF_INIT(256);

	put_head(&b, 3, 0xfffefdfc);
	put_text(&b, "a/b");
	put_u32(&b, SFTP_OPEN_WRITE | SFTP_OPEN_CREATE);
	put_u32(&b, SFTP_ATTR_SIZE | SFTP_ATTR_OWNER | SFTP_ATTR_PERMISSIONS | SFTP_ATTR_TIMES |
			    0x80000000u);
	put_u64(&b, 0x123456789aull);
	put_u32(&b, 1);
	put_u32(&b, 2);
	put_u32(&b, 0100644);
	put_u32(&b, 3);
	put_u32(&b, 4);
	put_u32(&b, 1);
	put_text(&b, "x@y");
	put_text(&b, "z");
	size_t whole = b.n;
	/* nothing of it can be missing */
	for (size_t n = 5; n < whole; n++)
		EQ(sftp_request_parse(str_sub(b.p, n), &q), SFTP_MALFORMED);
	put_text(&b, "what comes after is nobody's");
	EQ(parse(&b), SFTP_OK);
	EQ(q.op, SFTP_OPEN);
	EQ(q.id, 0xfffefdfc);
	STREQ(q.path[0], "a/b");
	EQ(q.pflags, SFTP_OPEN_WRITE | SFTP_OPEN_CREATE);
	EQ(q.attrs.flags, 15);
	EQ(q.attrs.size, 0x123456789aull);
	EQ(q.attrs.uid, 1);
	EQ(q.attrs.gid, 2);
	EQ(q.attrs.permissions, 0100644);
	EQ(q.attrs.atime, 3);
	EQ(q.attrs.mtime, 4);
	buf_fini(&b);
}

TEST(sftp_request_attributes_that_do_not_hold)
{
	struct buf b = BUF_INIT(256);

	put_head(&b, 9, 1);
	put_text(&b, "a");
	put_u32(&b, 0x10); /* a flag of version 4 */
	put_u64(&b, 0);
	EQ(parse(&b), SFTP_MALFORMED);
	put_head(&b, 9, 1);
	put_text(&b, "a");
	put_u32(&b, 0x80000000u);
	put_u32(&b, UINT32_MAX); /* so many pairs */
	put_u64(&b, 0);
	EQ(parse(&b), SFTP_MALFORMED);
	put_head(&b, 9, 1);
	put_text(&b, "a");
	put_u32(&b, 0);
	EQ(parse(&b), SFTP_OK);
	EQ(q.attrs.flags, 0);
	EQ(q.attrs.size, 0);
	buf_fini(&b);
}

TEST(sftp_request_data_is_where_it_was)
{
	struct buf b = BUF_INIT(256);

	put_head(&b, 6, 1);
	put_u32(&b, 8);
	put_u32(&b, 5);
	put_u32(&b, 6);
	put_u64(&b, UINT64_MAX);
	put_text(&b, "data");
	const char *at = b.p + b.n - 4;
	EQ(parse(&b), SFTP_OK);
	EQ(q.op, SFTP_WRITE);
	EQ(q.handle.index, 5);
	EQ(q.handle.generation, 6);
	OK(q.offset == UINT64_MAX);
	OK(q.data.p == at && q.data.n == 4);
	buf_fini(&b);
}

TEST(sftp_request_handles_of_other_sizes_are_nobodys)
{
	struct buf b = BUF_INIT(256);

	for (uint32_t n = 0; n < 12; n++) {
		put_head(&b, 4, 1);
		put_u32(&b, n);
		for (uint32_t i = 0; i < n; i++)
			buf_char(&b, 0);
		EQ(parse(&b), SFTP_OK);
		EQ(q.handle.index, n == SFTP_NAME_BYTES ? 0 : (uint32_t)SFTP_NO_INDEX);
	}
	buf_fini(&b);
}

TEST(sftp_request_paths_that_can_be_none)
{
	struct buf b = BUF_INIT(2 * SFTP_PATH_MAX);
	static char name[SFTP_PATH_MAX + 2];

	memset(name, 'x', SFTP_PATH_MAX);
	put_head(&b, 17, 1);
	put_text(&b, name);
	EQ(parse(&b), SFTP_OK);
	EQ(strlen(q.path[0]), SFTP_PATH_MAX);
	name[SFTP_PATH_MAX] = 'x';
	put_head(&b, 17, 1);
	put_text(&b, name);
	EQ(parse(&b), SFTP_MALFORMED);
	put_head(&b, 17, 1);
	put_u32(&b, 3);
	buf_add(&b, "a\0b", 3);
	EQ(parse(&b), SFTP_MALFORMED);
	put_head(&b, 17, 1);
	put_text(&b, "");
	EQ(parse(&b), SFTP_OK);
	STREQ(q.path[0], "");
	buf_fini(&b);
}

TEST(sftp_request_of_an_extension)
{
	struct buf b = BUF_INIT(256);
	const char *name, *version;
	unsigned n = 0;

	put_head(&b, 200, 3);
	put_text(&b, "posix-rename@openssh.com");
	put_text(&b, "from");
	put_text(&b, "to");
	EQ(parse(&b), SFTP_OK);
	EQ(q.op, SFTP_POSIX_RENAME);
	STREQ(q.path[0], "from");
	STREQ(q.path[1], "to");
	for (enum sftp_op op = 0; op < SFTP_OP_COUNT; op++) {
		if (!sftp_extension(op, &name, &version))
			continue;
		n++;
		put_head(&b, 200, 4);
		put_text(&b, name);
		OK(parse(&b) == (op == SFTP_LIMITS ? SFTP_OK : SFTP_MALFORMED));
	}
	EQ(n, SFTP_OP_COUNT - SFTP_POSIX_RENAME);
	buf_fini(&b);
}

TEST(sftp_request_leaves_nothing_for_the_next)
{
	struct buf b = BUF_INIT(256);

	put_head(&b, 18, 1);
	put_text(&b, "old");
	put_text(&b, "new");
	EQ(parse(&b), SFTP_OK);
	put_head(&b, 18, 2);
	put_text(&b, "only");
	EQ(parse(&b), SFTP_MALFORMED);
	STREQ(q.path[1], "");
	put_head(&b, 4, 3);
	put_u32(&b, 0);
	EQ(parse(&b), SFTP_OK);
	STREQ(q.path[0], "");
	EQ(q.data.n, 0);
	buf_fini(&b);
}

/* ---- replies ---- */

TEST(sftp_reply_bytes)
{
	struct buf b = BUF_INIT(SFTP_REPLY_MAX);

	sftp_tell_status(&b, 0x01020304, SFTP_STATUS_FAILURE, "no");
	MEMEQ(b.p, "\0\0\0\23\145\1\2\3\4\0\0\0\4\0\0\0\2no\0\0\0\0", 23);
	EQ(b.n, 23);
	/* behind what is there, and when some of that is gone */
	buf_consume(&b, 3);
	sftp_tell_handle(&b, 5, (struct sftp_name){6, 7});
	EQ(b.n, 20 + 21);
	MEMEQ(b.p + b.at + 20, "\0\0\0\21\146\0\0\0\5\0\0\0\10\0\0\0\6\0\0\0\7", 21);
	buf_clear(&b);
	char *room = buf_room(&b, SFTP_DATA_HEAD + 3);
	memcpy(room + SFTP_DATA_HEAD, "abc", 3);
	sftp_tell_data(&b, 9, 3);
	EQ(b.n, 16);
	MEMEQ(b.p, "\0\0\0\14\147\0\0\0\11\0\0\0\3abc", 16);
	buf_fini(&b);
}

TEST(sftp_reply_attributes)
{
	const struct stat st = {.st_size = 0x123456789a,
				.st_uid = 1,
				.st_gid = 2,
				.st_mode = S_IFREG | 0640,
				.st_atime = -5,
				.st_mtime = 0x1ffffffff};
	struct buf b = BUF_INIT(64);

	sftp_tell_attrs(&b, 1, &st);
	MEMEQ(b.p,
	      "\0\0\0\45\151\0\0\0\1\0\0\0\17\0\0\0\x12\x34\x56\x78\x9a\0\0\0\1\0\0\0\2\0\0\201\240"
	      "\0\0\0\0\377\377\377\377",
	      b.n);
	buf_fini(&b);
}

TEST(sftp_reply_codes)
{
	EQ(sftp_status_of(ENOENT), SFTP_STATUS_NO_SUCH_FILE);
	EQ(sftp_status_of(ENOTDIR), SFTP_STATUS_NO_SUCH_FILE);
	EQ(sftp_status_of(EACCES), SFTP_STATUS_PERMISSION_DENIED);
	EQ(sftp_status_of(EPERM), SFTP_STATUS_PERMISSION_DENIED);
	EQ(sftp_status_of(EINVAL), SFTP_STATUS_BAD_MESSAGE);
	EQ(sftp_status_of(ENOSYS), SFTP_STATUS_UNSUPPORTED);
	EQ(sftp_status_of(ENOSPC), SFTP_STATUS_FAILURE);
	EQ(sftp_status_of(EEXIST), SFTP_STATUS_FAILURE);
}

/* ---- lines ---- */

TEST(sftp_names_of_users_and_groups)
{
	struct str passwd = STR("root:x:0:0:root:/root:/bin/sh\nbroken\n:x:5::\nu:x:7:7:,,:/home/u:"
				"/bin/sh\nlast:x:8:8:c:/last");

	OK(str_is(sftp_name_of(passwd, 0), "root"));
	OK(str_is(sftp_name_of(passwd, 7), "u"));
	OK(str_is(sftp_name_of(passwd, 8), "last"));
	EQ(sftp_name_of(passwd, 9).n, 0);
	EQ(sftp_name_of(STR_NONE, 0).n, 0);
	OK(str_is(sftp_home_of(passwd, STR("u")), "/home/u"));
	OK(str_is(sftp_home_of(passwd, STR("last")), "/last"));
	EQ(sftp_home_of(passwd, STR("broken")).n, 0);
	EQ(sftp_home_of(passwd, STR("nobody")).n, 0);
}

static const char *line(mode_t mode, time_t mtime, const char *passwd)
{
	static char text[256];
	struct sftp_names n = {.read = true, .passwd = xstrdup(passwd), .group = NULL};
	const struct stat st = {.st_mode = mode,
				.st_nlink = 1,
				.st_uid = 7,
				.st_gid = 8,
				.st_size = 42,
				.st_mtime = mtime};

	sftp_line(&n, "name", &st, 1700000000, text, sizeof text);
	sftp_names_fini(&n);
	return text;
}

TEST(sftp_lines_are_those_of_ls)
{
	STREQ(line(S_IFREG | 0640, 1699999999, ""),
	      "-rw-r-----   1 7        8              42 Nov 14 22:13 name");
	STREQ(line(S_IFDIR | 01777, 1600000000, "u:x:7:"),
	      "drwxrwxrwt   1 u        8              42 Sep 13  2020 name");
	STREQ(line(S_IFREG | 06654, 1700000001, "x\033[2J:x:7:"),
	      "-rwSr-sr--   1 7        8              42 Nov 14  2023 name");
	HAS(line(S_IFLNK | 0777, 0, ""), "lrwxrwxrwx ");
	HAS(line(S_IFSOCK | 0001, 0, ""), "s--------x ");
	HAS(line(S_IFIFO | 04111, -1, "a-name-of-more-than-thirty-two-bytes:x:7:"),
	    "p--s--x--x   1 a-name-of-more-than-thirty-two-b ");
}
