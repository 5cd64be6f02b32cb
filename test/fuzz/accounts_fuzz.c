/*
 * Who a sandbox is, from any files of an image: a first line OCI user, then /etc/passwd up to a NUL, then
 * /etc/group. Whatever they hold, the answer is not root.
 */
#include <stdlib.h>

#include "base/str.h"
#include "base/util.h"
#include "isolate/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str group = str_sub(data, size);
	struct str passwd = str_cut(&group, '\0');
	char *user = str_dup(str_cut(&passwd, '\n'));
	struct identity_source from = {.oci_user = user, .passwd = passwd, .group = group};
	struct identity id;
	struct err e;

	if (identity_resolve(&from, &id, &e) == 0)
		must(id.uid != 0 && id.uid != (uid_t)-1 && id.gid != (gid_t)-1 &&
		     id.n_groups <= IDENTITY_GROUPS_MAX);
	free(user);
	return 0;
}
