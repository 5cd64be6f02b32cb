/* supervisor/pump: bytes get through whole, whoever is slow, and it ends when either side does. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "supervisor/pump.h"
#include "test.h"

enum { LARGE = 1 << 20 };

static struct loop *loop;
static struct err e;
static bool over;
static struct pump pump;

static void ended(struct pump *p UNUSED)
{
	over = true;
	loop_stop(loop, 0);
}

static void begin(int from, int to)
{
	signal(SIGPIPE, SIG_IGN);
	OK(loop_new(&loop, &e) == 0);
	pump.ended = ended;
	if (pump_start(&pump, loop, from, to, &e) < 0)
		FAIL("%s", e.text);
}

/* A child that writes so many bytes into the pipe, each the number of its place. */
static void write_many(int to)
{
	if (fork() != 0)
		return;
	for (int i = 0; i < LARGE; i += 4096) {
		unsigned char block[4096];
		for (int j = 0; j < 4096; j++)
			block[j] = (unsigned char)((i + j) * 7 >> 3);
		if (write(to, block, sizeof block) != sizeof block)
			_exit(1);
	}
	_exit(0);
}

/* A child that reads slowly, at first not at all, and says whether all came in order. */
static pid_t read_many(int from, const int *not_ours)
{
	pid_t pid = fork();
	unsigned char block[333];
	int at = 0;
	ssize_t n;

	if (pid != 0)
		return pid;
	for (int i = 0; i < 3; i++)
		close(not_ours[i]);
	usleep(50000);
	while ((n = read(from, block, sizeof block)) > 0)
		for (ssize_t i = 0; i < n; i++, at++)
			if (block[i] != (unsigned char)(at * 7 >> 3))
				_exit(2);
	_exit(at == LARGE ? 0 : 3);
}

static void all_get_through(int in[2], int out[2])
{
	int status;

	const int others[] = {in[0], in[1], out[1]};
	pid_t reader = read_many(out[0], others);
	write_many(in[1]);
	close(in[1]);
	close(out[0]);
	begin(in[0], out[1]);
	loop_run(loop);
	OK(over);
	close(out[1]);
	OK(waitpid(reader, &status, 0) == reader);
	EQ(status, 0);
}

TEST(pump_slow_reader_of_a_pipe)
{
	int in[2], out[2];

	OK(pipe(in) == 0 && pipe(out) == 0);
	all_get_through(in, out);
}

/* The source has long hung up while bytes still wait for room. */
TEST(pump_slow_reader_of_a_socket_that_does_not_block)
{
	int in[2], out[2];

	OK(pipe(in) == 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, out) == 0);
	OK(fcntl(out[0], F_SETFL, 0) == 0);
	int reversed[2] = {out[0], out[1]};
	all_get_through(in, reversed);
}

TEST(pump_into_a_file_and_into_nothing)
{
	char path[] = "/tmp/pump-test-XXXXXX";
	int file = mkstemp(path), null = open("/dev/null", O_WRONLY);
	int to[] = {file, null};

	for (int i = 0; i < 2; i++) {
		int in[2];
		OK(pipe(in) == 0);
		EQ(write(in[1], "words", 5), 5);
		close(in[1]);
		over = false;
		begin(in[0], to[i]);
		loop_run(loop);
		OK(over);
		close(in[0]);
		loop_free(loop);
	}
	EQ(lseek(file, 0, SEEK_END), 5);
	unlink(path);
}

TEST(pump_ends_when_nobody_reads)
{
	int in[2], out[2];

	OK(pipe(in) == 0 && pipe(out) == 0);
	close(out[0]);
	begin(in[0], out[1]);
	EQ(write(in[1], "words", 5), 5);
	loop_run(loop);
	OK(over);
}

TEST(pump_stopped_says_nothing)
{
	int in[2], out[2];

	OK(pipe(in) == 0 && pipe(out) == 0);
	begin(in[0], out[1]);
	close(in[1]);
	pump_stop(&pump);
	pump_stop(&pump);
	loop_free(loop);
	OK(!over);
}

TEST(pump_reopen_leaves_what_others_share)
{
	int end[2];

	OK(pipe(end) == 0);
	int fresh = pump_reopen(end[1]);
	OK(fresh > end[1]);
	OK(fcntl(fresh, F_GETFL) & O_NONBLOCK);
	OK(!(fcntl(end[1], F_GETFL) & O_NONBLOCK));
	EQ(write(fresh, "x", 1), 1);
	char byte;
	EQ(read(end[0], &byte, 1), 1);
}
