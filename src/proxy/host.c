#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "proxy/host.h"

enum { LABEL_MAX = 63 };

static bool all_of(struct str s, int (*is)(int))
{
	for (size_t i = 0; i < s.n; i++)
		if (!is((unsigned char)s.p[i]))
			return false;
	return true;
}

/* Whether inet_aton, and with it every resolver, takes a name that ends in this label for an address:
 * digits, or 0x and hexadecimal ones. */
static bool is_number(struct str label)
{
	if (str_skip(&label, "0x"))
		return all_of(label, isxdigit);
	return all_of(label, isdigit);
}

/* Four decimals, none with a leading zero: inet_pton of every libc reads them alike. */
static bool is_dotted(const char *text)
{
	struct in_addr a;
	char again[INET_ADDRSTRLEN];

	return inet_pton(AF_INET, text, &a) == 1 &&
	       streq(inet_ntop(AF_INET, &a, again, sizeof again), text);
}

static bool read_v6(struct str text, char out[HOST_SIZE])
{
	struct in6_addr a;
	char copy[INET6_ADDRSTRLEN];

	if (text.n >= sizeof copy || memchr(text.p, '\0', text.n) != NULL)
		return false;
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	return inet_pton(AF_INET6, copy, &a) == 1 && inet_ntop(AF_INET6, &a, out, HOST_SIZE);
}

static bool is_label(struct str label)
{
	if (label.n == 0 || label.n > LABEL_MAX)
		return false;
	for (size_t i = 0; i < label.n; i++)
		if (!isalnum((unsigned char)label.p[i]) && label.p[i] != '-' && label.p[i] != '_')
			return false;
	return true;
}

bool host_read(struct str text, char out[HOST_SIZE])
{
	if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
		return read_v6(str_sub(text.p + 1, text.n - 2), out);
	if (str_ends(text, "."))
		text.n--;
	if (text.n == 0 || text.n > HOST_TEXT_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++)
		out[i] = (char)tolower((unsigned char)text.p[i]);
	out[text.n] = '\0';

	struct str rest = str_sub(out, text.n), label = STR_NONE;
	while (rest.p != NULL) {
		label = str_cut(&rest, '.');
		if (!is_label(label))
			return false;
	}
	return !is_number(label) || is_dotted(out);
}

bool host_read_authority(struct str text, char host[HOST_SIZE], uint16_t *port)
{
	struct str name = text, digits = STR_NONE;
	uint64_t n = 0;

	if (text.n > 0 && text.p[0] == '[') {
		const char *end = memchr(text.p, ']', text.n);
		if (end == NULL)
			return false;
		name.n = (size_t)(end + 1 - text.p);
		digits = str_sub(end + 1, text.n - name.n);
		if (digits.n > 0 && !str_skip(&digits, ":"))
			return false;
		if (digits.n == 0 && text.n > name.n)
			return false;
	} else {
		digits = text;
		name = str_cut(&digits, ':');
		if (digits.p != NULL && digits.n == 0)
			return false;
	}
	*port = 0;
	if (digits.n > 0) {
		if (digits.n > 5 || !all_of(digits, isdigit) || !str_u64(digits, &n) || n == 0 ||
		    n > UINT16_MAX)
			return false;
		*port = (uint16_t)n;
	}
	return host_read(name, host);
}
