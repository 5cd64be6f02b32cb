/*
 * A kubeconfig: the bytes as a file that is loaded as a whole, YAML or JSON. What was loaded has a
 * server and comes from somewhere.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/util.h"
#include "kube/config_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int fd = -1;
	static char path[64];
	const char *const paths[] = {path};
	struct err e = {0};

	if (fd < 0) {
		fd = memfd_create("kubeconfig", MFD_CLOEXEC);
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, p, n, 0) != (ssize_t)n)
		return 0;
	struct kube_config *c = kube_config_new();
	if (kubeconfig_load(c, paths, 1, false, NULL, &e) == 0)
		must(c->server != NULL && c->origin != NULL);
	else
		must(e.code != 0 && e.text[0] != '\0' && memchr(e.text, '\0', sizeof e.text));
	kube_config_free(c);
	return 0;
}
