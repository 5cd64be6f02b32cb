#include <string.h>

#include "base/util.h"
#include "kube/lines.h"

void kube_lines_init(struct kube_lines *s, size_t max, bool (*line)(void *, struct str),
		     void *owner)
{
	*s = (struct kube_lines){.line = line, .owner = owner, .part = BUF_INIT(max)};
}

void kube_lines_fini(struct kube_lines *s)
{
	buf_fini(&s->part);
}

static struct str without_cr(struct str line)
{
	line.n -= line.n > 0 && line.p[line.n - 1] == '\r';
	return line;
}

/* An event may have been large: its room is not kept for the small ones that follow. */
static void drop_part(struct kube_lines *s)
{
	buf_fini(&s->part);
}

enum kube_lines_result kube_lines_feed(struct kube_lines *s, struct str bytes)
{
	while (bytes.n > 0) {
		const char *end = memchr(bytes.p, '\n', bytes.n);
		size_t n = end ? (size_t)(end - bytes.p) : bytes.n;
		struct str line = str_sub(bytes.p, n);

		if (end == NULL)
			return buf_str(&s->part, line) ? LINES_OK : LINES_TOO_LONG;
		bytes = str_sub(end + 1, bytes.n - n - 1);
		bool joined = s->part.n > 0;
		if (joined) {
			if (!buf_str(&s->part, line))
				return LINES_TOO_LONG;
			line = buf_view(&s->part);
		}
		if (line.n > s->part.max)
			return LINES_TOO_LONG;
		line = without_cr(line);
		if (line.n > 0 && !s->line(s->owner, line))
			return LINES_STOPPED;
		if (joined)
			drop_part(s);
	}
	return LINES_OK;
}

bool kube_lines_partial(const struct kube_lines *s)
{
	return s->part.n > 0;
}
