/*
 * Who is at the other end of a connection that the proxy accepted (supervisor contract 6.2): the
 * program that holds the socket, the programs that started it, and the hash of its image, all as the
 * kernel says. Nothing that a process says of itself counts, and no name is looked up on disk.
 *
 * How: the kernel is asked for the socket's inode by the connection's addresses (net/sock_diag.h); the
 * descriptors of the keeper's descendants, and of nobody else, are searched for it (proxy/owners.h);
 * what holds it is looked at through one descriptor of its /proc folder (proxy/process.h); its image is
 * hashed off the loop, once (proxy/images.h). Who holds the socket is found anew for every question:
 * what is remembered is only what an image's bytes hash to. Questions of one turn of the loop share one
 * search, so that a burst of connections costs little more than one of them.
 *
 * A socket may be held by several processes if all are the same program with the same programs above
 * it. What it cannot see: a descriptor on its way through a Unix socket is nobody's while it is there.
 *
 * Called by the proxy (src/proxy) and by the supervisor for events.
 */
#ifndef OPENSHELL_PROXY_CALLERS_H
#define OPENSHELL_PROXY_CALLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/err.h"
#include "loop/loop.h"
#include "policy/decide.h"

enum {
	CALLER_WAITING_MAX = 1024, /* questions that are open; one more is refused */
	CALLER_WAIT_MS = 30000,    /* for an answer: reading an image of some GB takes that long */
	CALLER_ANCESTORS_MAX = 64, /* contract 6.2 */
	CALLER_CMDLINE_MAX = 64,   /* paths told of */
	CALLER_SHA256_TEXT = 65,   /* in hexadecimal digits, with its NUL */
};

/* Counted: one may live as long as a tunnel. Read only. */
struct caller {
	bool relaxed;     /* nobody was looked for; all that follows is empty */
	pid_t pid;        /* of several that hold the socket, the smallest; 0: not known */
	uint64_t started; /* clock ticks from boot, /proc/PID/stat field 22 */
	uid_t uid;        /* its effective one; as our user namespace says it */
	char *exe;        /* the path of its image, "" when not known */
	char sha256[CALLER_SHA256_TEXT]; /* of the image that runs; "" when not known */
	char **ancestors; /* their images' paths, the parent first; NULL at the end */
	size_t ancestors_n;
	/* the absolute paths in its and its ancestors' argv that are none of the above (scripts); what
	 * the processes say of themselves, for texts only. NULL at the end */
	char **cmdline;
	size_t cmdline_n;
	unsigned refs; /* callers.c's */
};

struct caller *caller_ref(struct caller *c);
void caller_unref(struct caller *c); /* takes NULL */
#define _cleanup_caller_ _cleanup_(caller_unrefp)
void caller_unrefp(struct caller **c);

/* The same for a question to the policy; out borrows from c. */
void caller_for_policy(const struct caller *c, struct policy_caller *out);

/* Whether OPENSHELL_NETWORK_BINARY_IDENTITY (contract 1.3) has a value that means relaxed; NULL: not. */
bool caller_identity_relaxed(const char *value);

struct callers;

struct callers_config {
	struct loop *loop;
	int diag_fd; /* NETLINK_SOCK_DIAG, made where the sandbox's sockets are; taken, also on failure */
	pid_t root; /* the keeper: its descendants are the sandbox. 0: none is there yet */
	pid_t init; /* a child of it to whom orphans fall, and that is no program of theirs; 0: none */
	uint64_t mounts; /* the mount namespace that they are in (process.h); 0: ours */
	bool relaxed;    /* every question is answered at once with a relaxed caller */
	/* Where they are other users', and we have no CAP_SYS_PTRACE to look at those: /proc is looked at
	 * with their file system ids (setfsuid(2)), which gives away nothing. An image that they may
	 * run and not read is then not hashed, and its process not allowed. */
	bool look_as_them;
	uid_t uid;
	gid_t gid;
};

int callers_new(struct callers **out, const struct callers_config *c, struct err *e);
/* Questions must be answered or cancelled before; takes NULL. */
void callers_free(struct callers *cs);

/* A question; embedded in its owner, zeroed but for done. */
struct caller_query {
	/*
	 * Called once, from the loop and never from within callers_ask. c is borrowed (caller_ref
	 * keeps it). With why == NULL it is whole. Otherwise nobody may be allowed anything; why->text
	 * is one of the contract's reasons and c what could be found out before, for the event, or
	 * NULL:
	 *	entrypoint process not yet spawned
	 *	failed to resolve peer binary: …
	 *	ambiguous shared socket ownership: …
	 *	binary integrity check failed: …
	 *	ancestor integrity check failed for …: …
	 * A right that is missing is named (CAP_SYS_PTRACE). May start another question or free q.
	 */
	void (*done)(struct caller_query *q, struct caller *c, const struct err *why);
	struct caller_ask *ask; /* callers.c's; NULL when nothing is asked */
};

/* Who holds the other end of this accepted TCP connection, which is borrowed for the call only. */
void callers_ask(struct callers *cs, struct caller_query *q, int fd);

/*
 * Who sent a packet from src to dst (IPPROTO_TCP or _UDP), for the event of a bypass that is refused: best
 * effort, since a TCP socket that was refused is known to nobody any more. Its image is not hashed (sha256 is
 * ""), which takes too long while the packet waits.
 */
void callers_ask_sender(struct callers *cs, struct caller_query *q, int protocol,
			const struct sockaddr_storage *src, const struct sockaddr_storage *dst);

/* done is not called any more. Harmless when nothing is asked. */
void callers_cancel(struct caller_query *q);

#endif
