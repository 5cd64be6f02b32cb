/* What a client begins a tunnel with, by its first bytes (src/proxy/connect.c). */
#include "../../src/proxy/connect.c"

#include "test.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

static const struct {
	struct str bytes;
	enum begins what;
} rows[] = {
	{STR(""), BEGINS_MORE},
	{STR("\x16"), BEGINS_MORE},
	{STR("\x16\x03"), BEGINS_TLS},
	{STR("\x16\x03\x01\x02\x00\x01"), BEGINS_TLS},
	{STR("\x16\x02\x01"), BEGINS_UNKNOWN},
	{STR("\x80\x2e\x01\x03\x01"), BEGINS_UNKNOWN}, /* the hello of SSL 2 */
	{STR("\x17\x03\x03"), BEGINS_UNKNOWN},
	{STR("G"), BEGINS_MORE},
	{STR("GET"), BEGINS_MORE},
	{STR("GET "), BEGINS_HTTP1},
	{STR("VERSION-CONTROL /"), BEGINS_HTTP1},
	{STR("PRI"), BEGINS_MORE},
	{STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), BEGINS_MORE},
	{STR(PREFACE), BEGINS_UNKNOWN},
	{STR(PREFACE "\0\0\x12"), BEGINS_UNKNOWN},
	{STR("PRI * HTTP/1.1\r\n"), BEGINS_HTTP1}, /* which no reader of heads takes */
	{STR(" GET /"), BEGINS_UNKNOWN},
	{STR("\r\nGET /"), BEGINS_UNKNOWN},
	{STR("get /"), BEGINS_UNKNOWN},
	{STR("SSH-2.0-OpenSSH_9.2\r\n"), BEGINS_UNKNOWN},
	{STR("AAAAAAAAAAAAAAAAAAAAAAA"), BEGINS_MORE},
	{STR("AAAAAAAAAAAAAAAAAAAAAAAA"), BEGINS_UNKNOWN},
	{STR("\0GET "), BEGINS_UNKNOWN},
};

TEST(first_bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum begins what = what_begins(rows[i].bytes);
		if (what != rows[i].what)
			FAIL("\"%.*s\": %d, not %d", STR_FMT(rows[i].bytes), what, rows[i].what);
	}
}

/* What is known of the beginning is never taken back by more bytes. */
TEST(first_bytes_one_by_one)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum begins before = BEGINS_MORE;
		for (size_t n = 0; n <= rows[i].bytes.n; n++) {
			/* a copy of just so many, for the sanitizers */
			_cleanup_free_ char *p = xmalloc(n);
			memcpy(p, rows[i].bytes.p, n);
			enum begins what = what_begins(str_sub(p, n));
			OK(before == BEGINS_MORE || what == before);
			before = what;
		}
	}
}
