/* isolate/view_plan: what a view is made of, found on trees of our own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "isolate/view_plan.h"
#include "test.h"

static char top[] = "/tmp/view-plan-XXXXXX";
static int root = -1;
static struct view_plan plan;

/* Another process takes the folder away, since this one may no longer be able to. */
static void make_top(void)
{
	char command[128], c;
	int fds[2];

	OK(mkdtemp(top) && chmod(top, 0755) == 0 &&
	   socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	if (fork() == 0) {
		close(fds[1]);
		setsid(); /* before the test may end, which kills its group */
		if (write(fds[0], "", 1) == 1)
			while (read(fds[0], &c, 1) > 0)
				;
		snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", top, top);
		_exit(system(command) == 0 ? 0 : 1);
	}
	close(fds[0]); /* the other end closes with this process */
	OK(read(fds[1], &c, 1) == 1);
}

/* "folder/", "file", "link>target": in that order, so that what is around comes first. */
static void make_tree(const char *const *names)
{
	make_top();
	root = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
	OK(root >= 0);
	for (; *names; names++) {
		struct str rest = str_of(*names);
		_cleanup_free_ char *name = str_dup(str_cut(&rest, '>'));
		size_t n = strlen(name);

		if (rest.p)
			OK(symlinkat(rest.p, root, name) == 0);
		else if (name[n - 1] == '/')
			OK(mkdirat(root, name, 0755) == 0);
		else
			OK(mknodat(root, name, S_IFREG | 0644, 0) == 0);
	}
}

#define TREE(...) make_tree((const char *const[]){__VA_ARGS__, NULL})

static struct view view;
static struct err why;

/* "/usr", and "+/tmp" where it may be written. */
static int look(const char *const *given)
{
	static struct view_path paths[LANDLOCK_PATHS_MAX + 1];

	view.paths = paths;
	for (view.n = 0; *given; given++) {
		bool write = **given == '+';
		paths[view.n++] = (struct view_path){*given + write, write};
	}
	view_plan_fini(&plan);
	return view_plan(&plan, &view, root, &why);
}

#define LOOK(...) EQ(look((const char *const[]){__VA_ARGS__, NULL}), 0)

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void describe(const struct view_node *n, const char *path, char **lines, size_t *count)
{
	static const char *const kinds[] = {
		[VIEW_FOLDER] = "/",     [VIEW_LINK] = ">",           [VIEW_GIVEN_FOLDER] = "/*",
		[VIEW_GIVEN_FILE] = "*", [VIEW_CLOSED_FOLDER] = "/-", [VIEW_CLOSED_FILE] = "-",
	};

	for (const struct view_node *c = n->first; c; c = c->next) {
		_cleanup_free_ char *below = xasprintf("%s%s%s", path, *path ? "/" : "", c->name);

		lines[(*count)++] =
			xasprintf("%s%s%s", below, kinds[c->kind], c->target ? c->target : "");
		describe(c, below, lines, count);
	}
}

/* All names of the view, in the order of the alphabet, each with its kind behind. */
static const char *tree(void)
{
	static struct buf text;
	static char *lines[256];
	size_t n = 0;

	buf_fini(&text);
	text = BUF_INIT(1 << 16);
	describe(&plan.root, "", lines, &n);
	qsort(lines, n, sizeof lines[0], by_text);
	for (size_t i = 0; i < n; i++) {
		OK(buf_printf(&text, "%s%s", i ? " " : "", lines[i]));
		free(lines[i]);
	}
	OK(buf_char(&text, '\0'));
	return text.p;
}

static const char *binds(void)
{
	static const char *const marks[] = {
		[VIEW_READ] = "", [VIEW_WRITE] = "+", [VIEW_LOOK] = "?"};
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < plan.n_binds; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%s", i ? " " : "",
				      marks[plan.binds[i].access], plan.binds[i].path);
	return text;
}

TEST(view_plan_shows_what_is_given_and_shuts_what_is_beside)
{
	TREE("usr/", "usr/lib/", "home/", "home/me/", "home/me/work/", "home/me/key", "home/you/",
	     "etc/", "etc/passwd", "etc/shadow", "file");
	view.enforced = true;
	LOOK("/usr", "/etc/passwd", "+/home/me/work");
	STREQ(tree(),
	      "etc/ etc/passwd* etc/shadow- file- home/ home/me/ home/me/key- home/me/work/* "
	      "home/you/- usr/*");
	STREQ(binds(), "etc/passwd +home/me/work usr");
	OK(!plan.all);
}

TEST(view_plan_copies_links_on_the_way_and_beside)
{
	TREE("usr/", "usr/lib/", "lib>usr/lib", "bin>usr/bin", "opt/", "opt/v1/", "opt/now>v1",
	     "opt/old>../v0", "srv>/opt/now/");
	view.enforced = true;
	LOOK("/usr", "/lib", "/srv");
	STREQ(tree(),
	      "bin>usr/bin lib>usr/lib opt/ opt/now>v1 opt/old>../v0 opt/v1/* srv>/opt/now/ usr/*");
	STREQ(binds(), "opt/v1 usr");
}

TEST(view_plan_resolves_as_the_kernel_does)
{
	TREE("a/", "a/b/", "a/b/c/", "a/up>..", "a/b/top>/", "a/round>round", "x/",
	     "x/far>../a/./b//c");
	view.enforced = true;
	LOOK("/x/far", "/a/up/x");
	STREQ(binds(), "a/b/c x"); /* "far" lies in x, and "up" is kept */
	STREQ(tree(), "a/ a/b/ a/b/c/* a/b/top>/ a/round>round a/up>.. x/*");
	LOOK("/a/b/top/x/", "/a/../a/b/c");
	STREQ(binds(), "a/b/c x");
	/* what leads nowhere is not shown, and no reason to show nothing */
	LOOK("/a/round", "/a/missing/x", "/x/far/../../b/c");
	STREQ(binds(), "a/b/c");
}

TEST(view_plan_follows_no_link_to_what_may_be_written)
{
	TREE("etc/", "sandbox>etc", "work/");
	LOOK("+/sandbox", "+/work");
	STREQ(binds(), "+work");
	STREQ(tree(), "etc/- sandbox>etc work/*");
}

TEST(view_plan_lets_landlock_tell_what_is_nested)
{
	TREE("usr/", "usr/local/", "usr/local/lib/", "tmp/", "tmp/in/", "usr-x/");
	view.enforced = true;
	LOOK("/usr", "+/usr/local", "+/tmp", "/tmp/in", "/usr-x");
	STREQ(binds(), "+tmp usr usr-x");
}

TEST(view_plan_nests_mounts_where_there_is_no_landlock)
{
	TREE("usr/", "usr/local/", "usr/local/lib/", "tmp/", "tmp/in/", "usr-x/", "etc/",
	     "etc/file");
	view.enforced = false;
	LOOK("/usr", "+/usr/local", "/usr/local/lib", "+/tmp", "/tmp/in", "/usr-x", "/etc",
	     "+/etc/file");
	/* rights add up: nothing in /tmp is for reading only */
	STREQ(binds(), "etc +etc/file +tmp usr usr-x +usr/local");
	STREQ(tree(), "etc/* tmp/* usr-x/* usr/*");
}

TEST(view_plan_of_the_same_path_twice_has_the_greater_right)
{
	TREE("a/", "link>a");
	LOOK("/a", "+/a", "/link");
	STREQ(binds(), "+a");
}

TEST(view_plan_keeps_the_working_directory_and_terminals)
{
	TREE("dev/", "dev/pts/", "dev/pts/0", "dev/null", "dev/ptmx>pts/ptmx", "home/", "home/me/",
	     "home/me/key", "to>home/me", "usr/");
	view.workdir = "/to";
	LOOK("/usr", "+/dev/null");
	STREQ(tree(), "dev/ dev/null* dev/ptmx>pts/ptmx dev/pts/* home/ home/me/ home/me/key- "
		      "to>home/me usr/*");
	STREQ(binds(), "+dev/null usr ?dev/pts");
	/* which need nothing where they are given */
	LOOK("/dev", "+/home");
	STREQ(tree(), "dev/* home/* to>home/me usr/-");
	STREQ(binds(), "dev +home");
	view.workdir = "/nowhere";
	LOOK("/usr");
	STREQ(tree(), "dev/ dev/null- dev/ptmx>pts/ptmx dev/pts/* home/- to>home/me usr/*");
}

TEST(view_plan_has_nothing_to_hide_below_the_root)
{
	TREE("usr/", "all>/");
	LOOK("/usr", "/");
	OK(plan.all);
	LOOK("/usr", "/all");
	OK(plan.all);
	LOOK("/usr");
	OK(!plan.all);
}

TEST(view_plan_is_bounded)
{
	static char deep[PATH_MAX];
	char name[32];

	TREE("many/", "many/given/", "other/", "beside");
	for (int i = 0; i < VIEW_CLOSED_MAX + 10; i++) {
		snprintf(name, sizeof name, "many/%d", i);
		OK(mknodat(root, name, S_IFREG | 0644, 0) == 0);
	}
	LOOK("/many/given", "/other");
	size_t n = 0;
	for (const struct view_node *c = plan.root.first; c; c = c->next)
		for (const struct view_node *d = c->first; d; d = d->next)
			n++;
	EQ(n, VIEW_CLOSED_MAX - 1 + 1); /* one is at the top, and one of these is given */

	for (int i = 0; i < VIEW_DEPTH_MAX + 1; i++) {
		strcat(deep, i ? "/d" : "d");
		OK(mkdirat(root, deep, 0755) == 0);
	}
	EQ(look((const char *const[]){deep, NULL}), -1);
	EQ(why.code, E2BIG);
	deep[strlen(deep) - 2] = '\0';
	LOOK(deep);

	static const char *too_many[LANDLOCK_PATHS_MAX + 2];
	for (int i = 0; i <= LANDLOCK_PATHS_MAX; i++)
		too_many[i] = "/other";
	EQ(look(too_many), -1);
	EQ(why.code, E2BIG);
}

TEST(view_plan_gives_up_on_endless_links_and_names)
{
	char name[32], target[32];
	static char text[PATH_MAX + 16];

	TREE("end/");
	for (int i = 0; i <= VIEW_LINKS_MAX; i++) {
		snprintf(name, sizeof name, "%d", i);
		snprintf(target, sizeof target, "%d", i + 1);
		OK(symlinkat(i == VIEW_LINKS_MAX ? "end" : target, root, name) == 0);
	}
	LOOK("/0");
	STREQ(binds(), "");
	LOOK("/1");
	STREQ(binds(), "end");
	memset(text, 'x', NAME_MAX + 2);
	text[0] = '/';
	EQ(look((const char *const[]){text, NULL}), -1);
	EQ(why.code, ENAMETOOLONG);
	for (size_t i = 0; i + 2 < PATH_MAX; i += 2)
		memcpy(text + i, "/.", 3);
	memset(text + PATH_MAX - 2, 'x', 8);
	EQ(look((const char *const[]){text, NULL}), -1);
	EQ(why.code, ENAMETOOLONG);
}

/* A folder that may be passed through and not listed shuts nothing; one that may not be is a reason. */
TEST(view_plan_says_what_it_cannot_look_at)
{
	TREE("blind/", "blind/given/", "blind/other", "shut/", "shut/given/");
	OK(fchmodat(root, "blind", 0111, 0) == 0 && fchmodat(root, "shut", 0, 0) == 0);
	if (geteuid() == 0)
		OK(setresgid(65534, 65534, 65534) == 0 && setresuid(65534, 65534, 65534) == 0);
	LOOK("/blind/given");
	STREQ(tree(), "blind/ blind/given/* shut/-");
	EQ(look((const char *const[]){"/shut/given", NULL}), -1);
	EQ(why.code, EACCES);
	HAS(why.text, "/shut/given");
}
