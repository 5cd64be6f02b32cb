/* A token: the bytes as they come with an answer. */
#include "base/util.h"
#include "supervisor/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	int64_t seconds = -1;

	if (jwt_expiry(str_sub(p, n), &seconds))
		must(seconds >= 0);
	return 0;
}
