#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "driver/backend.h"
#include "driver/options.h"
#include "test.h"

/* A backend with one option; it stands in for the table of src/driver/backends.c. */
struct fake_config {
	char *place;
	int64_t number;
	bool checked;
};

static const struct opt fake_table[] = {
	{.name = "place",
	 .env = "FAKE_PLACE",
	 .arg = "X",
	 .def = "here",
	 .kind = OPT_STR,
	 .offset = offsetof(struct fake_config, place),
	 .group = "Fake",
	 .help = "where"},
	{.name = "number",
	 .arg = "N",
	 .def = "7",
	 .kind = OPT_INT,
	 .offset = offsetof(struct fake_config, number),
	 .help = "how many"},
};

static int fake_check(void *config, struct err *e)
{
	struct fake_config *c = config;
	if (c->number < 0)
		return err_set(e, 1, "number is negative");
	c->checked = true;
	return 0;
}

static const struct backend_ops fake = {
	.name = "fake",
	.options = fake_table,
	.n_options = ARRAY_LEN(fake_table),
	.config_size = sizeof(struct fake_config),
	.check = fake_check,
};

const struct backend_ops *backend_find(const char *name)
{
	return streq(name, "fake") ? &fake : NULL;
}

const struct backend_ops *backend_at(size_t i)
{
	return i == 0 ? &fake : NULL;
}

static struct driver_options *options;
static struct err e;

static void forget(void)
{
	driver_options_free(options);
}

/* Parses the words behind "driver --backend fake". */
static int parse(char *words)
{
	static bool registered;
	char *argv[32] = {(char *)"driver", (char *)"--backend", (char *)"fake"};
	int argc = 3;

	if (!registered)
		atexit(forget);
	registered = true;
	for (char *w = strtok(words, " "); w != NULL; w = strtok(NULL, " "))
		argv[argc++] = w;
	driver_options_free(options);
	return driver_options_parse(&options, argc, argv, &e);
}

/* The error of a command line that must be refused. */
static const char *refused(const char *words)
{
	_cleanup_free_ char *copy = xstrdup(words);
	EQ(parse(copy), -1);
	return e.text;
}

static const struct fake_config *accepted(const char *words)
{
	_cleanup_free_ char *copy = xstrdup(words);
	if (parse(copy) < 0)
		FAIL("%s", e.text);
	return options->backend_config;
}

TEST(defaults)
{
	const struct fake_config *c = accepted("");
	STREQ(options->socket, DRIVER_SOCKET_DEFAULT);
	STREQ(options->bind_address, "");
	STREQ(options->driver_name, "fake");
	EQ(options->log_level, LOG_INFO);
	EQ(options->log_format, LOG_TEXT);
	EQ(options->n_allow_uids, 0);
	STREQ(c->place, "here");
	EQ(c->number, 7);
	OK(c->checked);
}

TEST(both_parents_names_are_taken)
{
	accepted("--socket /a/b");
	STREQ(options->socket, "/a/b");
	accepted("--bind-socket /a/c");
	STREQ(options->socket, "/a/c");
	accepted("-socket=/a/d"); /* Go's way */
	STREQ(options->socket, "/a/d");
	setenv("OPENSHELL_COMPUTE_DRIVER_SOCKET", "/a/e", 1);
	accepted("");
	STREQ(options->socket, "/a/e");
	accepted("--socket /a/f");
	STREQ(options->socket, "/a/f");
}

TEST(tcp_alone_has_no_socket)
{
	accepted("--bind-address 127.0.0.1:50061");
	STREQ(options->socket, "");
	accepted("--bind-address 127.0.0.1:50061 --socket /a/b");
	STREQ(options->socket, "/a/b");
	STREQ(refused("--bind-address 127.0.0.1:1 --allow-uid 3"),
	      "--allow-uid needs --socket: TCP knows no users");
}

TEST(the_backends_options_are_in_the_same_line)
{
	const struct fake_config *c = accepted("--place there --driver-name openshift --number 9");
	STREQ(c->place, "there");
	EQ(c->number, 9);
	STREQ(options->driver_name, "openshift");
	STREQ(refused("--number -1"), "number is negative");
	setenv("FAKE_PLACE", "elsewhere", 1);
	STREQ(accepted("")->place, "elsewhere");
}

TEST(users)
{
	accepted("--allow-uid 1000,1001 --allow-uid 5");
	EQ(options->n_allow_uids, 3);
	EQ(options->allow_uids[0], 1000);
	EQ(options->allow_uids[2], 5);
	STREQ(refused("--allow-uid root"), "--allow-uid 'root' is no user id");
	STREQ(refused("--allow-uid 4294967295"), "--allow-uid '4294967295' is no user id");
	STREQ(refused("--allow-uid -1"), "--allow-uid '-1' is no user id");
}

TEST(log_levels)
{
	accepted("--log-level debug --log-format json");
	EQ(options->log_level, LOG_DEBUG);
	EQ(options->log_format, LOG_JSON);
	setenv("RUST_LOG", "h2=debug,warn", 1);
	accepted("--log-level debug");
	EQ(options->log_level, LOG_WARN);
	setenv("RUST_LOG", "h2=debug", 1);
	accepted("--log-level error");
	EQ(options->log_level, LOG_ERROR);
	HAS(refused("--log-level loud"), "loud");
	HAS(refused("--log-format xml"), "xml");
}

TEST(what_is_wrong_is_named)
{
	HAS(refused("--nonsense"), "--nonsense");
	STREQ(refused("word"), "unexpected argument 'word' (see --help)");
	STREQ(refused("--backend magic"), "--backend 'magic' is none of: kubernetes");
	STREQ(refused("--backend=magic"), "--backend 'magic' is none of: kubernetes");
	HAS(refused("--socket"), "--socket");
}

TEST(help_and_version_need_nothing_else)
{
	accepted("--help --number -1");
	OK(options->help);
	accepted("--version");
	OK(options->version);
	accepted("-h");
	OK(options->help);
}

TEST(help_shows_the_driver_and_the_backend)
{
	char *text = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&text, &n);
	driver_options_help(f);
	fclose(f);
	HAS(text, "Driver:\n  --socket PATH  (also --bind-socket)");
	HAS(text, "OPENSHELL_COMPUTE_DRIVER_SOCKET");
	HAS(text, "\nFake:\n  --place X\n");
	free(text);
}
