/*
 * ssh SOCKET          the sandbox's sshd, with a supervisor of the test's own that starts what is asked for as it is,
 *                     without a wall; ends at the end of its stdin. Prints "ready", then what it was asked for.
 * ssh connect SOCKET  stdin and stdout to the socket, for ProxyCommand
 * ssh kex SOCKET NAME libssh as a client that has this key exchange alone: logs in, and prints what was taken
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libssh/libssh.h>

#include "base/file.h"
#include "base/list.h"
#include "base/util.h"
#include "net/fdpass.h"
#include "sftp/sftp.h"
#include "ssh/attachment.h"
#include "ssh/broker.h"
#include "ssh/sshd.h"

enum { RUNS_MAX = 256 };

struct client {
	struct source source;
	struct loop *loop;
	struct later end;
};

/* What was started for somebody. */
static struct run {
	pid_t pid;
	uint32_t channel;
	struct client *client; /* NULL: gone */
} runs[RUNS_MAX];

static struct loop *loop;
static bool refuses; /* every client */
static struct {
	struct source source;
	struct client *client;
	uint32_t channel;
} attached;

extern char **environ;

/* ---- answers ---- */

static void answer(struct client *c, const struct ssh_packet *p, const int *fds, size_t n)
{
	if (c)
		fdpass_send(c->source.fd, p, sizeof *p, fds, n);
}

static void refuse(struct client *c, uint32_t channel, int code, const char *why)
{
	struct ssh_packet p = {
		.message = SSH_REFUSED, .channel = channel, .refused = {.code = code}};

	snprintf(p.refused.why, sizeof p.refused.why, "%s", why);
	answer(c, &p, NULL, 0);
}

static void started(struct client *c, uint32_t channel, const int *fds, size_t n)
{
	struct ssh_packet p = {.message = SSH_STARTED, .channel = channel};

	answer(c, &p, fds, n);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

static void remember(struct client *c, uint32_t channel, pid_t pid)
{
	for (size_t i = 0; i < RUNS_MAX; i++) {
		if (runs[i].pid != 0)
			continue;
		runs[i] = (struct run){pid, channel, c};
		return;
	}
	abort();
}

/* ---- starting ---- */

static _Noreturn void become(const struct ssh_packet *p, const char *command)
{
	char *sftp[] = {"sftp-server", NULL};
	const char *shell = "/bin/sh";

	signal(SIGPIPE, SIG_DFL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (p->start.term[0])
		setenv("TERM", p->start.term, 1);
	if (p->message == SSH_SFTP)
		_exit(sftp_serve(sftp, environ));
	if (p->message == SSH_EXEC)
		execl(shell, shell, "-c", command, NULL);
	else
		execl(shell, shell, p->start.terminal ? "-i" : NULL, NULL);
	_exit(127);
}

static void start_on_terminal(struct client *c, const struct ssh_packet *p, const char *command)
{
	struct winsize size = {.ws_row = p->start.rows ? p->start.rows : 24,
			       .ws_col = p->start.columns ? p->start.columns : 80};
	int master;
	pid_t pid = forkpty(&master, NULL, NULL, &size);

	if (pid == 0)
		become(p, command);
	remember(c, p->channel, pid);
	started(c, p->channel, &master, 1);
}

static void start_on_pipes(struct client *c, const struct ssh_packet *p, const char *command)
{
	int in[2], out[2], errors[2];

	must(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 &&
	     pipe2(errors, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		setsid();
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(errors[1], 2);
		for (int fd = 3; fd < 100; fd++)
			close(fd);
		become(p, command);
	}
	remember(c, p->channel, pid);
	close(in[0]);
	close(out[1]);
	close(errors[1]);
	started(c, p->channel, (int[]){in[1], out[0], errors[0]}, 3);
}

static void start(struct client *c, const struct ssh_packet *p, struct fdpass *fds)
{
	char *command = NULL;

	if (p->message == SSH_EXEC) {
		must(fds->n == 1 && p->start.text_n > 0 && p->start.text_n <= SSH_TEXT_MAX);
		command = xcalloc(1, p->start.text_n + 1);
		must(pread(fds->fd[0], command, p->start.text_n, 0) == p->start.text_n);
		printf("exec %.60s\n", command);
	}
	if (command && strcmp(command, "refuse me") == 0)
		refuse(c, p->channel, ENOENT, "no shell in this image");
	else if (p->start.terminal)
		start_on_terminal(c, p, command);
	else
		start_on_pipes(c, p, command);
	free(command);
}

static void connect_it(struct client *c, const struct ssh_packet *p)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(p->connect.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	printf("connect %s %u\n", p->connect.host, p->connect.port);
	if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
		started(c, p->channel, &fd, 1);
		return;
	}
	refuse(c, p->channel, errno, strerror(errno));
	close(fd);
}

/* ---- the main process: echoes its input, and ends at "exit N" ---- */

static void attachment_ready(struct source *s, uint32_t events UNUSED)
{
	char message[1 + ATTACHMENT_BYTES + 1];
	ssize_t n = recv(s->fd, message, sizeof message - 1, 0);

	if (n <= 0) {
		printf("detached\n");
		loop_del(loop, s);
		close(s->fd);
		return;
	}
	message[n] = '\0';
	if (message[0] == ATTACHMENT_SIZE) {
		uint16_t size[2];
		memcpy(size, message + 1, sizeof size);
		printf("size %u %u\n", size[0], size[1]);
		return;
	}
	int32_t code = 0;
	if (message[0] == ATTACHMENT_SIGNAL) {
		memcpy(&code, message + 1, sizeof code);
		printf("signal %d\n", code);
		return;
	}
	if (sscanf(message + 1, "exit %d", &code) == 1) {
		message[0] = ATTACHMENT_EXIT;
		memcpy(message + 1, &code, sizeof code);
		n = 1 + sizeof code;
	} else {
		message[0] = strncmp(message + 1, "errors", 6) == 0 ? ATTACHMENT_ERRORS
								    : ATTACHMENT_OUTPUT;
	}
	send(s->fd, message, (size_t)n, MSG_NOSIGNAL);
}

static void attach(struct client *c, const struct ssh_packet *p)
{
	static const char notice[] = "nattached", replay[] = "oreplayed\n";
	int pair[2];

	printf("attach terminal %d read-only %d\n", p->start.terminal, p->start.read_only);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	send(pair[0], notice, strlen(notice), 0);
	send(pair[0], replay, strlen(replay), 0);
	attached.source = (struct source){.fd = pair[0], .ready = attachment_ready, .name = "main"};
	struct err e;
	must(loop_add(loop, &attached.source, EPOLLIN, &e) == 0);
	started(c, p->channel, &pair[1], 1);
}

/* ---- clients ---- */

static void forget(struct client *c, uint32_t channel)
{
	for (size_t i = 0; i < RUNS_MAX; i++) {
		if (runs[i].pid == 0 || runs[i].client != c ||
		    (channel && runs[i].channel != channel))
			continue;
		runs[i].client = NULL;
		kill(-runs[i].pid, SIGHUP);
	}
}

static void send_signal(struct client *c, const struct ssh_packet *p)
{
	for (size_t i = 0; i < RUNS_MAX; i++)
		if (runs[i].pid != 0 && runs[i].client == c && runs[i].channel == p->channel)
			kill(-runs[i].pid, p->signo);
}

static void end_client(struct later *l)
{
	free(container_of(l, struct client, end));
}

static void client_ready(struct source *s, uint32_t events UNUSED)
{
	struct client *c = container_of(s, struct client, source);
	struct ssh_packet p;
	_cleanup_fdpass_ struct fdpass fds = {.n = 0};
	ssize_t n = fdpass_receive(s->fd, &p, sizeof p, &fds);

	if (n != sizeof p) {
		printf("gone\n");
		forget(c, 0);
		loop_del(loop, s);
		close(s->fd);
		loop_later(loop, &c->end);
		return;
	}
	if (p.message == SSH_MAIN)
		attach(c, &p);
	else if (p.message == SSH_CONNECT)
		connect_it(c, &p);
	else if (p.message == SSH_SIGNAL)
		send_signal(c, &p);
	else if (p.message == SSH_CLOSE)
		forget(c, p.channel);
	else
		start(c, &p, &fds);
}

static void on_session(void *owner UNUSED, int broker, const struct unix_peer *peer,
		       int pidfd UNUSED)
{
	const struct ssh_packet begin = {.message = SSH_BEGIN};
	struct err e;

	must(peer->pid > 0 && peer->uid == getuid());
	if (refuses) {
		close(broker);
		return;
	}
	struct client *c = xcalloc(1, sizeof *c);
	c->source = (struct source){.fd = broker, .ready = client_ready, .name = "client"};
	c->end.run = end_client;
	must(loop_add(loop, &c->source, EPOLLIN, &e) == 0);
	answer(c, &begin, NULL, 0);
}

static void on_full(void *owner UNUSED)
{
	printf("full\n");
}

static void on_gone(void *owner UNUSED, const struct err *why)
{
	die("the sshd is gone: %s", why->text);
}

static void on_child(int signo UNUSED, void *arg UNUSED)
{
	struct ssh_packet p = {.message = SSH_EXITED};

	for (size_t i = 0; i < RUNS_MAX; i++) {
		if (runs[i].pid == 0 || waitpid(runs[i].pid, &p.status, WNOHANG) != runs[i].pid)
			continue;
		p.channel = runs[i].channel;
		answer(runs[i].client, &p, NULL, 0);
		runs[i].pid = 0;
	}
}

static void on_stdin(struct source *s, uint32_t events UNUSED)
{
	char byte;

	if (read(s->fd, &byte, 1) != 1)
		loop_stop(loop, 0);
	else
		refuses = byte == 'r';
}

static int serve(const char *path)
{
	static const struct sshd_events events = {on_session, on_full, on_gone};
	const struct sshd_config config = {.socket = path};
	struct source in = {.fd = 0, .ready = on_stdin, .name = "stdin"};
	struct sshd *sshd;
	struct err e;

	setvbuf(stdout, NULL, _IOLBF, 0);
	fcntl(0, F_SETFL, O_NONBLOCK);
	if (sshd_start(&sshd, &config, &e) < 0 || loop_new(&loop, &e) < 0 ||
	    loop_add(loop, &in, EPOLLIN, &e) < 0 ||
	    loop_signal(loop, SIGCHLD, on_child, NULL, &e) < 0 ||
	    sshd_attach(sshd, loop, &events, NULL, &e) < 0)
		die("%s", e.text);
	printf("ready %d\n", sshd_pid(sshd));
	int status = loop_run(loop);
	sshd_free(sshd);
	return status;
}

/* ---- for ProxyCommand ---- */

static int copy(int from, int to)
{
	static char bytes[1 << 16];
	ssize_t n = read(from, bytes, sizeof bytes);

	return n > 0 && file_write_all(to, bytes, (size_t)n) == 0 ? 0 : -1;
}

static int dial(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	if (connect(fd, (struct sockaddr *)&at, sizeof at) < 0)
		die("connect %s: %s", path, strerror(errno));
	return fd;
}

static int relay(const char *path)
{
	int fd = dial(path);
	struct pollfd p[] = {{.fd = 0, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	while (poll(p, 2, -1) > 0) {
		if (p[1].revents && copy(fd, 1) < 0)
			return 0;
		if (p[0].revents && copy(0, fd) < 0)
			return 0;
	}
	return 1;
}

/* ---- a client ---- */

static int exchange_keys(const char *path, const char *method)
{
	int fd = dial(path);
	bool no = false;
	ssh_session ssh = ssh_new();

	if (ssh_options_set(ssh, SSH_OPTIONS_FD, &fd) < 0 ||
	    ssh_options_set(ssh, SSH_OPTIONS_HOST, "sandbox") < 0 ||
	    ssh_options_set(ssh, SSH_OPTIONS_PROCESS_CONFIG, &no) < 0 ||
	    ssh_options_set(ssh, SSH_OPTIONS_KEY_EXCHANGE, method) < 0 || ssh_connect(ssh) < 0 ||
	    ssh_userauth_none(ssh, NULL) != SSH_AUTH_SUCCESS)
		die("%s: %s", method, ssh_get_error(ssh));
	printf("%s\n", ssh_get_kex_algo(ssh));
	ssh_disconnect(ssh);
	ssh_free(ssh);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return serve(argv[1]);
	if (argc == 3 && strcmp(argv[1], "connect") == 0)
		return relay(argv[2]);
	if (argc == 4 && strcmp(argv[1], "kex") == 0)
		return exchange_keys(argv[2], argv[3]);
	die("usage: ssh SOCKET | ssh connect SOCKET | ssh kex SOCKET NAME");
}
