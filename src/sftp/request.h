/*
 * What a client asks for: the bytes of a packet as a struct. Pure: every length is checked against what is there
 * before it is used, and nothing but the arguments is touched.
 *
 * A packet is a number of 4 bytes, then so many bytes: the type, the id, and what belongs to the type (draft-02,
 * section 3). All numbers are big-endian. What comes after the last field is passed over, as others do.
 */
#ifndef OPENSHELL_SFTP_REQUEST_H
#define OPENSHELL_SFTP_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum {
	SFTP_VERSION = 3,
	SFTP_PACKET_MAX = 256 << 10, /* bytes after the length: what OpenSSH takes */
	SFTP_DATA_MAX = 255 << 10,   /* of file data in one read or write */
	SFTP_PATH_MAX = 4095,        /* PATH_MAX without its NUL */
	SFTP_HANDLES_MAX = 1024,     /* open at once; ours */
};

/* What there is to ask for; the extensions come last. */
enum sftp_op {
	SFTP_INIT,
	SFTP_OPEN,
	SFTP_CLOSE,
	SFTP_READ,
	SFTP_WRITE,
	SFTP_LSTAT,
	SFTP_FSTAT,
	SFTP_SETSTAT,
	SFTP_FSETSTAT,
	SFTP_OPENDIR,
	SFTP_READDIR,
	SFTP_REMOVE,
	SFTP_MKDIR,
	SFTP_RMDIR,
	SFTP_REALPATH,
	SFTP_STAT,
	SFTP_RENAME,
	SFTP_READLINK,
	SFTP_SYMLINK,
	SFTP_POSIX_RENAME,
	SFTP_STATVFS,
	SFTP_FSTATVFS,
	SFTP_HARDLINK,
	SFTP_FSYNC,
	SFTP_LSETSTAT,
	SFTP_LIMITS,
	SFTP_EXPAND_PATH,
	SFTP_HOME_DIRECTORY,
	SFTP_OP_COUNT,
};

/* The name and the version by which an extension is offered; false for what is none. */
bool sftp_extension(enum sftp_op op, const char **name, const char **version);

/* flags of sftp_attrs (draft-02, section 5): which of its members are there. */
enum {
	SFTP_ATTR_SIZE = 1,
	SFTP_ATTR_OWNER = 2,
	SFTP_ATTR_PERMISSIONS = 4,
	SFTP_ATTR_TIMES = 8,
};

struct sftp_attrs {
	uint32_t flags;
	uint64_t size;
	uint32_t uid, gid, permissions, atime, mtime;
};

/* pflags of SFTP_OPEN (draft-02, section 6.3) */
enum {
	SFTP_OPEN_READ = 0x01,
	SFTP_OPEN_WRITE = 0x02,
	SFTP_OPEN_APPEND = 0x04,
	SFTP_OPEN_CREATE = 0x08,
	SFTP_OPEN_TRUNCATE = 0x10,
	SFTP_OPEN_EXCLUSIVE = 0x20,
};

/* A handle as we gave it out. */
struct sftp_name {
	uint32_t index, generation;
};
enum { SFTP_NAME_BYTES = 8, SFTP_NO_INDEX = UINT32_MAX };

/* Which members an operation has is in the table of request.c; the others are zero. */
struct sftp_request {
	enum sftp_op op;
	uint32_t id; /* SFTP_INIT: the client's version */
	char path[2][SFTP_PATH_MAX + 1];
	struct sftp_name handle; /* one that nobody gave out has index SFTP_NO_INDEX */
	uint64_t offset;
	uint32_t length;
	uint32_t pflags;
	struct str data; /* borrowed from the packet */
	struct sftp_attrs attrs;
};

enum sftp_parsed {
	SFTP_OK = 0,
	SFTP_MORE = 1,       /* sftp_packet: it is not whole yet */
	SFTP_TOO_LONG = -1,  /* sftp_packet: longer than SFTP_PACKET_MAX, or nothing at all */
	SFTP_NO_ID = -2,     /* not even that: there is nobody to answer */
	SFTP_MALFORMED = -3, /* fields that do not hold, or a path that cannot be one; id is set */
	SFTP_UNKNOWN = -4,   /* an operation that we do not have; id is set */
};

/* The first packet of what has come in, without its length: borrowed from in. */
enum sftp_parsed sftp_packet(struct str in, struct str *packet);
enum sftp_parsed sftp_request_parse(struct str packet, struct sftp_request *out);

#endif
