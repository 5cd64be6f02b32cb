/*
 * agent: the whole of the test images' contents. One static program that stays alive as a container's
 * process and, asked through `kubectl exec`, says what a process in there sees and may do. So a pod
 * needs no shell, and what a test learns is seen from inside. As /pause it is the pods' pause program;
 * as openshell-sandbox it plays a supervisor that copies itself and then just stays.
 *
 *	agent [wait]				print the report, then stay until SIGTERM
 *	agent report				who and where: JSON on one line
 *	agent stat PATH...			a JSON line each: mode, owner, size, or the error
 *	agent cat FILE | ls DIR | write FILE TEXT
 *	agent as UID:GID[:GROUP,...] VERB...	the same, as somebody else
 *	agent exit CODE | kill PID
 *	openshell-sandbox copy-self DEST	write this program there
 *	openshell-sandbox ...			as `wait`
 *	cp FILE DEST				for a supervisor that another program has to copy
 *
 * Errors are "agent: WHAT: REASON" on stderr and exit code 1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUPS_MAX 64

extern char **environ;

static int fail(const char *what)
{
	fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
	return 1;
}

static void json_string(const char *p)
{
	putchar('"');
	for (; *p; p++) {
		if (*p == '"' || *p == '\\')
			printf("\\%c", *p);
		else if ((unsigned char)*p < ' ')
			printf("\\u%04x", (unsigned char)*p);
		else
			putchar(*p);
	}
	putchar('"');
}

static void json_strings(const char *key, char *const *list)
{
	printf("\"%s\": [", key);
	for (int i = 0; list[i]; i++) {
		if (i > 0)
			printf(", ");
		json_string(list[i]);
	}
	printf("], ");
}

/* The words of a file of zero-terminated strings, /proc/1/cmdline. */
static void json_words(const char *key, const char *path)
{
	char text[4096] = "";
	char *words[256];
	size_t n = 0, used = 0;
	FILE *f = fopen(path, "re");

	if (f) {
		used = fread(text, 1, sizeof(text) - 1, f);
		fclose(f);
	}
	for (size_t at = 0; at < used && n < 255; at += strlen(text + at) + 1)
		words[n++] = text + at;
	words[n] = NULL;
	json_strings(key, words);
}

/* What the process may do, from /proc/self/status. */
static void json_status(void)
{
	static const char *const wanted[] = {"CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"};
	char line[512];
	FILE *f = fopen("/proc/self/status", "re");

	while (f && fgets(line, sizeof(line), f)) {
		for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
			size_t n = strlen(wanted[i]);

			if (strncmp(line, wanted[i], n) != 0)
				continue;
			line[strcspn(line, "\n")] = '\0';
			printf("\"%.*s\": ", (int)n - 1, line);
			json_string(line + n + strspn(line + n, " \t"));
			printf(", ");
		}
	}
	if (f)
		fclose(f);
}

/* Mount point, options and type of each line of /proc/self/mountinfo. */
static void json_mounts(void)
{
	char line[4096], point[1024], options[1024], type[64];
	const char *separator = "";
	FILE *f = fopen("/proc/self/mountinfo", "re");

	printf("\"mounts\": [");
	while (f && fgets(line, sizeof(line), f)) {
		const char *dash = strstr(line, " - ");

		if (!dash || sscanf(line, "%*s %*s %*s %*s %1023s %1023s", point, options) != 2 ||
		    sscanf(dash, " - %63s", type) != 1)
			continue;
		printf("%s{\"path\": ", separator);
		json_string(point);
		printf(", \"options\": ");
		json_string(options);
		printf(", \"type\": ");
		json_string(type);
		printf("}");
		separator = ", ";
	}
	printf("]");
	if (f)
		fclose(f);
}

static int report(char **argv)
{
	gid_t groups[GROUPS_MAX];
	int n = getgroups(GROUPS_MAX, groups);
	char exe[1024] = "", cwd[1024] = "";

	if (readlink("/proc/1/exe", exe, sizeof(exe) - 1) < 0)
		exe[0] = '\0';
	printf("{\"uid\": %u, \"gid\": %u, \"groups\": [", geteuid(), getegid());
	for (int i = 0; i < n; i++)
		printf("%s%u", i > 0 ? ", " : "", groups[i]);
	printf("], \"init\": ");
	json_string(exe);
	printf(", \"cwd\": ");
	json_string(getcwd(cwd, sizeof(cwd)) ? cwd : "");
	printf(", ");
	json_words("init_argv", "/proc/1/cmdline");
	json_strings("argv", argv);
	json_strings("env", environ);
	json_status();
	json_mounts();
	printf("}\n");
	fflush(stdout);
	return 0;
}

static int describe(char *const *paths)
{
	for (; *paths; paths++) {
		struct stat st;

		printf("{\"path\": ");
		json_string(*paths);
		if (lstat(*paths, &st) < 0) {
			printf(", \"error\": ");
			json_string(strerror(errno));
		} else {
			printf(", \"mode\": \"%o\", \"uid\": %u, \"gid\": %u, \"size\": %lld, "
			       "\"readable\": %s",
			       st.st_mode, st.st_uid, st.st_gid, (long long)st.st_size,
			       faccessat(AT_FDCWD, *paths, R_OK, AT_EACCESS) == 0 ? "true"
										  : "false");
		}
		printf("}\n");
	}
	return 0;
}

static int cat(const char *path)
{
	char block[65536];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return fail(path);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		fwrite(block, 1, n, stdout);
	if (ferror(f) || fflush(stdout) != 0)
		return fail(path);
	fclose(f);
	return 0;
}

/* to: a file, or with a slash at its end the folder for it. */
static int copy(const char *from, const char *to)
{
	char path[PATH_MAX];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out;
	ssize_t n;

	snprintf(path, sizeof(path), "%s%s", to, to[strlen(to) - 1] == '/' ? basename(from) : "");
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (in < 0 || out < 0)
		return fail(in < 0 ? from : path);
	while ((n = sendfile(out, in, NULL, 1 << 20)) > 0)
		;
	return n < 0 ? fail(path) : 0;
}

static int list(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;

	if (!d)
		return fail(path);
	while ((entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			puts(entry->d_name);
	}
	closedir(d);
	return 0;
}

static int save(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return fail(path);
	if (fputs(text, f) == EOF || fclose(f) != 0)
		return fail(path);
	return 0;
}

/* UID:GID[:GROUP,...]: become that; without groups there are none. */
static int become(char *who)
{
	gid_t groups[GROUPS_MAX];
	size_t n = 0;
	char *uid = strtok(who, ":"), *gid = strtok(NULL, ":"), *group;

	if (!uid || !gid) {
		errno = EINVAL;
		return fail("as");
	}
	while (n < GROUPS_MAX && (group = strtok(NULL, ",")))
		groups[n++] = (gid_t)atoi(group);
	if (setgroups(n, groups) < 0)
		return fail("setgroups");
	if (setresgid((gid_t)atoi(gid), (gid_t)atoi(gid), (gid_t)atoi(gid)) < 0)
		return fail("setresgid");
	if (setresuid((uid_t)atoi(uid), (uid_t)atoi(uid), (uid_t)atoi(uid)) < 0)
		return fail("setresuid");
	return 0;
}

/* As process 1 nothing stops us by default: the signal is taken by hand. */
static int wait_for_end(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigwait(&set, &sig);
	return 0;
}

int main(int argc, char **argv)
{
	const char *name = basename(argv[0]), *verb = argc > 1 ? argv[1] : "wait";

	if (strcmp(name, "pause") == 0)
		return wait_for_end();
	if (strcmp(name, "openshell-sandbox") == 0 && strcmp(verb, "copy-self") == 0 && argc == 3)
		return copy("/proc/self/exe", argv[2]);
	if (strcmp(name, "cp") == 0 && argc == 3)
		return copy(argv[1], argv[2]);
	if (strcmp(name, "openshell-sandbox") == 0)
		return report(argv) || wait_for_end();
	if (strcmp(verb, "as") == 0 && argc > 3) {
		if (become(argv[2]) != 0)
			return 1;
		argv += 2;
		argc -= 2;
		verb = argv[1];
	}
	if (strcmp(verb, "wait") == 0)
		return report(argv) || wait_for_end();
	if (strcmp(verb, "report") == 0)
		return report(argv);
	if (strcmp(verb, "stat") == 0)
		return describe(argv + 2);
	if (strcmp(verb, "cat") == 0 && argc == 3)
		return cat(argv[2]);
	if (strcmp(verb, "ls") == 0 && argc == 3)
		return list(argv[2]);
	if (strcmp(verb, "write") == 0 && argc == 4)
		return save(argv[2], argv[3]);
	if (strcmp(verb, "exit") == 0 && argc == 3)
		return atoi(argv[2]);
	if (strcmp(verb, "kill") == 0 && argc == 3)
		return kill(atoi(argv[2]), SIGTERM) < 0 ? fail("kill") : 0;
	fprintf(stderr, "agent: %s: not a verb, or not its arguments\n", verb);
	return 2;
}
