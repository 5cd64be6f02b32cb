/*
 * What an SSH session asks of the supervisor. Each connection to the sandbox's sshd is served by a process of its
 * own (session.h), which speaks SSH with a foreign client and holds no right and nothing of value: whatever is to
 * happen inside the sandbox it asks for, over a SOCK_SEQPACKET pair of its own, by this closed table. Descriptors
 * travel with the answers (fdpass.h). The supervisor's side is src/supervisor/ssh_broker.h.
 *
 *	session                                            supervisor
 *	                                           <----   SSH_BEGIN, once: the client may be served
 *	SSH_SHELL, SSH_EXEC, SSH_SFTP, SSH_MAIN,   ---->   starts, attaches or connects it
 *	SSH_CONNECT, SSH_SUBSYSTEM
 *	                                           <----   SSH_STARTED with descriptors, or SSH_REFUSED
 *	SSH_SIGNAL                                 ---->   to what was started
 *	                                           <----   SSH_EXITED, once, when it has ended
 *	SSH_CLOSE                                  ---->   the channel is closed: nothing more about it
 *
 * The pair's end is the session's end: the supervisor then hangs up what it has started. When it is the
 * supervisor that closes its end, the session ends at once; before SSH_BEGIN, without having read or
 * written a byte of SSH.
 *
 * A packet is always a whole struct ssh_packet. The session numbers what it asks for from 1 upwards and uses
 * no number twice: what the supervisor says about a number that was closed meanwhile is dropped (its
 * descriptors are closed).
 */
#ifndef OPENSHELL_SSH_BROKER_H
#define OPENSHELL_SSH_BROKER_H

#include <stdbool.h>
#include <stdint.h>

enum {
	SSH_TEXT_MAX = 256 << 10, /* of a command line (gateway contract 3.1) */
	SSH_TERM_MAX = 64,        /* of a terminal's name; ours */
	SSH_CHANNELS_MAX = 96,    /* open at once in one session: a browser's connections; ours */
};

enum ssh_message {
	/* the session asks */
	SSH_SHELL = 1,
	SSH_EXEC, /* text: the command line, with one memfd that holds it, text_n bytes */
	SSH_SFTP,
	SSH_MAIN,      /* the main process: attachment.h */
	SSH_CONNECT,   /* to `host`, which is loopback, and `port` inside */
	SSH_SUBSYSTEM, /* one that there is not: told as an event, and always refused */
	SSH_SIGNAL,
	SSH_CLOSE,
	/* the supervisor answers */
	SSH_STARTED, /* with a terminal: its master; SSH_MAIN, SSH_CONNECT: a socket; else stdin, stdout, stderr */
	SSH_REFUSED,
	SSH_EXITED,
	/* the supervisor says, once and first */
	SSH_BEGIN,
};

struct ssh_packet {
	uint32_t message;
	uint32_t channel; /* the session's own number; 0: SSH_BEGIN, which is about none */
	union {
		struct {
			uint32_t text_n;             /* SSH_EXEC */
			uint16_t rows, columns;      /* of the terminal; 0: the default, 24 x 80 */
			uint8_t terminal, read_only; /* read_only: SSH_MAIN, gives no input */
			char term[SSH_TERM_MAX];     /* TERM, "" where the client named none */
		} start;
		struct {
			char host[64];
			uint16_t port;
		} connect;
		char subsystem[64];
		int32_t signo; /* SSH_SIGNAL: of Linux */
		struct {
			int32_t code; /* errno, or 0 */
			char why[256];
		} refused;
		int32_t status; /* SSH_EXITED: as by waitpid */
	};
};

#endif
