/*
 * What goes over the socket of an attachment to the sandbox's main process (SSH subsystem openshell-main,
 * supervisor contract 3.10): a SOCK_SEQPACKET pair between the session (session.h) and the supervisor
 * (src/supervisor/main_session.h). Each message is one of these bytes and what follows it.
 */
#ifndef OPENSHELL_SSH_ATTACHMENT_H
#define OPENSHELL_SSH_ATTACHMENT_H

enum { ATTACHMENT_BYTES = 16 << 10 }; /* of one message, without its first byte */

enum attachment_message {
	/* the supervisor */
	ATTACHMENT_OUTPUT = 'o', /* bytes of its stdout, or of its terminal */
	ATTACHMENT_ERRORS = 'e', /* of its stderr */
	ATTACHMENT_NOTICE =
		'n', /* a line for the person, without its newline: goes to their stderr */
	ATTACHMENT_EXIT = 'x', /* int32_t: its exit code; the last one */
	/* the session */
	ATTACHMENT_INPUT = 'i',
	ATTACHMENT_SIZE = 'w',   /* uint16_t rows, columns */
	ATTACHMENT_SIGNAL = 's', /* int32_t: a signal of Linux, to its process group */
};

#endif
