/*
 * Runs a credential plugin (client.authentication.k8s.io v1 and v1beta1) and reads the
 * ExecCredential that it prints. Its stdin is /dev/null, its stderr is ours. Used by auth.c.
 */
#ifndef OPENSHELL_KUBE_EXEC_H
#define OPENSHELL_KUBE_EXEC_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "kube/config.h"
#include "loop/loop.h"

enum {
	KUBE_EXEC_TIMEOUT_MS = 60000,
	KUBE_EXEC_OUTPUT_MAX = 1 << 20, /* bytes */
};

/* What a plugin gave; the strings are the struct's. */
struct kube_credential {
	char *token;
	char *cert_pem, *key_pem; /* both or none */
	int64_t expires;          /* seconds since 1970; 0: never */
};

void kube_credential_fini(struct kube_credential *c);

/* Reads what a plugin printed. On failure *out is empty. The words name neither program nor file. */
int kube_credential_parse(struct kube_credential *out, struct str text, const char *api_version,
			  struct err *e);

/* The text of KUBERNETES_EXEC_INFO; the caller's. */
char *kube_exec_info(const struct kube_config *config);

struct kube_exec_run; /* under way */

/* Starts config->exec. done is called once, from the loop: with the credential (take it by moving
 * it out and clearing *c), or c == NULL and why, in words that name the plugin. */
struct kube_exec_run *kube_exec_start(struct loop *l, const struct kube_config *config,
				      void (*done)(void *owner, struct kube_credential *c,
						   const struct err *why),
				      void *owner);
/* Kills the plugin; done is not called. Takes NULL. */
void kube_exec_cancel(struct kube_exec_run *x);

#endif
