/*
 * The texts that the supervisor reads of an image and of a driver, while it has all its rights: the first byte
 * says which; what is made of them is looked over.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/accounts.h"
#include "supervisor/environment.h"
#include "supervisor/hosts.h"
#include "supervisor/main_spec.h"
#include "supervisor/passwd.h"
#include "supervisor/shell_words.h"

static void spec(const char *text)
{
	struct main_spec s;
	struct err e;
	size_t n = 0;

	if (main_spec_resolve(&s, NULL, text, &e) == 0) {
		while (s.argv[n] != NULL)
			n++;
		must(n > 0 && n <= MAIN_SPEC_ARGS_MAX);
	}
	main_spec_fini(&s);
}

static void environment(const char *text)
{
	char *own[] = {"PATH=/bin", NULL};
	const struct sockaddr_in proxy = {.sin_family = AF_INET};
	const struct environment_source from = {.own = own, .user = text, .proxy = &proxy};
	struct environment env;
	struct err e;

	if (environment_make(&env, &from, &e) == 0) {
		must(env.v[env.n] == NULL);
		for (size_t i = 0; i < env.n; i++)
			must(strchr(env.v[i], '=') > env.v[i]);
		must(streq(environment_get(&env, "http_proxy"), "http://0.0.0.0:0"));
	}
	environment_fini(&env);
}

static void passwd(struct str text)
{
	_cleanup_free_ char *out = passwd_replace(text, "sandbox", "sandbox:x:7:7::/:/");
	struct account a;
	struct err e;

	/* whatever the image says, the name is ours, unless the file is beyond a limit */
	if (memchr(text.p, 0, text.n) == NULL &&
	    account_by_name(str_of(out), STR("sandbox"), &a, &e) == 1)
		must(a.uid == 7);
}

static void words(struct str line)
{
	struct shell_words w;
	struct err e;
	size_t n = 0;

	if (shell_words(&w, line, &e) == 0) {
		must(w.argv[0] != NULL);
		for (char **a = w.argv; *a; a++)
			n += strlen(*a) + 1;
		for (char **a = w.assign; *a; a++)
			must(strchr(*a, '=') > *a);
		must(n <= line.n + 1);
	}
	shell_words_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address address;

	if (size == 0 || size > 65536)
		return 0;
	_cleanup_free_ char *text = xstrndup((const char *)data + 1, size - 1);
	switch (data[0] % 8) {
	case 0:
		spec(text);
		break;
	case 1:
		environment(text);
		break;
	case 2:
		hosts_gateway(str_sub(data + 1, size - 1), &address);
		break;
	case 4:
		words(str_sub(data + 1, size - 1));
		break;
	default:
		passwd(str_sub(data + 1, size - 1));
	}
	return 0;
}
