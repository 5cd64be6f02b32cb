/*
 * What the files of src/ssh share. Included by them and their tests only.
 *
 *	sshd.c           the supervisor's side
 *	sshd_inside.c    D: accepts, and forks a session for each connection
 *	sshd_full.c      what a client hears that is one too many
 *	session.c        a session: login, loop, what the supervisor says
 *	session_channel.c   its channels: what the client asks for, and their end
 *	session_data.c   … and what goes through them
 *	session_words.c  pure: names of hosts and signals, the keys that detach
 */
#ifndef OPENSHELL_SSH_SSHD_IMPL_H
#define OPENSHELL_SSH_SSHD_IMPL_H

#include "net/unix.h"
#include "ssh/sshd.h"

/* D's first message to the supervisor; code 0: it listens, and is confined. */
struct sshd_hello {
	struct err failed;
};

/* … and each other one, with the supervisor's end of a session's pair and, where the kernel has it, a pidfd of the
 * peer. full: there was no room for it, and so there are none. */
struct sshd_session {
	bool full;
	struct unix_peer peer;
};

/* D's whole life, after the fork. Takes both descriptors. */
_Noreturn void sshd_live(const struct sshd_config *c, int listener, int channel, pid_t supervisor);

#define SSHD_BANNER "openshell" /* of our version */

struct ssh_key_struct;

/* What D gives to each session: borrowed. */
struct sshd_identity {
	struct ssh_key_struct *key;
	const char *ciphers;
};

/* A session's whole life: the client's connection, and its own end of the pair. Takes both. */
_Noreturn void session_live(const struct sshd_identity *id, int client, int broker);

/* The life of one for which there is no room: tells the client so. Takes its connection. */
_Noreturn void sshd_say_full(int client);

#endif
