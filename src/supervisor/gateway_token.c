#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "supervisor/gateway_token.h"
#include "supervisor/jwt.h"

#define TOKEN "OPENSHELL_SANDBOX_TOKEN"
#define TOKEN_FILE "OPENSHELL_SANDBOX_TOKEN_FILE"
#define ACCOUNT_FILE "OPENSHELL_K8S_SA_TOKEN_FILE"

/* contract 2.1 */
enum {
	RENEWAL_MIN_MS = 1000,
	RENEWAL_MAX_MS = 12 * 3600 * 1000,
	RENEWAL_UNKNOWN_MS = 6 * 3600 * 1000,
};

/* What the descriptor holds before the token: which file that was read from, if it was. */
struct origin {
	uint64_t ino;
	int64_t seconds, nanoseconds;
};

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value != NULL ? value : "";
}

/* What goes into a header must be one word of visible characters. */
static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return s.n > 0 && s.n <= GATEWAY_TOKEN_MAX;
}

/* ---- the descriptor ---- */

static int put(const struct gateway_token *t, const struct origin *from, struct str token,
	       struct err *e)
{
	if (ftruncate(t->fd, (off_t)(sizeof *from + token.n)) < 0 ||
	    pwrite(t->fd, from, sizeof *from, 0) != (ssize_t)sizeof *from ||
	    pwrite(t->fd, token.p, token.n, sizeof *from) != (ssize_t)token.n)
		return err_sys(e, "keep the token");
	return 0;
}

static void get_origin(const struct gateway_token *t, struct origin *out)
{
	if (pread(t->fd, out, sizeof *out, 0) != (ssize_t)sizeof *out)
		*out = (struct origin){0};
}

/* "" when there is none. */
static int get(const struct gateway_token *t, char **out, struct err *e)
{
	_cleanup_secret_ char *text = xcalloc(1, GATEWAY_TOKEN_MAX + 1);

	if (pread(t->fd, text, GATEWAY_TOKEN_MAX, sizeof(struct origin)) < 0)
		return err_sys(e, "read the token");
	*out = steal(&text);
	return 0;
}

int gateway_token_set(const struct gateway_token *t, struct str token, struct err *e)
{
	struct origin from;

	if (!is_token(token))
		return err_set(e, EPROTO, "it is empty, or no token");
	get_origin(t, &from);
	return put(t, &from, token, e);
}

bool gateway_token_is_wanted(const struct gateway_token *t)
{
	struct stat st;

	return !str_empty(t->account_file) && fstat(t->fd, &st) == 0 && st.st_size == 0;
}

/* ---- where it comes from ---- */

static int read_word(const char *path, char **text, struct str *word, struct err *e)
{
	if (file_read(path, GATEWAY_TOKEN_MAX, text, NULL, e) < 0)
		return -1;
	*word = str_trim(str_of(*text));
	return is_token(*word) ? 0
			       : err_set(e, EINVAL, "the token in %s is empty, or no token", path);
}

/* Takes what is in the file, unless it was taken already. */
static int follow_file(const struct gateway_token *t, struct err *e)
{
	_cleanup_secret_ char *text = NULL;
	struct origin now, taken;
	struct str word;
	struct stat st;

	if (stat(t->file, &st) < 0)
		return err_sys(e, "open %s", t->file);
	now = (struct origin){st.st_ino, st.st_mtim.tv_sec, st.st_mtim.tv_nsec};
	get_origin(t, &taken);
	if (memcmp(&now, &taken, sizeof now) == 0)
		return 0;
	return read_word(t->file, &text, &word, e) < 0 ? -1 : put(t, &now, word, e);
}

/* The name goes, and its text where it stood. */
static int take_variable(struct gateway_token *t, struct err *e)
{
	char *token = getenv(TOKEN);

	if (str_empty(token))
		return 0;
	struct str word = str_trim(str_of(token));
	int r = is_token(word) ? put(t, &(struct origin){0}, word, e)
			       : err_set(e, EINVAL, "the token in " TOKEN " is no token");
	gateway_token_forget();
	return r;
}

void gateway_token_forget(void)
{
	char *token = getenv(TOKEN);

	if (token == NULL)
		return;
	explicit_bzero(token, strlen(token));
	unsetenv(TOKEN);
}

int gateway_token_init(struct gateway_token *out, const char *gateway, struct err *e)
{
	bool given = !str_empty(getenv(TOKEN));

	*out = (struct gateway_token){
		.fd = memfd_create("token", MFD_CLOEXEC),
		.file = given ? "" : variable(TOKEN_FILE),
		.account_file = variable(ACCOUNT_FILE),
	};
	if (out->fd < 0)
		return err_sys(e, "keep the token");
	if (!given && str_empty(out->file) && str_empty(out->account_file))
		return err_set(e, EINVAL,
			       "no token for gateway %s: neither " TOKEN ", " TOKEN_FILE
			       " nor " ACCOUNT_FILE " is set",
			       gateway);
	return take_variable(out, e);
}

void gateway_token_fini(struct gateway_token *t)
{
	if (t->fd >= 0)
		close(steal_fd(&t->fd));
}

/* ---- for a call ---- */

/* A file that cannot be read takes nothing away from what was read before. */
int gateway_token_bearer(const struct gateway_token *t, char **out, struct err *e)
{
	_cleanup_secret_ char *token = NULL;
	struct err why = {.code = ENOENT, .text = "there is no token yet"};

	if (!str_empty(t->file))
		(void)follow_file(t, &why);
	if (get(t, &token, e) < 0)
		return -1;
	if (str_empty(token)) {
		*e = why;
		return -1;
	}
	*out = xasprintf("Bearer %s", token);
	return 0;
}

int gateway_token_account_bearer(const struct gateway_token *t, char **out, struct err *e)
{
	_cleanup_secret_ char *text = NULL;
	struct str word;

	if (read_word(t->account_file, &text, &word, e) < 0)
		return -1;
	*out = xasprintf("Bearer %.*s", STR_FMT(word));
	return 0;
}

/* ---- its life ---- */

static int64_t renewal_ms(int64_t left_ms, int64_t jitter)
{
	int64_t ms = left_ms / 10 * 8 + jitter;

	return MIN(MAX(ms, (int64_t)RENEWAL_MIN_MS), (int64_t)RENEWAL_MAX_MS);
}

int64_t gateway_token_renewal_ms(const struct gateway_token *t)
{
	_cleanup_secret_ char *token = NULL;
	int64_t seconds;
	uint16_t chance;
	struct err ignored;

	if (get(t, &token, &ignored) < 0 || !jwt_expiry(str_of(token), &seconds) || seconds == 0)
		return RENEWAL_UNKNOWN_MS;
	int64_t left =
		MIN(MAX(seconds * 1000 - wall_ms(), (int64_t)0), 2 * (int64_t)RENEWAL_MAX_MS);
	random_bytes(&chance, sizeof chance);
	return renewal_ms(left, left / 10 * chance / UINT16_MAX);
}
