#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <mbedtls/sha256.h>

#include "base/map.h"
#include "base/util.h"
#include "proxy/images.h"

enum { CHUNK = 128 << 10 };

/* What is said of a file; the key of what is known. Every byte is set. */
struct identity {
	uint64_t device, inode, size;
	int64_t mtime[2], ctime[2];
};

/*
 * An image is being read or it was read; it is known by its id all the while. What holds only for those
 * who asked before (fresh, failed) is forgotten when somebody asks later, and read anew.
 *
 *	reading --> read, on the list of those known --> forgotten
 */
struct image {
	struct list link; /* of one of struct shared's lists or, read, of images.known */
	struct identity id;
	uint64_t mark;
	bool reading; /* the loop's: until it was taken from the thread. The rest is the thread's */
	bool fresh;   /* it was changed within a tick of when it was read */
	bool failed;
	int fd; /* until it was read */
	uint8_t hash[IMAGE_HASH_BYTES];
	struct err why;
};

/* What both threads use, under the lock. It is released by the last of the two. */
struct shared {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct list asked, read;
	int event; /* eventfd: one was read */
	int users;
	bool stop;
};

struct images {
	struct loop *loop;
	struct shared *shared;
	struct source event;
	bool running;
	size_t reading;
	uint64_t mark;
	void (*read)(void *arg);
	void *arg;
	struct map by_id; /* struct identity -> struct image */
	struct list known;
	size_t known_n;
	struct map pins; /* path -> hash */
	size_t pins_bytes;
};

static struct identity identity_of(const struct stat *st)
{
	return (struct identity){
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime = {st->st_mtim.tv_sec, st->st_mtim.tv_nsec},
		.ctime = {st->st_ctim.tv_sec, st->st_ctim.tv_nsec},
	};
}

/* Whether the file still is what was said of it. */
static int check_same(int fd, const struct identity *id, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, "stat");
	struct identity now = identity_of(&st);
	if (memcmp(&now, id, sizeof now) != 0)
		return err_set(e, EAGAIN, "it changed meanwhile");
	return 0;
}

static struct str key_of(const struct identity *id)
{
	return str_sub(id, sizeof *id);
}

static void image_free(struct image *im)
{
	if (im->fd >= 0)
		close(im->fd);
	free(im);
}

/* ---- the thread ---- */

static void free_all(struct list *images)
{
	list_each(im, images, struct image, link) {
		list_del(&im->link);
		image_free(im);
	}
}

/* Gives up one of the two uses; called under the lock, which it releases. */
static void shared_unref(struct shared *s)
{
	bool last = --s->users == 0;

	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	free_all(&s->asked);
	free_all(&s->read);
	close(s->event);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->work);
	free(s);
}

static bool is_stopped(struct shared *s)
{
	pthread_mutex_lock(&s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	return stop;
}

static int hash_bytes_of(struct shared *s, struct image *im, mbedtls_sha256_context *sha)
{
	_cleanup_free_ unsigned char *chunk = xmalloc(CHUNK);
	uint64_t total = 0;

	for (;;) {
		ssize_t n = read(im->fd, chunk, CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(&im->why, "read");
		total += (uint64_t)n;
		if (n == 0 || total > im->id.size)
			break;
		must(mbedtls_sha256_update(sha, chunk, (size_t)n) == 0);
		if (is_stopped(s))
			return err_set(&im->why, ECANCELED, "stopped");
	}
	if (total != im->id.size)
		return err_set(&im->why, EAGAIN, "it changed meanwhile");
	return 0;
}

/* Changed at about this time, by the clock that times of files are of. */
static bool is_fresh(const struct identity *id)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age = (now.tv_sec - id->ctime[0]) * 1000 + (now.tv_nsec - id->ctime[1]) / 1000000;
	return age > -IMAGE_TICK_MS && age < IMAGE_TICK_MS;
}

static void hash_image(struct shared *s, struct image *im)
{
	mbedtls_sha256_context sha;

	im->fresh = is_fresh(&im->id);
	mbedtls_sha256_init(&sha);
	must(mbedtls_sha256_starts(&sha, 0) == 0);
	im->failed = hash_bytes_of(s, im, &sha) < 0 || check_same(im->fd, &im->id, &im->why) < 0;
	if (!im->failed)
		must(mbedtls_sha256_finish(&sha, im->hash) == 0);
	mbedtls_sha256_free(&sha);
	close(steal_fd(&im->fd));
}

static void *thread(void *arg)
{
	struct shared *s = arg;
	const uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
		struct image *im = list_first(&s->asked, struct image, link);
		if (im == NULL) {
			pthread_cond_wait(&s->work, &s->lock);
			continue;
		}
		list_del(&im->link);
		pthread_mutex_unlock(&s->lock);
		hash_image(s, im);
		pthread_mutex_lock(&s->lock);
		list_add(&s->read, &im->link);
		if (write(s->event, &one, sizeof one) != sizeof one)
			must(errno == EAGAIN); /* it counts enough already */
	}
	shared_unref(s);
	return NULL;
}

/* Signals are the loop's: the thread gets none. */
static int start_thread(struct images *im, struct err *e)
{
	sigset_t all, before;
	pthread_t t;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	errno = pthread_create(&t, NULL, thread, im->shared);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (errno != 0)
		return err_sys(e, "start the thread that reads images");
	pthread_detach(t);
	im->running = true;
	im->shared->users++;
	return 0;
}

/* ---- the loop's side ---- */

static void forget(struct images *im, struct image *image)
{
	map_del(&im->by_id, key_of(&image->id));
	list_del(&image->link);
	im->known_n--;
	image_free(image);
}

static void was_read(struct source *src, uint32_t events UNUSED)
{
	struct images *im = container_of(src, struct images, event);
	struct shared *s = im->shared;
	uint64_t ignored;

	if (read(src->fd, &ignored, sizeof ignored) < 0)
		return;
	pthread_mutex_lock(&s->lock);
	list_each(image, &s->read, struct image, link) {
		list_del(&image->link);
		list_add(&im->known, &image->link);
		image->reading = false;
		im->known_n++;
		im->reading--;
	}
	pthread_mutex_unlock(&s->lock);
	while (im->known_n > IMAGES_KNOWN_MAX)
		forget(im, list_first(&im->known, struct image, link));
	im->read(im->arg);
}

int images_new(struct images **out, struct loop *l, void (*read)(void *arg), void *arg,
	       struct err *e)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (event < 0)
		return err_sys(e, "eventfd");
	struct images *im = xcalloc(1, sizeof *im);
	im->loop = l;
	im->read = read;
	im->arg = arg;
	list_init(&im->known);
	im->shared = xcalloc(1, sizeof *im->shared);
	im->shared->users = 1;
	im->shared->event = event;
	pthread_mutex_init(&im->shared->lock, NULL);
	pthread_cond_init(&im->shared->work, NULL);
	list_init(&im->shared->asked);
	list_init(&im->shared->read);
	im->event = (struct source){.fd = event, .ready = was_read, .name = "images"};
	if (loop_add(l, &im->event, EPOLLIN, e) < 0) {
		images_free(im);
		return -1;
	}
	*out = im;
	return 0;
}

void images_free(struct images *im)
{
	size_t at = 0;
	void *hash;

	if (im == NULL)
		return;
	loop_del(im->loop, &im->event);
	pthread_mutex_lock(&im->shared->lock);
	im->shared->stop = true;
	pthread_cond_signal(&im->shared->work);
	shared_unref(im->shared);
	free_all(&im->known);
	map_fini(&im->by_id);
	while (map_next(&im->pins, &at, NULL, &hash))
		free(hash);
	map_fini(&im->pins);
	free(im);
}

uint64_t images_mark(const struct images *im)
{
	return im->mark;
}

static int start_reading(struct images *im, const struct process *p, const struct identity *id,
			 struct err *e)
{
	if (p->image.st_size > IMAGE_BYTES_MAX)
		return err_set(e, EFBIG, "more than %lld bytes", (long long)IMAGE_BYTES_MAX);
	if (im->reading == IMAGES_READING_MAX)
		return err_set(e, ENOBUFS, "more than %d programs are to be read",
			       IMAGES_READING_MAX);
	_cleanup_close_ int fd = process_open_image(p, e);
	if (fd < 0 || check_same(fd, id, e) < 0 || (!im->running && start_thread(im, e) < 0))
		return -1;
	struct image *image = xcalloc(1, sizeof *image);
	image->id = *id;
	image->mark = ++im->mark;
	image->reading = true;
	image->fd = steal_fd(&fd);
	map_put(&im->by_id, key_of(id), image);
	im->reading++;
	pthread_mutex_lock(&im->shared->lock);
	list_add(&im->shared->asked, &image->link);
	pthread_cond_signal(&im->shared->work);
	pthread_mutex_unlock(&im->shared->lock);
	return 0;
}

enum image_answer images_hash(struct images *im, const struct process *p, uint64_t asked,
			      uint8_t hash[IMAGE_HASH_BYTES], struct err *e)
{
	struct identity id = identity_of(&p->image);
	struct image *image = map_get(&im->by_id, key_of(&id));

	if (image != NULL && image->reading)
		return IMAGE_READING;
	if (image != NULL && (image->fresh || image->failed) && image->mark <= asked) {
		forget(im, image);
		image = NULL;
	}
	if (image == NULL)
		return start_reading(im, p, &id, e) < 0 ? IMAGE_FAILED : IMAGE_READING;
	*e = image->why;
	memcpy(hash, image->hash, sizeof image->hash);
	return image->failed ? IMAGE_FAILED : IMAGE_KNOWN;
}

/* ---- what was seen first ---- */

int images_pin(struct images *im, const char *path, const uint8_t hash[IMAGE_HASH_BYTES],
	       struct err *e)
{
	const uint8_t *first = map_get(&im->pins, str_of(path));
	size_t cost = strlen(path) + 2 * IMAGE_HASH_BYTES + sizeof(struct str) + sizeof(void *);

	if (first != NULL && memcmp(first, hash, IMAGE_HASH_BYTES) != 0)
		return err_set(e, EPERM, "%s is not the program that was first seen there", path);
	if (first != NULL)
		return 0;
	if (im->pins_bytes + cost > IMAGES_PINS_BYTES)
		return err_set(e, ENOSPC, "%s is one program more than can be remembered", path);
	uint8_t *pin = xmalloc(IMAGE_HASH_BYTES);
	memcpy(pin, hash, IMAGE_HASH_BYTES);
	map_put(&im->pins, str_of(path), pin);
	im->pins_bytes += cost;
	return 0;
}
