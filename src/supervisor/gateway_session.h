/*
 * The session with the gateway (supervisor contract 3.1 to 3.3): one call that stays open, and for as long as it
 * is accepted the sandbox is Ready. When it is lost, whatever the reason, it is opened anew, after a pause that
 * grows from 1 s to 30 s and begins anew once a session was accepted; the sandbox does not notice.
 * Relays ride on its link, and end with it.
 */
#ifndef OPENSHELL_SUPERVISOR_GATEWAY_SESSION_H
#define OPENSHELL_SUPERVISOR_GATEWAY_SESSION_H

#include "ocsf/ocsf.h"
#include "supervisor/gateway.h"
#include "supervisor/relay.h"

struct gateway_session;

struct gateway_session_config {
	struct loop *loop;
	struct resolver *resolver;
	const struct gateway *gateway; /* all borrowed until gateway_session_free */
	struct relays *relays;
	struct ocsf *events;
	const char *sandbox_id, *instance_id;
};

/* Opens it in a later turn; never gives up. */
struct gateway_session *gateway_session_start(const struct gateway_session_config *config);
/* The sandbox has ended: once the relays that are open have delivered what they have (2 s at most), the gateway is
 * told that this is the end, and done is called, from the loop. Nothing is opened anew. */
void gateway_session_finish(struct gateway_session *s, void (*done)(void *owner), void *owner);
/* The sandbox is not ready any more, and will not be: ended in the same way, and for good. gateway_session_finish
 * may still come, or have come. */
void gateway_session_withdraw(struct gateway_session *s);
/* Ends it; takes NULL. */
void gateway_session_free(struct gateway_session *s);

#endif
