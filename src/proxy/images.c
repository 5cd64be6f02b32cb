#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mbedtls/sha256.h>

#include "base/map.h"
#include "base/util.h"
#include "loop/workers.h"
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
	struct images *images;
	struct list link; /* read: of images.known */
	struct identity id;
	uint64_t mark;
	bool reading; /* the rest is the thread's until it was */
	struct work work;
	bool fresh; /* it was changed within a tick of when it was read */
	bool failed;
	int fd; /* until it was read */
	uint8_t hash[IMAGE_HASH_BYTES];
	struct err why;
};

struct images {
	struct workers *workers; /* one at a time: disks are not faster for two */
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

/* ---- in the thread ---- */

static int hash_bytes_of(struct image *im, mbedtls_sha256_context *sha)
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
		if (work_is_unwanted(&im->work))
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

static void hash_image(struct work *w)
{
	struct image *im = container_of(w, struct image, work);
	mbedtls_sha256_context sha;

	im->fresh = is_fresh(&im->id);
	mbedtls_sha256_init(&sha);
	must(mbedtls_sha256_starts(&sha, 0) == 0);
	im->failed = hash_bytes_of(im, &sha) < 0 || check_same(im->fd, &im->id, &im->why) < 0;
	if (!im->failed)
		must(mbedtls_sha256_finish(&sha, im->hash) == 0);
	mbedtls_sha256_free(&sha);
	close(steal_fd(&im->fd));
}

/* ---- the loop's side ---- */

static void forget(struct images *im, struct image *image)
{
	map_del(&im->by_id, key_of(&image->id));
	list_del(&image->link);
	im->known_n--;
	image_free(image);
}

static void was_read(struct work *w)
{
	struct image *image = container_of(w, struct image, work);
	struct images *im = image->images;

	list_add(&im->known, &image->link);
	image->reading = false;
	im->known_n++;
	im->reading--;
	while (im->known_n > IMAGES_KNOWN_MAX)
		forget(im, list_first(&im->known, struct image, link));
	im->read(im->arg);
}

static void drop(struct work *w)
{
	image_free(container_of(w, struct image, work));
}

int images_new(struct images **out, struct loop *l, void (*read)(void *arg), void *arg,
	       struct err *e)
{
	struct images *im = xcalloc(1, sizeof *im);

	im->read = read;
	im->arg = arg;
	list_init(&im->known);
	if (workers_new(&im->workers, l, 1, "images", e) < 0) {
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
	workers_free(im->workers);
	list_each(image, &im->known, struct image, link)
		forget(im, image);
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
	if (fd < 0 || check_same(fd, id, e) < 0)
		return -1;
	struct image *image = xcalloc(1, sizeof *image);
	image->images = im;
	image->work = (struct work){.run = hash_image, .done = was_read, .drop = drop};
	image->id = *id;
	image->mark = ++im->mark;
	image->reading = true;
	image->fd = steal_fd(&fd);
	if (workers_start(im->workers, &image->work, e) < 0) {
		image_free(image);
		return -1;
	}
	map_put(&im->by_id, key_of(id), image);
	im->reading++;
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
