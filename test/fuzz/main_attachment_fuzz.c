/* What a session of the sshd sends to the main process's session, as one that has the input. */
#include <stdint.h>

#include "../../src/supervisor/main_attachment.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void sent(void *owner UNUSED, int signo)
{
	must(may_signal(signo));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct main_session s = {
		.c.signal = sent, .input.fd = -1, .output.fd = -1, .errors.fd = -1};
	static struct attachment a = {.session = &s};

	s.writer = &a;
	/* as it is received: what is longer ends it */
	if (size > 0 && size <= 1 + ATTACHMENT_BYTES)
		handle(&a, (const char *)data, size);
	must(main_session_takes_input(&s));
	return 0;
}
