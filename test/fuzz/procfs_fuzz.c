/* The texts of /proc, any bytes: the first one says which it is. What is taken lies within the bytes. */
#include "base/util.h"
#include "proxy/procfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(char what, struct str text)
{
	struct proc_stat stat;
	struct str path;
	uint64_t inode;
	pid_t pid;
	size_t n = 0;

	switch (what) {
	case 's':
		if (proc_parse_stat(text, &stat))
			must(stat.pid > 0 && stat.ppid >= 0 && stat.state != 0);
		break;
	case 'c':
		while (proc_next_child(&text, &pid))
			must(pid > 0 && ++n <= SIZE_MAX / 2);
		break;
	case 'l':
		proc_parse_socket(text, &inode);
		break;
	default:
		for (size_t left = text.n; proc_next_path(&text, &path); left = text.n)
			must(path.p[0] == '/' && text.n + path.n <= left);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 0)
		read_all((char)data[0], str_sub(data + 1, size - 1));
	return 0;
}
