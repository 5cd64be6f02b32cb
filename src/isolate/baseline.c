#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/baseline.h"

static const char *const read_only[] = {
	"/usr", "/lib", "/etc", "/app", "/var/log", "/proc", "/dev/urandom",
};
static const char *const read_write[] = {"/tmp"};

static const char *const gpu_read_only[] = {"/run/nvidia-persistenced", "/usr/lib/wsl"};
/* Any of these says that there is a GPU. */
static const char *const gpu_read_write[] = {
	"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset",
	"/dev/dxg",       "/dev/nvidia0",    "/dev/nvidia1",          "/dev/nvidia2",
	"/dev/nvidia3",   "/dev/nvidia4",    "/dev/nvidia5",          "/dev/nvidia6",
	"/dev/nvidia7",   "/dev/nvidia8",    "/dev/nvidia9",          "/dev/nvidia10",
	"/dev/nvidia11",  "/dev/nvidia12",   "/dev/nvidia13",         "/dev/nvidia14",
	"/dev/nvidia15",
};

bool baseline_exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* Its index, or list->n. */
static size_t find(const struct path_list *list, const char *path)
{
	size_t i = 0;

	while (i < list->n && !streq(list->path[i], path))
		i++;
	return i;
}

bool path_list_add(struct path_list *list, const char *path)
{
	if (find(list, path) < list->n)
		return true;
	if (list->n == BASELINE_PATHS_MAX)
		return false;
	list->path[list->n++] = path;
	return true;
}

static void remove_path(struct path_list *list, const char *path)
{
	size_t i = find(list, path);

	if (i == list->n)
		return;
	list->n--;
	memmove(&list->path[i], &list->path[i + 1], (list->n - i) * sizeof list->path[0]);
}

/* Adds those that exist and that the policy says nothing about. */
static size_t add(struct sandbox_paths *p, struct path_list *to, const char *const *paths, size_t n,
		  path_exists_fn *exists)
{
	size_t added = 0;

	for (size_t i = 0; i < n; i++) {
		if (find(&p->read_only, paths[i]) < p->read_only.n ||
		    find(&p->read_write, paths[i]) < p->read_write.n || !exists(paths[i]))
			continue;
		added += path_list_add(to, paths[i]);
	}
	return added;
}

static bool has_gpu(path_exists_fn *exists)
{
	for (size_t i = 0; i < ARRAY_LEN(gpu_read_write); i++)
		if (exists(gpu_read_write[i]))
			return true;
	return false;
}

size_t baseline_add(struct sandbox_paths *p, path_exists_fn *exists)
{
	size_t added = 0;

	if (has_gpu(exists)) {
		bool listed = find(&p->read_write, "/proc") < p->read_write.n;

		if (!listed && exists("/proc") && path_list_add(&p->read_write, "/proc")) {
			remove_path(&p->read_only, "/proc");
			added++;
		}
	}
	added += add(p, &p->read_only, read_only, ARRAY_LEN(read_only), exists);
	added += add(p, &p->read_write, read_write, ARRAY_LEN(read_write), exists);
	added += add(p, &p->read_only, gpu_read_only, ARRAY_LEN(gpu_read_only), exists);
	added += add(p, &p->read_write, gpu_read_write, ARRAY_LEN(gpu_read_write), exists);
	return added;
}
