#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#include "base/buf.h"
#include "base/str.h"

int64_t bench_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void bench_add(struct bench_times *t, int64_t us)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 1024;
		t->us = xrealloc(t->us, t->cap * sizeof *t->us);
	}
	t->us[t->n++] = us;
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

int64_t bench_percentile(struct bench_times *t, int percent)
{
	if (t->n == 0)
		return 0;
	qsort(t->us, t->n, sizeof *t->us, compare);
	return t->us[(t->n - 1) * (size_t)percent / 100];
}

void *bench_send_on(void *arg)
{
	static char bytes[256 << 10];
	int fd = (int)(intptr_t)arg;

	while (send(fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
		;
	close(fd);
	return NULL;
}

cJSON *bench_read_json(const char *path)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct err e;
	ssize_t n;

	if (fd < 0)
		die("cannot open %s", path);
	while ((n = read(fd, buf_room(&text, 65536), 65536)) > 0)
		buf_added(&text, (size_t)n);
	cJSON *j = json_parse(buf_view(&text), path, &e);
	if (j == NULL)
		die("%s", e.text);
	return j;
}

int main(int argc, char **argv)
{
	if (argc > 1 && streq(argv[1], "load"))
		return load_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "objects"))
		return objects_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "start"))
		return start_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "now"))
		return now_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "wall"))
		return wall_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "client"))
		return client_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "callers"))
		return callers_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "session"))
		return session_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "gateway"))
		return gateway_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "inside"))
		return inside_main(argc - 1, argv + 1);
	if (argc > 1 && streq(argv[1], "passing"))
		return passing_main(argc - 1, argv + 1);
	die("usage: bench load|objects|start|wall|callers|session|gateway …");
}
