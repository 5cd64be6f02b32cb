#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isolate/capabilities.h"

static struct __user_cap_header_struct self = {.version = _LINUX_CAPABILITY_VERSION_3};

uint64_t capabilities_effective(void)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &self, data) < 0)
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

int capabilities_keep(uint64_t set, struct err *e)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &self, data) < 0)
		return err_sys(e, "read the capabilities");
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (uint32_t)(set >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &self, data) < 0 ? err_sys(e, "drop capabilities") : 0;
}
