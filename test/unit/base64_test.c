#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/util.h"
#include "test.h"

static const char *decoded(const char *text)
{
	static char out[64];
	size_t n;

	OK(base64_decoded_max(strlen(text)) < sizeof out);
	if (!base64_decode(str_of(text), (uint8_t *)out, &n))
		return NULL;
	OK(n <= base64_decoded_max(strlen(text)));
	out[n] = '\0';
	return out;
}

TEST(bytes_become_text_and_bytes_again)
{
	static const char *const t[][2] = {/* the vectors of RFC 4648 */
					   {"", ""},
					   {"f", "Zg=="},
					   {"fo", "Zm8="},
					   {"foo", "Zm9v"},
					   {"foob", "Zm9vYg=="},
					   {"fooba", "Zm9vYmE="},
					   {"foobar", "Zm9vYmFy"}};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		_cleanup_free_ char *text = base64_encode(str_of(t[i][0]));
		STREQ(text, t[i][1]);
		STREQ(decoded(t[i][1]), t[i][0]);
	}
}

TEST(both_alphabets_and_no_padding_are_read)
{
	STREQ(decoded("Zm8"), "fo");
	STREQ(decoded("Zg"), "f");
	STREQ(decoded("fn5-fn4_"), "~~~~~?");
	STREQ(decoded("fn5+fn4/"), "~~~~~?");
}

TEST(what_is_not_base64_is_refused)
{
	static const char *const bad[] = {"Z",    "Zg=", "Zg===", "Z===",   "====",     "=",
					  "Zh==", "Zm9", "Zm 9v", "Zm9v\n", "Zm9v====", "Zg==Zg=="};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (decoded(bad[i]) != NULL)
			FAIL("was taken: '%s'", bad[i]);
}
