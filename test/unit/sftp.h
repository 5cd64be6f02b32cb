/* What the tests of the SFTP server have in common: requests as bytes. Included by test/unit/sftp_*_test.c only. */
#ifndef OPENSHELL_TEST_SFTP_H
#define OPENSHELL_TEST_SFTP_H

#include <stdint.h>

#include "base/buf.h"
#include "base/util.h"

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

#endif
