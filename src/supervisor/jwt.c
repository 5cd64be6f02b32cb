#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "supervisor/jwt.h"

enum { CLAIMS_MAX = 16 << 10 };

/* 2^53: what a JSON number says exactly. */
#define SECONDS_MAX 9007199254740992.0

bool jwt_expiry(struct str token, int64_t *seconds)
{
	struct err ignored;
	size_t n;

	str_cut(&token, '.');
	struct str claims = str_cut(&token, '.');
	if (token.p == NULL || claims.n == 0 || claims.n > CLAIMS_MAX)
		return false;
	_cleanup_free_ uint8_t *text = xmalloc(base64_decoded_max(claims.n));
	if (!base64_decode(claims, text, &n))
		return false;
	_cleanup_json_ cJSON *j = json_parse(str_sub(text, n), "token", &ignored);
	const cJSON *exp = json_get(j, "exp");
	if (!cJSON_IsNumber(exp) || !(exp->valuedouble >= 0 && exp->valuedouble < SECONDS_MAX))
		return false;
	*seconds = (int64_t)exp->valuedouble;
	return true;
}
