/*
 * A TLS server for the tests of a client: `openssl s_server` on loopback, with certificates made for the
 * occasion.
 */
#ifndef OPENSHELL_TEST_TLS_SERVER_H
#define OPENSHELL_TEST_TLS_SERVER_H

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/util.h"
#include "test.h"

static char dir[64]; /* of certificates; the test's own folder is this one */

static void run(const char *fmt, ...) PRINTF(1, 2);
static void run(const char *fmt, ...)
{
	char command[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof command, fmt, ap);
	va_end(ap);
	if (system(command) != 0)
		FAIL("%s", command);
}

static void remove_dir(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", dir);
	if (system(command) != 0)
		perror(dir);
}

/* An authority (ca.crt), and a certificate by it (s.crt, s.key): openssl's own tool makes them. name is as in
 * "DNS:server.test". Skips where openssl is not. */
static void make_certs(const char *key_algorithm, const char *name, const char *days)
{
	if (system("openssl version >/dev/null 2>&1") != 0)
		SKIP("openssl is not installed");
	snprintf(dir, sizeof dir, "/tmp/tls-test-XXXXXX");
	OK(mkdtemp(dir) != NULL && chdir(dir) == 0);
	atexit(remove_dir);
	run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key "
	    "-out "
	    "ca.crt -days 9 -subj '/CN=test authority' 2>log");
	run("openssl req -newkey %s -nodes -keyout s.key -out s.csr -subj '/CN=server' 2>log",
	    key_algorithm);
	run("printf 'subjectAltName=%s\\nextendedKeyUsage=serverAuth,clientAuth' > ext", name);
	run("openssl x509 -req -in s.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out s.crt -days "
	    "%s "
	    "-extfile ext 2>log",
	    days);
}

#define P256 "ec -pkeyopt ec_paramgen_curve:P-256"
#define RSA "rsa:2048"

/* Starts it and returns its port. It ends with the test. */
static int serve(const char *options)
{
	char command[512], line[256];
	int out[2], port = 0;

	snprintf(command, sizeof command,
		 "exec openssl s_server -accept 127.0.0.1:0 -cert s.crt -key s.key %s 2>server.log",
		 options);
	OK(pipe(out) == 0);
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(out[1]);
	FILE *f = fdopen(out[0], "r");
	while (port == 0 && fgets(line, sizeof line, f) != NULL)
		sscanf(line, "ACCEPT 127.0.0.1:%d", &port);
	if (port == 0)
		run("cat server.log; false");
	return port; /* f stays open: the server writes to it */
}

static char *slurp(const char *path)
{
	struct err e;
	char *text = NULL;

	OK(file_read(path, 1 << 20, &text, NULL, &e) == 0);
	return text;
}

#endif
