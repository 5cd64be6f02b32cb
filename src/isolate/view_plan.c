#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/str.h"
#include "base/util.h"
#include "isolate/view_plan.h"

/* Terminals are made outside, and programs look for the names of theirs (ttyname). */
#define TERMINALS "/dev/pts"

/* A path on its way. */
struct walk {
	char at[PATH_MAX];   /* so far: below the root, without a link */
	char rest[PATH_MAX]; /* what is still to go */
	int fd;              /* what is at `at` */
	mode_t mode;
	unsigned links;
};

/* What was found on a path's way. */
struct link {
	struct link *next;
	const char *path, *target;
};

struct planning {
	struct view_plan *plan;
	const struct view *view;
	int root;
	struct link *links;
	unsigned made, closed;
};

/* ---- finding ---- */

/* Back to where `at` says. */
static int go_again(const struct planning *p, struct walk *w)
{
	close(w->fd);
	w->fd = file_open_without_links(p->root, w->at);
	w->mode = S_IFDIR;
	return w->fd < 0 ? -1 : 0;
}

static int go_up(const struct planning *p, struct walk *w)
{
	char *slash = strrchr(w->at, '/');

	*(slash ? slash : w->at) = '\0';
	return go_again(p, w);
}

static int too_long(void)
{
	errno = ENAMETOOLONG;
	return -1;
}

/* Writes "A/B", or one of the two when the other is empty. */
static int join(char out[PATH_MAX], const char *a, const char *b)
{
	int n = snprintf(out, PATH_MAX, "%s%s%s", a, *a && *b ? "/" : "", b);

	return n < 0 || n >= PATH_MAX ? too_long() : 0;
}

/* fd is a link of that name. */
static int go_over(struct planning *p, struct walk *w, int fd, const char *name)
{
	struct arena *a = &p->plan->arena;
	char target[PATH_MAX], path[PATH_MAX], rest[PATH_MAX];
	ssize_t n = readlinkat(fd, "", target, sizeof target);

	if (n < 0 || join(path, w->at, name) < 0)
		return -1;
	if (n == sizeof target)
		return too_long();
	target[n] = '\0';
	if (++w->links > VIEW_LINKS_MAX) {
		errno = ELOOP;
		return -1;
	}
	struct link *l = arena_zalloc(a, sizeof *l);
	*l = (struct link){p->links, arena_dup(a, str_of(path)), arena_dup(a, str_of(target))};
	p->links = l;
	if (join(rest, target, w->rest) < 0)
		return -1;
	memcpy(w->rest, rest, sizeof rest);
	if (target[0] != '/')
		return 0;
	w->at[0] = '\0';
	return go_again(p, w);
}

static int go_down(struct planning *p, struct walk *w, const char *name, bool over_links)
{
	char path[PATH_MAX];
	struct stat st;
	_cleanup_close_ int fd = openat(w->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (S_ISLNK(st.st_mode) && !over_links) {
		errno = ELOOP;
		return -1;
	}
	if (S_ISLNK(st.st_mode))
		return go_over(p, w, fd, name);
	if (join(path, w->at, name) < 0)
		return -1;
	memcpy(w->at, path, sizeof path);
	close(w->fd);
	w->fd = steal_fd(&fd);
	w->mode = st.st_mode;
	return 0;
}

static int step(struct planning *p, struct walk *w, bool over_links)
{
	char *name = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(name, "/");
	char word[NAME_MAX + 1];

	if (n > NAME_MAX)
		return too_long();
	memcpy(word, name, n);
	word[n] = '\0';
	memmove(w->rest, name + n, strlen(name + n) + 1);
	if (n == 0 || streq(word, "."))
		return 0;
	return streq(word, "..") ? go_up(p, w) : go_down(p, w, word, over_links);
}

/* Fills w->at and w->mode. -1 with errno. */
static int resolve(struct planning *p, const char *path, bool over_links, struct walk *w)
{
	*w = (struct walk){.fd = file_open_without_links(p->root, ""), .mode = S_IFDIR};
	int result = w->fd < 0 ? -1 : join(w->rest, path, "");

	while (result == 0 && w->rest[0])
		result = step(p, w, over_links);
	int error = errno;
	if (w->fd >= 0)
		close(w->fd);
	errno = error;
	return result;
}

/* ---- the tree ---- */

static struct view_node *find(const struct view_node *folder, struct str name)
{
	struct view_node *n = folder->first;

	while (n && !str_is(name, n->name))
		n = n->next;
	return n;
}

static struct view_node *put(struct planning *p, struct view_node *folder, struct str name,
			     enum view_kind kind)
{
	struct arena *a = &p->plan->arena;
	struct view_node *n = arena_zalloc(a, sizeof *n);

	*n = (struct view_node){.next = folder->first, .kind = kind, .name = arena_dup(a, name)};
	folder->first = n;
	return n;
}

/* Adds what is at a path, and the folders above it. *out is NULL where the path is in something that is given. */
static int add(struct planning *p, const char *path, enum view_kind kind, struct view_node **out,
	       struct err *e)
{
	struct view_node *at = &p->plan->root;
	struct str rest = str_of(path);
	unsigned depth = 0;

	*out = NULL;
	while (rest.p && rest.n > 0) {
		struct str name = str_cut(&rest, '/');
		bool last = !rest.p;
		struct view_node *next = find(at, name);

		if (at->kind != VIEW_FOLDER)
			return 0;
		if (++depth > VIEW_DEPTH_MAX || (!next && ++p->made > VIEW_MADE_MAX))
			return err_set(e, E2BIG, "too much lies above what the policy gives: %s",
				       path);
		at = next ? next : put(p, at, name, last ? kind : VIEW_FOLDER);
	}
	*out = at;
	return 0;
}

/* ---- what is given ---- */

static bool is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* The nearest that the path is in, or NULL. */
static const struct view_bind *around(const struct view_plan *plan, const char *path)
{
	for (size_t i = plan->n_binds; i > 0; i--)
		if (is_below(path, plan->binds[i - 1].path))
			return &plan->binds[i - 1];
	return NULL;
}

struct given {
	const char *path;
	enum view_access access;
	bool folder;
};

/* What is around another comes first; of the same, that with more rights. */
static int order(const void *a, const void *b)
{
	const struct given *one = a, *two = b;
	int by_path = strcmp(one->path, two->path);

	return by_path ? by_path : (int)two->access - (int)one->access;
}

static int add_bind(struct planning *p, const struct given *g, struct err *e)
{
	struct view_plan *plan = p->plan;
	const struct view_bind *outer = around(plan, g->path);
	struct view_node *node;

	/* Rights add up, as they do in Landlock. Where that is in force it tells reading from writing. */
	if (outer && (p->view->enforced || outer->access >= g->access))
		return 0;
	must(plan->n_binds < ARRAY_LEN(plan->binds));
	plan->binds[plan->n_binds++] = (struct view_bind){g->path, g->access};
	return outer ? 0
		     : add(p, g->path, g->folder ? VIEW_GIVEN_FOLDER : VIEW_GIVEN_FILE, &node, e);
}

/* Whether there is nothing to be shown for it: it has gone, or is a link that is not followed. */
static bool is_not_there(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

/* Finds all that is given. */
static int find_given(struct planning *p, struct given *out, size_t *n, struct err *e)
{
	const struct view *v = p->view;
	struct walk w;

	for (size_t i = 0; i < v->n; i++) {
		bool write = v->paths[i].write;

		if (resolve(p, v->paths[i].path, !write, &w) == 0)
			out[(*n)++] = (struct given){
				arena_dup(&p->plan->arena, str_of(w.at)),
				write ? VIEW_WRITE : VIEW_READ,
				S_ISDIR(w.mode),
			};
		else if (!is_not_there(errno))
			return err_sys(e, "look at %s", v->paths[i].path);
	}
	return 0;
}

static int add_given(struct planning *p, struct err *e)
{
	struct given given[LANDLOCK_PATHS_MAX];
	size_t n = 0;

	if (p->view->n > LANDLOCK_PATHS_MAX)
		return err_set(e, E2BIG, "more than %d paths", LANDLOCK_PATHS_MAX);
	if (find_given(p, given, &n, e) < 0)
		return -1;
	qsort(given, n, sizeof given[0], order);
	for (size_t i = 0; i < n; i++) {
		p->plan->all = p->plan->all || given[i].path[0] == '\0';
		if (!p->plan->all && add_bind(p, &given[i], e) < 0)
			return -1;
	}
	return 0;
}

static int add_terminals(struct planning *p, struct err *e)
{
	struct walk w;

	if (resolve(p, TERMINALS, false, &w) < 0 || !S_ISDIR(w.mode) || around(p->plan, w.at))
		return 0;
	const struct given g = {arena_dup(&p->plan->arena, str_of(w.at)), VIEW_LOOK, true};
	return add_bind(p, &g, e);
}

/* Where programs start: a folder with nothing in it, where the policy does not give it. */
static int add_workdir(struct planning *p, struct err *e)
{
	struct view_node *node;
	struct walk w;

	if (!p->view->workdir || resolve(p, p->view->workdir, true, &w) < 0 || !S_ISDIR(w.mode))
		return 0;
	return add(p, w.at, VIEW_FOLDER, &node, e);
}

static int add_links(struct planning *p, struct err *e)
{
	struct view_node *node;

	for (const struct link *l = p->links; l; l = l->next) {
		if (add(p, l->path, VIEW_LINK, &node, e) < 0)
			return -1;
		if (node && node->kind == VIEW_LINK)
			node->target = l->target;
	}
	return 0;
}

/* ---- what is beside it ---- */

static DIR *list(int root, const char *path)
{
	_cleanup_close_ int folder = file_open_without_links(root, path);

	return folder < 0 ? NULL : folder_open(folder, ".");
}

/* Links are copied: where they lead to decides what they are worth. */
static void add_beside(struct planning *p, struct view_node *folder, int at, const char *name,
		       mode_t kind)
{
	char target[PATH_MAX];
	struct stat st;

	if (kind == 0 && fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0)
		kind = st.st_mode;
	ssize_t n = S_ISLNK(kind) ? readlinkat(at, name, target, sizeof target) : 0;
	if (n > 0 && n < (ssize_t)sizeof target)
		put(p, folder, str_of(name), VIEW_LINK)->target =
			arena_dup(&p->plan->arena, str_sub(target, (size_t)n));
	else
		put(p, folder, str_of(name), S_ISDIR(kind) ? VIEW_CLOSED_FOLDER : VIEW_CLOSED_FILE);
}

/* A folder that cannot be listed has nothing beside. */
static void close_others(struct planning *p, struct view_node *folder, const char *path)
{
	_cleanup_folder_ DIR *dir = list(p->root, path);
	const struct view_node known = *folder; /* what is put comes before them */
	const char *name;
	mode_t kind;

	/* nothing beside is touched but by its name: it may be the mount of a server that does not answer */
	while (dir && (name = folder_next_kind(dir, &kind)) != NULL) {
		if (find(&known, str_of(name)))
			continue;
		if (p->closed == VIEW_CLOSED_MAX || p->plan->arena.total > VIEW_TEXT_MAX)
			return;
		p->closed++;
		add_beside(p, folder, dirfd(dir), name, kind);
	}
}

static void close_all_others(struct planning *p, struct view_node *folder, const char *path)
{
	char below[PATH_MAX];

	close_others(p, folder, path);
	for (struct view_node *n = folder->first; n; n = n->next)
		if (n->kind == VIEW_FOLDER && join(below, path, n->name) == 0)
			close_all_others(p, n, below);
}

int view_plan(struct view_plan *out, const struct view *v, int root, struct err *e)
{
	struct planning p = {.plan = out, .view = v, .root = root};

	*out = (struct view_plan){.root = {.kind = VIEW_FOLDER, .name = ""},
				  .arena = ARENA_INIT(VIEW_TEXT_MAX)};
	if (add_given(&p, e) < 0)
		return -1;
	if (out->all)
		return 0;
	if (add_terminals(&p, e) < 0 || add_workdir(&p, e) < 0 || add_links(&p, e) < 0)
		return -1;
	close_all_others(&p, &out->root, "");
	return 0;
}

void view_plan_fini(struct view_plan *p)
{
	arena_fini(&p->arena);
}
