/* base/opt: flag over environment over default. */
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "base/str.h"
#include "test.h"

struct conf {
	char *socket, *image;
	bool verbose, aware;
	int64_t ttl;
	struct opt_list secrets, selector;
};

#define AT(m) offsetof(struct conf, m)
static const struct opt table[] = {
	{.name = "socket",
	 .alias = "bind-socket",
	 .env = "T_SOCKET",
	 .arg = "PATH",
	 .def = "/run/x",
	 .kind = OPT_STR,
	 .offset = AT(socket),
	 .group = "Server",
	 .help = "where to listen"},
	{.name = "image",
	 .env = "T_IMAGE",
	 .arg = "REF",
	 .kind = OPT_STR,
	 .offset = AT(image),
	 .help = "image"},
	{.name = "verbose",
	 .env = "T_VERBOSE",
	 .kind = OPT_FLAG,
	 .offset = AT(verbose),
	 .help = "say more"},
	{.name = "aware",
	 .arg = "BOOL",
	 .def = "true",
	 .kind = OPT_BOOL,
	 .offset = AT(aware),
	 .help = "aware"},
	{.name = "ttl",
	 .env = "T_TTL",
	 .arg = "SECONDS",
	 .def = "3600",
	 .kind = OPT_INT,
	 .offset = AT(ttl),
	 .help = "life"},
	{.name = "secrets",
	 .env = "T_SECRETS",
	 .arg = "NAMES",
	 .kind = OPT_LIST,
	 .offset = AT(secrets),
	 .help = "names"},
	{.name = "selector",
	 .arg = "K=V",
	 .kind = OPT_PAIRS,
	 .offset = AT(selector),
	 .help = "labels"},
};

static int parse(struct conf *c, struct err *e, int *rest, int argc, char **argv)
{
	memset(c, 0, sizeof *c);
	return opt_parse(table, ARRAY_LEN(table), c, argc, argv, rest, e);
}

#define PARSE(...)                                                                                 \
	({                                                                                         \
		char *argv_[] = {"x", ##__VA_ARGS__, NULL};                                        \
		parse(&c, &e, &rest, (int)ARRAY_LEN(argv_) - 1, argv_);                            \
	})

TEST(opt_defaults)
{
	struct conf c;
	struct err e;
	int rest;

	EQ(PARSE(), 0);
	STREQ(c.socket, "/run/x");
	STREQ(c.image, "");
	OK(!c.verbose && c.aware);
	EQ(c.ttl, 3600);
	EQ(c.secrets.n, 0);
	opt_free(table, ARRAY_LEN(table), &c);
}

TEST(opt_flag_beats_environment_beats_default)
{
	struct conf c;
	struct err e;
	int rest;

	setenv("T_SOCKET", "/env", 1);
	setenv("T_TTL", "60", 1);
	setenv("T_IMAGE", "", 1);
	setenv("T_VERBOSE", "true", 1);
	setenv("T_SECRETS", "e1,e2", 1);
	EQ(PARSE("--ttl=7", "--bind-socket", "/flag", "--aware", "false", "--secrets", "a, b,",
		 "--secrets=c", "--selector", "k=v,x=", "rest", "--ttl"),
	   0);
	EQ(rest, 11);
	STREQ(c.socket, "/flag");
	EQ(c.ttl, 7);
	OK(c.verbose && !c.aware);
	EQ(c.secrets.n, 3);
	STREQ(c.secrets.v[1], "b");
	STREQ(c.secrets.v[2], "c");
	EQ(c.selector.n, 2);
	opt_free(table, ARRAY_LEN(table), &c);
	EQ(PARSE("-socket", "/one-dash"), 0);
	STREQ(c.socket, "/one-dash");
	EQ(c.ttl, 60);
	EQ(c.secrets.n, 2);
	STREQ(c.image, "");
	opt_free(table, ARRAY_LEN(table), &c);
}

TEST(opt_errors_name_the_option)
{
	struct conf c;
	struct err e;
	int rest;

	EQ(PARSE("--nonsense"), -1);
	STREQ(e.text, "unknown option '--nonsense' (see --help)");
	opt_free(table, ARRAY_LEN(table), &c);
	EQ(PARSE("--ttl"), -1);
	STREQ(e.text, "option --ttl needs a value (SECONDS)");
	opt_free(table, ARRAY_LEN(table), &c);
	EQ(PARSE("--ttl", "soon"), -1);
	STREQ(e.text, "--ttl: 'soon' is not a whole number");
	opt_free(table, ARRAY_LEN(table), &c);
	EQ(PARSE("--selector", "k"), -1);
	STREQ(e.text, "--selector: 'k' is not of the form key=value");
	opt_free(table, ARRAY_LEN(table), &c);
	setenv("T_TTL", "x", 1);
	EQ(PARSE(), -1);
	STREQ(e.text, "T_TTL: 'x' is not a whole number");
	opt_free(table, ARRAY_LEN(table), &c);
}

TEST(opt_words_and_options_may_mix)
{
	char *argv[] = {"x", "--ttl", "7", "word", "--verbose", "last", NULL};
	struct conf c = {0};
	struct err e;
	int rest, more;

	EQ(opt_parse(table, ARRAY_LEN(table), &c, 6, argv, &rest, &e), 0);
	EQ(rest, 3);
	EQ(opt_parse_more(table, ARRAY_LEN(table), &c, 3, argv + rest, &more, &e), 0);
	EQ(more, 2);
	OK(c.verbose);
	EQ(c.ttl, 7);
	opt_free(table, ARRAY_LEN(table), &c);
}
