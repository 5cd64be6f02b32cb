/* supervisor/main_session: the ring, attachments, who has the input, and a log that nobody reads. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "supervisor/main_session_impl.h"
#include "supervisor/terminal.h"
#include "test.h"

/* ---- the ring ---- */

static struct output_ring ring;
static struct err e;

static void add(char stream, const char *text)
{
	output_ring_add(&ring, stream, text, strlen(text));
}

static const char *next(struct output_cursor *c)
{
	static char text[OUTPUT_RECORD_MAX + 3];
	char stream = '-';
	size_t n = output_ring_read(&ring, c, &stream, text + 2);

	text[0] = stream;
	text[1] = ':';
	text[2 + n] = '\0';
	return text;
}

TEST(ring_keeps_the_order_of_the_streams)
{
	OK(output_ring_init(&ring, &e) == 0);
	struct output_cursor c = output_ring_oldest(&ring);
	STREQ(next(&c), "-:");
	add('o', "one ");
	add('o', "two ");
	add('e', "three");
	add('o', "four");
	EQ(output_ring_records_left(&ring, &c), 4);
	STREQ(next(&c), "o:one two ");
	STREQ(next(&c), "e:three");
	STREQ(next(&c), "o:four");
	STREQ(next(&c), "-:");
	EQ(output_ring_left(&ring, &c), 0);
	output_ring_fini(&ring);
}

TEST(ring_pushes_the_oldest_out_and_counts_them)
{
	char block[OUTPUT_RECORD_MAX];
	const unsigned fit = OUTPUT_RING_BYTES / (sizeof block + 4);

	OK(output_ring_init(&ring, &e) == 0);
	struct output_cursor late = output_ring_oldest(&ring);
	for (unsigned i = 0; i < fit + 5; i++) {
		memset(block, 'a' + (int)(i % 26), sizeof block);
		output_ring_add(&ring, 'o', block, sizeof block);
	}
	EQ(output_ring_missed(&ring, &late), 5);
	struct output_cursor c = output_ring_oldest(&ring);
	for (unsigned i = 5; i < fit + 5; i++) {
		const char *text = next(&c);
		EQ(strlen(text), 2 + sizeof block);
		EQ(text[2], 'a' + (int)(i % 26));
		EQ(text[1 + sizeof block], 'a' + (int)(i % 26));
	}
	STREQ(next(&c), "-:");
	output_ring_fini(&ring);
}

TEST(ring_of_records_of_any_size)
{
	unsigned random = 7;
	unsigned long written = 0, read = 0;
	char block[OUTPUT_RECORD_MAX], stream;

	OK(output_ring_init(&ring, &e) == 0);
	struct output_cursor c = output_ring_oldest(&ring);
	for (int i = 0; i < 3000; i++) {
		random = random * 1103515245 + 12345;
		size_t n = 1 + (random >> 8) % OUTPUT_RECORD_MAX;
		for (size_t k = 0; k < n; k++)
			block[k] = (char)(written++ * 31 >> 2);
		output_ring_add(&ring, (random >> 4) % 2 ? 'o' : 'e', block, n);
		if (i % 50 != 49)
			continue;
		while ((n = output_ring_read(&ring, &c, &stream, block)) > 0)
			for (size_t k = 0; k < n; k++)
				OK(block[k] == (char)(read++ * 31 >> 2));
		EQ(read, written);
	}
	output_ring_fini(&ring);
}

/* ---- a session ---- */

static struct rig {
	struct loop *loop;
	struct main_session *session;
	int in, out, err; /* the main process's ends */
	int log[2];       /* the other ends of our stdout and stderr */
	int signo;
	bool drained;
} rig;

static void on_signal(void *owner UNUSED, int signo)
{
	rig.signo = signo;
}

static void on_drained(void *owner UNUSED)
{
	OK(!rig.drained);
	rig.drained = true;
}

static void on_time(struct timer *t UNUSED)
{
	loop_stop(rig.loop, 0);
}

/* Lets it work for a moment. */
static void run(int ms)
{
	struct timer limit = {.fire = on_time};

	timer_set(rig.loop, &limit, ms);
	loop_run(rig.loop);
	timer_stop(rig.loop, &limit);
}

#define AWAIT(cond)                                                                                \
	do {                                                                                       \
		for (int tries = 0; !(cond); tries++) {                                            \
			if (tries == 1000)                                                         \
				FAIL("not: " #cond);                                               \
			run(10);                                                                   \
		}                                                                                  \
	} while (0)

static void make_pipe(int *ours, int *theirs, bool input)
{
	int end[2];

	OK(pipe2(end, O_CLOEXEC) == 0);
	*ours = end[input];
	*theirs = end[!input];
	OK(fcntl(*ours, F_SETFL, O_NONBLOCK) == 0);
}

static void set_log(int i)
{
	int end[2];

	OK(pipe2(end, O_CLOEXEC | O_NONBLOCK) == 0);
	rig.log[i] = end[0];
	OK(dup2(end[1], i + 1) == i + 1);
	close(end[1]);
}

static void start(void)
{
	struct main_session_config c = {.signal = on_signal, .drained = on_drained};
	const int saved[2] = {dup(1), dup(2)};

	signal(SIGPIPE, SIG_IGN);
	OK(loop_new(&rig.loop, &e) == 0);
	c.loop = rig.loop;
	make_pipe(&c.input, &rig.in, true);
	make_pipe(&c.output, &rig.out, false);
	make_pipe(&c.errors, &rig.err, false);
	set_log(0);
	set_log(1);
	int r = main_session_new(&rig.session, &c, &e);
	/* it has opened them anew */
	OK(dup2(saved[0], 1) == 1 && dup2(saved[1], 2) == 2);
	if (r < 0)
		FAIL("%s", e.text);
}

static void stop(void)
{
	main_session_free(rig.session);
	loop_free(rig.loop);
}

static int attach_as(bool read_only, uint16_t rows, uint16_t columns)
{
	const struct main_attach how = {read_only, rows, columns};
	int fd;

	if (main_session_attach(rig.session, &how, &fd, &e) < 0)
		FAIL("%s", e.text);
	return fd;
}

static int attach(void)
{
	return attach_as(false, 0, 0);
}

/* The next message; "" when there is none yet, NULL at the end. */
static const char *got(int fd)
{
	static char text[2 + ATTACHMENT_BYTES];
	ssize_t n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return NULL;
	if (n < 0)
		return "";
	text[n] = '\0';
	return text;
}

static const char *message(int fd)
{
	const char *text = got(fd);

	for (int i = 0; text && !*text && i < 1000; i++) {
		run(10);
		text = got(fd);
	}
	return text;
}

static void say(int fd, const char *text)
{
	OK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

/* Lets what was written last be read before anything else is written. */
static void say_and_wait(int fd, const char *text)
{
	uint64_t before = rig.session->ring.next;

	say(fd, text);
	AWAIT(rig.session->ring.next > before);
}

static void end_main(int code)
{
	close(rig.out);
	close(rig.err);
	main_session_finish(rig.session, code);
}

static void is_exit(const char *text, int32_t want)
{
	int32_t code;

	OK(text != NULL && text[0] == ATTACHMENT_EXIT);
	memcpy(&code, text + 1, sizeof code);
	EQ(code, want);
}

static const char *log_text(int i)
{
	static char text[256];
	ssize_t n = read(rig.log[i], text, sizeof text - 1);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

TEST(attached_to_what_was_and_what_comes)
{
	start();
	say_and_wait(rig.out, "one ");
	say_and_wait(rig.err, "two ");
	int fd = attach();
	STREQ(message(fd), "oone ");
	STREQ(message(fd), "etwo ");
	say(rig.out, "three");
	STREQ(message(fd), "othree");
	int other = attach();
	STREQ(message(other),
	      "nopenshell: the main process already has an input owner; attached read-only");
	STREQ(message(other), "oone ");
	STREQ(message(other), "etwo ");
	STREQ(message(other), "othree");
	STREQ(log_text(0), "one three");
	STREQ(log_text(1), "two ");
	end_main(7);
	is_exit(message(fd), 7);
	is_exit(message(other), 7);
	AWAIT(rig.drained);
	/* one that is late */
	int late = attach();
	STREQ(message(late), "oone ");
	STREQ(message(late), "etwo ");
	STREQ(message(late), "othree");
	is_exit(message(late), 7);
	stop();
}

static const char *typed(void)
{
	static char text[256];

	fcntl(rig.in, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 100; i++) {
		ssize_t n = read(rig.in, text, sizeof text - 1);
		if (n >= 0) {
			text[n] = '\0';
			return n == 0 ? "(end)" : text;
		}
		run(10);
	}
	return "";
}

TEST(attached_one_has_the_input)
{
	start();
	int first = attach_as(true, 0, 0);
	int writer = attach(), third = attach();
	HAS(message(third), "attached read-only");
	STREQ(got(first), "");
	say(first, "inot me ");
	say(third, "inor me ");
	run(50);
	say(writer, "ihello");
	STREQ(typed(), "hello");
	/* it leaves, which ends nothing, and the next one that comes has it */
	close(writer);
	AWAIT(rig.session->writer == NULL);
	STREQ(typed(), "");
	int next_one = attach();
	say(next_one, "iagain");
	STREQ(typed(), "again");
	say(next_one, "s\x0f\0\0"); /* too short */
	OK(message(next_one) == NULL);
	say(third, "?");
	OK(message(third) == NULL);
	stop();
}

TEST(attached_one_types_more_than_is_read)
{
	char block[1 + ATTACHMENT_BYTES] = {ATTACHMENT_INPUT};
	size_t sent = 0, read_n = 0;

	start();
	int fd = attach();
	for (int i = 0; i < 200; i++) {
		memset(block + 1, 'a' + i % 26, ATTACHMENT_BYTES);
		if (send(fd, block, sizeof block, MSG_DONTWAIT) < 0) {
			EQ(errno, EAGAIN);
			run(10);
			continue;
		}
		sent += ATTACHMENT_BYTES;
	}
	OK(sent < 2u << 20); /* it was held back */
	OK(sent > 64 << 10);
	/* what it typed gets there although it leaves */
	fcntl(rig.in, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 1000 && read_n < sent; i++) {
		ssize_t n = read(rig.in, block, sizeof block);
		if (n > 0)
			read_n += (size_t)n;
		else
			run(5);
	}
	EQ(read_n, sent);
	stop();
}

TEST(attached_one_signals)
{
	struct {
		char kind;
		int32_t signo;
	} __attribute__((packed)) m = {ATTACHMENT_SIGNAL, SIGUSR1};

	start();
	int fd = attach(), other = attach();
	EQ(send(fd, &m, sizeof m, 0), sizeof m);
	run(50);
	EQ(rig.signo, 0); /* none of contract 3.8 */
	m.signo = SIGTERM;
	EQ(send(other, &m, sizeof m, 0), sizeof m);
	run(50);
	EQ(rig.signo, 0); /* reads only */
	EQ(send(fd, &m, sizeof m, 0), sizeof m);
	AWAIT(rig.signo == SIGTERM);
	stop();
}

TEST(attached_one_sizes_the_terminal)
{
	struct main_session_config c = {.signal = on_signal, .drained = on_drained};
	struct winsize size;
	uint16_t wh[3] = {0, 33, 0};
	int slave;

	c.terminal = true;
	c.errors = -1;
	OK(loop_new(&rig.loop, &e) == 0);
	c.loop = rig.loop;
	if (terminal_new(-1, &c.output, &slave, &e) < 0)
		SKIP("%s", e.text);
	c.input = fcntl(c.output, F_DUPFD_CLOEXEC, 3);
	OK(main_session_new(&rig.session, &c, &e) == 0);
	int fd = attach_as(false, 40, 100), other = attach_as(false, 5, 5);
	HAS(message(other), "read-only");
	OK(ioctl(slave, TIOCGWINSZ, &size) == 0);
	EQ(size.ws_row, 40);
	EQ(size.ws_col, 100);
	char m[5] = {ATTACHMENT_SIZE};
	memcpy(m + 1, &wh[1], 4);
	EQ(send(fd, m, sizeof m, 0), 5);
	for (int i = 0; i < 100 && (ioctl(slave, TIOCGWINSZ, &size), size.ws_row != 33); i++)
		run(10);
	EQ(size.ws_row, 33);
	EQ(size.ws_col, 1);
	stop();
}

/* Writes as much as goes into the pipe; how much. */
static size_t flood(void)
{
	static char block[4096];
	size_t all = 0;

	fcntl(rig.out, F_SETFL, O_NONBLOCK);
	for (ssize_t n; (n = write(rig.out, block, sizeof block)) > 0;)
		all += (size_t)n;
	return all;
}

static char said[512];

static void on_log(void *arg UNUSED, enum log_level level UNUSED, struct str text)
{
	snprintf(said, sizeof said, "%.*s", STR_FMT(text));
}

TEST(nobody_reads_the_log)
{
	size_t all = 0;

	log_divert(on_log, NULL);
	start();
	fcntl(rig.log[0], F_SETPIPE_SZ, 4096);
	for (int i = 0; i < 5000 && all < 4u << 20; i++) {
		all += flood();
		run(1);
	}
	OK(all >= 4u << 20); /* it did not wait for the log, or not for long */
	OK(rig.session->log[0].lost == 0);
	EQ(output_ring_missed(&rig.session->ring, &rig.session->log[0].at) > 0, 1);
	end_main(0);
	run(50);
	OK(!rig.drained);
	/* somebody reads now: what is still there, and the end */
	char block[65536];
	for (int i = 0; i < 2000 && !rig.drained; i++) {
		while (read(rig.log[0], block, sizeof block) > 0)
			;
		run(1);
	}
	OK(rig.drained);
	HAS(said, "was lost to the container's log");
	stop();
}

TEST(the_log_that_is_read_slowly_gets_all)
{
	size_t written = 0, read_n = 0;
	char block[4096];

	start();
	for (int i = 0; i < 20000 && read_n < 4u << 20; i++) {
		if (written < 4u << 20)
			written += flood();
		ssize_t n = read(rig.log[0], block, sizeof block);
		read_n += n > 0 ? (size_t)n : 0;
		run(0);
	}
	OK(read_n >= 4u << 20);
	EQ(rig.session->log[0].lost, 0);
	stop();
}

TEST(nobody_is_at_the_other_end_of_the_log)
{
	start();
	close(rig.log[0]);
	close(rig.log[1]);
	int fd = attach();
	say(rig.out, "hello");
	STREQ(message(fd), "ohello");
	say(rig.err, "there");
	STREQ(message(fd), "ethere");
	end_main(1);
	is_exit(message(fd), 1);
	AWAIT(rig.drained);
	stop();
}

TEST(attached_one_that_reads_nothing_is_told_and_closed)
{
	size_t all = 0;

	start();
	int fd = attach(), good = attach_as(true, 0, 0);
	char block[65536];
	for (int i = 0; i < 5000 && all < 3u << 20; i++) {
		all += flood();
		while (recv(good, block, sizeof block, MSG_DONTWAIT) > 0)
			;
		while (read(rig.log[0], block, sizeof block) > 0)
			;
		run(1);
	}
	OK(all >= 3u << 20); /* it went on */
	EQ(rig.session->writer == NULL, 1);
	/* what it has of the output, the notice, the end */
	const char *text;
	while ((text = message(fd)) != NULL && text[0] == ATTACHMENT_OUTPUT)
		;
	OK(text != NULL);
	HAS(text, "nopenshell: attachment fell behind by ");
	HAS(text, " output chunks; reconnect for buffered output");
	OK(message(fd) == NULL);
	/* the other one is there still */
	say(rig.err, "x");
	for (text = message(good); text && text[0] == ATTACHMENT_OUTPUT; text = message(good))
		;
	STREQ(text, "ex");
	stop();
}

TEST(attached_one_that_is_slow_gets_all)
{
	size_t written = 0, read_n = 0;
	char block[65536];

	start();
	int fd = attach();
	for (int i = 0; i < 20000 && read_n < 6u << 20; i++) {
		if (written < 6u << 20)
			written += flood();
		else
			close(steal_fd(&rig.out));
		while (read(rig.log[0], block, sizeof block) > 0)
			;
		/* one message a turn */
		ssize_t n = recv(fd, block, sizeof block, MSG_DONTWAIT);
		if (n > 0) {
			EQ(block[0], ATTACHMENT_OUTPUT);
			read_n += (size_t)n - 1;
		}
		run(0);
	}
	OK(read_n >= 6u << 20);
	stop();
}

TEST(attached_ones_are_not_too_many)
{
	const struct main_attach how = {.read_only = true};
	int fd[MAIN_ATTACHMENTS_MAX], one_more;

	start();
	for (int i = 0; i < MAIN_ATTACHMENTS_MAX; i++)
		fd[i] = attach_as(true, 0, 0);
	OK(main_session_attach(rig.session, &how, &one_more, &e) < 0);
	EQ(e.code, EAGAIN);
	close(fd[3]);
	AWAIT(rig.session->n_attachments < MAIN_ATTACHMENTS_MAX);
	OK(main_session_attach(rig.session, &how, &one_more, &e) == 0);
	stop();
}

TEST(main_closed_its_stdin)
{
	start();
	int fd = attach();
	close(rig.in);
	say(fd, "ihello");
	run(20);
	say(fd, "ihello");
	say(rig.out, "still here");
	STREQ(message(fd), "ostill here");
	stop();
}
