#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/file.h"
#include "base/util.h"
#include "kube/auth.h"
#include "kube/exec.h"

enum { TOKEN_MAX = 64 << 10 }; /* bytes of a token file */

struct kube_auth {
	struct loop *loop;
	const struct kube_config *config;
	void (*changed)(void *owner);
	void *owner;
	char *header;
	unsigned generation;
	bool stale; /* rejected: to be renewed at the next check */

	int64_t read_at; /* token file: when it was read, mono_ms; 0: never */

	struct kube_exec_run *run;
	struct kube_credential credential;
	bool have_credential;
	int64_t ran_at; /* when it ended last, mono_ms; 0: never */
	struct err why;
};

/* ---- the header ---- */

/* Takes the header's text; says whether that is news. */
static bool set_header(struct kube_auth *a, char *header)
{
	bool same = streq(a->header, header);

	free_secret(a->header);
	a->header = header;
	a->generation += !same;
	return !same;
}

static char *bearer(struct str token)
{
	return xasprintf("Bearer %.*s", STR_FMT(token));
}

static char *basic(const struct kube_config *c)
{
	_cleanup_secret_ char *pair =
		xasprintf("%s:%s", c->username, c->password ? c->password : "");
	_cleanup_secret_ char *coded = base64_encode(str_of(pair));

	return xasprintf("Basic %s", coded);
}

/* What never changes. */
static void set_fixed(struct kube_auth *a)
{
	const struct kube_config *c = a->config;

	if (c->token_file != NULL)
		return;
	if (c->token != NULL)
		set_header(a, bearer(str_of(c->token)));
	else if (c->username != NULL)
		set_header(a, basic(c));
}

/* ---- token files ---- */

static int read_token(struct kube_auth *a, struct err *e)
{
	_cleanup_secret_ char *text = NULL;

	if (file_read(a->config->token_file, TOKEN_MAX, &text, NULL, e) < 0)
		return -1;
	struct str token = str_trim(str_of(text));
	if (token.n == 0)
		return err_set(e, EINVAL, "the token file %s is empty", a->config->token_file);
	if (str_has_control(token))
		return err_set(e, EINVAL, "the token file %s holds more than a token",
			       a->config->token_file);
	set_header(a, bearer(token));
	return 0;
}

/* A file that cannot be read for a moment (it is being replaced) leaves the old token in use. */
static enum kube_auth_state check_token_file(struct kube_auth *a, struct err *e)
{
	int64_t now = mono_ms();

	if (a->read_at != 0 && !a->stale && now - a->read_at < KUBE_TOKEN_FRESH_MS)
		return KUBE_AUTH_READY;
	if (read_token(a, e) == 0) {
		a->read_at = now;
		a->stale = false;
	}
	return a->header != NULL ? KUBE_AUTH_READY : KUBE_AUTH_FAILED;
}

/* ---- plugins ---- */

static void on_plugin(void *owner, struct kube_credential *c, const struct err *why)
{
	struct kube_auth *a = owner;

	a->run = NULL;
	a->ran_at = mono_ms();
	if (c == NULL) {
		a->why = *why;
	} else {
		bool same_cert = streq(a->credential.cert_pem, c->cert_pem);
		kube_credential_fini(&a->credential);
		a->credential = *c;
		*c = (struct kube_credential){0};
		a->have_credential = true;
		a->stale = false;
		if (!set_header(a,
				a->credential.token ? bearer(str_of(a->credential.token)) : NULL))
			a->generation += !same_cert;
	}
	a->changed(a->owner);
}

static bool credential_is_fresh(const struct kube_auth *a)
{
	if (!a->have_credential || a->stale)
		return false;
	return a->credential.expires == 0 ||
	       wall_ms() / 1000 < a->credential.expires - KUBE_EXEC_EARLY_S;
}

static enum kube_auth_state check_plugin(struct kube_auth *a, struct err *e)
{
	if (credential_is_fresh(a))
		return KUBE_AUTH_READY;
	if (a->run != NULL)
		return KUBE_AUTH_WAIT;
	/* one that fails, or gives what has expired already, is not run in a circle */
	if (a->ran_at != 0 && mono_ms() - a->ran_at < KUBE_EXEC_RETRY_MS) {
		*e = a->why;
		return a->have_credential ? KUBE_AUTH_READY : KUBE_AUTH_FAILED;
	}
	a->run = kube_exec_start(a->loop, a->config, on_plugin, a);
	return KUBE_AUTH_WAIT;
}

/* ---- for all kinds ---- */

/* A plugin counts only where nothing else is given, see config.h. */
static bool uses_plugin(const struct kube_config *c)
{
	return c->exec != NULL && c->token_file == NULL && c->token == NULL && c->username == NULL;
}

enum kube_auth_state kube_auth_check(struct kube_auth *a, struct err *e)
{
	if (a->config->token_file != NULL)
		return check_token_file(a, e);
	return uses_plugin(a->config) ? check_plugin(a, e) : KUBE_AUTH_READY;
}

bool kube_auth_rejected(struct kube_auth *a, unsigned generation)
{
	if (generation != a->generation)
		return true;
	a->stale = a->config->token_file != NULL || uses_plugin(a->config);
	return a->stale;
}

const char *kube_auth_header(const struct kube_auth *a)
{
	return a->header;
}

unsigned kube_auth_generation(const struct kube_auth *a)
{
	return a->generation;
}

const char *kube_auth_cert_pem(const struct kube_auth *a)
{
	return a->credential.cert_pem;
}

const char *kube_auth_key_pem(const struct kube_auth *a)
{
	return a->credential.key_pem;
}

struct kube_auth *kube_auth_new(struct loop *l, const struct kube_config *config,
				void (*changed)(void *owner), void *owner)
{
	struct kube_auth *a = xcalloc(1, sizeof *a);

	a->loop = l;
	a->config = config;
	a->changed = changed;
	a->owner = owner;
	set_fixed(a);
	return a;
}

void kube_auth_free(struct kube_auth *a)
{
	if (a == NULL)
		return;
	kube_exec_cancel(a->run);
	kube_credential_fini(&a->credential);
	free_secret(a->header);
	free(a);
}
