/*
 * What the supervisor itself tells, as OCSF events (supervisor contract 7.4, 7.5): one function for each
 * kind, so that the same thing is always told in the same words. docs/events.md lists them.
 */
#ifndef OPENSHELL_SUPERVISOR_TELL_H
#define OPENSHELL_SUPERVISOR_TELL_H

#include "base/util.h"
#include "isolate/nflog.h"
#include "ocsf/ocsf.h"
#include "supervisor/options.h"

/* A state of the configuration: CONFIG:LABEL and a sentence. From OCSF_MEDIUM on it is a failure. */
void tell_config(struct ocsf *o, const char *label, enum ocsf_severity severity, const char *fmt,
		 ...) PRINTF(4, 5);

/* A finding of contract 7.5. */
void tell_finding(struct ocsf *o, const char *uid, const char *title, enum ocsf_severity severity,
		  const char *detail);

/* A policy that the gateway has cannot be put in force (contract 2.6). */
void tell_policy_rejected(struct ocsf *o, unsigned version, const char *why);

/* The network is the host's: contract appendix C. */
void tell_host_mode(struct ocsf *o, enum network_mode asked, const char *reason);

/* A program went round the proxy and was refused; program is "" and pid 0 when nobody knows it. */
void tell_bypass(struct ocsf *o, const struct bypass *b, const char *program, pid_t pid);

/* The main process has begun, and has ended. */
void tell_launch(struct ocsf *o, const char *program, pid_t pid);
void tell_terminate(struct ocsf *o, const char *program, pid_t pid, int exit_code,
		    const char *message, enum ocsf_severity severity);

/* The sandbox's sshd (supervisor contract 3.5): it listens; a client came in, is not let in (or what it asks for is
 * not), was lost by a fault of its session's. */
void tell_ssh_listen(struct ocsf *o, const char *socket);
void tell_ssh_open(struct ocsf *o, pid_t pid);
void tell_ssh_refused(struct ocsf *o, const char *why);
void tell_ssh_failed(struct ocsf *o, const char *why);

/* The session with the gateway was accepted; could not be opened, or was lost. */
void tell_session_open(struct ocsf *o, const char *session_id, unsigned heartbeat_secs);
void tell_session_failed(struct ocsf *o, unsigned attempt, const char *why);

/* A relay of the session flows; has ended, with the bytes to the gateway and to the target, and why; did not come to bytes. */
void tell_relay_open(struct ocsf *o, const char *channel_id, const char *target);
void tell_relay_closed(struct ocsf *o, const char *channel_id, const char *target, uint64_t out,
		       uint64_t in, const char *why);
void tell_relay_failed(struct ocsf *o, const char *channel_id, const char *target, const char *why);

#endif
