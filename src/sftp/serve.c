#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "sftp/sftp.h"
#include "sftp/sftp_impl.h"

enum {
	OTHER_DESCRIPTORS = 8,  /* of the limit: what is not for handles */
	SEND_BYTES = 256 << 10, /* so many are sent before more requests are looked at */
	READ_BYTES = 256 << 10, /* are asked for at once */
	IN_MAX = 4 + SFTP_PACKET_MAX + READ_BYTES,
};

/* ---- requests ---- */

static uint64_t handles_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    files.rlim_cur >= SFTP_HANDLES_MAX + OTHER_DESCRIPTORS)
		return SFTP_HANDLES_MAX;
	return files.rlim_cur - MIN(files.rlim_cur, (rlim_t)OTHER_DESCRIPTORS);
}

void sftp_do_limits(struct sftp_server *s, const struct sftp_request *q)
{
	size_t begun = sftp_begin(&s->out, SFTP_REPLY_EXTENDED, q->id);

	sftp_put_u64(&s->out, SFTP_PACKET_MAX);
	sftp_put_u64(&s->out, SFTP_DATA_MAX);
	sftp_put_u64(&s->out, SFTP_DATA_MAX);
	sftp_put_u64(&s->out, handles_max());
	sftp_end(&s->out, begun);
}

/* SFTP_INIT is the first request and never another. */
static sftp_handler *const handlers[] = {
	[SFTP_INIT] = NULL,
	[SFTP_OPEN] = sftp_do_open,
	[SFTP_CLOSE] = sftp_do_close,
	[SFTP_READ] = sftp_do_read,
	[SFTP_WRITE] = sftp_do_write,
	[SFTP_LSTAT] = sftp_do_lstat,
	[SFTP_FSTAT] = sftp_do_fstat,
	[SFTP_SETSTAT] = sftp_do_setstat,
	[SFTP_FSETSTAT] = sftp_do_fsetstat,
	[SFTP_OPENDIR] = sftp_do_opendir,
	[SFTP_READDIR] = sftp_do_readdir,
	[SFTP_REMOVE] = sftp_do_remove,
	[SFTP_MKDIR] = sftp_do_mkdir,
	[SFTP_RMDIR] = sftp_do_rmdir,
	[SFTP_REALPATH] = sftp_do_realpath,
	[SFTP_STAT] = sftp_do_stat,
	[SFTP_RENAME] = sftp_do_rename,
	[SFTP_READLINK] = sftp_do_readlink,
	[SFTP_SYMLINK] = sftp_do_symlink,
	[SFTP_POSIX_RENAME] = sftp_do_posix_rename,
	[SFTP_STATVFS] = sftp_do_statvfs,
	[SFTP_FSTATVFS] = sftp_do_fstatvfs,
	[SFTP_HARDLINK] = sftp_do_hardlink,
	[SFTP_FSYNC] = sftp_do_fsync,
	[SFTP_LSETSTAT] = sftp_do_lsetstat,
	[SFTP_LIMITS] = sftp_do_limits,
	[SFTP_EXPAND_PATH] = sftp_do_expand_path,
	[SFTP_HOME_DIRECTORY] = sftp_do_home_directory,
};
_Static_assert(ARRAY_LEN(handlers) == SFTP_OP_COUNT, "each operation");

static int lost(const char *why)
{
	dprintf(STDERR_FILENO, "sftp: %s\n", why);
	return -1;
}

static int greet(struct sftp_server *s)
{
	if (s->request.op != SFTP_INIT)
		return lost("a request before the client's version");
	if (s->request.id < SFTP_VERSION)
		return lost("the client's version is older than 3");
	sftp_tell_version(&s->out);
	s->greeted = true;
	return 0;
}

static int answer(struct sftp_server *s, enum sftp_parsed parsed)
{
	struct sftp_request *q = &s->request;

	switch (parsed) {
	case SFTP_OK:
		if (!s->greeted)
			return greet(s);
		if (!handlers[q->op])
			return lost("the client's version came twice");
		handlers[q->op](s, q);
		return 0;
	case SFTP_MALFORMED:
		sftp_tell_status(&s->out, q->id, SFTP_STATUS_BAD_MESSAGE, "Malformed request");
		break;
	case SFTP_UNKNOWN:
		sftp_tell_status(&s->out, q->id, SFTP_STATUS_UNSUPPORTED, "No such operation");
		break;
	case SFTP_NO_ID:
	case SFTP_TOO_LONG:
	case SFTP_MORE:
		return lost("a packet without an id");
	}
	return s->greeted ? 0 : lost("a request before the client's version");
}

/* ---- the loop ---- */

static int send_replies(struct sftp_server *s)
{
	struct str all = buf_view(&s->out);

	if (file_write_all(STDOUT_FILENO, all.p, all.n) < 0)
		return lost(strerror(errno));
	buf_clear(&s->out);
	return 0;
}

/* All that came in whole, in its order. */
static int serve_requests(struct sftp_server *s)
{
	enum sftp_parsed r;
	struct str packet;

	while ((r = sftp_packet(buf_view(&s->in), &packet)) == SFTP_OK) {
		if (answer(s, sftp_request_parse(packet, &s->request)) < 0)
			return -1;
		buf_consume(&s->in, 4 + packet.n);
		if (s->out.n >= SEND_BYTES && send_replies(s) < 0)
			return -1;
	}
	if (r < 0)
		return lost("a packet of no bytes, or of more than 262144");
	return s->out.n > 0 ? send_replies(s) : 0;
}

/* 1, 0 at the end, or -1. */
static int read_more(struct sftp_server *s)
{
	char *room = buf_room(&s->in, READ_BYTES);
	ssize_t n;

	must(room != NULL);
	do
		n = read(STDIN_FILENO, room, READ_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return lost(strerror(errno));
	buf_added(&s->in, (size_t)n);
	if (n == 0 && s->in.n > 0)
		return lost("the input ends within a packet");
	return n > 0;
}

static void find_home(struct sftp_server *s)
{
	const char *home = getenv("HOME");

	if (home && home[0] == '/' && strlen(home) < sizeof s->home)
		memcpy(s->home, home, strlen(home) + 1);
	else if (!getcwd(s->home, sizeof s->home))
		memcpy(s->home, "/", 2);
}

int sftp_serve(char *const *argv UNUSED, char *const *env UNUSED)
{
	struct sftp_server *s = xcalloc(1, sizeof *s);
	int r;

	s->in = BUF_INIT(IN_MAX);
	s->out = BUF_INIT(SEND_BYTES + SFTP_REPLY_MAX);
	sftp_handles_init(s);
	find_home(s);
	while ((r = read_more(s)) > 0 && (r = serve_requests(s)) == 0)
		;
	sftp_handles_fini(s);
	sftp_names_fini(&s->names);
	buf_fini(&s->in);
	buf_fini(&s->out);
	free(s);
	return r < 0 ? 1 : 0;
}
