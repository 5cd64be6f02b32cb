/* isolate/baseline: what is added to a policy's paths, and what is left as its author wrote it. */
#include <string.h>

#include "base/str.h"
#include "isolate/baseline.h"
#include "test.h"

static struct sandbox_paths paths;

static bool on_a_plain_host(const char *path)
{
	return !str_starts(str_of(path), "/dev/nv") && !streq(path, "/dev/dxg") &&
	       !streq(path, "/app") && !str_starts(str_of(path), "/run") &&
	       !streq(path, "/usr/lib/wsl");
}

static bool with_a_gpu(const char *path)
{
	return on_a_plain_host(path) || streq(path, "/dev/nvidiactl") ||
	       streq(path, "/dev/nvidia0") || streq(path, "/run/nvidia-persistenced");
}

static bool nowhere(const char *path)
{
	return path == NULL;
}

static bool has(const struct path_list *list, const char *path)
{
	for (size_t i = 0; i < list->n; i++)
		if (streq(list->path[i], path))
			return true;
	return false;
}

TEST(baseline_adds_what_exists)
{
	EQ(baseline_add(&paths, on_a_plain_host), 7);
	EQ(paths.read_only.n, 6);
	OK(has(&paths.read_only, "/usr") && has(&paths.read_only, "/proc"));
	OK(has(&paths.read_only, "/dev/urandom") && !has(&paths.read_only, "/app"));
	EQ(paths.read_write.n, 1);
	OK(has(&paths.read_write, "/tmp"));
	EQ(baseline_add(&paths, on_a_plain_host), 0); /* and once */
	EQ(baseline_add(&paths, nowhere), 0);
}

TEST(baseline_leaves_what_the_policy_says)
{
	OK(path_list_add(&paths.read_only, "/tmp") && path_list_add(&paths.read_write, "/etc"));
	EQ(baseline_add(&paths, on_a_plain_host), 5);
	OK(has(&paths.read_only, "/tmp") && !has(&paths.read_write, "/tmp"));
	OK(has(&paths.read_write, "/etc") && !has(&paths.read_only, "/etc"));
}

TEST(baseline_of_a_gpu)
{
	OK(path_list_add(&paths.read_only, "/proc") &&
	   path_list_add(&paths.read_only, "/dev/nvidia0"));
	EQ(baseline_add(&paths, with_a_gpu), 9);
	OK(has(&paths.read_write, "/proc") && !has(&paths.read_only, "/proc"));
	OK(has(&paths.read_write, "/dev/nvidiactl") && !has(&paths.read_write, "/dev/nvidia1"));
	OK(has(&paths.read_only, "/dev/nvidia0") && !has(&paths.read_write, "/dev/nvidia0"));
	OK(has(&paths.read_only, "/run/nvidia-persistenced"));
}

TEST(baseline_of_a_full_list)
{
	static char names[BASELINE_PATHS_MAX][8];

	for (size_t i = 0; i < BASELINE_PATHS_MAX; i++) {
		names[i][0] = '/';
		names[i][1] = (char)('a' + i % 26);
		names[i][2] = (char)('a' + i / 26);
		OK(path_list_add(&paths.read_only, names[i]));
	}
	OK(path_list_add(&paths.read_only, "/aa"));
	OK(!path_list_add(&paths.read_only, "/more"));
	EQ(baseline_add(&paths, on_a_plain_host), 1); /* /tmp, in the other list */
}

TEST(baseline_asks_the_file_system)
{
	OK(baseline_exists("/proc"));
	OK(!baseline_exists("/nowhere/at/all"));
}
