/*
 * What a workload is told, as a text: two numbers, then its directory, its arguments and its environment,
 * each ending with a NUL.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/nursery.h"

enum {
	MEMFD_CLOSE = 1,
	MEMFD_NEVER_EXECUTABLE = 8
}; /* linux/memfd.h; the latter is of Linux 6.3 */

struct head {
	uint32_t args, env;
};

struct writer {
	char *p; /* NULL: only counts */
	size_t n;
};

static void put(struct writer *w, const char *s)
{
	size_t n = strlen(s) + 1;

	if (w->p)
		memcpy(w->p + w->n, s, n);
	w->n += n;
}

static void put_all(struct writer *w, const struct keeper_spawn *what, const struct head *head)
{
	if (w->p)
		memcpy(w->p, head, sizeof *head);
	w->n = sizeof *head;
	put(w, what->cwd);
	for (uint32_t i = 0; i < head->args; i++)
		put(w, what->argv[i]);
	for (uint32_t i = 0; i < head->env; i++)
		put(w, what->env[i]);
}

/* Systems may demand that a memfd cannot be executed, and old ones do not know the wish. */
static int make_memfd(void)
{
	int fd = (int)syscall(SYS_memfd_create, "workload", MEMFD_CLOSE | MEMFD_NEVER_EXECUTABLE);

	if (fd < 0 && errno == EINVAL)
		fd = (int)syscall(SYS_memfd_create, "workload", MEMFD_CLOSE);
	return fd;
}

int nursery_text_write(const struct keeper_spawn *what, struct err *e)
{
	struct head head = {0};
	struct writer w = {0};

	while (what->argv[head.args] && head.args <= KEEPER_ARGS_MAX)
		head.args++;
	while (what->env[head.env] && head.env <= KEEPER_ENV_MAX)
		head.env++;
	if (head.args == 0)
		return err_set(e, EINVAL, "a program without a name");
	if (head.args > KEEPER_ARGS_MAX)
		return err_set(e, E2BIG, "more than %d arguments", KEEPER_ARGS_MAX);
	if (head.env > KEEPER_ENV_MAX)
		return err_set(e, E2BIG, "more than %d environment variables", KEEPER_ENV_MAX);
	put_all(&w, what, &head);
	if (w.n > KEEPER_TEXT_MAX)
		return err_set(e, E2BIG, "%zu bytes of arguments and environment, %d at most", w.n,
			       KEEPER_TEXT_MAX);

	_cleanup_close_ int fd = make_memfd();
	if (fd < 0 || ftruncate(fd, (off_t)w.n) < 0)
		return err_sys(e, "memfd_create");
	void *p = mmap(NULL, w.n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, "map the arguments");
	size_t n = w.n;
	w.p = p;
	put_all(&w, what, &head);
	munmap(p, n);
	return steal_fd(&fd);
}

/* The next string, or NULL. */
static char *take(char **at, char *end)
{
	char *s = *at;
	char *nul = memchr(s, 0, (size_t)(end - s));

	if (!nul)
		return NULL;
	*at = nul + 1;
	return s;
}

static bool take_list(char **at, char *end, uint32_t n, char **out)
{
	for (uint32_t i = 0; i < n; i++) {
		out[i] = take(at, end);
		if (!out[i])
			return false;
	}
	out[n] = NULL;
	return true;
}

int nursery_text_read(char *bytes, size_t n, struct nursery_text *out, struct err *e)
{
	struct head head;
	char *at = bytes + sizeof head, *end = bytes + n;

	if (n < sizeof head || n > KEEPER_TEXT_MAX)
		return err_set(e, EPROTO, "a workload's text of %zu bytes", n);
	memcpy(&head, bytes, sizeof head);
	if (head.args == 0 || head.args > KEEPER_ARGS_MAX || head.env > KEEPER_ENV_MAX)
		return err_set(e, EPROTO, "a workload's text with %u arguments and %u variables",
			       head.args, head.env);
	out->cwd = take(&at, end);
	if (!out->cwd || !take_list(&at, end, head.args, out->argv) ||
	    !take_list(&at, end, head.env, out->env) || at != end)
		return err_set(e, EPROTO, "a workload's text that does not end where it should");
	return 0;
}
