/*
 * The corporate proxy as the command line gives it (supervisor contract 6.12). Whatever is wrong with it is
 * fatal: a supervisor that went without it would send a site's traffic past the site's proxy.
 */
#ifndef OPENSHELL_SUPERVISOR_UPSTREAM_H
#define OPENSHELL_SUPERVISOR_UPSTREAM_H

#include "base/err.h"
#include "net/url.h"
#include "proxy/proxy.h"
#include "supervisor/options.h"

struct upstream {
	struct url url;
	struct proxy_upstream proxy; /* borrows from url and from the options */
};

/* Checks what the options say and reads the file with the credentials. 1 when there is a proxy, 0 when
 * none is asked for. *out is released by upstream_fini, also on failure. */
int upstream_read(struct upstream *out, const struct sandbox_options *o, struct err *e);
void upstream_fini(struct upstream *u);

#endif
