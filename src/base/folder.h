/*
 * The names in a folder, one after the other: what walks over folders begins with this. Not sorted; what comes
 * and goes meanwhile may be there or not.
 */
#ifndef OPENSHELL_BASE_FOLDER_H
#define OPENSHELL_BASE_FOLDER_H

#include <dirent.h>
#include <sys/types.h>

#include "base/util.h"

/* Opens the folder path below at (or AT_FDCWD), which is no symbolic link itself. NULL with errno. "." opens at
 * once more, so that its names come from the beginning. */
DIR *folder_open(int at, const char *path);
/* The next name, but for . and .., which stays until the next call; NULL when there is none. */
const char *folder_next(DIR *d);
/* The same with what it is (S_IFDIR, …), as the folder has it; 0 where the file system does not say. It takes no look at the
 * thing itself, which may be on a server that does not answer. */
const char *folder_next_kind(DIR *d, mode_t *kind);

#define _cleanup_folder_ _cleanup_(cleanup_folderp)
void cleanup_folderp(DIR **d); /* keeps errno; NULL is nothing */

#endif
