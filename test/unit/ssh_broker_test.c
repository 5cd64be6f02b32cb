/* supervisor/ssh_broker: what a session may ask for, and gets, with a real keeper. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

#include "base/log.h"
#include "base/str.h"
#include "keeper.h"
#include "sftp/sftp.h"
#include "supervisor/ssh_broker_impl.h"
#include "supervisor/ssh_peer.h"

static struct ssh_broker *broker;
static int pair = -1; /* the session's end */
static struct err err;
static bool drained;
static const char *bash = "/bin/bash", *sh = "/bin/sh";

static int make_environment(void *owner UNUSED, const char *term, const char *shell,
			    struct environment *out, struct err *e)
{
	static const struct sockaddr_in proxy = {.sin_family = AF_INET};
	static char *const own[] = {"PATH=/usr/bin:/bin", NULL};
	const struct environment_source from = {
		.own = own, .home = "/", .shell = shell, .term = term, .proxy = &proxy};

	return environment_make(out, &from, e);
}

static void on_drained(void *owner UNUSED)
{
	OK(!drained);
	drained = true;
}

static void tell_broker(pid_t pid, int wait_status)
{
	if (broker)
		ssh_broker_exited(broker, pid, wait_status);
}

static struct unix_peer ourselves(void)
{
	return (struct unix_peer){.pid = getpid(), .uid = getuid(), .gid = getgid()};
}

static int connect_as(const struct unix_peer *peer)
{
	int both[2];

	OK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both) == 0);
	ssh_broker_add(broker, both[1], peer, -1);
	return both[0];
}

static int connect_session(void)
{
	const struct unix_peer peer = ourselves();

	return connect_as(&peer);
}

static void on_pause(struct timer *t UNUSED)
{
	loop_stop(rig.loop, 0);
}

/* Lets it work for a moment. */
static void run(int ms)
{
	struct timer timer = {.fire = on_pause};

	timer_set(rig.loop, &timer, ms);
	loop_run(rig.loop);
	timer_stop(rig.loop, &timer);
}

/* What the session is told next; false at the end. */
static bool hear(int fd, struct ssh_packet *p, struct fdpass *fds)
{
	for (int i = 0; i < 2000; i++) {
		ssize_t n = fdpass_receive(fd, p, sizeof *p, fds);
		if (n >= 0 || errno == ECONNRESET)
			return n > 0;
		EQ(errno, EAGAIN);
		run(5);
	}
	FAIL("nothing was heard");
}

static struct ssh_packet heard(enum ssh_message message, struct fdpass *fds)
{
	struct ssh_packet p;

	OK(hear(pair, &p, fds));
	if (p.message == SSH_REFUSED && message != SSH_REFUSED)
		FAIL("refused: %s", p.refused.why);
	EQ(p.message, message);
	return p;
}

static void is_over(void)
{
	struct ssh_packet p;
	struct fdpass fds;

	OK(!hear(pair, &p, &fds));
}

static char logged[400]; /* last */

static void keep_log(void *arg UNUSED, enum log_level level UNUSED, struct str text)
{
	snprintf(logged, sizeof logged, "%.*s", STR_FMT(text));
}

static void start_broker(struct main_session *main_session)
{
	struct keeper_config c = plain(RUNG_HOST);
	struct fdpass fds;

	log_divert(keep_log, NULL); /* most of it is of a client that was refused */
	c.builtins[KEEPER_SFTP] = sftp_serve;
	also_exited = tell_broker;
	start_with(&c);
	const struct ssh_broker_config config = {
		.loop = rig.loop,
		.keeper = rig.keeper,
		.main = main_session,
		.cwd = "/tmp",
		.terminal_uid = (uid_t)-1,
		.bash = bash,
		.sh = sh,
		.environment = make_environment,
		.drained = on_drained,
	};
	broker = ssh_broker_new(&config);
	pair = connect_session();
	EQ(heard(SSH_BEGIN, &fds).channel, 0);
}

static void begin(void)
{
	start_broker(NULL);
}

static void end(void)
{
	ssh_broker_free(steal(&broker));
	stop();
}

/* ---- asking ---- */

static void send_with(const struct ssh_packet *p, int fd)
{
	OK(fdpass_send(pair, p, sizeof *p, &fd, fd >= 0) == 0);
}

static void ask(struct ssh_packet p)
{
	send_with(&p, -1);
}

static int memfd_of(const char *text, size_t n)
{
	int fd = memfd_create("command", MFD_CLOEXEC);

	OK(write(fd, text, n) == (ssize_t)n);
	return fd;
}

static void exec_on(uint32_t channel, const char *text, bool terminal)
{
	struct ssh_packet p = {.message = SSH_EXEC, .channel = channel};

	p.start.text_n = (uint32_t)strlen(text);
	p.start.terminal = terminal;
	strcpy(p.start.term, terminal ? "vt100" : "");
	int fd = memfd_of(text, p.start.text_n);
	send_with(&p, fd);
	close(fd);
}

/* All that is written there until its end. */
static const char *all_from(int fd)
{
	static char text[4][8192];
	static unsigned turn_of;
	char *p = text[turn_of++ % 4];
	size_t n = 0;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 2000; i++) {
		ssize_t r = read(fd, p + n, sizeof text[0] - 1 - n);
		if (r > 0)
			n += (size_t)r;
		else if (r == 0 || errno == EIO)
			break;
		else
			run(5);
	}
	p[n] = '\0';
	close(fd);
	return p;
}

/* Runs it with pipes: its output, its errors; its status as by waitpid. */
static const char *run_command(const char *text, const char **errors, int *wait_status)
{
	struct fdpass fds, none;

	exec_on(7, text, false);
	EQ(heard(SSH_STARTED, &fds).channel, 7);
	EQ(fds.n, 3);
	close(fds.fd[0]);
	const char *out = all_from(fds.fd[1]);
	*errors = all_from(fds.fd[2]);
	struct ssh_packet p = heard(SSH_EXITED, &none);
	EQ(p.channel, 7);
	*wait_status = p.status;
	ask((struct ssh_packet){.message = SSH_CLOSE, .channel = 7});
	return out;
}

TEST(broker_runs_a_command_with_pipes)
{
	const char *errors;
	int code;

	begin();
	STREQ(run_command("echo out; echo err >&2; pwd; echo $TERM $HOME $SHELL; exit 3", &errors,
			  &code),
	      "out\n/tmp\ndumb / /bin/bash\n");
	STREQ(errors, "err\n");
	EQ(WEXITSTATUS(code), 3);
	run_command("kill -KILL $$", &errors, &code);
	OK(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
	STREQ(run_command("cat", &errors, &code), ""); /* its stdin is closed */
	EQ(code, 0);
	/* it has inherited nothing else; 3 is the folder that is listed */
	STREQ(run_command("ls /proc/self/fd", &errors, &code), "0\n1\n2\n3\n");
	STREQ(run_command("", &errors, &code), "");
	EQ(code, 0);
	end();
}

TEST(broker_runs_a_command_longer_than_an_argument_may_be)
{
	static char text[SSH_TEXT_MAX + 1];
	const char *errors;
	int code;

	begin();
	memset(text, ' ', SSH_TEXT_MAX);
	memcpy(text, "echo $#; x='", 12);
	memset(text + 12, 'y', SSH_TEXT_MAX - 12 - 40);
	strcpy(text + SSH_TEXT_MAX - 40, "'; echo ${#x} \"$1\"; exit 9");
	STREQ(run_command(text, &errors, &code), "0\n262092 \n");
	STREQ(errors, "");
	EQ(WEXITSTATUS(code), 9);
	end();
}

TEST(broker_gives_a_terminal)
{
	struct ssh_packet p = {.message = SSH_SHELL, .channel = 1};
	struct fdpass fds, none;

	begin();
	p.start.terminal = 1;
	p.start.rows = 33;
	p.start.columns = 99;
	ask(p);
	heard(SSH_STARTED, &fds);
	EQ(fds.n, 1);
	const char line[] = "stty size; echo $TERM; exit 4\n";
	OK(write(fds.fd[0], line, sizeof line - 1) > 0);
	const char *text = all_from(fds.fd[0]);
	HAS(text, "33 99\r\n");
	HAS(text, "xterm-256color\r\n");
	EQ(WEXITSTATUS(heard(SSH_EXITED, &none).status), 4);
	end();
}

TEST(broker_hangs_up_what_has_a_terminal)
{
	struct fdpass fds;
	char path[] = "/tmp/broker_testXXXXXX", command[128];

	begin();
	int file = mkstemp(path);
	snprintf(command, sizeof command,
		 "trap 'echo hup >%s; exit' HUP; echo ready; while :; do sleep 0.05; done", path);
	exec_on(1, command, true);
	heard(SSH_STARTED, &fds);
	int master = fds.fd[0];
	char got[64] = "";
	for (int i = 0; i < 1000 && !strstr(got, "ready"); i++) {
		ssize_t n = read(master, got, sizeof got - 1);
		got[MAX(n, 0)] = '\0';
		run(5);
	}
	/* the session ends; the master is held, so that it is the broker that hangs up */
	close(pair);
	char text[8] = "";
	for (int i = 0; i < 1000 && pread(file, text, 3, 0) < 3; i++)
		run(5);
	STREQ(text, "hup");
	unlink(path);
	end();
}

TEST(broker_leaves_what_has_pipes)
{
	struct fdpass fds;
	char path[] = "/tmp/broker_testXXXXXX", command[128];

	begin();
	int file = mkstemp(path);
	snprintf(command, sizeof command, "echo ready; sleep 0.3; echo on >%s", path);
	exec_on(1, command, false);
	heard(SSH_STARTED, &fds);
	char text[8] = "";
	OK(read(fds.fd[1], text, 6) == 6);
	fdpass_close(&fds);
	close(pair);
	for (int i = 0; i < 1000 && pread(file, text, 2, 0) < 2; i++)
		run(5);
	HAS(text, "on");
	unlink(path);
	end();
}

TEST(broker_signals_only_what_the_session_started)
{
	struct fdpass fds, other_fds, none;
	struct ssh_packet p;

	begin();
	int other = connect_session();
	OK(hear(other, &p, &none) && p.message == SSH_BEGIN);
	exec_on(1, "sleep 1000", false);
	heard(SSH_STARTED, &fds);
	p = (struct ssh_packet){.message = SSH_SIGNAL, .channel = 1, .signo = SIGKILL};
	OK(fdpass_send(other, &p, sizeof p, NULL, 0) ==
	   0); /* its own channel 1, which there is not */
	run(100);
	EQ(fdpass_receive(pair, &p, sizeof p, &other_fds), -1);
	ask((struct ssh_packet){.message = SSH_SIGNAL, .channel = 1, .signo = SIGTERM});
	EQ(WTERMSIG(heard(SSH_EXITED, &none).status), SIGTERM);
	ask((struct ssh_packet){.message = SSH_SIGNAL, .channel = 1, .signo = SIGTERM});
	ask((struct ssh_packet){.message = SSH_CLOSE, .channel = 1});
	ask((struct ssh_packet){.message = SSH_CLOSE, .channel = 1}); /* harmless */
	const char *errors;
	int code;
	STREQ(run_command("echo alive", &errors, &code), "alive\n");
	end();
}

TEST(broker_serves_sftp)
{
	static const unsigned char init[] = {0, 0, 0, 5, 1, 0, 0, 0, 3};
	unsigned char answer[9];
	struct fdpass fds, none;

	begin();
	ask((struct ssh_packet){.message = SSH_SFTP, .channel = 1});
	heard(SSH_STARTED, &fds);
	EQ(fds.n, 3);
	OK(write(fds.fd[0], init, sizeof init) == sizeof init);
	EQ(read(fds.fd[1], answer, sizeof answer), sizeof answer);
	EQ(answer[4], 2); /* SSH_FXP_VERSION */
	fdpass_close(&fds);
	EQ(heard(SSH_EXITED, &none).status, 0);
	end();
}

/* ---- an image without a shell ---- */

static void no_shell(void)
{
	bash = "/nowhere/bash";
	sh = "/nowhere/sh";
}

TEST(broker_without_a_shell_runs_the_words)
{
	const char *errors;
	int code;

	no_shell();
	begin();
	run_command("cd / && A='b c' env", &errors, &code);
	EQ(code, 0);
	const char *text = run_command("cd /usr && A='b c' env", &errors, &code);
	HAS(text, "A=b c\n");
	STREQ(run_command("cd / && pwd", &errors, &code), "/\n");
	STREQ(run_command("echo 'a  b' \"c\" d\\ e", &errors, &code), "a  b c d e\n");
	end();
}

TEST(broker_without_a_shell_says_what_it_cannot)
{
	struct ssh_packet p = {.message = SSH_SHELL, .channel = 1};
	struct fdpass fds, none;
	const char *errors;
	int code;

	no_shell();
	begin();
	STREQ(run_command("echo a | cat", &errors, &code), "");
	EQ(WEXITSTATUS(code), 127);
	HAS(errors, "openshell: the image has no shell");
	HAS(errors, "|");
	run_command("no-such-program", &errors, &code);
	EQ(WEXITSTATUS(code), 127);
	HAS(errors, "exec no-such-program");
	run_command("/etc/hostname", &errors, &code);
	EQ(WEXITSTATUS(code), 126);
	p.start.terminal = 1;
	ask(p);
	heard(SSH_STARTED, &fds);
	HAS(all_from(fds.fd[0]), "openshell: the image has no shell: neither");
	EQ(WEXITSTATUS(heard(SSH_EXITED, &none).status), 127);
	end();
}

/* ---- connections ---- */

static int listen_on(int family, uint16_t *port)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_in four = {.sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin6_port = four.sin_port = htons(*port);
	if (family == AF_INET)
		OK(bind(fd, (struct sockaddr *)&four, sizeof four) == 0);
	else if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0)
		SKIP("no IPv6 here");
	OK(listen(fd, 8) == 0);
	OK(getsockname(fd, (struct sockaddr *)&at, &n) == 0);
	*port = ntohs(at.sin6_port); /* at the same place in both */
	return fd;
}

static struct ssh_packet to(uint32_t channel, const char *host, uint16_t port)
{
	struct ssh_packet p = {.message = SSH_CONNECT, .channel = channel};

	snprintf(p.connect.host, sizeof p.connect.host, "%s", host);
	p.connect.port = port;
	return p;
}

static void connects(const char *host, int listener, uint16_t port)
{
	static uint32_t channel = 100;
	struct fdpass fds;
	char text[4] = "";

	ask(to(++channel, host, port));
	EQ(heard(SSH_STARTED, &fds).channel, channel);
	EQ(fds.n, 1);
	int client = accept(listener, NULL, NULL);
	OK(write(client, "hi", 2) == 2);
	fcntl(fds.fd[0], F_SETFL, 0);
	EQ(read(fds.fd[0], text, 2), 2);
	STREQ(text, "hi");
	close(client);
	fdpass_close(&fds);
	ask((struct ssh_packet){.message = SSH_CLOSE, .channel = channel});
}

TEST(broker_connects_to_loopback)
{
	uint16_t port = 0;

	begin();
	int four = listen_on(AF_INET, &port);
	connects("localhost", four, port);
	connects("127.0.0.1", four, port);
	connects("::ffff:127.0.0.1", four, port);
	end();
}

TEST(broker_connects_to_the_other_loopback)
{
	uint16_t port = 0;

	begin();
	int six = listen_on(AF_INET6, &port);
	connects("::1", six, port);
	connects("localhost", six, port);
	end();
}

static void refused(struct ssh_packet p, int code)
{
	struct fdpass fds;

	ask(p);
	struct ssh_packet answer = heard(SSH_REFUSED, &fds);
	EQ(answer.channel, p.channel);
	EQ(answer.refused.code, code);
	OK(strlen(answer.refused.why) > 0);
}

TEST(broker_refuses_what_it_may_not)
{
	struct ssh_packet p = {.message = SSH_SUBSYSTEM, .channel = 1};
	uint16_t port = 0;

	begin();
	refused(to(1, "10.1.2.3", 80), EACCES);
	refused(to(1, "::ffff:10.1.2.3", 80), EACCES);
	refused(to(1, "::", 80), EACCES);
	refused(to(1, "0.0.0.0", 80), EACCES);
	refused(to(1, "example.com", 80), EACCES);
	refused(to(1, "", 80), EACCES);
	refused(to(1, "127.0.0.1", 0), EINVAL);
	strcpy(p.subsystem, "nonsense");
	refused(p, ENOENT);
	p = (struct ssh_packet){.message = SSH_MAIN, .channel = 1};
	refused(p, ENOTSUP);
	/* nobody listens there any more */
	close(listen_on(AF_INET, &port));
	refused(to(1, "127.0.0.1", port), ECONNREFUSED);
	end();
}

TEST(broker_has_room_for_so_many_channels)
{
	struct fdpass fds;

	begin();
	for (uint32_t i = 1; i <= SSH_CHANNELS_MAX; i++) {
		exec_on(i, "sleep 1000", false);
		heard(SSH_STARTED, &fds);
		fdpass_close(&fds);
	}
	refused((struct ssh_packet){.message = SSH_SHELL, .channel = 99}, EAGAIN);
	ask((struct ssh_packet){.message = SSH_CLOSE, .channel = 5});
	exec_on(99, "exit 5", false);
	heard(SSH_STARTED, &fds);
	EQ(WEXITSTATUS(heard(SSH_EXITED, &fds).status), 5);
	end();
}

/* ---- what is not in order ---- */

static void ends(const void *p, size_t n, const int *fds, size_t n_fds)
{
	begin();
	OK(fdpass_send(pair, p, n, fds, n_fds) == 0);
	is_over();
	EQ(broker->n_sessions, 0);
	end();
}

TEST(broker_ends_a_session_that_sends_less)
{
	struct ssh_packet p = {.message = SSH_SHELL, .channel = 1};

	ends(&p, sizeof p - 1, NULL, 0);
	HAS(logged, "an SSH session was ended");
	HAS(logged, "the session sent a message of");
}

TEST(broker_ends_a_session_that_sends_more)
{
	struct {
		struct ssh_packet p;
		char more;
	} big = {.p.message = SSH_SHELL};

	ends(&big, sizeof big, NULL, 0);
}

TEST(broker_ends_a_session_that_answers)
{
	struct ssh_packet p = {.message = SSH_STARTED, .channel = 1};

	ends(&p, sizeof p, NULL, 0);
}

TEST(broker_ends_a_session_that_says_nonsense)
{
	struct ssh_packet p = {.message = 4711, .channel = 1};

	ends(&p, sizeof p, NULL, 0);
}

TEST(broker_ends_a_session_with_a_descriptor_too_many)
{
	struct ssh_packet p = {.message = SSH_SHELL, .channel = 1};

	ends(&p, sizeof p, (int[]){0}, 1);
}

TEST(broker_ends_a_session_without_the_descriptor)
{
	struct ssh_packet p = {.message = SSH_EXEC, .channel = 1};

	ends(&p, sizeof p, NULL, 0);
}

TEST(broker_ends_a_session_with_a_text_that_has_no_end)
{
	struct ssh_packet p = {.message = SSH_SHELL, .channel = 1};

	memset(p.start.term, 'x', sizeof p.start.term);
	ends(&p, sizeof p, NULL, 0);
}

TEST(broker_ends_a_session_with_a_signal_that_there_is_not)
{
	struct ssh_packet p = {.message = SSH_SIGNAL, .channel = 1, .signo = -9};

	ends(&p, sizeof p, NULL, 0);
}

TEST(broker_ends_a_session_that_opens_a_channel_twice)
{
	struct fdpass fds;

	begin();
	exec_on(1, "cat", false);
	heard(SSH_STARTED, &fds);
	exec_on(1, "cat", false);
	is_over();
	end();
}

TEST(broker_takes_a_command_from_memory_only)
{
	struct ssh_packet p = {.message = SSH_EXEC, .channel = 1, .start.text_n = 4};
	struct fdpass fds;
	int end_of_pipe[2];

	begin();
	OK(pipe2(end_of_pipe, O_CLOEXEC) == 0); /* on which it would wait */
	send_with(&p, end_of_pipe[0]);
	EQ(heard(SSH_REFUSED, &fds).refused.code, EINVAL);
	int fd = memfd_of("abc", 3);
	send_with(&p, fd);
	EQ(heard(SSH_REFUSED, &fds).refused.code, EPROTO); /* it is shorter */
	fd = memfd_of("a\0bc", 4);
	send_with(&p, fd);
	EQ(heard(SSH_REFUSED, &fds).refused.code, EINVAL);
	end();
}

/* A session that asks and asks, and hears nothing. */
TEST(broker_ends_a_session_that_does_not_listen)
{
	const struct ssh_packet p = to(1, "10.0.0.1", 1);

	begin();
	for (int i = 0; i < 100000 && broker->n_sessions > 0; i++) {
		if (fdpass_send(pair, &p, sizeof p, NULL, 0) < 0 && errno != EAGAIN)
			break;
		if (i % 100 == 0)
			run(1);
	}
	run(10);
	EQ(broker->n_sessions, 0);
	end();
}

/* ---- who may come in ---- */

TEST(broker_lets_no_process_of_the_sandbox_in)
{
	struct ssh_packet p;
	struct fdpass fds;

	begin();
	struct unix_peer peer = ourselves();
	peer.pid = shell("sleep 1000", STDERR_FILENO);
	int fd = connect_as(&peer);
	OK(!hear(fd, &p, &fds));
	/* what was told of a process that has ended */
	OK(keeper_signal(rig.keeper, peer.pid, SIGKILL, &err) == 0);
	end_of(peer.pid);
	fd = connect_as(&peer);
	OK(!hear(fd, &p, &fds));
	/* a child of ours, which is not below the keeper */
	pid_t child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	peer.pid = child;
	fd = connect_as(&peer);
	OK(hear(fd, &p, &fds) && p.message == SSH_BEGIN);
	/* … unless it is the sshd: nobody below that connects */
	EQ(ssh_peer_check(&peer, -1, keeper_pid(rig.keeper), child, &err), -1);
	kill(child, SIGKILL);
	/* outside of our PID namespace */
	peer.pid = 0;
	fd = connect_as(&peer);
	OK(hear(fd, &p, &fds) && p.message == SSH_BEGIN);
	/* somebody else */
	peer.uid = getuid() + 4711;
	fd = connect_as(&peer);
	OK(!hear(fd, &p, &fds));
	end();
}

/* The number that the sandbox knows it by may be one of a PID namespace of its own. */
static pid_t child_of(pid_t parent)
{
	char path[64];
	int pid = 0;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", parent, parent);
	FILE *f = fopen(path, "re");
	if (!f)
		SKIP("no list of children here");
	OK(fscanf(f, "%d", &pid) == 1);
	fclose(f);
	return pid;
}

TEST(broker_lets_no_grandchild_of_the_sandbox_in)
{
	char text[16] = "";
	int out[2];

	begin();
	OK(pipe2(out, O_CLOEXEC) == 0);
	/* one that is left behind, and so falls to init, or to the keeper */
	end_of(shell("(setsid sleep 1000 & echo $!) ; exit 0", out[1]));
	OK(read(out[0], text, sizeof text - 1) > 0);
	struct unix_peer peer = ourselves();
	peer.pid = rig.started.init ? child_of(rig.started.init) : atoi(text);
	OK(peer.pid > 0);
	EQ(ssh_peer_check(&peer, -1, keeper_pid(rig.keeper), 0, &err), -1);
	HAS(err.text, "is of the sandbox");
	end();
}

/* Its number was given again to one that may come in. */
TEST(a_peer_that_is_gone_does_not_come_in_by_its_number)
{
	struct unix_peer peer = ourselves();
	pid_t heir = fork();

	if (heir == 0) {
		pause();
		_exit(0);
	}
	pid_t gone = fork();
	if (gone == 0)
		_exit(0);
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, gone, 0);
	_cleanup_close_ int alive = (int)syscall(SYS_pidfd_open, heir, 0);
	OK(pidfd >= 0 && alive >= 0 && waitpid(gone, NULL, 0) == gone);
	peer.pid = heir;
	EQ(ssh_peer_check(&peer, -1, 4711, 0, &err), 0);
	EQ(ssh_peer_check(&peer, alive, 4711, 0, &err), 0);
	EQ(ssh_peer_check(&peer, pidfd, 4711, 0, &err), -1);
	HAS(err.text, "is gone");
	EQ(ssh_peer_check(&peer, alive, heir, 0, &err), -1);
	HAS(err.text, "is of the sandbox");
	kill(heir, SIGKILL);
}

TEST(broker_has_room_for_so_many_sessions)
{
	struct ssh_packet p;
	struct fdpass fds;
	int fd[SSHD_SESSIONS_MAX];

	begin();
	for (int i = 1; i < SSHD_SESSIONS_MAX; i++) {
		fd[i] = connect_session();
		OK(hear(fd[i], &p, &fds));
	}
	int one_more = connect_session();
	OK(!hear(one_more, &p, &fds));
	close(fd[9]);
	run(50);
	one_more = connect_session();
	OK(hear(one_more, &p, &fds));
	end();
}

/* ---- the end ---- */

TEST(broker_tells_the_end_of_everything)
{
	struct fdpass fds;

	begin();
	exec_on(1, "sleep 1000", false);
	heard(SSH_STARTED, &fds);
	ssh_broker_keeper_ends(broker);
	keeper_free(steal(&rig.keeper));
	EQ(heard(SSH_EXITED, &fds).status, SIGKILL);
	refused((struct ssh_packet){.message = SSH_SHELL, .channel = 2}, ESHUTDOWN);
	ssh_broker_drain(broker);
	run(50);
	OK(!drained); /* the client has not been told yet */
	ask((struct ssh_packet){.message = SSH_CLOSE, .channel = 1});
	run(50);
	OK(drained);
	end();
}

TEST(broker_ends_with_what_is_being_started)
{
	struct fdpass fds;

	begin();
	exec_on(1, "sleep 1000", false);
	while (broker->sessions.next == &broker->sessions ||
	       list_first(&broker->sessions, struct session, link)->n_channels == 0)
		run(0);
	ssh_broker_keeper_ends(broker);
	keeper_free(steal(&rig.keeper));
	struct ssh_packet p;
	OK(hear(pair, &p, &fds));
	OK(p.message == SSH_REFUSED || p.message == SSH_STARTED);
	ssh_broker_drain(broker);
	close(pair);
	run(50);
	OK(drained);
	end();
}
