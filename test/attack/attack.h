/*
 * The list of attacks on the wall (docs/security.md): a static program that is run inside a sandbox and
 * tries, one by one, what a workload could try to get out of it. test/attack/run makes the world around
 * it, runs it on each rung, and compares what came of each attempt with what this list promises.
 *
 * An attempt has succeeded only when it has what it wanted: bytes that arrived outside, a byte that was
 * read, a signal that was heard, a file that changed, a socket or a descriptor of a kind that opens a way.
 * So that none of them is one that could never succeed, `attack control` makes each of them without a wall,
 * where it must succeed, but for those that say why that is not possible.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/util.h"

/* What the world around the sandbox has; test/attack/world.py has the same. */
#define TOP "/srv/attack"  /* a file system of its own, see there */
#define OUTSIDE4 "1.2.3.4" /* an address of lo in the world, like the others */
#define ALLOWED4 "1.2.3.5"
#define DNS4 "1.2.3.53"
#define OUTSIDE6 "2001:db8::1"
#define SECRET "the secret of the world"
#define GATEWAY_TOKEN "the-token-of-the-world"
#define SSH_SOCKET TOP "/run/ssh"
#define SSH_ABSTRACT "attack-sshd"

enum {
	ANY_PORT = 80,        /* every address listens there and tells who came */
	LOOPBACK_PORT = 8085, /* likewise, for what must not be reached by its address */
	REST_PORT = 8080,     /* of allowed.test: GET /public/ ** and POST /public/submit */
	TUNNEL_PORT = 8081,   /* of allowed.test: whatever it is */
	DENIED_PORT = 8090,   /* of no policy */
	GATEWAY_PORT = 8099,  /* the gateway's, on 127.0.0.1 */
	SANDBOX_ID = 65534,   /* the workload's and the victim's uid and gid */
	SHM_KEY = 0x41545443,
};

enum result {
	REFUSED, /* it did not get what it wanted */
	GOT,     /* it did */
	SENT,    /* it left; whether it arrived knows the other side, by the attempt's name */
	ABSENT,  /* this kernel has no such thing, or says so */
	BROKEN,  /* it could not be made */
};

/* Where an attempt is known to succeed. */
enum works {
	NOWHERE, /* but where all that is against it is missing, see below */
	ON_HOST, /* on the rung `host`, which only observes egress */
	/* nothing of the wall is against it: said in docs/security.md */
	EVERYWHERE,
	WITH_LANDLOCK, /* the same; but where there is none, the view's read-only mounts are */
};

/* Parts of the wall that a host may lack. An attempt that has some of them against it, and nothing else, succeeds
 * where all of these are missing. */
enum part {
	LANDLOCK = 1,
	LANDLOCK_9 = 2, /* its ABI 9, which knows connections to Unix sockets of the file system */
	VIEW = 4,       /* the view of the file system that the sandbox has for itself */
	PIDS = 8,       /* the PID namespace, and its /proc, that it has for itself */
	PARTS = 4,
};

struct attempt {
	const char *name; /* a token is made of it: letters, digits and dashes */
	const char *what; /* it tries, for docs/security.md */
	enum result (*try)(const struct attempt *a);
	const void *with;
	enum works works;
	unsigned against;         /* enum part, all that is; 0: something that every host has */
	bool slow;                /* waits for seconds: runs beside the others */
	const char *uncontrolled; /* why it cannot succeed without a wall either; NULL: it does */
};

struct attempts {
	const char *title;
	const struct attempt *attempts;
	size_t n;
};

#define GROUP(id, words, list) const struct attempts id = {words, list, ARRAY_LEN(list)}

extern const struct attempts group_direct, group_datagrams, group_sockets, group_processes,
	group_signals, group_kernel, group_files, group_hidden, group_rights, group_binaries,
	group_names, group_requests, group_smuggling, group_session;

/* ---- tool.c ---- */

/* What is said of an attempt besides its result. */
void note(const char *fmt, ...) PRINTF(1, 2);
const char *noted(void);

/* It did not work: notes the call and errno; ABSENT when that says that there is no such thing. */
enum result no(const char *call);
/* GOT when r is not negative, else no(call). */
enum result got_if(long r, const char *call);

/* "xx-NAME-xx", good in a host name and in a path: by what the other side knows whose bytes arrived. */
const char *token_of(const struct attempt *a);

/* An address as text, of either family. */
socklen_t address(struct sockaddr_storage *out, const char *text, uint16_t port);
/* Connects within a second; 0, or -1 with errno. The descriptor stays non-blocking. */
int connect_soon(int fd, const struct sockaddr_storage *to, socklen_t n);
int tcp_to(const char *text, uint16_t port);
/* Connects to $http_proxy; -1 with errno. */
int tcp_to_proxy(void);
bool proxy_address(struct sockaddr_storage *out, socklen_t *n);
bool send_all(int fd, const void *p, size_t n);
/* What comes within ms of quiet, at most room - 1 bytes; ends with a NUL. */
size_t read_for(int fd, char *p, size_t room, int quiet_ms);

/* The same, of who takes a while to answer. */
size_t read_answer(int fd, char *p, size_t room);

/* Reads a small file; the number of bytes, or -1. */
ssize_t slurp(const char *path, char *p, size_t room);
/* GOT when a byte of the file could be read or written. */
enum result read_a_byte(const char *path);
enum result write_a_byte(const char *path);

/* ---- who is there (cast.c) ---- */

struct cast {
	pid_t supervisor, keeper, nursery;
	pid_t victim; /* a process outside, of the workload's own uid */
	/* where the sandbox has an sshd: it, a session of somebody, and the SFTP server that runs for that one as
	 * a workload; else 0 */
	pid_t sshd, session, sftp;
	int inherited; /* the first descriptor beyond the standard ones that was open; -1: none */
};
extern struct cast cast;
/* Finds them as an attacker would: by /proc; those who are not there are told. False, with a note, when somebody is
 * missing. */
bool cast_find(void);
/* How many signals of this number the victim has heard. */
int victim_heard(int signo);
/* GOT when it hears one more than before within a moment. */
enum result victim_hears(int signo, int before);
/* The victim: runs until it is killed. */
int victim_main(void);
/* Without a wall: stands for supervisor, keeper and nursery, and calls then() in the keeper's child. */
int stand_in(int (*then)(void));

/* ---- hosts that lack something (without.c) ---- */

/* Runs a command where the kernel says that it has no "landlock" or no "nf_tables", or allows no "mounts" or no
 * "pivot_root". Returns on failure. */
int run_without(const char *what, char **argv);

/* ---- helpers (binaries.c) ---- */

/* What copies of this program do for an attempt: the status to exit with, or -1: argv names nothing of it. */
int helper_main(char **argv);

#endif
