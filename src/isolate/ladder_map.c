/* Who there is in a new user namespace. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"
#include "isolate/ladder_impl.h"

enum { MAP_TEXT_MAX = 4096 }; /* user_namespaces(7): less than a page */

/* The kernel takes a map in one piece or not at all. */
static bool write_map(const char *pid, const char *which, const struct buf *map)
{
	char path[64];
	struct str text = buf_view(map);

	snprintf(path, sizeof path, "/proc/%s/%s", pid, which);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
}

static void add(struct buf *map, unsigned id)
{
	must(buf_printf(map, "%u %u 1\n", id, id));
}

/* Without CAP_SETGID only once nobody in there may change groups, which without a map nobody may either. */
static void map_own_gid(gid_t gid)
{
	_cleanup_buf_ struct buf map = BUF_INIT(MAP_TEXT_MAX);
	_cleanup_buf_ struct buf deny = BUF_INIT(MAP_TEXT_MAX);

	add(&map, gid);
	must(buf_str(&deny, STR("deny")));
	if (!write_map("self", "gid_map", &map) && write_map("self", "setgroups", &deny))
		write_map("self", "gid_map", &map);
}

bool rung_map_self(uid_t uid, gid_t gid)
{
	_cleanup_buf_ struct buf map = BUF_INIT(MAP_TEXT_MAX);

	add(&map, uid);
	if (!write_map("self", "uid_map", &map))
		return false;
	map_own_gid(gid);
	return true;
}

static bool map_uids(const char *pid, uid_t uid, uid_t self)
{
	_cleanup_buf_ struct buf both = BUF_INIT(MAP_TEXT_MAX);
	_cleanup_buf_ struct buf one = BUF_INIT(MAP_TEXT_MAX);

	add(&one, uid);
	add(&both, uid);
	if (self != uid)
		add(&both, self);
	return write_map(pid, "uid_map", &both) || write_map(pid, "uid_map", &one);
}

static bool map_gids(const char *pid, const struct identity *id, gid_t self)
{
	_cleanup_buf_ struct buf map = BUF_INIT(MAP_TEXT_MAX);
	bool has_self = self == id->gid;

	add(&map, id->gid);
	for (size_t i = 0; i < id->n_groups; i++) {
		if (id->groups[i] == id->gid)
			continue;
		add(&map, id->groups[i]);
		has_self = has_self || id->groups[i] == self;
	}
	if (!has_self)
		add(&map, self);
	return write_map(pid, "gid_map", &map);
}

bool rung_map_identity(pid_t child, const struct identity *id)
{
	char pid[16];

	snprintf(pid, sizeof pid, "%d", child);
	return map_gids(pid, id, getegid()) && map_uids(pid, id->uid, geteuid());
}
