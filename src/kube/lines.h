/*
 * Splits bytes into lines while they arrive: the stream of a watch is one JSON object a line. A
 * line that lies whole in the bytes fed is not copied. No I/O; used by client.c.
 */
#ifndef OPENSHELL_KUBE_LINES_H
#define OPENSHELL_KUBE_LINES_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct kube_lines {
	/* One line without its newline (and carriage return); borrowed. Empty lines are left out.
	 * False ends the splitting. */
	bool (*line)(void *owner, struct str line);
	void *owner;
	struct buf part; /* lines.c's: the beginning of a line; its maximum is that of a line */
};

void kube_lines_init(struct kube_lines *s, size_t max, bool (*line)(void *, struct str),
		     void *owner);
void kube_lines_fini(struct kube_lines *s);

enum kube_lines_result {
	LINES_OK,
	LINES_STOPPED, /* the callback wanted no more; nothing was touched after it */
	LINES_TOO_LONG,
};

enum kube_lines_result kube_lines_feed(struct kube_lines *s, struct str bytes);
/* Whether the bytes ended inside a line. */
bool kube_lines_partial(const struct kube_lines *s);

#endif
