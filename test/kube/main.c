/*
 * The Kubernetes client as a program: commands as JSON lines on stdin, what happens as JSON lines on
 * stdout. test/grpc/test_kube_client.py drives it against an API server that misbehaves.
 *
 *   {"do":"call","id":1,"method":"POST","path":"/api/…","body":{…},"type":"merge","timeout":5000}
 *     -> {"id":1,"status":201,"body":{…}}, or with "fault", "message", "reason", "unsure"
 *   {"do":"list","id":2,"path":"/api/…"}       -> {"id":2,"item":"ns/name"}… {"id":2,"version":"77"}
 *   {"do":"stream","id":3,"path":"/api/…","silence":900}
 *     -> {"id":3,"opened":true} {"id":3,"line":123}… {"id":3,"ended":true}
 *   {"do":"reflect","id":4,"path":"/api/…"}
 *     -> {"id":4,"upsert":"ns/name","version":"5"} {"id":4,"gone":"ns/name"} {"id":4,"synced":true}
 *        {"id":4,"failed":"Transport"}
 *   {"do":"cancel","id":3}   {"do":"path","id":4,"path":"/apis/…"}
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "kube/client.h"
#include "kube/lines.h"
#include "kube/list.h"
#include "kube/reflector.h"

/* What a command started; kept until the end of the program. */
struct job {
	int64_t id;
	struct kube_request *request;
	struct kube_list *list;
	struct kube_reflector *reflector;
	int64_t lines;
};

enum { JOBS_MAX = 1 << 15 };

static struct loop *loop;
static struct kube_client *client;
static struct job jobs[JOBS_MAX];
static size_t jobs_n;

static cJSON *answer(const struct job *j)
{
	cJSON *o = json_object();

	json_put_int(o, "id", j->id);
	return o;
}

/* Prints and releases it. */
static void say(cJSON *o)
{
	_cleanup_free_ char *text = json_text(o);

	puts(text);
	fflush(stdout);
	cJSON_Delete(o);
}

static void put_error(cJSON *o, const struct kube_error *e)
{
	if (e == NULL)
		return;
	json_put_str(o, "fault", kube_fault_name(e->fault));
	json_put_str(o, "message", e->message);
	json_put_str(o, "reason", e->reason);
	json_put_bool(o, "unsure", e->unsure);
	json_put_int(o, "retry_after", e->retry_after_ms);
}

static void on_done(void *owner, struct kube_answer *a)
{
	struct job *j = owner;
	cJSON *o = answer(j);

	j->request = NULL;
	json_put_int(o, "status", a->status);
	put_error(o, a->error);
	if (a->body != NULL)
		json_put(o, "body", steal(&a->body));
	say(o);
}

static void on_item(void *owner, const cJSON *object)
{
	const cJSON *metadata = json_get(object, "metadata");
	_cleanup_free_ char *key = xasprintf("%s/%s", json_str_or_empty(metadata, "namespace"),
					     json_str_or_empty(metadata, "name"));
	cJSON *o = answer(owner);

	json_put_str(o, "item", key);
	say(o);
}

static void on_listed(void *owner, const char *version, const struct kube_error *e)
{
	struct job *j = owner;
	cJSON *o = answer(j);

	j->list = NULL;
	put_error(o, e);
	if (version != NULL)
		json_put_str(o, "version", version);
	say(o);
}

static void on_opened(void *owner)
{
	cJSON *o = answer(owner);

	json_put_bool(o, "opened", true);
	say(o);
}

static void on_line(void *owner, struct str line)
{
	struct job *j = owner;
	cJSON *o = answer(j);

	j->lines++;
	json_put_int(o, "line", (int64_t)line.n);
	say(o);
}

static void on_ended(void *owner, const struct kube_error *e)
{
	struct job *j = owner;
	cJSON *o = answer(j);

	j->request = NULL;
	json_put_bool(o, "ended", true);
	put_error(o, e);
	say(o);
}

static void put_key(cJSON *o, const char *what, const struct kube_key *k)
{
	_cleanup_free_ char *key = xasprintf("%.*s/%.*s", STR_FMT(k->ns), STR_FMT(k->name));

	json_put_str(o, what, key);
}

static void on_upsert(void *owner, const struct kube_key *k, const cJSON *object)
{
	cJSON *o = answer(owner);

	put_key(o, "upsert", k);
	json_put_str(o, "version",
		     json_str_or_empty(json_get(object, "metadata"), "resourceVersion"));
	say(o);
}

static void on_gone(void *owner, const struct kube_key *k, const cJSON *object UNUSED)
{
	cJSON *o = answer(owner);

	put_key(o, "gone", k);
	say(o);
}

static void on_synced(void *owner)
{
	cJSON *o = answer(owner);

	json_put_bool(o, "synced", true);
	say(o);
}

static void on_failed(void *owner, const struct kube_error *e)
{
	cJSON *o = answer(owner);

	json_put_str(o, "failed", kube_fault_name(e->fault));
	json_put_str(o, "message", e->message);
	say(o);
}

/* ---- commands ---- */

static void do_call(struct job *j, const cJSON *c)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	const char *type = json_str_or_empty(c, "type");
	struct kube_call call = {
		.path = json_str_or_empty(c, "path"),
		.body = json_get(c, "body"),
		.timeout_ms = json_int(c, "timeout", 0),
		.type = streq(type, "merge")   ? KUBE_MERGE_PATCH
			: streq(type, "apply") ? KUBE_APPLY
					       : KUBE_JSON,
		.done = on_done,
		.owner = j,
	};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (streq(methods[i], json_str(c, "method")))
			call.method = (enum kube_method)i;
	}
	j->request = kube_call(client, &call);
}

static void do_stream(struct job *j, const cJSON *c)
{
	struct kube_stream s = {
		.path = json_str_or_empty(c, "path"),
		.timeout_ms = json_int(c, "timeout", 0),
		.silence_ms = json_int(c, "silence", 0),
		.opened = on_opened,
		.line = on_line,
		.ended = on_ended,
		.owner = j,
	};

	j->request = kube_stream(client, &s);
}

static void do_list(struct job *j, const cJSON *c)
{
	struct kube_list_config l = {
		.path = json_str_or_empty(c, "path"),
		.item = on_item,
		.done = on_listed,
		.owner = j,
	};

	j->list = kube_list(client, &l);
}

static void do_reflect(struct job *j, const cJSON *c)
{
	struct kube_reflector_config r = {
		.path = json_str_or_empty(c, "path"),
		.label_selector = json_str(c, "selector"),
		.upsert = on_upsert,
		.gone = on_gone,
		.synced = on_synced,
		.failed = on_failed,
		.owner = j,
	};

	j->reflector = kube_reflector_new(client, &r);
}

static void cancel(struct job *j)
{
	kube_cancel(steal(&j->request));
	kube_list_cancel(steal(&j->list));
	kube_reflector_free(steal(&j->reflector));
}

static struct job *find(int64_t id)
{
	for (size_t i = 0; i < jobs_n; i++) {
		if (jobs[i].id == id)
			return &jobs[i];
	}
	must(jobs_n < JOBS_MAX);
	jobs[jobs_n].id = id;
	return &jobs[jobs_n++];
}

static bool on_command(void *owner UNUSED, struct str line)
{
	struct err e;
	_cleanup_json_ cJSON *c = json_parse(line, "command", &e);
	const char *what = json_str_or_empty(c, "do");
	struct job *j = find(json_int(c, "id", 0));

	if (c == NULL)
		die("%s", e.text);
	else if (streq(what, "call"))
		do_call(j, c);
	else if (streq(what, "stream"))
		do_stream(j, c);
	else if (streq(what, "list"))
		do_list(j, c);
	else if (streq(what, "reflect"))
		do_reflect(j, c);
	else if (streq(what, "path"))
		kube_reflector_set_path(j->reflector, json_str_or_empty(c, "path"));
	else if (streq(what, "cancel"))
		cancel(j);
	else
		die("unknown command %s", what);
	return true;
}

static void finish(struct timer *t UNUSED)
{
	loop_stop(loop, 0);
}

static void on_input(struct source *s, uint32_t events UNUSED)
{
	static struct kube_lines lines;
	static struct timer end = {.fire = finish};
	static char bytes[1 << 16];

	if (lines.line == NULL)
		kube_lines_init(&lines, 1 << 20, on_command, NULL);
	ssize_t n = read(s->fd, bytes, sizeof bytes);
	if (n < 0)
		return;
	must(kube_lines_feed(&lines, str_sub(bytes, (size_t)n)) == LINES_OK);
	if (n > 0)
		return;
	loop_del(loop, s);
	kube_lines_fini(&lines);
	for (size_t i = 0; i < jobs_n; i++)
		cancel(&jobs[i]);
	timer_set(loop, &end, 0); /* behind what was put off */
}

int main(int argc, char **argv)
{
	struct source input = {.fd = STDIN_FILENO, .ready = on_input, .name = "stdin"};
	struct kube_config *config;
	struct err e;

	if (getenv("KUBE_DEBUG") != NULL)
		log_set_level(LOG_DEBUG);
	if (argc > 3)
		die("usage: kube [KUBECONFIG [CONTEXT]]");
	if (loop_new(&loop, &e) < 0 ||
	    kube_config_load(&config, argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL, &e) <
		    0 ||
	    kube_client_new(&client, loop, config, &e) < 0)
		die("%s", e.text);
	fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
	if (loop_add(loop, &input, EPOLLIN, &e) < 0)
		die("%s", e.text);
	loop_run(loop);
	kube_client_free(client);
	loop_free(loop);
	return 0;
}
