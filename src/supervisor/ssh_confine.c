#include <errno.h>

#include "base/util.h"
#include "isolate/capabilities.h"
#include "isolate/landlock.h"
#include "isolate/seccomp.h"
#include "supervisor/ssh_confine.h"

int ssh_confine(void *arg UNUSED, struct err *e)
{
	static struct seccomp_filter filter;

	if (capabilities_keep(0, e) < 0)
		return -1;
	if (landlock_restrict_all() < 0 && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM)
		return err_sys(e, "apply the Landlock ruleset");
	seccomp_make_server(&filter);
	return seccomp_install(&filter) < 0 ? err_sys(e, "install the seccomp filter") : 0;
}
