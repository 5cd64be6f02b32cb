/* supervisor/policy_use.c: which sections of a new policy do not hold before the next start. */
#include "policy.h"
#include "supervisor/policy_use.h"

static const char files[] = "version: 1\nfilesystem_policy: {read_only: [/usr, /etc], read_write: "
			    "[/tmp]}\nprocess: {run_as_user: '7'}\n";

/* The names, joined. */
static const char *changes(const char *before, const char *after)
{
	static char text[128];
	const char *names[POLICY_STATIC_SECTIONS];
	struct policy *a = parse(before), *b = parse(after);
	size_t n = policy_use_static_changes(a, b, names);

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s ", names[i]);
	policy_unref(a);
	policy_unref(b);
	return text;
}

TEST(the_same_is_no_change)
{
	STREQ(changes(files, files), "");
	/* networks are not among them, and the order of paths says nothing */
	STREQ(changes(files, "version: 2\nfilesystem_policy: {read_only: [/etc, /usr], read_write: "
			     "[/tmp]}\nprocess: {run_as_user: '7'}\nnetwork_policies: {net: "
			     "{endpoints: [{host: h, port: 1}], binaries: [{path: /b}]}}\n"),
	      "");
}

TEST(a_path_more_or_less_is_one)
{
	STREQ(changes(files, "version: 1\nfilesystem_policy: {read_only: [/usr, /etc, /a], "
			     "read_write: [/tmp]}\nprocess: {run_as_user: '7'}\n"),
	      "filesystem_policy ");
	STREQ(changes("version: 1\nfilesystem_policy: {read_only: [/usr, /a]}\n",
		      "version: 1\nfilesystem_policy: {read_only: [/usr]}\n"),
	      "filesystem_policy ");
	STREQ(changes("version: 1\nfilesystem_policy: {read_only: [/usr]}\n",
		      "version: 1\nfilesystem_policy: {read_write: [/usr]}\n"),
	      "filesystem_policy ");
	STREQ(changes("version: 1\nfilesystem_policy: {include_workdir: true}\n",
		      "version: 1\nfilesystem_policy: {include_workdir: false}\n"),
	      "filesystem_policy ");
}

TEST(who_and_how_strictly)
{
	STREQ(changes(files, "version: 1\nfilesystem_policy: {read_only: [/usr, /etc], read_write: "
			     "[/tmp]}\nprocess: {run_as_user: '8'}\n"),
	      "process ");
	STREQ(changes("version: 1\n", "version: 1\nprocess: {run_as_group: '8'}\n"), "process ");
	STREQ(changes("version: 1\n", "version: 1\nlandlock: {compatibility: best_effort}\n"), "");
	STREQ(changes("version: 1\n", "version: 1\nlandlock: {compatibility: hard_requirement}\n"),
	      "landlock ");
}

TEST(a_policy_for_a_runtime_that_this_is_not)
{
	struct err e;
	struct policy *p = parse(ENDPOINT("protocol: tcp"));

	EQ(policy_use_check(p, NULL, &e), -1);
	HAS(e.text, "protocol: tcp");
	policy_unref(p);
	p = parse(ENDPOINT("tls: skip"));
	EQ(policy_use_check(p, NULL, &e), 0);
	policy_unref(p);
}
