/* ocsf: where events go, and that nothing of it can fail, wait, or be led astray. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "ocsf/ocsf.h"
#include "ocsf/ocsf_impl.h"
#include "test.h"

/* 2026-11-25T08:00:01Z and the days around it, in ms. */
#define AT INT64_C(1795593601000)
#define DAY INT64_C(86400000)

static char folder[64];

/* A folder of the test's own, which is the current one. */
static void enter_folder(void)
{
	strcpy(folder, "/tmp/ocsf_test.XXXXXX");
	OK(mkdtemp(folder) != NULL);
	OK(chdir(folder) == 0);
	umask(022);
}

static void leave_folder(void)
{
	DIR *d = opendir(folder);
	const struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, strchr(e->d_name, '.') ? 0 : AT_REMOVEDIR);
	if (d)
		closedir(d);
	rmdir(folder);
}

/* The content of a file, until the next call; "" when there is none. */
static const char *content(const char *path)
{
	static char text[1 << 20];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	OK(write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* stderr is a file from here on. */
static void catch_stderr(void)
{
	int fd = open("stderr.txt", O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	OK(dup2(fd, STDERR_FILENO) >= 0);
	close(fd);
}

static struct ocsf *new_ocsf(const char *where, enum log_level level)
{
	return ocsf_new(&(struct ocsf_options){.sandbox_id = "id",
					       .sandbox_name = "name",
					       .hostname = "host",
					       .folder = where,
					       .stderr_level = level});
}

static void emit_at(struct ocsf *o, int64_t time_ms, const char *message)
{
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_BASE, .time_ms = time_ms, .message = str_of(message)});
}

static int count(const char *text, const char *part)
{
	int n = 0;

	for (; (text = strstr(text, part)) != NULL; text++)
		n++;
	return n;
}

/* ---- the emitter ---- */

TEST(an_event_is_a_line_and_a_record)
{
	enter_folder();
	struct ocsf *o = new_ocsf(folder, LOG_ERROR);
	struct err e;

	emit_at(o, AT, "one");
	OK(!exists("openshell-ocsf.2026-11-25.log"));
	ocsf_set_json(o, true);
	ocsf_set_proxy(o, (struct ocsf_endpoint){STR("10.200.0.1"), 3128});
	ocsf_emit(o, &(struct ocsf_event){.class = OCSF_NET,
					  .activity = OCSF_NET_LISTEN,
					  .time_ms = AT + 234,
					  .message = STR("two")});
	ocsf_set_json(o, false);
	emit_at(o, AT, "three");
	STREQ(content("openshell.2026-11-25.log"),
	      "2026-11-25T08:00:01.000Z OCSF EVENT [INFO] one\n"
	      "2026-11-25T08:00:01.234Z OCSF NET:LISTEN [INFO] [msg:two]\n"
	      "2026-11-25T08:00:01.000Z OCSF EVENT [INFO] three\n");
	const char *records = content("openshell-ocsf.2026-11-25.log");
	EQ(count(records, "\n"), 1);
	_cleanup_json_ cJSON *j = json_parse(str_of(records), "record", &e);
	STREQ(json_str(j, "message"), "two");
	EQ(json_int(json_get(j, "proxy_endpoint"), "port", 0), 3128);
	struct stat st;
	OK(stat("openshell.2026-11-25.log", &st) == 0);
	EQ(st.st_mode & 07777, 0640);
	ocsf_free(o);
	leave_folder();
}

TEST(what_time_it_is_is_asked_when_nobody_says)
{
	enter_folder();
	struct ocsf *o = new_ocsf(NULL, LOG_INFO);

	catch_stderr();
	emit_at(o, 0, "now");
	ocsf_free(o);
	HAS(content("stderr.txt"), "Z OCSF EVENT [INFO] now\n");
	OK(strncmp(content("stderr.txt"), "20", 2) == 0);
	leave_folder();
}

TEST(nobody_listens)
{
	ocsf_emit(NULL, &(struct ocsf_event){.class = OCSF_BASE});
	ocsf_set_proxy(NULL, (struct ocsf_endpoint){STR("10.200.0.1"), 3128});
	ocsf_free(NULL);
}

TEST(stderr_has_a_level_and_the_file_has_no_debug)
{
	enter_folder();
	struct ocsf *o = new_ocsf(folder, LOG_WARN);

	catch_stderr();
	for (int s = OCSF_INFORMATIONAL; s <= OCSF_FATAL; s++)
		ocsf_emit(o, &(struct ocsf_event){.class = OCSF_BASE,
						  .severity = (enum ocsf_severity)s,
						  .time_ms = AT,
						  .message = STR("event")});
	EQ(count(content("openshell.2026-11-25.log"), "\n"), 6);
	EQ(count(content("stderr.txt"), "\n"), 4);
	OK(!strstr(content("stderr.txt"), "[LOW]"));
	HAS(content("stderr.txt"), "[MED] event\n");
	ocsf_free(o);

	o = new_ocsf(NULL, LOG_DEBUG);
	ocsf_log(o, LOG_DEBUG, "proxy", STR("line\nbroken \x1b[2J"));
	HAS(content("stderr.txt"), "Z DEBUG proxy: line broken \\u{1b}[2J\n");
	ocsf_free(o);
	leave_folder();
}

struct heard {
	char text[2000];
};

static void hear(void *arg, int64_t time_ms, enum log_level level, const char *word,
		 const char *target, struct str text)
{
	struct heard *h = arg;
	size_t n = strlen(h->text);

	snprintf(h->text + n, sizeof h->text - n, "%d|%d|%s|%s|%.*s\n", time_ms > 0, level, word,
		 target, STR_FMT(text));
}

TEST(a_sink_hears_lines_and_events)
{
	struct ocsf *o = new_ocsf(NULL, LOG_ERROR);
	struct heard h = {""};

	ocsf_set_sink(o, hear, &h);
	emit_at(o, AT, "one");
	ocsf_log(o, LOG_INFO, "proxy", STR("two"));
	ocsf_set_sink(o, NULL, NULL);
	emit_at(o, AT, "three");
	STREQ(h.text, "1|2|OCSF|ocsf|EVENT [INFO] one\n1|2|INFO|proxy|two\n");
	ocsf_free(o);
}

TEST(the_lines_of_log_come_here)
{
	enter_folder();
	struct ocsf *o = new_ocsf(NULL, LOG_WARN);
	struct heard h = {""};

	catch_stderr();
	log_set_format(LOG_JSON);
	ocsf_set_sink(o, hear, &h);
	ocsf_divert_log(o);
	log_info("ready", "id=%s n=%d", "a b", 7);
	log_warn("odd");
	log_debug("unheard");
	ocsf_free(o);
	STREQ(h.text, "1|2|INFO|openshell|ready id=\"a b\" n=7\n1|1|WARN|openshell|odd\n");
	EQ(count(content("stderr.txt"), "\n"), 1);
	HAS(content("stderr.txt"), "Z WARN openshell: odd\n");
	log_info("later");
	HAS(content("stderr.txt"), "\"msg\":\"later\"");
	leave_folder();
}

TEST(errno_is_left_alone)
{
	struct ocsf *o = new_ocsf("/nonexistent", LOG_DEBUG);
	int fds[2];

	OK(pipe(fds) == 0 && dup2(fds[1], STDERR_FILENO) >= 0);
	errno = EDOM;
	emit_at(o, AT, "x");
	ocsf_log(o, LOG_INFO, "x", STR("y"));
	EQ(errno, EDOM);
	ocsf_free(o);
}

/* ---- days ---- */

TEST(files_roll_by_the_day_and_three_are_kept)
{
	enter_folder();
	struct ocsf *o = new_ocsf(folder, LOG_ERROR);

	write_file("openshell.2026-11-2x.log", "");  /* not one of ours */
	write_file("openshell.2026-11-20.log2", ""); /* nor this */
	write_file("openshell-other.2026-11-20.log", "");
	write_file("openshell.9999-12-31.log", ""); /* of a day to come */
	OK(symlink("openshell.9999-12-31.log", "openshell.2026-11-01.log") == 0);
	write_file("openshell.2026-11-21.log", "");
	write_file("openshell.2026-11-22.log", "");
	write_file("openshell.2026-11-23.log", "");
	ocsf_set_json(o, true);
	emit_at(o, AT - DAY, "before");
	OK(exists("openshell.2026-11-22.log") && !exists("openshell.2026-11-21.log"));
	for (int i = 0; i < 6; i++)
		emit_at(o, AT + i * DAY, "today");
	for (int day = 20; day <= 30; day++) {
		char name[64];
		for (int records = 0; records < 2; records++) {
			snprintf(name, sizeof name, "openshell%s.2026-11-%d.log",
				 records ? "-ocsf" : "", day);
			EQ(exists(name), day >= 28);
		}
	}
	EQ(count(content("openshell.2026-11-30.log"), "\n"), 1);
	OK(exists("openshell.2026-11-2x.log") && exists("openshell.2026-11-20.log2"));
	OK(exists("openshell-other.2026-11-20.log") && exists("openshell.9999-12-31.log"));
	OK(exists("openshell.2026-11-01.log"));
	ocsf_free(o);
	leave_folder();
}

TEST(the_day_is_utc)
{
	enter_folder();
	setenv("TZ", "UTC+11", 1);
	tzset();
	struct ocsf *o = new_ocsf(folder, LOG_ERROR);
	int64_t midnight = AT - AT % DAY;

	emit_at(o, midnight - 1, "last");
	emit_at(o, midnight, "first");
	STREQ(content("openshell.2026-11-24.log"),
	      "2026-11-24T23:59:59.999Z OCSF EVENT [INFO] last\n");
	STREQ(content("openshell.2026-11-25.log"),
	      "2026-11-25T00:00:00.000Z OCSF EVENT [INFO] first\n");
	ocsf_free(o);
	leave_folder();
}

TEST(a_log_is_continued_after_a_restart)
{
	enter_folder();
	for (int i = 0; i < 2; i++) {
		struct ocsf *o = new_ocsf(folder, LOG_ERROR);
		emit_at(o, AT, "again");
		ocsf_free(o);
	}
	EQ(count(content("openshell.2026-11-25.log"), "again\n"), 2);
	leave_folder();
}

/* ---- what others lay in the folder ---- */

/* That nothing is written there, that it is said once, and that a good file is found later. */
static void refused(const char *path, const char *why)
{
	struct roll r = ROLL_INIT(folder, "openshell");

	EQ(roll_write(&r, AT, STR("line\n")), ROLL_BROKE);
	HAS(r.why.text, why);
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_LOST);
	r.retry_at = 0;
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_LOST);
	EQ(r.lost, 3);
	OK(unlink(path) == 0 || rmdir(path) == 0);
	r.retry_at = 0;
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_RECOVERED);
	EQ(r.lost, 3);
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_WRITTEN);
	STREQ(content(path), "line\nline\n");
	roll_fini(&r);
}

#define TODAY "openshell.2026-11-25.log"

TEST(links_pipes_and_the_like_are_not_followed)
{
	enter_folder();
	write_file("victim.txt", "mine\n");
	OK(symlink("victim.txt", TODAY) == 0);
	refused(TODAY, TODAY);
	OK(unlink(TODAY) == 0 && symlink("new.txt", TODAY) == 0);
	refused(TODAY, TODAY);
	OK(!exists("new.txt"));
	OK(unlink(TODAY) == 0 && link("victim.txt", TODAY) == 0);
	refused(TODAY, "is not a file of ours alone");
	STREQ(content("victim.txt"), "mine\n");
	OK(unlink(TODAY) == 0 && mkfifo(TODAY, 0666) == 0);
	refused(TODAY, TODAY);
	/* with a reader it can be opened */
	OK(unlink(TODAY) == 0 && mkfifo(TODAY, 0666) == 0);
	int reader = open(TODAY, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	refused(TODAY, "is not a file of ours alone");
	close(reader);
	OK(unlink(TODAY) == 0 && mkdir(TODAY, 0700) == 0);
	refused(TODAY, TODAY);
	leave_folder();
}

TEST(a_file_of_somebody_else_is_not_written)
{
	if (geteuid() != 0)
		SKIP("only root can make a file of another user");
	enter_folder();
	write_file(TODAY, "");
	OK(chown(TODAY, 1000, 1000) == 0);
	refused(TODAY, "is not a file of ours alone");
	leave_folder();
}

TEST(the_folder_may_vanish_and_come_back)
{
	enter_folder();
	OK(mkdir("log", 0700) == 0);
	struct roll r = ROLL_INIT("log", "openshell");

	EQ(roll_write(&r, AT, STR("one\n")), ROLL_WRITTEN);
	OK(unlink("log/" TODAY) == 0 && rmdir("log") == 0);
	r.check_at = 0;
	EQ(roll_write(&r, AT, STR("two\n")), ROLL_BROKE);
	HAS(r.why.text, "log: No such file or directory");
	r.retry_at = 0;
	EQ(roll_write(&r, AT, STR("three\n")), ROLL_LOST);
	OK(mkdir("log", 0700) == 0);
	EQ(roll_write(&r, AT, STR("four\n")), ROLL_LOST); /* not tried so soon */
	r.retry_at = 0;
	EQ(roll_write(&r, AT, STR("five\n")), ROLL_RECOVERED);
	EQ(r.lost, 3);
	STREQ(content("log/" TODAY), "five\n");
	/* exchanged for another one */
	OK(rename("log", "old") == 0 && mkdir("log", 0700) == 0 && unlink("old/" TODAY) == 0);
	r.check_at = 0;
	EQ(roll_write(&r, AT, STR("six\n")), ROLL_WRITTEN);
	STREQ(content("log/" TODAY), "six\n");
	roll_fini(&r);
	unlink("log/" TODAY);
	OK(rmdir("log") == 0 && rmdir("old") == 0);
	leave_folder();
}

/* ---- what is full ---- */

/* Files may have so many bytes. */
static void limit_files(rlim_t bytes)
{
	struct rlimit limit = {bytes, RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	OK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

TEST(a_full_disk_loses_lines_and_says_so_once)
{
	char line[101];

	enter_folder();
	memset(line, 'x', 99);
	strcpy(line + 99, "\n");
	struct roll r = ROLL_INIT(folder, "openshell");
	EQ(roll_write(&r, AT, str_of(line)), ROLL_WRITTEN);
	limit_files(150);
	EQ(roll_write(&r, AT, str_of(line)), ROLL_BROKE); /* half of it went in */
	EQ(strlen(content(TODAY)), 150);
	for (int i = 0; i < 10; i++) {
		r.retry_at = i % 2 ? 0 : r.retry_at;
		EQ(roll_write(&r, AT, str_of(line)), ROLL_LOST);
	}
	limit_files(RLIM_INFINITY);
	r.retry_at = 0;
	EQ(roll_write(&r, AT, str_of(line)), ROLL_RECOVERED);
	EQ(r.lost, 11);
	/* the half line stays one by itself */
	EQ(strlen(content(TODAY)), 251);
	EQ(content(TODAY)[150], '\n');
	EQ(count(content(TODAY), "\n"), 3);
	roll_fini(&r);
	leave_folder();
}

TEST(trouble_and_its_end_are_told_on_stderr)
{
	enter_folder();
	catch_stderr();
	OK(mkdir("log", 0700) == 0);
	struct ocsf *o = new_ocsf("log", LOG_ERROR);

	OK(rmdir("log") == 0);
	for (int i = 0; i < 5; i++)
		emit_at(o, AT, "lost");
	STREQ(content("stderr.txt"),
	      "2026-11-25T08:00:01.000Z WARN ocsf: log: No such file or directory: "
	      "lines are lost there until it can be written\n");
	OK(mkdir("log", 0700) == 0);
	int64_t deadline = mono_ms() + 10000;
	while (count(content("stderr.txt"), "\n") < 2 && mono_ms() < deadline) {
		emit_at(o, AT, "found");
		poll(NULL, 0, 20);
	}
	HAS(content("stderr.txt"), "Z WARN ocsf: openshell log: written again, lines lost: ");
	HAS(content("log/" TODAY), "found\n");
	/* what comes and goes is not told each time */
	OK(unlink("log/" TODAY) == 0 && rmdir("log") == 0);
	deadline = mono_ms() + 1500;
	while (mono_ms() < deadline) {
		emit_at(o, AT, "lost");
		poll(NULL, 0, 20);
	}
	EQ(count(content("stderr.txt"), "\n"), 2);
	ocsf_free(o);
	leave_folder();
}

TEST(a_log_has_a_largest_size_a_day)
{
	enter_folder();
	struct roll r = ROLL_INIT(folder, "openshell");

	write_file(TODAY, "");
	OK(truncate(TODAY, OCSF_FILE_MAX - 6) == 0);
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_WRITTEN);
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_BROKE);
	HAS(r.why.text, "largest size of a day");
	r.retry_at = 0;
	EQ(roll_write(&r, AT + DAY, STR("line\n")), ROLL_RECOVERED);
	roll_fini(&r);
	leave_folder();
}

TEST(nobody_reads_stderr_and_nothing_waits)
{
	int fds[2];
	char text[8192];

	enter_folder();
	OK(pipe(fds) == 0 && dup2(fds[1], STDERR_FILENO) >= 0);
	signal(SIGPIPE, SIG_IGN);
	struct ocsf *o = new_ocsf(folder, LOG_INFO);
	for (int i = 0; i < 2000; i++)
		emit_at(o, AT, "an event that fills the pipe to its end, sooner or later");
	EQ(count(content(TODAY), "\n"), 2000); /* the file has them all */
	ssize_t n = read(fds[0], text, sizeof text);
	n = read(fds[0], text, sizeof text);
	OK(n > 0);
	emit_at(o, AT, "heard again");
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	bool told = false;
	while ((n = read(fds[0], text, sizeof text - 1)) > 0) {
		text[n] = '\0';
		told = told || strstr(text, "WARN ocsf: nobody read this: lines lost: ");
	}
	OK(told);
	/* and when the reader is gone for good */
	close(fds[0]);
	emit_at(o, AT, "unread");
	EQ(count(content(TODAY), "unread\n"), 1);
	ocsf_free(o);
	leave_folder();
}

TEST(descriptors_run_out)
{
	enter_folder();
	struct rlimit limit = {16, 16};
	struct roll r = ROLL_INIT(folder, "openshell");

	OK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	while (dup(0) >= 0)
		;
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_BROKE);
	HAS(r.why.text, strerror(EMFILE));
	close(9); /* one for the folder, one for the file; none to look for old files */
	close(10);
	r.retry_at = 0;
	EQ(roll_write(&r, AT, STR("line\n")), ROLL_RECOVERED);
	roll_fini(&r);
	close(11);
	STREQ(content(TODAY), "line\n");
	leave_folder();
}
