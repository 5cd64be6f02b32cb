/* What mbedTLS calls for entropy (vendor/mbedtls_user.h). */
#include <mbedtls/entropy.h>

#include "base/util.h"
#include "net/entropy.h"

int mbedtls_hardware_poll(void *data UNUSED, unsigned char *output, size_t len, size_t *olen)
{
	random_bytes(output, len);
	*olen = len;
	return 0;
}
