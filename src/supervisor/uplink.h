/*
 * What a sandbox has with its gateway, in the order of its life (supervisor contract 1.9, 1.10): its configuration
 * before the wall, the session and the policy's changes while its main process runs, the report of how that ended. Called by supervisor*.c;
 * where no gateway is named it is not used.
 */
#ifndef OPENSHELL_SUPERVISOR_UPLINK_H
#define OPENSHELL_SUPERVISOR_UPLINK_H

#include "base/util.h"
#include "ocsf/ocsf.h"
#include "supervisor/exit_report.h"
#include "supervisor/gateway_boot.h"
#include "supervisor/options.h"
#include "supervisor/policy_watch.h"
#include "supervisor/prepare.h"
#include "supervisor/gateway_session.h"
#include "supervisor/log_push.h"
#include "supervisor/token_renewal.h"

struct uplink {
	bool used;
	struct gateway gateway;
	struct gateway_boot boot; /* what it said before the wall */
	struct loop *loop;
	struct resolver *resolver;
	struct relays *relays;
	struct gateway_calls *calls;
	struct token_renewal renewal;
	struct providers providers;
	struct policy_watch *watch;
	struct gateway_session *session;
	struct exit_report *report;
	struct log_push *logs;
	char instance_id[UUID_TEXT]; /* of the main process of this start */
	const struct sandbox_options *options;
	struct ocsf *events;
	unsigned telling; /* what uplink_report waits for */
	bool reporting;
	int exit_code;
	void (*reported)(void *owner);
	void *owner;
};

/* Learns where the gateway is, takes the token out of the environment, and asks all that is to be known before the
 * wall: u->boot. Blocks; before anything is forked that stays. Released by uplink_fini, also on failure. */
int uplink_configure(struct uplink *u, const struct sandbox_options *o, struct ocsf *events,
		     struct err *e);
/* The main process runs: opens the session, and watches over the policy in p, which is borrowed until uplink_fini.
 * Relays lead to what the keeper connects to, and to the sshd at ssh_socket (NULL: there is none), which is
 * borrowed. */
int uplink_start(struct uplink *u, struct loop *l, struct prepared *p, struct keeper *k,
		 const char *ssh_socket, struct err *e);
/* The sandbox cannot be come into any more: the session is ended for good, by which the gateway knows it as not ready.
 * Nothing else ends. */
void uplink_withdraw(struct uplink *u);
/* Ends the session, once the relays have delivered what they have, tells how the main process ended, and sends the
 * rest of the log; reported is called once, when the gateway knows or does not want to, and the log has had its time. */
void uplink_report(struct uplink *u, int exit_code, void (*reported)(void *owner), void *owner);
/* Where the sandbox ends before uplink_start: what was told goes to the gateway all the same, as far as it was heard
 * of before. Blocks, for LOG_PUSH_FINISH_MS at most; else it does nothing. */
void uplink_last_words(struct uplink *u);
/* All of it; before its loop. An uplink of zeroes is released too. */
void uplink_fini(struct uplink *u);

#endif
