/* What the tests of the SFTP server have in common: requests as bytes, and a client. Included by test/unit/sftp_*_test.c
 * only. */
#ifndef OPENSHELL_TEST_SFTP_H
#define OPENSHELL_TEST_SFTP_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/util.h"
#include "sftp/reply.h"
#include "test.h"

static UNUSED void put_u32(struct buf *b, uint32_t v)
{
	const uint8_t bytes[] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8),
				 (uint8_t)v};

	must(buf_add(b, bytes, sizeof bytes));
}

static UNUSED void put_u64(struct buf *b, uint64_t v)
{
	put_u32(b, (uint32_t)(v >> 32));
	put_u32(b, (uint32_t)v);
}

static UNUSED void put_bytes(struct buf *b, struct str s)
{
	put_u32(b, (uint32_t)s.n);
	must(buf_str(b, s));
}

static UNUSED void put_text(struct buf *b, const char *s)
{
	put_bytes(b, str_of(s));
}

/* A request's beginning, without the packet's length. */
static UNUSED void put_head(struct buf *b, uint8_t type, uint32_t id)
{
	must(buf_char(b, (char)type));
	put_u32(b, id);
}

/* ---- a client ---- */

enum { INIT = 1, OPEN = 3, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR };
enum { REMOVE = 13, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK, EXTENDED = 200 };

static UNUSED int to, from;                /* the server */
static struct buf out = BUF_INIT(1 << 22); /* requests that are not sent yet */

/* The last reply. */
static UNUSED char reply[SFTP_REPLY_MAX];
static struct {
	uint8_t type;
	uint32_t id, code;
	struct str body; /* behind the id */
} got;

/* The request whose fields are in b. */
static UNUSED void queue(uint8_t type, uint32_t id, struct buf *b)
{
	put_u32(&out, (uint32_t)b->n + 5);
	put_head(&out, type, id);
	OK(buf_str(&out, buf_view(b)));
	buf_fini(b);
}

static UNUSED void flush(void)
{
	OK(file_write_all(to, out.p + out.at, out.n) == 0);
	buf_clear(&out);
}

static UNUSED uint32_t number(const char *p)
{
	const uint8_t *b = (const uint8_t *)p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static UNUSED void receive(void)
{
	OK(file_read_all(from, reply, 4) == 4);
	uint32_t n = number(reply);
	OK(n >= 5 && n <= SFTP_PACKET_MAX);
	OK(file_read_all(from, reply, n) == n);
	got.type = (uint8_t)reply[0];
	got.id = number(reply + 1);
	got.body = str_sub(reply + 5, n - 5);
	got.code = got.type == SFTP_REPLY_STATUS ? number(got.body.p) : 1000;
}

/* One request and its reply: the type of that, or the code of a status. */
static UNUSED uint32_t asked(uint8_t type, struct buf *b)
{
	static uint32_t id = 100;

	queue(type, ++id, b);
	flush();
	receive();
	EQ(got.id, id);
	return got.type == SFTP_REPLY_STATUS ? got.code : got.type;
}

static UNUSED uint32_t ask_path(uint8_t type, const char *path)
{
	struct buf b = BUF_INIT(8192);

	put_text(&b, path);
	return asked(type, &b);
}

static UNUSED uint32_t ask_paths(uint8_t type, const char *a, const char *c)
{
	struct buf b = BUF_INIT(8192);

	put_text(&b, a);
	put_text(&b, c);
	return asked(type, &b);
}

static UNUSED uint32_t ask_extension(const char *name, const char *a, const char *c)
{
	struct buf b = BUF_INIT(8192);

	put_text(&b, name);
	if (a)
		put_text(&b, a);
	if (c)
		put_text(&b, c);
	return asked(EXTENDED, &b);
}

/* A handle as text. */
static UNUSED struct str kept(char handle[8])
{
	EQ(got.body.n, 12);
	memcpy(handle, got.body.p + 4, 8);
	return str_sub(handle, 8);
}

static UNUSED uint32_t try_open(const char *path, uint32_t pflags)
{
	struct buf b = BUF_INIT(8192);

	put_text(&b, path);
	put_u32(&b, pflags);
	put_u32(&b, 0);
	return asked(OPEN, &b);
}

static UNUSED struct str opened(const char *path, uint32_t pflags, char handle[8])
{
	EQ(try_open(path, pflags), SFTP_REPLY_HANDLE);
	return kept(handle);
}

static UNUSED uint32_t ask_handle(uint8_t type, struct str handle)
{
	struct buf b = BUF_INIT(64);

	put_bytes(&b, handle);
	return asked(type, &b);
}

static UNUSED uint32_t ask_read(struct str handle, uint64_t offset, uint32_t n)
{
	struct buf b = BUF_INIT(64);

	put_bytes(&b, handle);
	put_u64(&b, offset);
	put_u32(&b, n);
	return asked(READ, &b);
}

static UNUSED uint32_t ask_write(struct str handle, uint64_t offset, const char *text)
{
	struct buf b = BUF_INIT(8192);

	put_bytes(&b, handle);
	put_u64(&b, offset);
	put_text(&b, text);
	return asked(WRITE, &b);
}

/* The path of a SFTP_REPLY_NAME. */
static UNUSED const char *told_path(void)
{
	static char path[5000];

	EQ(number(got.body.p), 1);
	uint32_t n = number(got.body.p + 4);
	OK(n < sizeof path && n + 8 < got.body.n);
	memcpy(path, got.body.p + 8, n);
	path[n] = '\0';
	return path;
}

/* Sets those of the flags to: 2 bytes, who we are, 0600, two times. */
static UNUSED uint32_t ask_attrs(const char *extension, const char *path, uint32_t flags)
{
	struct buf b = BUF_INIT(256);

	if (extension)
		put_text(&b, extension);
	put_text(&b, path);
	put_u32(&b, flags);
	if (flags & SFTP_ATTR_SIZE)
		put_u64(&b, 2);
	if (flags & SFTP_ATTR_OWNER) {
		put_u32(&b, getuid());
		put_u32(&b, getgid());
	}
	if (flags & SFTP_ATTR_PERMISSIONS)
		put_u32(&b, 0100600);
	if (flags & SFTP_ATTR_TIMES) {
		put_u32(&b, 1000000000);
		put_u32(&b, 4000000000);
	}
	return asked(extension ? EXTENDED : SETSTAT, &b);
}

#endif
