/* The table of backends. A new one adds a line. */
#include "base/str.h"
#include "base/util.h"
#include "driver/backend.h"
#include "driver/kubernetes/kubernetes.h"

static const struct backend_ops *const backends[] = {
	&kubernetes_backend,
};

const struct backend_ops *backend_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(backends); i++) {
		if (streq(backends[i]->name, name))
			return backends[i];
	}
	return NULL;
}

const struct backend_ops *backend_at(size_t i)
{
	return i < ARRAY_LEN(backends) ? backends[i] : NULL;
}
