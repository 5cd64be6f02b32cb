/*
 * The door `ctl`: what a person or a script uses to look at a driver and to ask it for things. The
 * table of commands is at the end.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/opt.h"
#include "compute_driver.pb-c.h"
#include "ctl/ctl_impl.h"
#include "doors.h"

#define RPC(Name, in_, out_)                                                                       \
	{                                                                                          \
		Name, &openshell__compute__v1__##in_##__descriptor,                                \
			&openshell__compute__v1__##out_##__descriptor                              \
	}

static const struct ctl_rpc rpc_list =
	RPC("ListSandboxes", list_sandboxes_request, list_sandboxes_response);
static const struct ctl_rpc rpc_create =
	RPC("CreateSandbox", create_sandbox_request, create_sandbox_response);
static const struct ctl_rpc rpc_validate = RPC(
	"ValidateSandboxCreate", validate_sandbox_create_request, validate_sandbox_create_response);
static const struct ctl_rpc rpc_get = RPC("GetSandbox", get_sandbox_request, get_sandbox_response);
static const struct ctl_rpc rpc_stop =
	RPC("StopSandbox", stop_sandbox_request, stop_sandbox_response);
static const struct ctl_rpc rpc_start =
	RPC("StartSandbox", start_sandbox_request, start_sandbox_response);
static const struct ctl_rpc rpc_delete =
	RPC("DeleteSandbox", delete_sandbox_request, delete_sandbox_response);
static const struct ctl_rpc rpc_resolve =
	RPC("ResolveSandboxEndpoint", resolve_sandbox_endpoint_request,
	    resolve_sandbox_endpoint_response);
static const struct ctl_rpc rpc_capabilities =
	RPC("GetCapabilities", get_capabilities_request, get_capabilities_response);
static const struct ctl_rpc rpc_listeners =
	RPC("GetGatewayListenerRequirements", get_gateway_listener_requirements_request,
	    get_gateway_listener_requirements_response);
static const struct ctl_rpc rpc_ensure =
	RPC("EnsureWorkspace", ensure_workspace_request, ensure_workspace_response);
static const struct ctl_rpc rpc_drop =
	RPC("DeleteWorkspace", delete_workspace_request, delete_workspace_response);

enum { FILE_MAX_BYTES = 4 << 20 }; /* what a driver takes in one message */

static void print_answer(const struct ctl *c, const cJSON *answer)
{
	if (c->json)
		ctl_print_json(answer, false);
	else
		ctl_print_members(answer);
}

/* ---- commands that take nothing ---- */

static int with_nothing(struct ctl *c, const struct ctl_rpc *rpc)
{
	_cleanup_json_ cJSON *request = json_object(), *answer = NULL;
	int code = ctl_call(c, rpc, request, &answer);

	if (code == CTL_OK)
		print_answer(c, answer);
	return code;
}

static int run_capabilities(struct ctl *c)
{
	return with_nothing(c, &rpc_capabilities);
}

static int run_listeners(struct ctl *c)
{
	return with_nothing(c, &rpc_listeners);
}

static int run_list(struct ctl *c)
{
	_cleanup_json_ cJSON *request = json_object(), *answer = NULL;
	int code = ctl_call(c, &rpc_list, request, &answer);

	if (code == CTL_OK && c->json)
		ctl_print_json(answer, false);
	else if (code == CTL_OK)
		ctl_print_sandboxes(json_get(answer, "sandboxes"));
	return code;
}

/* ---- commands that take a sandbox in a file ---- */

static int read_file(const char *path, struct buf *out)
{
	bool standard_input = streq(path, "-");
	_cleanup_close_ int fd =
		standard_input ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return ctl_say(CTL_LOCAL, "open %s: %s", path, strerror(errno));
	do {
		char *room = buf_room(out, 65536);
		if (room == NULL)
			return ctl_say(CTL_LOCAL, "%s is larger than 4 MiB", path);
		n = read(fd, room, 65536);
		if (n > 0)
			buf_added(out, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 ? ctl_say(CTL_LOCAL, "read %s: %s", path, strerror(errno)) : CTL_OK;
}

/* A gateway gives each sandbox a random UUID; so does ctl. */
static void put_new_id(cJSON *sandbox)
{
	char text[UUID_TEXT];

	uuid_random(text);
	json_put_str(sandbox, "id", text);
}

/* {"sandbox": what the file holds}; an id where it has none. */
static int request_of_file(struct ctl *c, cJSON *request)
{
	_cleanup_buf_ struct buf text = BUF_INIT(FILE_MAX_BYTES + 65536);
	struct err e;

	if (str_empty(c->options.file))
		return ctl_say(CTL_USAGE, "which sandbox? -f FILE (a DriverSandbox as JSON; - is "
					  "standard input)");
	int code = read_file(c->options.file, &text);
	if (code != CTL_OK)
		return code;
	cJSON *sandbox = json_parse(buf_view(&text), c->options.file, &e);
	if (sandbox == NULL)
		return ctl_say(CTL_LOCAL, "%s", e.text);
	json_put(request, "sandbox", sandbox);
	if (!cJSON_IsObject(sandbox))
		return ctl_say(CTL_LOCAL, "%s is not a JSON object", c->options.file);
	if (str_empty(json_str(sandbox, "id")))
		put_new_id(sandbox);
	return CTL_OK;
}

static int with_file(struct ctl *c, const struct ctl_rpc *rpc, const char *done)
{
	_cleanup_json_ cJSON *request = json_object(), *answer = NULL;
	int code = request_of_file(c, request);

	if (code == CTL_OK)
		code = ctl_call(c, rpc, request, &answer);
	if (code != CTL_OK)
		return code;
	const cJSON *sandbox = json_get(request, "sandbox");
	if (c->json) {
		_cleanup_json_ cJSON *say = json_object();
		json_put_str(say, "id", json_str_or_empty(sandbox, "id"));
		json_put_str(say, "name", json_str_or_empty(sandbox, "name"));
		ctl_print_json(say, false);
	} else {
		printf("sandbox %s (%s) %s\n", json_str_or_empty(sandbox, "name"),
		       json_str_or_empty(sandbox, "id"), done);
	}
	return CTL_OK;
}

static int run_create(struct ctl *c)
{
	return with_file(c, &rpc_create, "created");
}

static int run_validate(struct ctl *c)
{
	return with_file(c, &rpc_validate, "would be taken");
}

/* ---- commands that take a sandbox by id or name ---- */

static bool is_named(const struct ctl *c, const cJSON *sandbox)
{
	if (!str_empty(c->options.workspace) &&
	    !streq(json_str_or_empty(sandbox, "workspace"), c->options.workspace))
		return false;
	return streq(json_str(sandbox, "id"), c->argument) ||
	       streq(json_str(sandbox, "name"), c->argument);
}

/* {"sandboxId", "sandboxName"} of the sandbox that the argument names. A driver wants both (driver
 * contract 2.3), so it is looked up; one that is not listed is taken for an id. */
static int request_of_argument(struct ctl *c, cJSON *request)
{
	_cleanup_json_ cJSON *nothing = json_object(), *answer = NULL;
	const cJSON *it, *found = NULL;
	int code = ctl_call(c, &rpc_list, nothing, &answer);

	if (code != CTL_OK)
		return code;
	cJSON_ArrayForEach(it, json_get(answer, "sandboxes")) {
		if (!is_named(c, it))
			continue;
		if (found != NULL)
			return ctl_say(CTL_LOCAL,
				       "'%s' is in the workspaces '%s' and '%s': say --workspace",
				       c->argument, json_str_or_empty(found, "workspace"),
				       json_str_or_empty(it, "workspace"));
		found = it;
	}
	json_put_str(request, "sandboxId", found ? json_str_or_empty(found, "id") : c->argument);
	json_put_str(request, "sandboxName", json_str_or_empty(found, "name"));
	return CTL_OK;
}

static int with_argument(struct ctl *c, const struct ctl_rpc *rpc, cJSON **answer)
{
	_cleanup_json_ cJSON *request = json_object();
	int code = request_of_argument(c, request);

	return code == CTL_OK ? ctl_call(c, rpc, request, answer) : code;
}

static int run_get(struct ctl *c)
{
	_cleanup_json_ cJSON *answer = NULL;
	int code = with_argument(c, &rpc_get, &answer);

	if (code != CTL_OK)
		return code;
	const cJSON *sandbox = json_get(answer, "sandbox");
	if (c->json) {
		ctl_print_json(sandbox, false);
		return CTL_OK;
	}
	_cleanup_free_ char *reason = ctl_reason(sandbox);
	printf("%-26s %s\n%-26s %s\n", "phase", ctl_phase(sandbox), "reason", reason);
	ctl_print_members(sandbox);
	return CTL_OK;
}

/* stop, start: the answer is empty; that it came is the news. */
static int run_and_say(struct ctl *c, const struct ctl_rpc *rpc, const char *done)
{
	_cleanup_json_ cJSON *answer = NULL;
	int code = with_argument(c, rpc, &answer);

	if (code == CTL_OK && c->json)
		ctl_print_json(answer, false);
	else if (code == CTL_OK)
		printf("sandbox %s %s\n", c->argument, done);
	return code;
}

static int run_stop(struct ctl *c)
{
	return run_and_say(c, &rpc_stop, "stopped");
}

static int run_start(struct ctl *c)
{
	return run_and_say(c, &rpc_start, "started");
}

static int run_delete(struct ctl *c)
{
	_cleanup_json_ cJSON *answer = NULL;
	int code = with_argument(c, &rpc_delete, &answer);

	if (code == CTL_OK && c->json)
		ctl_print_json(answer, false);
	else if (code == CTL_OK)
		printf("sandbox %s %s\n", c->argument,
		       json_bool(answer, "deleted", false) ? "deleted" : "was not there");
	return code;
}

static int run_resolve(struct ctl *c)
{
	_cleanup_json_ cJSON *answer = NULL, *found = NULL, *request = json_object();
	int code = with_argument(c, &rpc_get, &found);

	if (code != CTL_OK)
		return code;
	json_put(request, "sandbox", json_copy(json_get(found, "sandbox")));
	code = ctl_call(c, &rpc_resolve, request, &answer);
	if (code == CTL_OK)
		print_answer(c, answer);
	return code;
}

/* ---- commands that take a workspace ---- */

static int with_workspace(struct ctl *c, const struct ctl_rpc *rpc, const char *done)
{
	_cleanup_json_ cJSON *request = json_object(), *answer = NULL;

	json_put_str(request, "workspace", c->argument);
	int code = ctl_call(c, rpc, request, &answer);
	if (code == CTL_OK && c->json)
		ctl_print_json(answer, false);
	else if (code == CTL_OK)
		printf("workspace %s %s\n", c->argument, done);
	return code;
}

static int run_ensure(struct ctl *c)
{
	return with_workspace(c, &rpc_ensure, "is there");
}

static int run_drop(struct ctl *c)
{
	return with_workspace(c, &rpc_drop, "deleted");
}

/* ---- the tables ---- */

static const struct command {
	const char *name, *argument, *help;
	int (*run)(struct ctl *c);
} commands[] = {
	{"capabilities", NULL, "what the driver is and can", run_capabilities},
	{"listeners", NULL, "what the gateway must listen on", run_listeners},
	{"list", NULL, "all sandboxes", run_list},
	{"watch", NULL, "all sandboxes, live on a terminal, a line an event in a pipe", ctl_watch},
	{"validate", NULL, "whether the sandbox in -f FILE would be taken", run_validate},
	{"create", NULL, "create the sandbox in -f FILE (a DriverSandbox as JSON)", run_create},
	{"get", "SANDBOX", "one sandbox, by id or name", run_get},
	{"stop", "SANDBOX", "end its processes, keep its files", run_stop},
	{"start", "SANDBOX", "start it again", run_start},
	{"delete", "SANDBOX", "remove it", run_delete},
	{"resolve", "SANDBOX", "where it can be reached (drivers of April 2026)", run_resolve},
	{"ensure-workspace", "WORKSPACE", "make a workspace", run_ensure},
	{"delete-workspace", "WORKSPACE", "remove a workspace", run_drop},
};

#define AT(member) offsetof(struct ctl_options, member)

static const struct opt table[] = {
	{.name = "socket",
	 .env = "OPENSHELL_COMPUTE_DRIVER_SOCKET",
	 .arg = "PATH",
	 .def = "/var/run/openshell-driver.sock",
	 .kind = OPT_STR,
	 .offset = AT(socket),
	 .group = "Options",
	 .help = "the driver's socket"},
	{.name = "output",
	 .alias = "o",
	 .arg = "table|json",
	 .def = "table",
	 .kind = OPT_STR,
	 .offset = AT(output),
	 .help = "how answers are printed"},
	{.name = "file",
	 .alias = "f",
	 .arg = "FILE",
	 .kind = OPT_STR,
	 .offset = AT(file),
	 .help = "the sandbox to create, as JSON; - is standard input"},
	{.name = "workspace",
	 .alias = "w",
	 .arg = "NAME",
	 .kind = OPT_STR,
	 .offset = AT(workspace),
	 .help = "of the sandbox named; needed where a name is in several"},
	{.name = "timeout",
	 .arg = "SECONDS",
	 .def = "120",
	 .kind = OPT_INT,
	 .offset = AT(timeout),
	 .help = "how long a call may take (watch: no limit)"},
	{.name = "help",
	 .alias = "h",
	 .kind = OPT_FLAG,
	 .offset = AT(help),
	 .help = "print this and exit"},
};

static void print_help(void)
{
	puts("usage: openshell-static ctl [options] COMMAND [argument]\n\n"
	     "Speaks to a compute driver over its socket.\n\nCommands:");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-16s %-10s %s\n", commands[i].name,
		       commands[i].argument ? commands[i].argument : "", commands[i].help);
	putchar('\n');
	opt_print_help(stdout, table, ARRAY_LEN(table));
	puts("\nExit codes: 0 done, 1 local trouble, 2 usage, 3 no driver at the socket,\n"
	     "10 + gRPC status for what the driver refused (15 not found, 16 already exists, …)");
}

/* Reads options and words in any order. Returns the number of words, at most max, or -1. */
static int read_line(struct ctl_options *o, int argc, char **argv, const char *words[], int max,
		     struct err *e)
{
	int rest, more, n = 0;

	if (opt_parse(table, ARRAY_LEN(table), o, argc, argv, &rest, e) < 0)
		return -1;
	for (; rest < argc; rest += more) {
		if (n == max)
			return err_set(e, EINVAL, "one word too many: '%s'", argv[rest]);
		words[n++] = argv[rest];
		if (opt_parse_more(table, ARRAY_LEN(table), o, argc - rest, argv + rest, &more, e) <
		    0)
			return -1;
	}
	return n;
}

static const struct command *command_of(const char *words[], int n, struct err *e)
{
	const struct command *found = NULL;

	for (size_t i = 0; n > 0 && i < ARRAY_LEN(commands); i++) {
		if (streq(commands[i].name, words[0]))
			found = &commands[i];
	}
	if (n == 0)
		err_set(e, EINVAL, "which command? (see --help)");
	else if (found == NULL)
		err_set(e, EINVAL, "there is no command '%s' (see --help)", words[0]);
	else if (found->argument != NULL && n == 1)
		err_set(e, EINVAL, "%s: which %s?", found->name, found->argument);
	else if (found->argument == NULL && n == 2)
		err_set(e, EINVAL, "%s takes no argument", found->name);
	else
		return found;
	return NULL;
}

static int run(struct ctl *c, const struct command *command)
{
	int code = ctl_connect(c);

	if (code == CTL_OK)
		code = command->run(c);
	grpc_channel_free(c->channel);
	loop_free(c->loop);
	return code;
}

int ctl_main(int argc, char **argv)
{
	struct ctl c = {0};
	const char *words[2] = {NULL, NULL};
	const struct command *command = NULL;
	struct err e;
	int code = CTL_USAGE;

	int n = read_line(&c.options, argc, argv, words, 2, &e);
	if (n >= 0 && c.options.help) {
		print_help();
		code = CTL_OK;
	} else if (n >= 0 && !streq(c.options.output, "table") &&
		   !streq(c.options.output, "json")) {
		ctl_say(CTL_USAGE, "--output: '%s' is neither table nor json", c.options.output);
	} else if (n >= 0 && (command = command_of(words, n, &e)) != NULL) {
		c.json = streq(c.options.output, "json");
		c.argument = words[1];
		code = run(&c, command);
	} else {
		ctl_say(CTL_USAGE, "%s", e.text);
	}
	opt_free(table, ARRAY_LEN(table), &c.options);
	return code;
}
