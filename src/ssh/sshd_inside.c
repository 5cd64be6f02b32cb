/* D: holds the host key and the listening socket, and forks a session for each connection. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SSH_SUPPRESS_DEPRECATED /* ssh_pki_generate, whose successor libssh 0.11 has not */
#include <libssh/libssh.h>

#include "base/fds.h"
#include "base/util.h"
#include "net/fdpass.h"
#include "ssh/sshd_impl.h"

enum {
	CPU_BYTES = 4096, /* of /proc/cpuinfo, which begins with all that the first one can */
	/* Of a session: SSH's windows of all its channels (2 MiB each, in buffers that double) fit in. What libssh answers to
	 * requests waits without a bound of its own for a client that asks and asks, and never reads. */
	MEMORY_MAX = 512 << 20,
};

/* Where a processor does AES itself nothing is faster; and since it is the client's list that decides, the others
 * are not offered then. */
#define CIPHERS_AES "aes256-gcm@openssh.com,aes128-gcm@openssh.com"
#define CIPHERS_ANY "chacha20-poly1305@openssh.com," CIPHERS_AES

struct inside {
	int listener, channel;
	int signals; /* SIGCHLD */
	struct sshd_identity identity;
	unsigned sessions;
	pid_t refusing[SSHD_REFUSALS_MAX]; /* 0: free */
};

extern char **environ;

/* ---- before it serves ---- */

static bool has_aes(void)
{
	char text[CPU_BYTES + 1];
	_cleanup_close_ int fd = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, CPU_BYTES);

	text[MAX(n, 0)] = '\0';
	return strstr(text, " aes ") != NULL;
}

static void forget_environment(void)
{
	static char *none[] = {NULL};

	for (char **e = environ; *e; e++)
		explicit_bzero(*e, strlen(*e));
	environ = none;
}

/* The library's generator was seeded when the program began, and every process forked since has a copy. */
static int make_identity(struct sshd_identity *id, struct err *e)
{
	if (ssh_finalize() < 0 || ssh_init() < 0)
		return err_set(e, EIO, "libssh does not start");
	if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &id->key) < 0)
		return err_set(e, EIO, "make the host key");
	id->ciphers = has_aes() ? CIPHERS_AES : CIPHERS_ANY;
	return 0;
}

static int take_signals(int *out, struct err *e)
{
	sigset_t child;

	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_SETMASK, &child, NULL);
	*out = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	return *out < 0 ? err_sys(e, "signalfd") : 0;
}

static int settle(struct inside *d, const struct sshd_config *c, pid_t supervisor, struct err *e)
{
	const struct rlimit none = {0, 0}, memory = {MEMORY_MAX, MEMORY_MAX};

	setsid();
	forget_environment();
	if (make_identity(&d->identity, e) < 0 || take_signals(&d->signals, e) < 0)
		return -1;
	prctl(PR_SET_NAME, "openshell-sshd", 0, 0, 0);
	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, "forbid core files");
	if (setrlimit(RLIMIT_DATA, &memory) < 0)
		return err_sys(e, "limit the memory");
	if (c->confine && c->confine(c->arg, e) < 0)
		return err_wrap(e, "confine");
	/* after what may change its identity, which clears it; and the supervisor may have died before */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != supervisor)
		return err_set(e, ESRCH, "the supervisor is gone");
	return 0;
}

/* ---- serving ---- */

/* What a process that serves one client does first. */
static void become(struct inside *d, const char *name, pid_t parent)
{
	sigset_t none;

	close(d->listener);
	close(d->channel);
	close(d->signals);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_NAME, name, 0, 0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		_exit(1);
}

/* Who connected, as far as the kernel can say. One that is gone already has nobody to be served. */
static bool look_at_peer(int client, struct unix_peer *peer, int *pidfd)
{
	struct err e;

	*pidfd = unix_peer_pidfd(client);
	return (*pidfd >= 0 || errno == ENOPROTOOPT) && unix_peer(client, peer, &e) == 0;
}

/* False: the supervisor is gone. One that has no room for a session at the moment costs the client its
 * connection. */
static bool begin(struct inside *d, int client)
{
	struct sshd_session session = {.full = false};
	pid_t self = getpid();
	_cleanup_close_ int peer = -1;
	int pair[2];

	if (!look_at_peer(client, &session.peer, &peer) ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return true;
	_cleanup_close_ int ours = pair[0], theirs = pair[1];
	fcntl(theirs, F_SETFL, O_NONBLOCK);
	pid_t pid = fork();
	if (pid == 0) {
		close(theirs);
		cleanup_closep(&peer);
		become(d, "openshell-ssh", self);
		session_live(&d->identity, client, ours);
	}
	if (pid < 0)
		return true;
	d->sessions++;
	/* when that fails the session finds its pair closed */
	return fdpass_send(d->channel, &session, sizeof session, (int[]){theirs, peer},
			   peer >= 0 ? 2 : 1) == 0 ||
	       errno == EAGAIN;
}

/* Where pid, or 0, is among those that are refused; NULL: nowhere. */
static pid_t *find_refusing(struct inside *d, pid_t pid)
{
	for (size_t i = 0; i < ARRAY_LEN(d->refusing); i++)
		if (d->refusing[i] == pid)
			return &d->refusing[i];
	return NULL;
}

/* There is no room for it. False: the supervisor is gone. */
static bool refuse(struct inside *d, int client)
{
	const struct sshd_session session = {.full = true};
	pid_t self = getpid(), *free = find_refusing(d, 0);
	pid_t pid = free != NULL ? fork() : -1;

	if (pid == 0) {
		become(d, "openshell-ssh", self);
		sshd_say_full(client);
	}
	if (pid > 0)
		*free = pid;
	return fdpass_send(d->channel, &session, sizeof session, NULL, 0) == 0 || errno == EAGAIN;
}

static bool accept_one(struct inside *d)
{
	_cleanup_close_ int client = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (client < 0)
		return true;
	return d->sessions >= SSHD_SESSIONS_MAX ? refuse(d, client) : begin(d, client);
}

static void reap(struct inside *d)
{
	struct signalfd_siginfo s;
	pid_t pid;

	while (read(d->signals, &s, sizeof s) == sizeof s)
		;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
		pid_t *refusing = find_refusing(d, pid);

		if (refusing != NULL)
			*refusing = 0;
		else
			d->sessions--;
	}
}

static void serve(struct inside *d)
{
	for (;;) {
		struct pollfd p[] = {{.fd = d->channel, .events = POLLIN},
				     {.fd = d->signals, .events = POLLIN},
				     {.fd = d->listener, .events = POLLIN}};

		if (poll(p, ARRAY_LEN(p), -1) < 0 && errno != EINTR)
			return;
		/* the supervisor says nothing, ever: it is its end */
		if (p[0].revents)
			return;
		if (p[1].revents)
			reap(d);
		if (p[2].revents && !accept_one(d))
			return;
	}
}

void sshd_live(const struct sshd_config *c, int listener, int channel, pid_t supervisor)
{
	struct inside d = {.signals = -1};
	struct sshd_hello hello = {{0}};

	d.listener = fds_above_stdio(listener);
	d.channel = fds_above_stdio(channel);
	fds_set_stdio_aside();
	fds_close_all_but((int[]){d.listener, d.channel}, 2);
	bool failed = settle(&d, c, supervisor, &hello.failed) < 0;
	if (fdpass_send(d.channel, &hello, sizeof hello, NULL, 0) < 0 || failed)
		_exit(1);
	serve(&d);
	/* its sessions die with it */
	_exit(0);
}
