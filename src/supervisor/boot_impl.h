/*
 * The process that makes the calls of the boot, for the files of it only:
 *
 *	gateway_boot.c   makes it, listens to it
 *	boot_call.c      one call after the other
 *	boot_policy.c    the configuration and its policy
 *	boot_providers.c what programs get of providers
 *	boot_token.c     the token, where a ServiceAccount's is exchanged for it
 */
#ifndef OPENSHELL_SUPERVISOR_BOOT_IMPL_H
#define OPENSHELL_SUPERVISOR_BOOT_IMPL_H

#include "loop/loop.h"
#include "net/resolver.h"
#include "supervisor/gateway_boot.h"

/*
 * What it says by the pipe: a byte of these, the length as a uint32_t, and so many bytes. Who listens has a table
 * of the same (gateway_boot.c).
 */
enum boot_said {
	BOOT_FAILURE = 'F',      /* why: the last that comes */
	BOOT_EVENT = 'E',        /* severity, label, NUL, sentence */
	BOOT_FINDING = 'U',      /* severity, uid, NUL, title, NUL, detail */
	BOOT_CONFIG = 'C',       /* a GetSandboxConfigResponse */
	BOOT_DIFFERS = 'D',      /* gateway_boot.h; empty */
	BOOT_VARIABLE = 'V',     /* of a provider: "NAME=value" */
	BOOT_NO_PROVIDERS = 'N', /* what they bring is not known; empty */
};

/* In the process. */
struct boot {
	const struct gateway_boot_config *config;
	int out;

	/* boot_call.c's */
	struct loop *loop;
	struct resolver *resolver;
	struct gateway_link *link; /* open, but while boot_call opens it */
	bool opened;
	struct timer pause;
	void *answer;
	enum grpc_status status; /* of the last call; UNAVAILABLE: there was no connection */
	struct err why;
};

/* ---- boot_call.c ---- */

struct boot_rpc {
	const char *method; /* of openshell.v1.OpenShell: "GetSandboxConfig" */
	const ProtobufCMessageDescriptor *out;
	const void *request;
	bool as_account; /* with the ServiceAccount's token */
	bool retried;    /* up to five times, where another try may help (contract 2.3) */
};

int boot_calls_init(struct boot *b, struct err *e);
/* Makes the call and waits for its end; the link is opened when there is none. *answer is the caller's, by
 * protobuf's own free. An error names gateway and method; b->status is how it ended. */
int boot_call(struct boot *b, const struct boot_rpc *rpc, void **answer, struct err *e);
/* ---- what it says; gateway_boot.c ---- */

void boot_say(struct boot *b, enum boot_said what, const void *p, size_t n);
void boot_say_message(struct boot *b, enum boot_said what, const void *message);
/* As tell_config and tell_finding. */
void boot_tell(struct boot *b, const char *label, enum ocsf_severity severity, const char *fmt, ...)
	PRINTF(4, 5);
void boot_tell_finding(struct boot *b, const char *uid, const char *title,
		       enum ocsf_severity severity, const char *detail);

/* ---- the steps, in their order ---- */

/* Asks for a token, where none is given. */
int boot_token(struct boot *b, struct err *e);
/* GetSandboxConfig, and what contract 2.5 makes of it. Says BOOT_CONFIG. */
int boot_policy(struct boot *b, struct err *e);
/* GetSandboxProviderEnvironment. Without it programs have no credentials. */
void boot_providers(struct boot *b);

#endif
