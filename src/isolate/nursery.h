/*
 * The nursery: a process that is already what a workload is (confine.h), but for the exec, and clones
 * them: as children of the keeper, its own parent, in its own Landlock domain. It waits for orders and
 * knows nothing. Made by the keeper, only; again, when it is gone.
 *
 * What an order says about the workload is a text in a memfd, which the keeper passes on unread. It is
 * read by the clone itself. What becomes of it goes to the keeper through a SOCK_SEQPACKET pair, whose messages
 * come with their sender's pid (net/fdpass.h), which the kernel translates: in a PID namespace of the sandbox's own
 * (pid_space.h) nobody knows an outer one.
 *
 *	enum nursery_word    the clone is there, and says so itself; or there is none
 *	struct err           it could not become the program
 *	end of file          it is the program now, or calls its function (keeper_builtin_fn); or nobody was left
 *	                     to write (no word, so far)
 */
#ifndef OPENSHELL_ISOLATE_NURSERY_H
#define OPENSHELL_ISOLATE_NURSERY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "isolate/confine.h"
#include "isolate/keeper_impl.h"

enum nursery_word { NURSERY_FAILED, NURSERY_CLONED };

struct nursery {
	pid_t pid; /* 0: there is none */
	int channel;
};

/* Forks it. It says later how that went: nursery_hello. */
int nursery_make(struct nursery *n, const struct keeper_config *c, struct err *e);
/* Its first message: waits for it, that long at most, and says what the confinement lost. */
int nursery_hello(const struct nursery *n, struct confine_result *out, int ms, struct err *e);
/* Orders a workload; the descriptors are borrowed: text, stdin, stdout, stderr; and the end that the report goes into. */
int nursery_order(const struct nursery *n, const struct keeper_kind *kind, const int order[4],
		  int report, struct err *e);
/* Kills it and forgets it; whoever reaps finds its pid. Harmless when there is none. */
void nursery_end(struct nursery *n, uid_t as);
/* Forgets one that was reaped. */
void nursery_forget(struct nursery *n);

/* ---- the text ---- */

/* What a text says, as pointers into it. */
struct nursery_text {
	const char *cwd;
	char *argv[KEEPER_ARGS_MAX + 1];
	char *env[KEEPER_ENV_MAX + 1];
};

/* Writes it into a memfd, the caller's; fails on what is beyond a limit. */
int nursery_text_write(const struct keeper_spawn *what, struct err *e);
/* Reads it: pure. */
int nursery_text_read(char *bytes, size_t n, struct nursery_text *out, struct err *e);

#endif
