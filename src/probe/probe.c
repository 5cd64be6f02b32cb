/*
 * The door `probe`: what this host lets a sandbox do, found out by looking and by trying in child
 * processes; nothing of the host is changed. A person reads the text, a program --json: both are
 * printed from one tree, so that they cannot differ.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "doors.h"
#include "probe/probe_impl.h"

static const struct {
	const char *name;
	void (*fill)(cJSON *o);
} groups[] = {
	{"kernel", probe_kernel},
	{"root", probe_root},
	{"capabilities", probe_capabilities},
	{"cgroups", probe_cgroups},
	{"namespaces", probe_namespaces},
	{"landlock", probe_landlock},
	{"seccomp", probe_seccomp},
	{"netfilter", probe_netfilter},
	{"ladder", probe_ladder},
	{"devices", probe_devices},
	{"runtimes", probe_runtimes},
	{"cluster", probe_cluster},
};

struct options {
	bool json, help;
};

static const struct opt table[] = {
	{.name = "json",
	 .kind = OPT_FLAG,
	 .offset = offsetof(struct options, json),
	 .group = "Output",
	 .help = "print one JSON object instead of text"},
	{.name = "help",
	 .kind = OPT_FLAG,
	 .offset = offsetof(struct options, help),
	 .help = "print this and exit"},
};

static void print_value(const cJSON *v)
{
	if (cJSON_IsString(v)) {
		fputs(v->valuestring, stdout);
	} else if (cJSON_IsBool(v)) {
		fputs(cJSON_IsTrue(v) ? "yes" : "no", stdout);
	} else if (cJSON_IsArray(v)) {
		const cJSON *it;
		cJSON_ArrayForEach(it, v)
			printf("%s%s", it == v->child ? "" : " ", it->valuestring);
		if (v->child == NULL)
			fputs("none", stdout);
	} else {
		_cleanup_free_ char *text = json_text(v);
		fputs(text, stdout);
	}
	putchar('\n');
}

static void print_text(const cJSON *all)
{
	const cJSON *group, *it;

	cJSON_ArrayForEach(group, all) {
		printf("%s\n", group->string);
		cJSON_ArrayForEach(it, group) {
			printf("  %-26s ", it->string);
			print_value(it);
		}
	}
}

int probe_main(int argc, char **argv)
{
	struct options o = {0};
	struct err e;
	int rest = argc;

	if (opt_parse(table, ARRAY_LEN(table), &o, argc, argv, &rest, &e) < 0 || rest != argc) {
		fprintf(stderr, "probe: %s\n", rest != argc ? "takes no arguments" : e.text);
		return 2;
	}
	if (o.help) {
		puts("usage: openshell-static probe [--json]\n\n"
		     "Says what this host lets a sandbox do. Changes nothing.\n");
		opt_print_help(stdout, table, ARRAY_LEN(table));
		return 0;
	}
	_cleanup_json_ cJSON *all = json_object();
	for (size_t i = 0; i < ARRAY_LEN(groups); i++)
		groups[i].fill(json_put_object(all, groups[i].name));
	if (o.json) {
		_cleanup_free_ char *text = json_text(all);
		puts(text);
	} else {
		print_text(all);
	}
	return 0;
}
