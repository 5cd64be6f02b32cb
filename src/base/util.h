/*
 * What every file needs: memory that is there or ends the program, owners that clean up when
 * their scope ends, checked invariants, and the clock.
 */
#ifndef OPENSHELL_BASE_UTIL_H
#define OPENSHELL_BASE_UTIL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* They evaluate what they choose twice: hand in nothing that may differ the second time. */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define UNUSED __attribute__((unused))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* The struct of the given type whose member is *ptr. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Prints one line to stderr and exits with status 1. Only before the loop runs (style rule 6). */
_Noreturn void die(const char *fmt, ...) PRINTF(1, 2);

/* An invariant: checked in release builds too; a broken one aborts and names the place. */
#define must(x) ((x) ? (void)0 : must_failed(#x, __FILE__, __LINE__))
_Noreturn void must_failed(const char *what, const char *file, int line);

/* Allocation that cannot fail: out of memory ends the program. A size of 0 gives a valid pointer.
 * The result is the caller's, released by free(). */
void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);

/* Wipes and releases a secret string; takes NULL. */
void free_secret(char *s);

/* Scope owns: declare with an initial value (NULL, -1) at the point of use. */
#define _cleanup_(f) __attribute__((cleanup(f)))
#define _cleanup_free_ _cleanup_(cleanup_freep)
#define _cleanup_close_ _cleanup_(cleanup_closep)
#define _cleanup_file_ _cleanup_(cleanup_filep)
#define _cleanup_secret_ _cleanup_(cleanup_secretp)
void cleanup_freep(void *p); /* p: the address of any pointer */
void cleanup_secretp(char **s);
void cleanup_closep(int *fd); /* keeps errno; -1 is nothing */
void cleanup_filep(FILE **f);

/* Hands the value over and leaves an empty owner behind: *out = steal(&p); */
#define steal(pp) ((__typeof__(*(pp)))steal_pointer(pp))
void *steal_pointer(void *pp);
int steal_fd(int *fd);

/* Milliseconds of CLOCK_MONOTONIC. */
int64_t mono_ms(void);
/* Milliseconds since the epoch. */
int64_t wall_ms(void);

/* Random bytes from the kernel; cannot fail once the machine has booted. */
void random_bytes(void *p, size_t n);
/* A random UUID (RFC 9562, version 4) as text, with its NUL. */
#define UUID_TEXT 37
void uuid_random(char out[UUID_TEXT]);
/* d plus or minus at most a fifth of it, so that many clients do not come back at once. */
int64_t with_jitter(int64_t d);
/* How long to wait for another try after that many failures in a row: after the first first_ms, after each that
 * follows twice as long, at most max_ms; with jitter. After none: 0. */
int64_t backoff_ms(unsigned failures, int64_t first_ms, int64_t max_ms);

#endif
