/* isolate/capabilities: what is given up is gone. */
#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <unistd.h>

#include "isolate/capabilities.h"
#include "test.h"

TEST(capabilities_are_kept_or_gone)
{
	struct err e;
	uint64_t had = capabilities_effective();

	NOT_EMULATED("capset");
	if (!(had & CAPABILITY(CAP_SYS_ADMIN)) || !(had & CAPABILITY(CAP_KILL)))
		SKIP("needs CAP_SYS_ADMIN and CAP_KILL");
	EQ(capabilities_keep(CAPABILITY(CAP_KILL) | CAPABILITY(CAP_BPF), &e), 0);
	EQ(capabilities_effective(), had & (CAPABILITY(CAP_KILL) | CAPABILITY(CAP_BPF)));
	EQ(unshare(CLONE_NEWNET), -1);
	EQ(errno, EPERM);
	EQ(capabilities_keep(~UINT64_C(0), &e), 0); /* nothing comes back */
	OK(!(capabilities_effective() & CAPABILITY(CAP_SYS_ADMIN)));
	EQ(capabilities_keep(0, &e), 0);
	EQ(capabilities_effective(), 0);
}
