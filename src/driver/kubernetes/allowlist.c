#include "driver/kubernetes/allowlist.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/util.h"
#include "kube/reflector.h"
#include "loop/loop.h"

enum {
	FILE_MAX = 1 << 20,
	NAMES_MAX = 10000,
	DEBOUNCE_MS = 1000, /* after the file's last change */
	POLL_MS = 15000,    /* for file systems that tell no changes */
};

struct allowlist {
	struct loop *loop;
	struct map names; /* namespace -> itself */

	struct kube_reflector *reflector; /* by label */
	enum kube_fault said;             /* the last fault that was logged */

	const char *path; /* by file; borrowed from the options */
	struct source folder;
	struct timer reload;
	struct stat seen; /* of the file that was last read */
};

bool allowlist_has(const struct allowlist *a, const char *ns)
{
	return map_get(&a->names, str_of(ns)) != NULL;
}

/* The map's values only say that a key is there. */
static void allow(struct map *m, struct str ns)
{
	map_put(m, ns, (void *)"");
}

/* ---- by label ---- */

static void labelled(void *owner, const struct kube_key *key, const cJSON *object)
{
	struct allowlist *a = owner;

	(void)object;
	allow(&a->names, key->name);
}

static void unlabelled(void *owner, const struct kube_key *key, const cJSON *object)
{
	struct allowlist *a = owner;

	(void)object;
	map_del(&a->names, key->name);
}

static void listed(void *owner)
{
	struct allowlist *a = owner;

	a->said = KUBE_NONE;
	log_info("operator namespaces listed", "namespaces=%zu", a->names.n);
}

static void failed(void *owner, const struct kube_error *error)
{
	struct allowlist *a = owner;

	if (a->said != error->fault)
		log_warn("operator namespaces cannot be watched; trying again", "fault=%s error=%s",
			 kube_fault_name(error->fault), error->message);
	a->said = error->fault;
}

static void start_by_label(struct allowlist *a, struct kube_client *client, const char *selector)
{
	_cleanup_free_ char *path =
		kube_path(&(struct kube_resource){"", "v1", "namespaces"}, NULL, NULL, NULL);

	a->reflector = kube_reflector_new(
		client, &(struct kube_reflector_config){.path = path,
							.label_selector = selector,
							.upsert = labelled,
							.gone = unlabelled,
							.synced = listed,
							.failed = failed,
							.owner = a});
}

/* ---- by file ---- */

int allowlist_parse(struct str text, const char *what, struct map *out, struct err *e)
{
	_cleanup_json_ cJSON *j = json_parse(text, what, e);
	const cJSON *item;

	if (!j)
		return -1;
	if (!cJSON_IsArray(j))
		return err_set(e, EINVAL, "%s: not an array of namespaces", what);
	if (cJSON_GetArraySize(j) > NAMES_MAX)
		return err_set(e, E2BIG, "%s: more than %d namespaces", what, NAMES_MAX);
	cJSON_ArrayForEach(item, j) {
		if (!cJSON_IsString(item) || !str_is_dns_label(str_of(item->valuestring))) {
			_cleanup_free_ char *text_of_it = json_text(item);

			map_fini(out);
			*out = MAP_INIT;
			return err_set(e, EINVAL, "%s: %.100s is not the name of a namespace", what,
				       text_of_it);
		}
		allow(out, str_of(item->valuestring));
	}
	return 0;
}

static int read_file(struct allowlist *a, char **text, size_t *n, struct err *e)
{
	_cleanup_close_ int fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_free_ char *p = NULL;

	if (fd < 0 || fstat(fd, &a->seen) < 0)
		return err_sys(e, "operator namespace file %s", a->path);
	p = xmalloc(FILE_MAX);
	ssize_t got = file_read_all(fd, p, FILE_MAX);
	if (got < 0)
		return err_sys(e, "operator namespace file %s", a->path);
	if (got == FILE_MAX)
		return err_set(e, EFBIG, "operator namespace file %s: larger than %d bytes",
			       a->path, FILE_MAX);
	*text = steal(&p);
	*n = (size_t)got;
	return 0;
}

/* What cannot be read or understood changes nothing: a list that is half written must not throw
 * running workspaces out. */
static void load(struct allowlist *a)
{
	_cleanup_free_ char *text = NULL;
	struct map fresh = MAP_INIT;
	struct err e;
	size_t n = 0;

	if (read_file(a, &text, &n, &e) < 0 ||
	    allowlist_parse(str_sub(text, n), a->path, &fresh, &e) < 0) {
		log_warn("operator namespaces kept as they were", "error=%s", e.text);
		return;
	}
	map_fini(&a->names);
	a->names = fresh;
	log_info("operator namespaces read", "file=%s namespaces=%zu", a->path, a->names.n);
}

static bool changed(const struct allowlist *a)
{
	struct stat now;

	if (stat(a->path, &now) < 0)
		return false;
	return now.st_ino != a->seen.st_ino || now.st_dev != a->seen.st_dev ||
	       now.st_size != a->seen.st_size || now.st_mtim.tv_sec != a->seen.st_mtim.tv_sec ||
	       now.st_mtim.tv_nsec != a->seen.st_mtim.tv_nsec;
}

static void reload_due(struct timer *t)
{
	struct allowlist *a = container_of(t, struct allowlist, reload);

	if (changed(a))
		load(a);
	timer_set(a->loop, &a->reload, with_jitter(POLL_MS));
}

static void folder_changed(struct source *s, uint32_t events)
{
	struct allowlist *a = container_of(s, struct allowlist, folder);
	char batch[4096];

	(void)events;
	while (read(s->fd, batch, sizeof(batch)) > 0)
		;
	timer_set(a->loop, &a->reload, DEBOUNCE_MS);
}

/* The folder is watched and not the file: a ConfigMap is replaced by renaming a link beside it. */
static int start_by_file(struct allowlist *a, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(a->path);
	const char *folder = dirname(copy);

	a->folder.fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (a->folder.fd < 0)
		return err_sys(e, "inotify");
	if (inotify_add_watch(a->folder.fd, folder,
			      IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE) < 0)
		return err_sys(e, "watch %s", folder);
	if (loop_add(a->loop, &a->folder, EPOLLIN, e) < 0)
		return -1;
	load(a);
	timer_set(a->loop, &a->reload, with_jitter(POLL_MS));
	return 0;
}

/* ---- both ---- */

int allowlist_new(struct allowlist **out, struct kube_client *client,
		  const struct kubernetes_options *options, struct err *e)
{
	struct allowlist *a = xcalloc(1, sizeof(*a));

	a->loop = kube_client_loop(client);
	a->names = MAP_INIT;
	a->path = options->operator_namespace_file;
	a->folder = (struct source){.fd = -1, .ready = folder_changed, .name = "allowlist"};
	a->reload.fire = reload_due;
	if (!str_empty(options->operator_namespace_label))
		start_by_label(a, client, options->operator_namespace_label);
	else if (start_by_file(a, e) < 0) {
		allowlist_free(a);
		return -1;
	}
	*out = a;
	return 0;
}

void allowlist_free(struct allowlist *a)
{
	if (!a)
		return;
	kube_reflector_free(a->reflector);
	timer_stop(a->loop, &a->reload);
	loop_del(a->loop, &a->folder);
	if (a->folder.fd >= 0)
		close(a->folder.fd);
	map_fini(&a->names);
	free(a);
}
