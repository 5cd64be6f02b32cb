/*
 * What a client is told: replies as bytes, appended to a buffer that has the room (its owner makes sure of it:
 * SFTP_REPLY_MAX). Pure, but for strerror.
 */
#ifndef OPENSHELL_SFTP_REPLY_H
#define OPENSHELL_SFTP_REPLY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "sftp/request.h"

enum {
	SFTP_REPLY_MAX = 4 + SFTP_PACKET_MAX,
	SFTP_DATA_HEAD = 4 + 1 + 4 + 4, /* what stands before a reply's data */
};

/* Types of packets (draft-02, section 3). */
enum {
	SFTP_REPLY_VERSION = 2,
	SFTP_REPLY_STATUS = 101,
	SFTP_REPLY_HANDLE = 102,
	SFTP_REPLY_DATA = 103,
	SFTP_REPLY_NAME = 104,
	SFTP_REPLY_ATTRS = 105,
	SFTP_REPLY_EXTENDED = 201,
};

/* Codes of SFTP_REPLY_STATUS (draft-02, section 7). */
enum sftp_status {
	SFTP_STATUS_OK,
	SFTP_STATUS_EOF,
	SFTP_STATUS_NO_SUCH_FILE,
	SFTP_STATUS_PERMISSION_DENIED,
	SFTP_STATUS_FAILURE,
	SFTP_STATUS_BAD_MESSAGE,
	SFTP_STATUS_UNSUPPORTED = 8,
};

/* The code that clients know an errno by; those of OpenSSH's server. */
enum sftp_status sftp_status_of(int error);

/* A reply goes from begin to end; begin's result is for the end. */
size_t sftp_begin(struct buf *out, uint8_t type, uint32_t id);
void sftp_end(struct buf *out, size_t begun);

void sftp_put_u32(struct buf *out, uint32_t v);
void sftp_put_u64(struct buf *out, uint64_t v);
void sftp_put_string(struct buf *out, struct str s);
void sftp_put_attrs(struct buf *out, const struct sftp_attrs *a);
/* Changes a number that was put when out->n was `at`. */
void sftp_change_u32(struct buf *out, size_t at, uint32_t v);

/* Whole ones. */
void sftp_tell_version(struct buf *out);
void sftp_tell_status(struct buf *out, uint32_t id, enum sftp_status code, const char *text);
void sftp_tell_error(struct buf *out, uint32_t id, int error);
void sftp_tell_handle(struct buf *out, uint32_t id, struct sftp_name name);
void sftp_tell_attrs(struct buf *out, uint32_t id, const struct stat *st);
/* One name, that of a path, without attributes. */
void sftp_tell_path(struct buf *out, uint32_t id, const char *path);
/* Data that the caller has put behind SFTP_DATA_HEAD bytes of out's room, where no more is counted in yet. */
void sftp_tell_data(struct buf *out, uint32_t id, uint32_t n);

struct sftp_attrs sftp_attrs_of(const struct stat *st);

#endif
