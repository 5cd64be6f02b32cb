#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/upstream.h"

enum { CREDENTIALS_MAX = 4096 };

#define FLAG "--upstream-proxy"

/* http://host:port and nothing else: no scheme's default port, no credentials in an argv. */
static int check_url(const struct url *url, const char *text, struct err *e)
{
	_cleanup_free_ char *authority = url_authority(url->host, url->port);
	_cleanup_free_ char *exact = xasprintf("http://%s", authority);

	if (!streq(url->scheme, "http"))
		return err_set(e, EINVAL, FLAG ": the scheme is not http");
	if (url->user != NULL || url->password != NULL)
		return err_set(e, EINVAL,
			       FLAG ": credentials belong into --upstream-proxy-auth-file");
	if (!str_ieq(str_of(text), str_of(exact)))
		return err_set(e, EINVAL, FLAG ": '%.200s' is not http://host:port", text);
	return 0;
}

static int read_credentials(struct url *url, const char *path, struct err *e)
{
	_cleanup_secret_ char *text = NULL;
	size_t n;

	if (file_read(path, CREDENTIALS_MAX, &text, &n, e) < 0)
		return err_wrap(e, "--upstream-proxy-auth-file");
	struct str rest = str_trim(str_sub(text, n));
	if (str_has_control(rest) || memchr(rest.p, ':', rest.n) == NULL || rest.p[0] == ':')
		return err_set(e, EINVAL, "--upstream-proxy-auth-file %s: not user:password", path);
	url->user = str_dup(str_cut(&rest, ':'));
	url->password = str_dup(rest);
	return 0;
}

int upstream_read(struct upstream *out, const struct sandbox_options *o, struct err *e)
{
	*out = (struct upstream){0};
	if (str_empty(o->upstream_proxy)) {
		if (!str_empty(o->upstream_auth_file) || !str_empty(o->upstream_no_proxy) ||
		    o->upstream_by_hostname)
			return err_set(e, EINVAL, "--upstream-* options without " FLAG);
		return 0;
	}
	if (url_parse(&out->url, o->upstream_proxy, FLAG, e) < 0 ||
	    check_url(&out->url, o->upstream_proxy, e) < 0)
		return -1;
	if (!str_empty(o->upstream_auth_file)) {
		if (!o->upstream_auth_allow_insecure)
			return err_set(e, EINVAL,
				       "--upstream-proxy-auth-file needs "
				       "--upstream-proxy-auth-allow-insecure: http does not "
				       "protect the credentials");
		if (read_credentials(&out->url, o->upstream_auth_file, e) < 0)
			return -1;
	}
	out->proxy = (struct proxy_upstream){
		.url = &out->url,
		.no_proxy = o->upstream_no_proxy,
		.connect_by_hostname = o->upstream_by_hostname,
	};
	return 1;
}

void upstream_fini(struct upstream *u)
{
	url_fini(&u->url);
}
