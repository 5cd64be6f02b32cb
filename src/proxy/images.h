/*
 * What the images of programs hash to (SHA-256), and which hash was seen first at a path (contract 6.2).
 *
 * An image is read as it runs and not by its path, in a thread of its own: the loop waits for no file.
 * The hash is remembered under what the kernel says of the file: device, inode, size, and the times of
 * its last change. Nobody can change the bytes and keep all of these (ctime is the kernel's), but for a
 * change within the same tick of the clock: the hash of a file that was changed just before it was read
 * is good only for those who asked before that.
 *
 * Used by callers.c.
 */
#ifndef OPENSHELL_PROXY_IMAGES_H
#define OPENSHELL_PROXY_IMAGES_H

#include <stdint.h>

#include "base/err.h"
#include "loop/loop.h"
#include "proxy/process.h"

enum {
	IMAGE_HASH_BYTES = 32,
	IMAGES_READING_MAX = 64, /* images that wait to be read; one more is refused */
	IMAGES_KNOWN_MAX = 1024, /* hashes that are remembered; the oldest goes */
	IMAGES_PINS_BYTES =
		4 << 20,     /* of paths and their first hashes; then new ones are refused */
	IMAGE_TICK_MS = 100, /* no file system's clock is coarser, on a kernel of today */
};

#define IMAGE_BYTES_MAX (INT64_C(4) << 30) /* of a larger one no hash is made */

struct images;

/* read is called from the loop, with arg, when an image was read or could not be: who asked for one
 * asks again. */
int images_new(struct images **out, struct loop *l, void (*read)(void *arg), void *arg,
	       struct err *e);
/* Does not wait for the thread; takes NULL. */
void images_free(struct images *im);

/* A point in the order of things: what is read for somebody who asks later is behind it. */
uint64_t images_mark(const struct images *im);

enum image_answer { IMAGE_KNOWN, IMAGE_READING, IMAGE_FAILED };

/* The hash of the image of a process that was looked at. asked is the mark of when the asker began.
 * IMAGE_FAILED with e->code == EAGAIN: the image changed meanwhile, look again. */
enum image_answer images_hash(struct images *im, const struct process *p, uint64_t asked,
			      uint8_t hash[IMAGE_HASH_BYTES], struct err *e);

/* Whether this hash is the one that was first seen at the path, as it is from now on if none was. */
int images_pin(struct images *im, const char *path, const uint8_t hash[IMAGE_HASH_BYTES],
	       struct err *e);

#endif
