#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "base/util.h"
#include "supervisor/boot_impl.h"
#include "supervisor/tell.h"

enum {
	/* ours: twenty calls, if each takes as long as it may */
	BOOT_MS = 20 * (GATEWAY_CONNECT_MS + GATEWAY_CALL_MS),
	WORDS_MAX = 4096, /* of an event, or a failure */
	HEAD = 1 + sizeof(uint32_t),
};

/* ---- what the process says ---- */

/* When nobody listens any more there is nobody to tell. */
void boot_say(struct boot *b, enum boot_said what, const void *p, size_t n)
{
	const char kind = (char)what;
	const uint32_t length = (uint32_t)n;

	if (file_write_all(b->out, &kind, 1) == 0 &&
	    file_write_all(b->out, &length, sizeof length) == 0)
		(void)file_write_all(b->out, p, n);
}

void boot_say_message(struct boot *b, enum boot_said what, const void *message)
{
	size_t n = protobuf_c_message_get_packed_size(message);
	_cleanup_free_ uint8_t *bytes = xmalloc(n);

	protobuf_c_message_pack(message, bytes);
	boot_say(b, what, bytes, n);
}

void boot_tell(struct boot *b, const char *label, enum ocsf_severity severity, const char *fmt, ...)
{
	_cleanup_buf_ struct buf words = BUF_INIT(WORDS_MAX);
	char sentence[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof sentence, fmt, ap);
	va_end(ap);
	buf_char(&words, (char)severity);
	buf_add(&words, label, strlen(label) + 1);
	buf_cstr(&words, sentence);
	boot_say(b, BOOT_EVENT, words.p + words.at, words.n);
}

void boot_tell_finding(struct boot *b, const char *uid, const char *title,
		       enum ocsf_severity severity, const char *detail)
{
	_cleanup_buf_ struct buf words = BUF_INIT(WORDS_MAX);

	buf_char(&words, (char)severity);
	buf_add(&words, uid, strlen(uid) + 1);
	buf_add(&words, title, strlen(title) + 1);
	buf_cstr(&words, detail);
	boot_say(b, BOOT_FINDING, words.p + words.at, words.n);
}

static _Noreturn void make_the_calls(const struct gateway_boot_config *config, int out)
{
	struct boot b = {.config = config, .out = out};
	struct err e;

	if (boot_calls_init(&b, &e) < 0 || boot_token(&b, &e) < 0 || boot_policy(&b, &e) < 0)
		boot_say(&b, BOOT_FAILURE, e.text, strlen(e.text));
	else
		boot_providers(&b);
	_exit(0); /* its memory ends with it */
}

/* ---- what is heard ---- */

struct listening {
	const struct gateway_boot_config *config;
	struct gateway_boot *out;
	struct buf said;
};

static int hear_failure(struct listening *l UNUSED, struct str s, struct err *e)
{
	return err_set(e, EIO, "%.*s", STR_FMT(s));
}

/* A word with its NUL; NULL when there is none. */
static const char *cut_word(struct str *s)
{
	const char *word = s->p, *end = memchr(s->p, '\0', s->n);

	if (end == NULL)
		return NULL;
	*s = str_sub(end + 1, s->n - (size_t)(end + 1 - word));
	return word;
}

static int garbled(struct err *e)
{
	return err_set(e, EPROTO, "the process that asks the gateway says what nobody knows");
}

static bool cut_severity(struct str *s, enum ocsf_severity *out)
{
	if (s->n == 0)
		return false;
	*out = (enum ocsf_severity)s->p[0];
	*s = str_sub(s->p + 1, s->n - 1);
	return *out >= OCSF_INFORMATIONAL && *out <= OCSF_CRITICAL;
}

static int hear_event(struct listening *l, struct str s, struct err *e)
{
	enum ocsf_severity severity;
	const char *label;

	if (!cut_severity(&s, &severity) || (label = cut_word(&s)) == NULL)
		return garbled(e);
	tell_config(l->config->events, label, severity, "%.*s", STR_FMT(s));
	return 0;
}

static int hear_finding(struct listening *l, struct str s, struct err *e)
{
	enum ocsf_severity severity;
	const char *uid, *title;

	if (!cut_severity(&s, &severity) || (uid = cut_word(&s)) == NULL ||
	    (title = cut_word(&s)) == NULL)
		return garbled(e);
	_cleanup_free_ char *detail = str_dup(s);
	tell_finding(l->config->events, uid, title, severity, detail);
	return 0;
}

static int hear_config(struct listening *l, struct str s, struct err *e)
{
	if (l->out->config != NULL)
		return garbled(e);
	l->out->config = openshell__sandbox__v1__get_sandbox_config_response__unpack(
		NULL, s.n, (const uint8_t *)s.p);
	return l->out->config != NULL && (l->out->config->policy != NULL || l->config->by_file)
		       ? 0
		       : garbled(e);
}

static int hear_differs(struct listening *l, struct str s UNUSED, struct err *e UNUSED)
{
	l->out->differs = true;
	return 0;
}

static int hear_variable(struct listening *l, struct str s, struct err *e)
{
	_cleanup_free_ char *text = str_dup(s);

	return strchr(text, '=') != NULL && variables_add(&l->out->variables, text) ? 0
										    : garbled(e);
}

static int hear_no_providers(struct listening *l, struct str s UNUSED, struct err *e UNUSED)
{
	l->out->no_providers = true;
	return 0;
}

static const struct {
	enum boot_said what;
	size_t max;
	int (*hear)(struct listening *l, struct str s, struct err *e);
} known[] = {
	{BOOT_FAILURE, WORDS_MAX, hear_failure},
	{BOOT_EVENT, WORDS_MAX, hear_event},
	{BOOT_FINDING, WORDS_MAX, hear_finding},
	{BOOT_CONFIG, GATEWAY_MESSAGE_MAX, hear_config},
	{BOOT_DIFFERS, 0, hear_differs},
	{BOOT_VARIABLE, 2 * PROVIDERS_VALUE_MAX, hear_variable},
	{BOOT_NO_PROVIDERS, 0, hear_no_providers},
};

/* Hears all that has been said whole. */
static int hear(struct listening *l, struct err *e)
{
	while (l->said.n >= HEAD) {
		struct str s = buf_view(&l->said);
		uint32_t n;
		size_t i = 0;

		memcpy(&n, s.p + 1, sizeof n);
		while (i < ARRAY_LEN(known) && (char)known[i].what != s.p[0])
			i++;
		if (i == ARRAY_LEN(known) || n > known[i].max)
			return garbled(e);
		if (s.n < HEAD + n)
			return 0;
		if (known[i].hear(l, str_sub(s.p + HEAD, n), e) < 0)
			return -1;
		buf_consume(&l->said, HEAD + n);
	}
	return 0;
}

/* Until it has ended, which is 0. */
static int listen_to(struct listening *l, int in, int signals, struct err *e)
{
	int64_t until = mono_ms() + BOOT_MS;
	struct pollfd fds[] = {{.fd = in, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

	for (;;) {
		char part[4096];
		int n = poll(fds, ARRAY_LEN(fds), (int)MAX(until - mono_ms(), (int64_t)0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ETIMEDOUT, "no configuration within %d s",
				       BOOT_MS / 1000);
		if (fds[1].revents != 0)
			return err_set(e, EINTR, "told to end while the gateway was asked");
		ssize_t got = read(in, part, sizeof part);
		if (got == 0)
			return 0;
		if (got < 0 && errno != EINTR)
			return err_sys(e, "hear the configuration");
		if (got > 0 && (!buf_add(&l->said, part, (size_t)got) || hear(l, e) < 0))
			return e->code != 0 ? -1 : garbled(e);
	}
}

/* ---- the whole ---- */

static int hold_signals(sigset_t *before, int *fd, struct err *e)
{
	sigset_t held;

	sigemptyset(&held);
	sigaddset(&held, SIGTERM);
	sigaddset(&held, SIGINT);
	sigprocmask(SIG_BLOCK, &held, before);
	*fd = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
	return *fd < 0 ? err_sys(e, "signalfd") : 0;
}

static pid_t start(const struct gateway_boot_config *config, int *in, struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "pipe2");
	*in = ends[0];
	_cleanup_close_ int theirs = ends[1];
	pid_t parent = getpid(), pid = fork();
	if (pid < 0)
		return err_sys(e, "fork");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		make_the_calls(config, theirs);
	}
	return pid;
}

int gateway_boot(struct gateway_boot *out, const struct gateway_boot_config *config, struct err *e)
{
	_cleanup_close_ int in = -1, signals = -1;
	sigset_t before;

	*out = (struct gateway_boot){0};
	if (hold_signals(&before, &signals, e) < 0)
		return -1;
	pid_t pid = start(config, &in, e);
	if (pid < 0)
		return -1;
	struct listening l = {config, out, BUF_INIT(HEAD + GATEWAY_MESSAGE_MAX + 4096)};
	e->code = 0;
	int r = listen_to(&l, in, signals, e);
	buf_fini(&l.said);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return -1; /* after a signal nothing is started: it stays held, and pending */
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (out->config == NULL)
		return err_set(e, EPIPE, "the process that asked gateway %s died",
			       config->gateway->address);
	return 0;
}

void gateway_boot_fini(struct gateway_boot *b)
{
	openshell__sandbox__v1__get_sandbox_config_response__free_unpacked(steal(&b->config), NULL);
	variables_fini(&b->variables);
}
