#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/shell_words.h"
#include "supervisor/ssh_broker_impl.h"
#include "supervisor/terminal.h"

enum {
	EXIT_NOT_FOUND = 127, /* as of a shell */
	EXIT_NOT_RUN = 126,
	/* The kernel takes no argument of 128 KiB (MAX_ARG_STRLEN), and a command line may have twice that. */
	PART_MAX = 96 << 10,
	PARTS_MAX = SSH_TEXT_MAX / PART_MAX + 1,
	/* Bytes of stdout on their way, so that a busy machine changes less between processes; where a user may not have
	 * so much, it is the kernel's 64 KiB. */
	OUTPUT_PIPE = 256 << 10,
};

#define TERM_OF_TERMINALS "xterm-256color" /* supervisor contract 3.9 */

/* What is to be run, and where. */
struct program {
	struct environment environment;
	char *argv[8 + PARTS_MAX];
	char *text;               /* SSH_EXEC */
	char *parts[PARTS_MAX];   /* … of it, when it is long */
	char *cwd;                /* NULL: as always */
	struct shell_words words; /* without a shell */
};

static void program_fini(struct program *p)
{
	environment_fini(&p->environment);
	shell_words_fini(&p->words);
	for (size_t i = 0; i < ARRAY_LEN(p->parts); i++)
		free(p->parts[i]);
	free(p->text);
	free(p->cwd);
}

/* ---- its streams ---- */

static int open_terminal(struct channel *ch, const struct ssh_packet *p, struct err *e)
{
	uid_t uid = broker_of(ch)->c.terminal_uid;

	if (terminal_new(-1, &ch->ours[0], &ch->theirs[0], e) < 0)
		return -1;
	if (p->start.rows != 0 && p->start.columns != 0)
		terminal_set_size(ch->ours[0], p->start.rows, p->start.columns);
	/* as login does; without the right to it, the process can use it all the same */
	if (uid != (uid_t)-1 && fchown(ch->theirs[0], uid, (gid_t)-1) < 0 && errno != EPERM)
		return err_sys(e, "give the terminal to %u", uid);
	for (int i = 1; i < 3; i++) {
		ch->theirs[i] = fcntl(ch->theirs[0], F_DUPFD_CLOEXEC, 3);
		if (ch->theirs[i] < 0)
			return err_sys(e, "duplicate a descriptor");
	}
	return 0;
}

static int open_pipes(struct channel *ch, struct err *e)
{
	for (int i = 0; i < 3; i++) {
		int end[2];

		if (pipe2(end, O_CLOEXEC) < 0)
			return err_sys(e, "pipe2");
		ch->ours[i] = end[i == 0];
		ch->theirs[i] = end[i != 0];
	}
	fcntl(ch->ours[1], F_SETPIPE_SZ, OUTPUT_PIPE);
	return 0;
}

/* The client gets our ends, and the program, if there is one, has its own. */
static bool hand_over(struct channel *ch)
{
	bool good = ssh_channel_started(ch, ch->ours, ch->terminal ? 1 : 3);

	if (good)
		ssh_channel_close_streams(ch);
	return good;
}

/* In place of a program that cannot be run: its client reads why, and the exit code of a shell that cannot. */
static void say_instead(struct channel *ch, int code, const char *why)
{
	_cleanup_free_ char *text = xasprintf("openshell: %s\n", why);

	/* less than what a pipe or a terminal has room for: it does not wait */
	if (write(ch->theirs[2], text, strlen(text)) < 0)
		log_warn("an SSH client was not told why", "reason=%s", why);
	if (hand_over(ch))
		ssh_channel_over(ch, code << 8);
}

/* ---- what it is ---- */

/* The session has written it before; a descriptor that is no memfd could make us wait. */
static int read_text(struct program *out, int fd, size_t n, struct err *e)
{
	size_t at = 0;

	if (fcntl(fd, F_GET_SEALS) < 0)
		return err_sys(e, "the command line's descriptor");
	out->text = xcalloc(n + 1, 1);
	while (at < n) {
		ssize_t r = pread(fd, out->text + at, n - at, (off_t)at);

		if (r <= 0)
			return r < 0 ? err_sys(e, "read the command line")
				     : err_set(e, EPROTO, "the command line is shorter than said");
		at += (size_t)r;
	}
	if (memchr(out->text, 0, n) != NULL)
		return err_set(e, EINVAL, "the command line has a NUL byte");
	return 0;
}

/* SHELL -lc TEXT; where that is too long for one argument, its parts are put together by the shell. */
static void with_shell(struct program *out, const char *shell)
{
	static char script[] = "eval \"shift $#\n$1$2$3\"";
	_Static_assert(PARTS_MAX == 3, "the script has a $ for each part");
	size_t n = strlen(out->text), i = 0;

	out->argv[i++] = (char *)shell;
	out->argv[i++] = "-lc";
	if (n <= PART_MAX) {
		out->argv[i++] = out->text;
		return;
	}
	out->argv[i++] = script;
	out->argv[i++] = (char *)shell;
	for (size_t k = 0; k < PARTS_MAX && k * PART_MAX < n; k++) {
		out->parts[k] = xstrndup(out->text + k * PART_MAX, PART_MAX);
		out->argv[i++] = out->parts[k];
	}
}

static int without_shell(struct program *out, const struct ssh_broker *b, struct err *e)
{
	if (shell_words(&out->words, str_of(out->text), e) < 0)
		return err_wrap(e, "the image has no shell to read this command line");
	for (char **a = out->words.assign; *a != NULL; a++) {
		char *value = strchr(*a, '=');

		*value = '\0';
		if (environment_set(&out->environment, *a, value + 1, e) < 0)
			return -1;
		*value = '=';
	}
	const char *dir = out->words.cwd;
	if (dir != NULL)
		out->cwd = dir[0] == '/' ? xstrdup(dir) : xasprintf("%s/%s", b->c.cwd, dir);
	return 0;
}

static bool is_there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* NULL when the image has none. */
static const char *shell_of(const struct ssh_broker *b)
{
	return is_there(b->c.bash) ? b->c.bash : is_there(b->c.sh) ? b->c.sh : NULL;
}

/* False with what the client shall read. */
static bool choose(struct program *out, const struct ssh_broker *b, const struct ssh_packet *p,
		   const char *shell, struct err *e)
{
	if (p->message == SSH_SFTP) {
		out->argv[0] = "sftp-server";
	} else if (p->message == SSH_EXEC && shell == NULL) {
		return without_shell(out, b, e) == 0;
	} else if (p->message == SSH_EXEC) {
		with_shell(out, shell);
	} else if (shell == NULL) {
		err_set(e, ENOENT, "the image has no shell: neither %s nor %s", b->c.bash, b->c.sh);
		return false;
	} else {
		out->argv[0] = (char *)shell;
		out->argv[1] = p->start.terminal ? "-i" : NULL;
	}
	return true;
}

/* ---- its start ---- */

static void started(struct keeper_call *call, int result, const struct err *why)
{
	struct channel *ch = container_of(call, struct channel, call);
	bool gone = why != NULL && (why->code == ECONNRESET || why->code == ETIMEDOUT);

	if (result > 0) {
		ch->state = CHANNEL_RUNNING;
		ch->pid = result;
		hand_over(ch);
	} else if (gone) { /* the keeper, and not the program */
		ssh_channel_refused(ch, why);
	} else {
		say_instead(ch, why->code == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_RUN, why->text);
	}
}

static int spawn(struct channel *ch, const struct program *what, enum keeper_builtin builtin,
		 struct err *e)
{
	const struct ssh_broker *b = broker_of(ch);
	const struct keeper_spawn spawn = {
		.argv = what->words.argv ? what->words.argv : (char *const *)what->argv,
		.env = what->environment.v,
		.cwd = what->cwd ? what->cwd : b->c.cwd,
		.stdio = {ch->theirs[0], ch->theirs[1], ch->theirs[2]},
		.terminal = ch->terminal,
		.builtin = builtin,
	};

	ch->state = CHANNEL_STARTING;
	ch->call.done = started;
	return keeper_spawn(b->c.keeper, &spawn, &ch->call, e);
}

static const char *term_of(const struct channel *ch, const struct ssh_packet *p)
{
	struct str term = str_of(p->start.term);

	if (!ch->terminal)
		return NULL;
	return term.n == 0 || str_has_control(term) ? TERM_OF_TERMINALS : p->start.term;
}

int ssh_program_start(struct channel *ch, const struct ssh_packet *p, const struct fdpass *fds,
		      struct err *e)
{
	const struct ssh_broker *b = broker_of(ch);
	const char *shell = shell_of(b);
	_cleanup_(program_fini) struct program what = {.text = NULL};

	ch->state = CHANNEL_STARTING;
	ch->terminal = p->start.terminal && p->message != SSH_SFTP;
	if ((p->message == SSH_EXEC && read_text(&what, fds->fd[0], p->start.text_n, e) < 0) ||
	    (ch->terminal ? open_terminal(ch, p, e) : open_pipes(ch, e)) < 0 ||
	    b->c.environment(b->c.owner, term_of(ch, p), shell, &what.environment, e) < 0)
		return -1;
	if (!choose(&what, b, p, shell, e)) {
		say_instead(ch, EXIT_NOT_FOUND, e->text);
		return 0;
	}
	return spawn(ch, &what, p->message == SSH_SFTP ? KEEPER_SFTP : KEEPER_EXEC, e);
}
