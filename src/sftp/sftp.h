/*
 * An SFTP server: version 3 (draft-ietf-secsh-filexfer-02) on descriptors 0 and 1, with those extensions of
 * OpenSSH's that its scp and sftp use (its PROTOCOL file, section 4). It is a process of its own, blocks, and has
 * one client; it runs no program, loads nothing and needs no file of the image. It decides nothing about who may do
 * what: it is run as the sandbox's user behind the wall (keeper_builtin_fn), and what the kernel refuses is told.
 *
 * One thing it refuses by itself: to open what is on a procfs. That would be the memory and the addresses of this
 * very process, which the kernel lets it see and which are of no file's worth to anybody else.
 *
 *	request.h   bytes into requests   (pure)
 *	reply.h     replies into bytes    (pure)
 *	names.h     the lines of a listing, and whose files they are
 *	sftp_impl.h what carries requests out: handles, files, paths, links
 */
#ifndef OPENSHELL_SFTP_SFTP_H
#define OPENSHELL_SFTP_SFTP_H

/* Serves until the client ends its input: 0; or until there is no understanding it: 1, with a line on descriptor 2.
 * Relative paths begin where the process is; ~ is HOME, or that place. env is what environ is, argv is not used. */
int sftp_serve(char *const *argv, char *const *env);

#endif
