#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "driver/backend.h"
#include "driver/options.h"

#define AT(member) offsetof(struct driver_options, member)
#define BACKEND_ENV "OPENSHELL_DRIVER_BACKEND"
#define BACKEND_DEFAULT "kubernetes"

/* Names and variables of driver contract 3.1, and seed 000's where it had its own. The default of
 * --socket is applied by hand: there is none beside --bind-address. */
static const struct opt driver_table[] = {
	{.name = "socket",
	 .alias = "bind-socket",
	 .env = "OPENSHELL_COMPUTE_DRIVER_SOCKET",
	 .arg = "PATH",
	 .kind = OPT_STR,
	 .offset = AT(socket),
	 .group = "Driver",
	 .help = "Unix socket to serve on; " DRIVER_SOCKET_DEFAULT
		 " unless --bind-address is given alone"},
	{.name = "allow-uid",
	 .env = "OPENSHELL_DRIVER_ALLOW_UIDS",
	 .arg = "UID,...",
	 .kind = OPT_LIST,
	 .offset = AT(allow_uid_list),
	 .help = "users beside our own whose processes may connect to the socket"},
	{.name = "bind-address",
	 .env = "OPENSHELL_COMPUTE_DRIVER_BIND",
	 .arg = "HOST:PORT",
	 .kind = OPT_STR,
	 .offset = AT(bind_address),
	 .help = "serve on TCP too, unencrypted and open to every local user; loopback only"},
	{.name = "backend",
	 .env = BACKEND_ENV,
	 .arg = "NAME",
	 .def = BACKEND_DEFAULT,
	 .kind = OPT_STR,
	 .offset = AT(backend_name),
	 .help = "the platform that runs the sandboxes: kubernetes"},
	{.name = "driver-name",
	 .env = "OPENSHELL_DRIVER_NAME",
	 .arg = "NAME",
	 .kind = OPT_STR,
	 .offset = AT(driver_name),
	 .help = "name told to the gateway; the backend's when not given"},
	{.name = "log-level",
	 .env = "OPENSHELL_LOG_LEVEL",
	 .arg = "LEVEL",
	 .def = "info",
	 .kind = OPT_STR,
	 .offset = AT(log_level_name),
	 .help = "error, warn, info or debug; a plain level in RUST_LOG wins"},
	{.name = "log-format",
	 .env = "OPENSHELL_LOG_FORMAT",
	 .arg = "FORMAT",
	 .def = "text",
	 .kind = OPT_STR,
	 .offset = AT(log_format_name),
	 .help = "text or json"},
	{.name = "help", .alias = "h", .kind = OPT_FLAG, .offset = AT(help), .help = "print this"},
	{.name = "version", .kind = OPT_FLAG, .offset = AT(version), .help = "print the version"},
};

/* The driver's options and the backend's in one block of memory, so that one table of offsets
 * reaches both. */
struct block {
	struct driver_options driver;
	struct opt *table;
	size_t n;
	max_align_t backend[]; /* config_size bytes */
};

/* The backend must be known before its options are: what --backend or its variable says. */
static const char *backend_name(int argc, char **argv)
{
	static const char flag[] = "backend";
	const char *name = getenv(BACKEND_ENV);

	if (str_empty(name))
		name = BACKEND_DEFAULT;
	for (int i = 1; i < argc && !streq(argv[i], "--"); i++) {
		const char *p = argv[i];
		if (*p != '-')
			continue;
		p += p[1] == '-' ? 2 : 1;
		if (strncmp(p, flag, strlen(flag)) != 0)
			continue;
		p += strlen(flag);
		if (*p == '=')
			name = p + 1;
		else if (*p == '\0' && i + 1 < argc)
			name = argv[++i];
	}
	return name;
}

static struct block *new_block(const struct backend_ops *backend)
{
	struct block *b = xcalloc(1, sizeof *b + backend->config_size);
	size_t own = ARRAY_LEN(driver_table);

	b->driver.backend = backend;
	b->driver.backend_config = b->backend;
	b->n = own + backend->n_options;
	b->table = xcalloc(b->n, sizeof *b->table);
	memcpy(b->table, driver_table, sizeof driver_table);
	memcpy(b->table + own, backend->options, backend->n_options * sizeof *b->table);
	for (size_t i = own; i < b->n; i++)
		b->table[i].offset += offsetof(struct block, backend);
	return b;
}

static int check_allow_uids(struct driver_options *o, struct err *e)
{
	const struct opt_list *l = &o->allow_uid_list;

	o->allow_uids = xcalloc(l->n, sizeof *o->allow_uids);
	for (size_t i = 0; i < l->n; i++) {
		uint64_t uid;
		/* (uid_t)-1 is no user: the kernel takes it for "leave as it is" */
		if (!str_u64(str_of(l->v[i]), &uid) || uid >= (uid_t)-1)
			return err_set(e, EINVAL, "--allow-uid '%s' is no user id", l->v[i]);
		o->allow_uids[o->n_allow_uids++] = (uid_t)uid;
	}
	return 0;
}

static int check_log(struct driver_options *o, struct err *e)
{
	if (log_format_parse(o->log_format_name, &o->log_format, e) < 0)
		return -1;
	return log_level_choose(o->log_level_name, &o->log_level, e);
}

static int check(struct driver_options *o, struct err *e)
{
	if (check_log(o, e) < 0 || check_allow_uids(o, e) < 0)
		return -1;
	if (str_empty(o->socket) && str_empty(o->bind_address)) {
		free(o->socket);
		o->socket = xstrdup(DRIVER_SOCKET_DEFAULT);
	}
	if (o->n_allow_uids > 0 && str_empty(o->socket))
		return err_set(e, EINVAL, "--allow-uid needs --socket: TCP knows no users");
	if (str_empty(o->driver_name)) {
		free(o->driver_name);
		o->driver_name = xstrdup(o->backend->name);
	}
	if (str_has_control(str_of(o->driver_name)))
		return err_set(e, EINVAL, "--driver-name holds a control character");
	return o->backend->check(o->backend_config, e);
}

int driver_options_parse(struct driver_options **out, int argc, char **argv, struct err *e)
{
	const char *name = backend_name(argc, argv);
	const struct backend_ops *backend = backend_find(name);
	int rest;

	*out = NULL;
	if (backend == NULL)
		return err_set(e, EINVAL, "--backend '%s' is none of: kubernetes", name);
	struct block *b = new_block(backend);
	*out = &b->driver;
	if (opt_parse(b->table, b->n, b, argc, argv, &rest, e) < 0)
		return -1;
	if (b->driver.help || b->driver.version)
		return 0;
	if (rest < argc)
		return err_set(e, EINVAL, "unexpected argument '%s' (see --help)", argv[rest]);
	return check(&b->driver, e);
}

void driver_options_free(struct driver_options *o)
{
	if (o == NULL)
		return;
	struct block *b = container_of(o, struct block, driver);
	if (o->backend->config_free != NULL)
		o->backend->config_free(o->backend_config);
	opt_free(b->table, b->n, b);
	free(o->allow_uids);
	free(b->table);
	free(b);
}

void driver_options_help(FILE *f)
{
	const struct backend_ops *backend;

	opt_print_help(f, driver_table, ARRAY_LEN(driver_table));
	for (size_t i = 0; (backend = backend_at(i)) != NULL; i++) {
		fputc('\n', f);
		opt_print_help(f, backend->options, backend->n_options);
	}
}
