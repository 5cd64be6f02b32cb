/* What callers.c and caller.c share; for these two. */
#ifndef OPENSHELL_PROXY_CALLERS_IMPL_H
#define OPENSHELL_PROXY_CALLERS_IMPL_H

#include "proxy/callers.h"
#include "proxy/images.h"
#include "proxy/process.h"

/* The process chain[0], below the others, all of them looked at. */
struct caller *caller_new(struct process *const *chain, size_t n);
struct caller *caller_new_relaxed(void);
void caller_set_hash(struct caller *c, const uint8_t hash[IMAGE_HASH_BYTES]);

/*
 * Whether no policy can tell the two apart: the same image, and the same programs in it and above it. How
 * often one of these is there does not count, so that a process and what it forked are alike.
 */
bool caller_is_alike(const struct caller *a, const struct caller *b);

#endif
