/*
 * Paths and queries: what has a canonical form has one that is its own, and in which nothing is left that
 * a server could resolve further.
 */
#include <string.h>

#include "base/util.h"
#include "proxy/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void check_path(struct str path)
{
	must(path.n > 0 && path.p[0] == '/');
	struct str rest = str_sub(path.p + 1, path.n - 1);
	while (rest.p != NULL) {
		struct str segment = str_cut(&rest, '/');
		must(segment.n > 0 || rest.p == NULL);
		must(!str_is(segment, ".") && !str_is(segment, ".."));
		for (size_t i = 0; i < segment.n; i++)
			must(segment.p[i] > ' ' && segment.p[i] <= '~' &&
			     strchr(";?#\\\"<>", segment.p[i]) == NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	_cleanup_arena_ struct arena a = ARENA_INIT(1 << 20);
	struct target t, again;

	const char *why = target_read(&t, str_sub(p, n), &a);
	if (why != NULL) {
		must(why[0] != '\0');
		return 0;
	}
	check_path(t.path);
	must(t.params_n <= TARGET_PARAMS_MAX);
	for (size_t i = 0; i < t.params_n; i++)
		must(str_is_utf8(t.params[i].key) && str_is_utf8(t.params[i].value));
	must(t.encoded_slash || memmem(t.path.p, t.path.n, "%2F", 3) == NULL);
	if (t.path.n > TARGET_PATH_MAX)
		return 0;
	must(target_read(&again, t.text, &a) == NULL);
	must(str_eq(again.text, t.text) && again.params_n == t.params_n);
	return 0;
}
