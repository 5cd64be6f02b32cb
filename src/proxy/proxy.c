#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "ocsf/ocsf.h"
#include "proxy/proxy_impl.h"

/* Contract 6.1 has the pauses. */
enum { ACCEPTS_PER_TURN = 32, PAUSE_MS = 100, PAUSE_MAX_MS = 5000 };

/* ---- accept ---- */

static void resume(struct timer *t)
{
	struct proxy *p = container_of(t, struct proxy, pause);

	loop_set(p->loop, &p->listener, EPOLLIN);
}

/* No descriptors, no memory, or what nobody has thought of: whoever waits in the backlog waits some more. */
static void pause_for(struct proxy *p, int error)
{
	int64_t ms = MIN((int64_t)PAUSE_MS << MIN(p->failures, 6u), (int64_t)PAUSE_MAX_MS);

	if (p->failures++ == 0)
		log_warn("the proxy cannot accept connections", "error=%s", strerror(error));
	loop_set(p->loop, &p->listener, 0);
	timer_set(p->loop, &p->pause, ms);
}

static void take_in(struct proxy *p, int fd)
{
	p->accepted++;
	if (p->clients < p->clients_max) {
		session_start(p, fd);
		return;
	}
	close(fd);
	if (p->turned_away++ == 0)
		log_warn("the proxy has no room for more connections", "max=%u", p->clients_max);
}

static void acceptable(struct source *s, uint32_t events UNUSED)
{
	struct proxy *p = container_of(s, struct proxy, listener);

	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			p->failures = 0;
			take_in(p, fd);
			continue;
		}
		must(errno != EBADF && errno != EINVAL && errno != ENOTSOCK);
		if (errno == EINTR || errno == ECONNABORTED) /* that client is gone already */
			continue;
		if (errno != EAGAIN)
			pause_for(p, errno);
		return;
	}
}

/* ---- life ---- */

/* A tunnel has four descriptors at its busiest: two sockets and, for the time that bytes are under way,
 * a pipe. */
static unsigned clients_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return PROXY_CLIENTS_MAX;
	return (unsigned)MAX(MIN(limit.rlim_cur / 4, (rlim_t)PROXY_CLIENTS_MAX), (rlim_t)1);
}

static int listen_on(struct proxy *p, int fd, struct err *e)
{
	p->listener = (struct source){.fd = fd, .ready = acceptable, .name = "proxy"};
	p->self.n = sizeof p->self.sa;
	if (getsockname(fd, (void *)&p->self.sa, &p->self.n) < 0)
		return err_sys(e, "the proxy's listening socket");
	if (loop_add(p->loop, &p->listener, EPOLLIN, e) < 0)
		return -1;
	char host[ADDRESS_HOST_MAX];
	address_host(&p->self, host);
	const struct ocsf_endpoint self = {.host = str_of(host), .port = address_port(&p->self)};
	ocsf_set_proxy(p->config.events, self);
	ocsf_emit(p->config.events, &(struct ocsf_event){
					    .class = OCSF_NET,
					    .activity = OCSF_NET_LISTEN,
					    .severity = OCSF_INFORMATIONAL,
					    .dst = self,
				    });
	return 0;
}

int proxy_start(struct proxy **out, const struct proxy_config *config, int listener, struct err *e)
{
	struct proxy *p = xcalloc(1, sizeof *p);

	p->config = *config;
	p->loop = config->loop;
	p->clients_max = clients_max();
	p->pause.fire = resume;
	list_init(&p->sessions);
	if (listen_on(p, listener, e) < 0) {
		proxy_free(p);
		return -1;
	}
	resolver_remember(config->resolver, PROXY_REMEMBER_MS);
	*out = p;
	return 0;
}

void proxy_counts(const struct proxy *p, struct proxy_counts *out)
{
	*out = (struct proxy_counts){
		.clients = p->clients,
		.tunnels = p->tunnels,
		.accepted = p->accepted,
		.turned_away = p->turned_away,
	};
}

void proxy_free(struct proxy *p)
{
	if (p == NULL)
		return;
	loop_del(p->loop, &p->listener);
	close(p->listener.fd);
	timer_stop(p->loop, &p->pause);
	list_each(s, &p->sessions, struct session, link)
		session_free(s);
	tunnel_pool_fini(&p->pool);
	free(p);
}
