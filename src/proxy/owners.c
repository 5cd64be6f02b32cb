#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/util.h"
#include "proxy/owners.h"

enum {
	FOLDER_BYTES = 16384,    /* of a folder, read at once: some 500 descriptors */
	CHILDREN_BYTES = 65536,  /* of one list of children: 8,000 of them */
	LINK_BYTES = 64,         /* enough for "socket:[N]"; what is longer is none */
	RECENT = 8,              /* numbers of descriptors that are looked at first */
	DESCRIPTORS_MAX = 65536, /* of one table, that are remembered by number */
};

/* ---- the set of opened processes ---- */

void process_set_init(struct process_set *s)
{
	list_init(&s->processes);
	s->n = 0;
}

void process_set_fini(struct process_set *s)
{
	list_each(p, &s->processes, struct process, link) {
		list_del(&p->link);
		process_free(p);
	}
	s->n = 0;
}

static struct process *find_open(struct process_set *s, pid_t pid)
{
	list_each(p, &s->processes, struct process, link)
		if (p->pid == pid)
			return p;
	return NULL;
}

static int check_room(const struct process_set *s, struct err *e)
{
	if (s->n < OWNERS_OPEN_MAX)
		return 0;
	return err_set(e, EAGAIN, "more than %d processes to be looked at at once",
		       OWNERS_OPEN_MAX);
}

static struct process *keep(struct process_set *s, struct process *p)
{
	if (p != NULL) {
		list_add(&s->processes, &p->link);
		s->n++;
	}
	return p;
}

struct process *process_set_get(struct process_set *s, pid_t pid, struct err *e)
{
	struct process *p = find_open(s, pid);

	if (p != NULL)
		return p;
	return check_room(s, e) < 0 ? NULL : keep(s, process_open(pid, e));
}

/* ---- a search ---- */

struct pids {
	pid_t *p;
	size_t n, cap;
};

struct search {
	struct process_set *set;
	pid_t root, init;
	struct wanted *wanted; /* by their inodes */
	size_t n;
	size_t missing;    /* those that were not met yet in the table that is gone through */
	size_t links;      /* that were read */
	struct pids found; /* descendants */
	bool by_children;  /* more of them are found on the way */
	struct err why;    /* code != 0: nothing that is found counts */
};

static bool push(struct pids *l, pid_t pid)
{
	if (l->n == SEARCH_PROCESSES_MAX)
		return false;
	if (l->n == l->cap) {
		l->cap = MAX(l->cap * 2, (size_t)64);
		l->p = xrealloc(l->p, l->cap * sizeof *l->p);
	}
	l->p[l->n++] = pid;
	return true;
}

/* Calls each for every name in the folder but . and ..; ends early when it returns false. */
typedef bool entry_fn(struct search *s, int folder, const char *name, void *arg);

static void each_entry(struct search *s, int folder, entry_fn *each, void *arg)
{
	_Alignas(struct dirent) char bytes[FOLDER_BYTES];
	long n;

	while ((n = syscall(SYS_getdents64, folder, bytes, sizeof bytes)) > 0) {
		for (long at = 0; at < n;) {
			const struct dirent *d = (const void *)(bytes + at);
			at += d->d_reclen;
			if (d->d_name[0] != '.' && !each(s, folder, d->d_name, arg))
				return;
		}
	}
}

/* ---- one table of descriptors ---- */

/* The process whose table is gone through. */
struct holder {
	int dir; /* borrowed */
	const struct proc_stat *stat;
};

static int compare_inodes(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;

	return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static void add_owner(struct search *s, struct wanted *w, const struct holder *h)
{
	struct process *p = find_open(s->set, h->stat->pid);
	struct err e = {0};

	if (w->why.code != 0)
		return;
	if (p == NULL) {
		if (check_room(s->set, &w->why) < 0)
			return;
		int dir = fcntl(h->dir, F_DUPFD_CLOEXEC, 0);
		if (dir < 0) {
			err_sys(&w->why, "process %d", (int)h->stat->pid);
			return;
		}
		p = keep(s->set, process_adopt(dir, h->stat, &e));
		if (p == NULL) /* it ended just now, and with it its hold */
			return;
	}
	for (size_t i = 0; i < w->n; i++)
		if (w->owners[i] == p)
			return;
	if (w->n == OWNERS_MAX)
		err_set(&w->why, E2BIG, "more than %d processes hold it", OWNERS_MAX);
	else
		w->owners[w->n++] = p;
}

/* A process that may not be looked into might hold any socket. The keeper's helpers may not, and are
 * told by this: they are its children and are still what they were forked as. */
static void not_allowed(struct search *s, const struct holder *h)
{
	bool helper = h->stat->ppid == s->root && (h->stat->flags & PROC_FORKED_ONLY) != 0;

	if (!helper)
		process_err(&s->why, h->stat->pid, "fd");
}

/*
 * Where sockets were found last, the newest first. Programs use the same numbers again and again, so that a
 * table with a thousand descriptors need mostly not be listed. A guess where to look and nothing more: what
 * is there is read each time.
 */
static int recent[RECENT];
static size_t recent_n;

static void remember(int number)
{
	size_t i = 0;

	while (i < recent_n && recent[i] != number)
		i++;
	if (i == recent_n && recent_n < RECENT)
		recent_n++;
	i = MIN(i, (size_t)RECENT - 1);
	memmove(recent + 1, recent, i * sizeof *recent);
	recent[0] = number;
}

/* A socket of this inode is in the table: whoever wants it has an owner more. */
static void met(struct search *s, const struct holder *h, uint64_t inode, int number)
{
	struct wanted key = {.inode = inode};
	struct wanted *hit = bsearch(&key, s->wanted, s->n, sizeof *hit, compare_inodes);

	if (hit == NULL)
		return;
	/* the same socket may be wanted several times */
	while (hit > s->wanted && hit[-1].inode == inode)
		hit--;
	if (!hit->met)
		remember(number);
	for (; hit < s->wanted + s->n && hit->inode == inode; hit++) {
		s->missing -= !hit->met;
		hit->met = true;
		add_owner(s, hit, h);
	}
}

/* False when it is of no use to go on: all are met, or nothing counts any more. */
static bool look_at(struct search *s, int folder, int number, const struct holder *h)
{
	char name[16], link[LINK_BYTES];
	uint64_t inode;

	snprintf(name, sizeof name, "%d", number);
	ssize_t n = readlinkat(folder, name, link, sizeof link);
	if (n < 0 && errno == EACCES) {
		not_allowed(s, h);
		return false;
	}
	if (++s->links > SEARCH_LINKS_MAX) {
		err_set(&s->why, E2BIG, "more than %d descriptors to go through", SEARCH_LINKS_MAX);
		return false;
	}
	if (n >= 0 && proc_parse_socket(str_sub(link, (size_t)n), &inode))
		met(s, h, inode, number);
	return s->missing > 0;
}

/* The numbers of a table. */
struct numbers {
	int *p;
	size_t n, cap;
};

static bool take_number(struct search *s, int folder UNUSED, const char *name, void *arg)
{
	struct numbers *all = arg;
	uint64_t number;

	if (!str_u64(str_of(name), &number) || number > INT_MAX)
		return true;
	if (all->n == DESCRIPTORS_MAX) {
		err_set(&s->why, E2BIG, "more than %d descriptors to go through", DESCRIPTORS_MAX);
		return false;
	}
	if (all->n == all->cap) {
		all->cap = MAX(all->cap * 2, (size_t)64);
		all->p = xrealloc(all->p, all->cap * sizeof *all->p);
	}
	all->p[all->n++] = (int)number;
	return true;
}

/* From the highest down: a new socket has mostly one of the last numbers. */
static void go_through(struct search *s, int folder, const struct holder *h)
{
	struct numbers all = {0};

	each_entry(s, folder, take_number, &all);
	for (size_t i = all.n; i > 0 && s->why.code == 0; i--)
		if (!look_at(s, folder, all.p[i - 1], h))
			break;
	free(all.p);
}

static void search_table(struct search *s, int view, const struct holder *h)
{
	_cleanup_close_ int fds = openat(view, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int guesses[RECENT];
	size_t n = recent_n;

	if (fds < 0) {
		if (errno != ENOENT && errno != ESRCH)
			not_allowed(s, h);
		return;
	}
	s->missing = s->n;
	for (size_t i = 0; i < s->n; i++)
		s->wanted[i].met = false;
	memcpy(guesses, recent, sizeof guesses);
	for (size_t i = 0; i < n; i++)
		if (!look_at(s, fds, guesses[i], h))
			return;
	go_through(s, fds, h);
}

/* ---- one process ---- */

/* path: of the list, in a folder. False where there is none. */
static bool take_children(struct search *s, int folder, const char *path)
{
	char text[CHILDREN_BYTES];
	ssize_t n = process_read(folder, path, text, sizeof text);
	struct str rest = str_sub(text, n > 0 ? (size_t)n : 0);
	bool whole = n < CHILDREN_BYTES; /* else the last number may be half of one */
	pid_t child;

	while (proc_next_child(&rest, &child))
		whole = push(&s->found, child) && whole;
	if (!whole)
		err_set(&s->why, E2BIG, "more than %d processes to look into",
			SEARCH_PROCESSES_MAX);
	return n >= 0;
}

/* The same of a process with one thread. */
static bool take_children_of(struct search *s, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	return take_children(s, AT_FDCWD, path);
}

/* A process whose threads are gone through. */
struct threads {
	struct holder holder;
	pid_t searched; /* a thread whose table was gone through; 0: none yet */
};

/* Whether the two threads have one table; false, too, where the kernel does not tell. */
static bool same_table(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_FILES, 0, 0) == 0;
}

static bool search_thread(struct search *s, int folder, const char *name, void *arg)
{
	struct threads *t = arg;
	struct proc_stat stat;
	pid_t tid;

	if (!proc_parse_pid(str_of(name), &tid) ||
	    (t->searched != 0 && same_table(t->searched, tid)))
		return true;
	_cleanup_close_ int view = openat(folder, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (view < 0 || process_read_stat(view, &stat) < 0 || stat.state == 'Z')
		return true;
	search_table(s, view, &t->holder);
	t->searched = tid;
	return s->why.code == 0;
}

static bool take_thread_children(struct search *s, int folder, const char *name, void *arg UNUSED)
{
	char path[48];
	pid_t tid;

	snprintf(path, sizeof path, "%s/children", name);
	if (proc_parse_pid(str_of(name), &tid))
		take_children(s, folder, path);
	return true;
}

static void search_threads(struct search *s, const struct holder *h)
{
	_cleanup_close_ int task = openat(h->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct threads t = {.holder = *h};

	if (task < 0)
		return;
	each_entry(s, task, search_thread, &t);
	if (s->by_children && lseek(task, 0, SEEK_SET) == 0)
		each_entry(s, task, take_thread_children, NULL);
}

/* Its descriptors before its children: one that it hands to a child that it makes meanwhile, and
 * closes, is then found with the child. */
static void search_process(struct search *s, pid_t pid)
{
	struct proc_stat stat;
	char path[48];

	if (pid == s->init) {
		if (s->by_children)
			take_children_of(s, pid);
		return;
	}
	snprintf(path, sizeof path, "/proc/%d", (int)pid);
	_cleanup_close_ int dir = openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno != ENOENT)
		process_err(&s->why, pid, "open");
	if (dir < 0 || process_read_stat(dir, &stat) < 0 || process_is_dead(&stat))
		return;
	struct holder h = {.dir = dir, .stat = &stat};
	if (stat.threads > 1) {
		search_threads(s, &h);
		return;
	}
	search_table(s, dir, &h);
	snprintf(path, sizeof path, "task/%d/children", (int)pid);
	if (s->by_children)
		take_children(s, dir, path);
}

/* ---- the descendants ---- */

struct relation {
	pid_t pid, parent;
	bool inside; /* a descendant of the root */
};

struct relations {
	struct relation *p;
	size_t n;
};

static int compare_relations(const void *a, const void *b)
{
	const struct relation *x = a, *y = b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static bool take_relation(struct search *s, int folder, const char *name, void *arg)
{
	struct relations *all = arg;
	char path[48], text[PROC_STAT_MAX];
	struct proc_stat stat;
	pid_t pid;

	snprintf(path, sizeof path, "%s/stat", name);
	if (!proc_parse_pid(str_of(name), &pid))
		return true;
	ssize_t n = process_read(folder, path, text, sizeof text);
	if (n < 0 || !proc_parse_stat(str_sub(text, (size_t)n), &stat))
		return true;
	if (all->n == SEARCH_PROCESSES_MAX) {
		err_set(&s->why, E2BIG, "more than %d processes on this machine",
			SEARCH_PROCESSES_MAX);
		return false;
	}
	all->p[all->n++] = (struct relation){.pid = stat.pid, .parent = stat.ppid};
	return true;
}

/* Goes through all processes and takes those that are inside, generation by generation. */
static void take_by_parents(struct search *s)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ struct relation *list = xcalloc(SEARCH_PROCESSES_MAX, sizeof *list);
	struct relations all = {.p = list};

	if (proc < 0) {
		err_sys(&s->why, "/proc");
		return;
	}
	each_entry(s, proc, take_relation, &all);
	qsort(all.p, all.n, sizeof *all.p, compare_relations);
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < all.n; i++) {
			struct relation key = {.pid = all.p[i].parent};
			const struct relation *parent =
				bsearch(&key, all.p, all.n, sizeof key, compare_relations);
			if (all.p[i].inside ||
			    (key.pid != s->root && (parent == NULL || !parent->inside)))
				continue;
			all.p[i].inside = more = true;
			push(&s->found, all.p[i].pid);
		}
	}
}

/* ---- the whole ---- */

static void search(struct process_set *set, pid_t root, pid_t init, struct wanted *w, size_t n)
{
	struct search s = {.set = set, .root = root, .init = init, .wanted = w, .n = n};

	s.by_children = take_children_of(&s, root);
	if (!s.by_children)
		take_by_parents(&s);
	for (size_t i = 0; i < s.found.n && s.why.code == 0; i++)
		search_process(&s, s.found.p[i]);
	free(s.found.p);
	for (size_t i = 0; i < n && s.why.code != 0; i++)
		w[i].why = s.why;
}

/* It was not found, or a process might not be looked into: while it calls execve it may not, for a
 * moment. */
static bool is_open(const struct wanted *w)
{
	return w->why.code != 0 ? w->why.code == EACCES || w->why.code == EPERM : w->n == 0;
}

/* Those that are open, first, with nothing known of them. How many. */
static size_t put_open_first(struct wanted *w, size_t n)
{
	size_t open = 0;

	for (size_t i = 0; i < n; i++) {
		if (!is_open(&w[i]))
			continue;
		struct wanted swap = w[open];
		w[open++] = (struct wanted){.inode = w[i].inode, .why = w[i].why};
		if (i >= open)
			w[i] = swap;
	}
	return open;
}

void owners_find(struct process_set *s, pid_t root, pid_t init, struct wanted *w, size_t n)
{
	size_t open = n;

	for (int i = 0; i < SEARCH_TRIES && open > 0; i++) {
		for (size_t j = 0; j < open; j++)
			w[j] = (struct wanted){.inode = w[j].inode};
		qsort(w, open, sizeof *w, compare_inodes);
		search(s, root, init, w, open);
		open = put_open_first(w, open);
	}
}
