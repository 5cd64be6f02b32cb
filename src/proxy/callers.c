#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "base/util.h"
#include "net/sock_diag.h"
#include "net/sock_table.h"
#include "proxy/callers.h"
#include "proxy/callers_impl.h"
#include "proxy/owners.h"

enum {
	BATCH = SOCK_DIAG_BATCH_MAX, /* questions of one search */
	LOOKS = 8, /* at a caller that changes while it is looked at, before it is denied */
};

/*
 * One question.
 *
 *	asked --looked at--> answered --done--> gone
 *	 ^ |                    ^
 *	 | '--> reading --------'      reading: an image of it is being read; then it is looked at
 *	 '---------'  read    deadline  anew, since the process may be another program by then
 */
struct caller_ask {
	struct list link; /* of callers.asked, .reading or .answered */
	struct list age;  /* of callers.open, the oldest first */
	struct callers *cs;
	struct caller_query *query;
	struct sock_query sock;
	uint64_t mark; /* of the images, when it was asked */
	bool unhashed; /* nothing is allowed by the answer */
	int64_t deadline;
	int looks;
	struct caller *caller; /* the answer; with why.code != 0: what is known of it, or NULL */
	struct err why;
};

struct callers {
	struct callers_config c;
	struct images *images;
	struct caller *anybody; /* the answer of the relaxed */
	struct list asked, reading, answered, open;
	size_t n;
	struct later turn;
	struct timer deadline;
};

/* ---- answers ---- */

static void set_answer(struct caller_ask *a, struct caller *c)
{
	a->caller = c;
	list_del(&a->link);
	list_add(&a->cs->answered, &a->link);
}

static void set_failure(struct caller_ask *a, const struct err *why, const char *what)
{
	a->why = *why;
	err_wrap(&a->why, "%s", what);
	set_answer(a, NULL);
}

static void unresolved(struct caller_ask *a, const struct err *why)
{
	set_failure(a, why, "failed to resolve peer binary");
}

static void ask_free(struct caller_ask *a)
{
	list_del(&a->link);
	list_del(&a->age);
	a->cs->n--;
	caller_unref(a->caller);
	free(a);
}

/* What is answered may cancel others, and ask. */
static void deliver(struct callers *cs)
{
	struct caller_ask *a;

	while ((a = list_first(&cs->answered, struct caller_ask, link)) != NULL) {
		struct caller_query *q = a->query;
		struct caller *c = a->caller;
		struct err why = a->why;
		a->caller = NULL;
		q->ask = NULL;
		ask_free(a);
		q->done(q, c, why.code != 0 ? &why : NULL);
		caller_unref(c);
	}
}

/* ---- one caller ---- */

/* The process and what is above it, up to the keeper or its init, as it is now. -1 with *e, EAGAIN where it
 * changed. */
static int find_chain(struct callers *cs, struct process_set *set, struct process *p,
		      struct process *chain[CALLER_ANCESTORS_MAX + 1], size_t *n, struct err *e)
{
	*n = 0;
	for (;;) {
		if (process_look(p, cs->c.mounts, e) < 0)
			return -1;
		chain[(*n)++] = p;
		if (p->stat.ppid == cs->c.root || p->stat.ppid == cs->c.init ||
		    *n == CALLER_ANCESTORS_MAX + 1)
			return 0;
		struct process *parent = process_set_get(set, p->stat.ppid, e);
		if (parent == NULL)
			return -1;
		if (!process_is_child_of(p, parent))
			return err_set(e, EAGAIN, "process %d: its parent changed", (int)p->pid);
		p = parent;
	}
}

enum outcome { KNOWN, WAITS, AGAIN, DENIED };

/* Hashes the images of a chain, pins them to their paths, and completes c. DENIED with *why. */
static enum outcome check_images(struct caller_ask *a, struct caller *c,
				 struct process *const *chain, size_t n, struct err *why)
{
	uint8_t hash[IMAGE_HASH_BYTES];
	enum outcome outcome = KNOWN;

	for (size_t i = 0; i < n; i++) {
		enum image_answer r = images_hash(a->cs->images, chain[i], a->mark, hash, why);
		if (r == IMAGE_READING) {
			outcome = WAITS; /* and let the others be read, too */
			continue;
		}
		if (r == IMAGE_FAILED && why->code == EAGAIN)
			return AGAIN;
		if (r == IMAGE_KNOWN && i == 0)
			caller_set_hash(c, hash);
		if (r == IMAGE_KNOWN && images_pin(a->cs->images, chain[i]->exe, hash, why) == 0)
			continue;
		if (i == 0)
			err_wrap(why, "binary integrity check failed");
		else
			err_wrap(why, "ancestor integrity check failed for %s", chain[i]->exe);
		return DENIED;
	}
	return outcome;
}

/* One owner of the socket. *out is the caller's, whole if KNOWN. */
static enum outcome make_caller(struct caller_ask *a, struct process_set *set, struct process *p,
				struct caller **out, struct err *why)
{
	struct process *chain[CALLER_ANCESTORS_MAX + 1];
	uid_t uid;
	size_t n;

	*out = NULL;
	if (find_chain(a->cs, set, p, chain, &n, why) < 0 || process_uid(p, &uid, why) < 0) {
		if (why->code == EAGAIN || why->code == ESRCH)
			return AGAIN;
		err_wrap(why, "failed to resolve peer binary");
		return DENIED;
	}
	*out = caller_new(chain, n);
	(*out)->uid = uid;
	return a->unhashed ? KNOWN : check_images(a, *out, chain, n, why);
}

static void set_ambiguous(struct err *why, const struct wanted *w)
{
	err_set(why, EPERM, "ambiguous shared socket ownership: inode %llu is held by",
		(unsigned long long)w->inode);
	for (size_t i = 0; i < w->n; i++) {
		size_t n = strlen(why->text);
		snprintf(why->text + n, sizeof why->text - n, "%s %s (process %d)", i ? "," : "",
			 w->owners[i]->exe, (int)w->owners[i]->pid);
	}
}

/* All the owners of the socket, who must be alike. */
static enum outcome make_callers(struct caller_ask *a, struct process_set *set,
				 const struct wanted *w, struct caller **out, struct err *why)
{
	enum outcome outcome = KNOWN;

	for (size_t i = 0; i < w->n; i++) {
		_cleanup_caller_ struct caller *c = NULL;
		enum outcome o = make_caller(a, set, w->owners[i], &c, why);
		if (o == DENIED || o == AGAIN) {
			caller_unref(*out);
			*out = steal(&c);
			return o;
		}
		if (o == WAITS)
			outcome = WAITS;
		if (outcome == KNOWN && *out != NULL && !caller_is_alike(c, *out)) {
			caller_unref(steal(out));
			set_ambiguous(why, w);
			return DENIED;
		}
		if (*out == NULL || c->pid < (*out)->pid) {
			caller_unref(*out);
			*out = steal(&c);
		}
	}
	return outcome;
}

/* It is looked at anew at once, or after the image that it waits for. */
static void look_again(struct caller_ask *a, struct list *where)
{
	list_del(&a->link);
	list_add(where, &a->link);
}

static void identify(struct caller_ask *a, struct process_set *set, const struct wanted *w)
{
	struct caller *c = NULL;
	struct err why = {0};

	switch (make_callers(a, set, w, &c, &why)) {
	case KNOWN:
		set_answer(a, c);
		return;
	case WAITS:
		look_again(a, &a->cs->reading);
		break;
	case AGAIN:
		if (++a->looks < LOOKS)
			look_again(a, &a->cs->asked);
		else
			unresolved(a, &why);
		break;
	case DENIED:
		a->why = why;
		set_answer(a, c);
		return;
	}
	caller_unref(c);
}

/* ---- many of them ---- */

static void find_owner(struct caller_ask *a, struct process_set *set, const struct wanted *w,
		       size_t n)
{
	struct err why;

	while (n > 0 && w->inode != a->sock.inode) {
		w++;
		n--;
	}
	must(n > 0);
	if (w->why.code != 0) {
		unresolved(a, &w->why);
	} else if (w->n == 0) {
		err_set(&why, ENOENT, "no process of the sandbox holds socket %llu",
			(unsigned long long)w->inode);
		unresolved(a, &why);
	} else {
		identify(a, set, w);
	}
}

/* Kernels without INET_DIAG say so by finding none. */
static void look_into_table(struct callers *cs, struct sock_query *q, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (q[i].error == ENOENT && q[i].protocol == IPPROTO_TCP) {
			sock_table_find(cs->c.root, q, n);
			return;
		}
	}
}

/* The inodes of their sockets, all with one question. Those that have none are answered. */
static void find_sockets(struct callers *cs, struct caller_ask **asks, size_t n, struct wanted *w,
			 size_t *found)
{
	struct sock_query q[BATCH];
	struct err e;

	for (size_t i = 0; i < n; i++)
		q[i] = asks[i]->sock;
	bool asked = sock_diag_find(cs->c.diag_fd, q, n, &e) == 0;
	if (asked)
		look_into_table(cs, q, n);
	*found = 0;
	for (size_t i = 0; i < n; i++) {
		struct caller_ask *a = asks[i];
		a->sock = q[i];
		if (asked && q[i].error != 0) {
			errno = q[i].error;
			err_sys(&e, "the other end of the connection");
		}
		if (!asked || q[i].error != 0)
			unresolved(a, &e);
		else
			w[(*found)++] = (struct wanted){.inode = q[i].inode};
	}
}

static void look_at_batch(struct callers *cs)
{
	struct caller_ask *asks[BATCH];
	struct wanted w[BATCH];
	struct process_set set;
	size_t n = 0, found;

	list_each(a, &cs->asked, struct caller_ask, link) {
		if (n == BATCH)
			break;
		asks[n++] = a;
	}
	find_sockets(cs, asks, n, w, &found);
	process_set_init(&set);
	if (found > 0)
		owners_find(&set, cs->c.root, cs->c.init, w, found);
	for (size_t i = 0; i < n; i++)
		if (asks[i]->why.code == 0)
			find_owner(asks[i], &set, w, found);
	process_set_fini(&set);
}

static void take_turn(struct later *l)
{
	struct callers *cs = container_of(l, struct callers, turn);

	if (cs->c.look_as_them) {
		setfsgid(cs->c.gid);
		setfsuid(cs->c.uid);
	}
	while (!list_empty(&cs->asked))
		look_at_batch(cs);
	if (cs->c.look_as_them) {
		setfsuid(geteuid());
		setfsgid(getegid());
	}
	deliver(cs);
	struct caller_ask *oldest = list_first(&cs->open, struct caller_ask, age);
	if (oldest == NULL)
		timer_stop(cs->c.loop, &cs->deadline);
	else if (!timer_armed(&cs->deadline))
		timer_set(cs->c.loop, &cs->deadline, MAX(oldest->deadline - mono_ms(), 0));
}

static void image_was_read(void *arg)
{
	struct callers *cs = arg;

	list_each(a, &cs->reading, struct caller_ask, link)
		look_again(a, &cs->asked);
	loop_later(cs->c.loop, &cs->turn);
}

static void deadline_passed(struct timer *t)
{
	struct callers *cs = container_of(t, struct callers, deadline);
	int64_t now = mono_ms();
	struct err why;

	err_set(&why, ETIMEDOUT, "its image was not read within %d s", CALLER_WAIT_MS / 1000);
	list_each(a, &cs->open, struct caller_ask, age) {
		if (a->deadline > now)
			break;
		unresolved(a, &why);
	}
	loop_later(cs->c.loop, &cs->turn);
}

/* ---- questions ---- */

int callers_new(struct callers **out, const struct callers_config *c, struct err *e)
{
	struct callers *cs = xcalloc(1, sizeof *cs);

	cs->c = *c;
	list_init(&cs->asked);
	list_init(&cs->reading);
	list_init(&cs->answered);
	list_init(&cs->open);
	cs->turn.run = take_turn;
	cs->deadline.fire = deadline_passed;
	cs->anybody = caller_new_relaxed();
	if (images_new(&cs->images, c->loop, image_was_read, cs, e) < 0) {
		callers_free(cs);
		return -1;
	}
	*out = cs;
	return 0;
}

void callers_free(struct callers *cs)
{
	if (cs == NULL)
		return;
	must(cs->n == 0);
	loop_later_cancel(&cs->turn);
	timer_stop(cs->c.loop, &cs->deadline);
	images_free(cs->images);
	caller_unref(cs->anybody);
	if (cs->c.diag_fd >= 0)
		close(cs->c.diag_fd);
	free(cs);
}

static struct caller_ask *ask_new(struct callers *cs, struct caller_query *q)
{
	struct caller_ask *a = xcalloc(1, sizeof *a);

	must(q->ask == NULL);
	list_init(&a->link);
	list_init(&a->age);
	list_add(&cs->asked, &a->link);
	list_add(&cs->open, &a->age);
	a->cs = cs;
	a->query = q;
	a->mark = images_mark(cs->images);
	a->deadline = mono_ms() + CALLER_WAIT_MS;
	cs->n++;
	q->ask = a;
	loop_later(cs->c.loop, &cs->turn);
	return a;
}

/* What needs no look at the sandbox; true when it is answered so. */
static bool answer_at_once(struct caller_ask *a)
{
	struct callers *cs = a->cs;
	struct err why;

	if (cs->c.relaxed) {
		set_answer(a, caller_ref(cs->anybody));
	} else if (cs->c.root <= 0) {
		err_set(&a->why, EAGAIN, "entrypoint process not yet spawned");
		set_answer(a, NULL);
	} else if (cs->n > CALLER_WAITING_MAX) {
		err_set(&why, EAGAIN, "more than %d questions are open", CALLER_WAITING_MAX);
		unresolved(a, &why);
	} else {
		return false;
	}
	return true;
}

/* Between these two, or the answer why not. */
static void set_ends(struct caller_ask *a, const struct sockaddr_storage *local,
		     const struct sockaddr_storage *remote)
{
	struct err why;

	if (sock_end_of(local, &a->sock.local) && sock_end_of(remote, &a->sock.remote))
		return;
	err_set(&why, EAFNOSUPPORT, "it is no connection of IPv4 or IPv6");
	unresolved(a, &why);
}

void callers_ask(struct callers *cs, struct caller_query *q, int fd)
{
	struct caller_ask *a = ask_new(cs, q);
	struct sockaddr_storage ours = {0}, theirs = {0};
	socklen_t n = sizeof ours, m = sizeof theirs;
	struct err why;

	a->sock.protocol = IPPROTO_TCP;
	if (answer_at_once(a))
		return;
	if (getsockname(fd, (struct sockaddr *)&ours, &n) == 0 &&
	    getpeername(fd, (struct sockaddr *)&theirs, &m) == 0) {
		set_ends(a, &theirs, &ours);
		return;
	}
	err_sys(&why, "the addresses of the connection");
	unresolved(a, &why);
}

void callers_ask_sender(struct callers *cs, struct caller_query *q, int protocol,
			const struct sockaddr_storage *src, const struct sockaddr_storage *dst)
{
	struct caller_ask *a = ask_new(cs, q);
	struct err why;

	a->sock.protocol = protocol;
	a->unhashed = true;
	if (answer_at_once(a))
		return;
	if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) {
		set_ends(a, src, dst);
		return;
	}
	err_set(&why, EPROTONOSUPPORT, "it was sent neither by TCP nor by UDP");
	unresolved(a, &why);
}

void callers_cancel(struct caller_query *q)
{
	if (q->ask == NULL)
		return;
	ask_free(q->ask);
	q->ask = NULL;
}
