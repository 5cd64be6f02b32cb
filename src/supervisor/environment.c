#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/confine.h"
#include "supervisor/environment.h"

#define USER_VARIABLE "OPENSHELL_USER_ENVIRONMENT"
#define RESERVED "OPENSHELL_"
/* contract 1.5 */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Where "NAME=" stands, or env->n. */
static size_t find(const struct environment *env, const char *name)
{
	size_t n = strlen(name), i = 0;

	while (i < env->n && (strncmp(env->v[i], name, n) != 0 || env->v[i][n] != '='))
		i++;
	return i;
}

const char *environment_get(const struct environment *env, const char *name)
{
	size_t i = find(env, name);

	return i < env->n ? env->v[i] + strlen(name) + 1 : NULL;
}

int environment_set(struct environment *env, const char *name, const char *value, struct err *e)
{
	size_t i = find(env, name);

	if (i == ENVIRONMENT_MAX)
		return err_set(e, E2BIG, "the environment has more than %d variables",
			       ENVIRONMENT_MAX);
	if (i < env->n)
		free(env->v[i]);
	else
		env->v[++env->n] = NULL;
	env->v[i] = xasprintf("%s=%s", name, value);
	return 0;
}

static int inherit(struct environment *env, char *const *own, struct err *e)
{
	char *kept[ENVIRONMENT_MAX];

	if (!confine_environment(own, kept, ARRAY_LEN(kept)))
		return err_set(e, E2BIG, "the environment has more than %d variables",
			       ENVIRONMENT_MAX);
	for (; kept[env->n] != NULL; env->n++)
		env->v[env->n] = xstrdup(kept[env->n]);
	return 0;
}

/* The user's variables, put into env; the tree is kept for the question what the user set. */
static int add_users(struct environment *env, const cJSON *user, struct err *e)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, user) {
		const char *name = item->string;

		if (!cJSON_IsString(item) || str_empty(name) || strchr(name, '=') != NULL)
			return err_set(e, EINVAL,
				       USER_VARIABLE ": '%.64s' is no variable with a text", name);
		if (!str_starts(str_of(name), RESERVED) &&
		    environment_set(env, name, item->valuestring, e) < 0)
			return -1;
	}
	return 0;
}

static int add_providers(struct environment *env, char *const *v, struct err *e)
{
	for (; v != NULL && *v != NULL; v++) {
		struct str value = str_of(*v);
		_cleanup_free_ char *name = str_dup(str_cut(&value, '='));

		if (environment_set(env, name, value.p, e) < 0)
			return -1;
	}
	return 0;
}

static cJSON *parse_user(const char *text, struct err *e)
{
	struct str s = str_of(text);

	if (s.n > ENVIRONMENT_USER_MAX) {
		err_set(e, E2BIG, USER_VARIABLE ": more than %d bytes", ENVIRONMENT_USER_MAX);
		return NULL;
	}
	_cleanup_json_ cJSON *j = s.n > 0 ? json_parse(s, USER_VARIABLE, e) : json_object();
	if (j != NULL && !cJSON_IsObject(j)) {
		err_set(e, EINVAL, USER_VARIABLE ": not an object");
		return NULL;
	}
	return steal(&j);
}

struct variable {
	const char *name, *value;
};

/* Who and where the process is, as far as the user does not say it. */
static int add_session(struct environment *env, const struct environment_source *from,
		       const cJSON *user, struct err *e)
{
	const struct variable session[] = {
		{"HOME", from->home},
		{"USER", from->name},
		{"SHELL", from->shell},
		{"TERM", from->term ? from->term : "dumb"},
	};

	for (size_t i = 0; i < ARRAY_LEN(session); i++) {
		if (session[i].value != NULL && json_get(user, session[i].name) == NULL &&
		    environment_set(env, session[i].name, session[i].value, e) < 0)
			return -1;
	}
	return str_empty(environment_get(env, "PATH"))
		       ? environment_set(env, "PATH", DEFAULT_PATH, e)
		       : 0;
}

static int add_ours(struct environment *env, const struct sockaddr_in *proxy, struct err *e)
{
	char host[INET_ADDRSTRLEN];
	_cleanup_free_ char *url = NULL;

	must(inet_ntop(AF_INET, &proxy->sin_addr, host, sizeof host) != NULL);
	url = xasprintf("http://%s:%u", host, ntohs(proxy->sin_port));
	const struct variable ours[] = {
		{"OPENSHELL_SANDBOX", "1"},
		/* contract 4.5 */
		{"ALL_PROXY", url},
		{"HTTP_PROXY", url},
		{"HTTPS_PROXY", url},
		{"http_proxy", url},
		{"https_proxy", url},
		{"grpc_proxy", url},
		{"NO_PROXY", "127.0.0.1,localhost,::1"},
		{"no_proxy", "127.0.0.1,localhost,::1"},
		{"NODE_USE_ENV_PROXY", "1"},
	};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (environment_set(env, ours[i].name, ours[i].value, e) < 0)
			return -1;
	return 0;
}

int environment_make(struct environment *out, const struct environment_source *from, struct err *e)
{
	_cleanup_json_ cJSON *user = NULL;

	*out = (struct environment){.v = xcalloc(ENVIRONMENT_MAX + 1, sizeof *out->v)};
	user = parse_user(from->user, e);
	if (user == NULL || inherit(out, from->own, e) < 0 || add_users(out, user, e) < 0 ||
	    add_providers(out, from->providers, e) < 0 || add_session(out, from, user, e) < 0)
		return -1;
	return add_ours(out, from->proxy, e);
}

void environment_fini(struct environment *env)
{
	for (size_t i = 0; i < env->n; i++)
		free(env->v[i]);
	free(env->v);
	*env = (struct environment){0};
}
