/* proxy/images: what is remembered of images, and when it does not hold. */
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <utime.h>

#include "actor.h"
#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "test.h"

#include "../../src/proxy/images.c"

struct shelf {
	struct loop *loop;
	struct images *images;
	char path[PATH_MAX];
	int reads; /* images that were read */
};

static void one_was_read(void *arg)
{
	struct shelf *s = arg;

	s->reads++;
	loop_stop(s->loop, 0);
}

static void open_shelf(struct shelf *s)
{
	struct err e;

	memset(s, 0, sizeof *s);
	OK(loop_new(&s->loop, &e) == 0);
	OK(images_new(&s->images, s->loop, one_was_read, s, &e) == 0);
	strcpy(s->path, "/tmp/images-test-XXXXXX");
	close(mkostemp(s->path, O_CLOEXEC));
}

static void close_shelf(struct shelf *s)
{
	images_free(s->images);
	loop_free(s->loop);
	unlink(s->path);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	OK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* A process whose image, as far as one can see, is that file: its folder is one that we make. */
static struct process as_if_running(const char *path)
{
	static char folder[] = "/tmp/images-view-XXXXXX";
	static char exe[64];
	struct process p = {.pid = 1, .exe = (char *)(uintptr_t)path};

	if (exe[0] == '\0') {
		OK(mkdtemp(folder) != NULL);
		snprintf(exe, sizeof exe, "%s/exe", folder);
	}
	unlink(exe);
	OK(symlink(path, exe) == 0);
	p.dir = p.view = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	OK(p.view >= 0 && fstatat(p.view, "exe", &p.image, 0) == 0);
	return p;
}

static void leave_view(struct process *p)
{
	char folder[PATH_MAX];
	ssize_t n;

	_cleanup_free_ char *link = xasprintf("/proc/self/fd/%d", p->view);
	n = readlink(link, folder, sizeof folder - 1);
	OK(n > 0);
	folder[n] = '\0';
	unlinkat(p->view, "exe", 0);
	rmdir(folder);
	close(p->view);
}

static void is_hash_of(const uint8_t hash[IMAGE_HASH_BYTES], const char *text)
{
	unsigned char want[IMAGE_HASH_BYTES];

	OK(mbedtls_sha256((const unsigned char *)text, strlen(text), want, 0) == 0);
	MEMEQ(hash, want, sizeof want);
}

/* Its clock stands still for so long that nothing about the file is fresh any more. */
static void let_it_age(void)
{
	usleep((IMAGE_TICK_MS + 50) * 1000);
}

TEST(images_an_old_file_is_read_once)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct shelf s;
	struct err e;

	open_shelf(&s);
	write_file(s.path, "program");
	let_it_age();
	struct process p = as_if_running(s.path);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	/* who asks while it is read waits for the same */
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	loop_run(s.loop);
	EQ(s.reads, 1);
	for (int i = 0; i < 3; i++) {
		EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_KNOWN);
		is_hash_of(hash, "program");
	}
	leave_view(&p);
	close_shelf(&s);
}

TEST(images_a_fresh_file_is_read_again_for_who_asks_later)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct shelf s;
	struct err e;

	open_shelf(&s);
	struct process p;
	/* on a slow machine it may be old by the time it is read: then again, with a newer one */
	for (int i = 0;; i++) {
		write_file(s.path, "program");
		p = as_if_running(s.path);
		uint64_t before = images_mark(s.images);
		EQ(images_hash(s.images, &p, before, hash, &e), IMAGE_READING);
		loop_run(s.loop);
		EQ(images_hash(s.images, &p, before, hash, &e), IMAGE_KNOWN);
		is_hash_of(hash, "program");
		if (images_hash(s.images, &p, images_mark(s.images), hash, &e) == IMAGE_READING)
			break;
		OK(i < 20);
		close(p.view);
	}
	loop_run(s.loop);
	EQ(images_hash(s.images, &p, images_mark(s.images) - 1, hash, &e), IMAGE_KNOWN);
	let_it_age();
	/* read a last time, when it is old */
	if (images_hash(s.images, &p, images_mark(s.images), hash, &e) == IMAGE_READING)
		loop_run(s.loop);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_KNOWN);
	leave_view(&p);
	close_shelf(&s);
}

TEST(images_a_changed_file_is_another_whatever_its_time_says)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct utimbuf times;
	struct shelf s;
	struct err e;

	open_shelf(&s);
	write_file(s.path, "good");
	let_it_age();
	struct process p = as_if_running(s.path);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	loop_run(s.loop);
	times = (struct utimbuf){p.image.st_atime, p.image.st_mtime};
	write_file(s.path, "evil");
	OK(utime(s.path, &times) == 0);
	let_it_age();
	/* what was looked at is not what is there now */
	close(p.view);
	p = as_if_running(s.path);
	EQ(p.image.st_mtime, times.modtime);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	loop_run(s.loop);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_KNOWN);
	is_hash_of(hash, "evil");
	leave_view(&p);
	close_shelf(&s);
}

TEST(images_a_file_that_changes_between_look_and_reading_is_looked_at_again)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct shelf s;
	struct err e;

	open_shelf(&s);
	write_file(s.path, "good");
	struct process p = as_if_running(s.path);
	write_file(s.path, "longer");
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_FAILED);
	EQ(e.code, EAGAIN);
	leave_view(&p);
	close_shelf(&s);
}

TEST(images_what_is_gone_or_too_large_has_no_hash)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct shelf s;
	struct err e;

	open_shelf(&s);
	struct process p = as_if_running(s.path);
	unlink(s.path);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_FAILED);
	HAS(e.text, "the image of process 1: No such file or directory");
	p.image.st_size = IMAGE_BYTES_MAX + 1;
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_FAILED);
	EQ(e.code, EFBIG);
	leave_view(&p);
	close_shelf(&s);
}

static void tick(struct timer *t);

struct ticker {
	struct timer timer;
	struct loop *loop;
	int n;
};

static void tick(struct timer *t)
{
	struct ticker *x = container_of(t, struct ticker, timer);

	x->n++;
	timer_set(x->loop, t, 1);
}

TEST(images_the_loop_goes_on_while_a_large_one_is_read)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct shelf s;
	struct err e;

	open_shelf(&s);
	OK(truncate(s.path, 48 << 20) == 0);
	let_it_age();
	struct process p = as_if_running(s.path);
	struct ticker x = {.timer.fire = tick, .loop = s.loop};
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	timer_set(s.loop, &x.timer, 1);
	loop_run(s.loop);
	timer_stop(s.loop, &x.timer);
	OK(x.n >= 3);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_KNOWN);
	leave_view(&p);
	close_shelf(&s);
}

TEST(images_may_be_freed_while_one_is_read)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct shelf s;
	struct err e;

	open_shelf(&s);
	OK(truncate(s.path, 48 << 20) == 0);
	struct process p = as_if_running(s.path);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	leave_view(&p);
	close_shelf(&s);
	usleep(20000); /* the thread sees it at its next chunk, and lets go of what it has */
}

TEST(images_the_oldest_is_forgotten)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	char path[] = "/tmp/images-test-XXXXXX";
	struct shelf s;
	struct err e;

	open_shelf(&s);
	close(mkostemp(path, O_CLOEXEC));
	write_file(s.path, "program");
	write_file(path, "another");
	let_it_age();
	struct process p = as_if_running(s.path);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	loop_run(s.loop);
	for (uint64_t i = 1; i < IMAGES_KNOWN_MAX; i++) {
		struct image *other = xcalloc(1, sizeof *other);
		other->id.inode = i;
		other->fd = -1;
		map_put(&s.images->by_id, key_of(&other->id), other);
		list_add(&s.images->known, &other->link);
		s.images->known_n++;
	}
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_KNOWN);
	struct process q = as_if_running(path);
	EQ(images_hash(s.images, &q, images_mark(s.images), hash, &e), IMAGE_READING);
	loop_run(s.loop);
	EQ(s.images->known_n, IMAGES_KNOWN_MAX);
	EQ(images_hash(s.images, &q, images_mark(s.images), hash, &e), IMAGE_KNOWN);
	close(p.view);
	close(q.view);
	p = as_if_running(s.path);
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_READING);
	loop_run(s.loop);
	leave_view(&p);
	unlink(path);
	close_shelf(&s);
}

TEST(images_no_more_are_read_at_once_than_may_be)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	struct shelf s;
	struct err e;

	open_shelf(&s);
	struct process p = as_if_running(s.path);
	s.images->reading = IMAGES_READING_MAX;
	EQ(images_hash(s.images, &p, images_mark(s.images), hash, &e), IMAGE_FAILED);
	EQ(e.code, ENOBUFS);
	leave_view(&p);
	close_shelf(&s);
}

TEST(images_a_path_is_pinned_to_what_was_seen_first)
{
	const uint8_t one[IMAGE_HASH_BYTES] = {1}, two[IMAGE_HASH_BYTES] = {2};
	struct shelf s;
	struct err e;

	open_shelf(&s);
	EQ(images_pin(s.images, "/a", one, &e), 0);
	EQ(images_pin(s.images, "/a", one, &e), 0);
	EQ(images_pin(s.images, "/b", two, &e), 0);
	EQ(images_pin(s.images, "/a", two, &e), -1);
	STREQ(e.text, "/a is not the program that was first seen there");
	EQ(images_pin(s.images, "/a", one, &e), 0);
	close_shelf(&s);
}

TEST(images_pins_are_bounded_and_none_is_given_up_for_another)
{
	const uint8_t one[IMAGE_HASH_BYTES] = {1}, two[IMAGE_HASH_BYTES] = {2};
	char path[4096];
	struct shelf s;
	struct err e;
	int n = 0;

	open_shelf(&s);
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	do {
		path[1] = (char)('0' + n / 100);
		path[2] = (char)('0' + n % 100);
		n++;
	} while (images_pin(s.images, path, one, &e) == 0);
	OK(n > 500 && n < 1100);
	EQ(e.code, ENOSPC);
	path[1] = path[2] = '0';
	EQ(images_pin(s.images, path, two, &e), -1);
	EQ(e.code, EPERM);
	EQ(images_pin(s.images, path, one, &e), 0);
	close_shelf(&s);
}
