#include <errno.h>
#include <unistd.h>

#include "base/util.h"
#include "sftp/sftp_impl.h"

void sftp_handles_init(struct sftp_server *s)
{
	for (size_t i = 0; i < SFTP_HANDLES_MAX; i++)
		s->handles[i] = (struct sftp_handle){.fd = -1};
}

void sftp_handles_fini(struct sftp_server *s)
{
	for (size_t i = 0; i < SFTP_HANDLES_MAX; i++)
		if (s->handles[i].fd >= 0)
			sftp_handle_close(&s->handles[i]);
}

struct sftp_handle *sftp_handle_add(struct sftp_server *s, int fd, DIR *dir, struct sftp_name *out)
{
	uint32_t i = 0;

	while (i < SFTP_HANDLES_MAX && s->handles[i].fd >= 0)
		i++;
	if (i == SFTP_HANDLES_MAX)
		return NULL;
	struct sftp_handle *h = &s->handles[i];
	h->fd = fd;
	h->dir = dir;
	h->appends = false;
	*out = (struct sftp_name){i, ++h->generation};
	return h;
}

struct sftp_handle *sftp_handle_find(struct sftp_server *s, struct sftp_name name)
{
	if (name.index < SFTP_HANDLES_MAX && s->handles[name.index].fd >= 0 &&
	    s->handles[name.index].generation == name.generation)
		return &s->handles[name.index];
	errno = EBADF;
	return NULL;
}

int sftp_handle_close(struct sftp_handle *h)
{
	int r = h->dir ? closedir(h->dir) : close(h->fd);

	h->fd = -1;
	h->dir = NULL;
	return r;
}
