#include <stddef.h>
#include <string.h>

#include "base/util.h"
#include "proxy/procfs.h"

bool proc_parse_pid(struct str name, pid_t *out)
{
	uint64_t n;

	if (!str_u64(name, &n) || n == 0 || n > INT32_MAX)
		return false;
	*out = (pid_t)n;
	return true;
}

/* The words of stat behind the name, by their numbers in proc(5). */
enum { STATE = 3, PPID = 4, FLAGS = 9, THREADS = 20, STARTED = 22 };

bool proc_parse_stat(struct str text, struct proc_stat *out)
{
	const char *name = text.n ? memchr(text.p, '(', text.n) : NULL;
	const char *end = text.n ? memrchr(text.p, ')', text.n) : NULL;
	uint64_t ppid = 0, flags = 0;

	memset(out, 0, sizeof *out);
	if (name == NULL || end == NULL || end < name ||
	    !proc_parse_pid(str_trim(str_sub(text.p, (size_t)(name - text.p))), &out->pid))
		return false;
	struct str rest = str_trim(str_sub(end + 1, text.n - (size_t)(end + 1 - text.p)));
	for (int i = STATE; i <= STARTED; i++) {
		struct str word = str_cut(&rest, ' ');
		bool good = true;
		switch (i) {
		case STATE:
			good = word.n == 1 && word.p[0] >= 'A' && word.p[0] <= 'z';
			out->state = good ? word.p[0] : 0;
			break;
		case PPID:
			good = str_u64(word, &ppid) && ppid <= INT32_MAX;
			break;
		case FLAGS:
			good = str_u64(word, &flags) && flags <= UINT32_MAX;
			break;
		case THREADS:
			good = str_u64(word, &out->threads);
			break;
		case STARTED:
			good = str_u64(word, &out->started);
			break;
		default:
			good = word.n > 0;
			break;
		}
		if (!good)
			return false;
	}
	out->ppid = (pid_t)ppid;
	out->flags = (uint32_t)flags;
	return true;
}

bool proc_next_child(struct str *rest, pid_t *out)
{
	*rest = str_trim(*rest);
	return rest->n > 0 && proc_parse_pid(str_cut(rest, ' '), out);
}

bool proc_parse_socket(struct str link, uint64_t *inode)
{
	if (!str_skip(&link, "socket:[") || !str_ends(link, "]"))
		return false;
	link.n--;
	return str_u64(link, inode);
}

bool proc_next_path(struct str *rest, struct str *out)
{
	while (rest->n > 0) {
		*out = str_cut(rest, '\0');
		if (str_starts(*out, "/"))
			return true;
	}
	return false;
}
