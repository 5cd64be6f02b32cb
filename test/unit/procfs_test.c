/* proxy/procfs: what /proc says, also of processes that choose their names with care. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proxy/procfs.h"
#include "test.h"

#define NUMBERS                                                                                    \
	"S 41 42 42 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 3 0 98765 12345 678 18446744073709551615 " \
	"1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"

static bool parse(const char *text, struct proc_stat *s)
{
	return proc_parse_stat(str_of(text), s);
}

static void is_the_process(const char *text)
{
	struct proc_stat s;

	OK(parse(text, &s));
	EQ(s.pid, 42);
	EQ(s.ppid, 41);
	EQ(s.state, 'S');
	EQ(s.flags, 4194560);
	EQ(s.threads, 3);
	EQ(s.started, 98765);
}

TEST(procfs_stat_of_a_process)
{
	is_the_process("42 (sh) " NUMBERS);
	is_the_process("42 () " NUMBERS);
}

TEST(procfs_a_name_cannot_forge_the_rest)
{
	is_the_process("42 () R 1 (x) " NUMBERS);
	is_the_process("42 (a) R 1 1 1 0 -1 0 ) " NUMBERS);
	is_the_process("42 (((( ))))) " NUMBERS);
	is_the_process("42 (\n1 (x) R 1) " NUMBERS);
}

TEST(procfs_stat_that_is_none)
{
	struct proc_stat s;

	OK(!parse("", &s));
	OK(!parse("42", &s));
	OK(!parse("42 (sh", &s));
	OK(!parse("42 )sh( " NUMBERS, &s));
	OK(!parse("(sh) " NUMBERS, &s));
	OK(!parse("0 (sh) " NUMBERS, &s));
	OK(!parse("-1 (sh) " NUMBERS, &s));
	OK(!parse("4294967338 (sh) " NUMBERS, &s));
	OK(!parse("42 (sh) SS 41 42", &s));
	OK(!parse("42 (sh) S -1 " NUMBERS, &s));
	OK(!parse("42 (sh) S 41 42 42 0 -1 4194560 100 0 0 0 5 6 0 0 20 0 3 0", &s));
	OK(!proc_parse_stat(STR("42 (sh) \0 41 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 9 1 2"), &s));
	OK(!proc_parse_stat(STR_NONE, &s));
}

TEST(procfs_stat_of_this_process)
{
	FILE *f = fopen("/proc/self/stat", "r");
	char text[PROC_STAT_MAX];
	struct proc_stat s;

	NOT_EMULATED("whole /proc/self/stat");
	size_t n = fread(text, 1, sizeof text, f);
	OK(proc_parse_stat(str_sub(text, n), &s));
	EQ(s.pid, getpid());
	EQ(s.ppid, getppid());
	EQ(s.state, 'R');
	EQ(s.threads, 1);
	EQ(s.flags & PROC_FORKED_ONLY, PROC_FORKED_ONLY); /* the runner forks each test */
	fclose(f);
}

TEST(procfs_children)
{
	struct str rest = STR("12 345 6 "), none = STR_NONE, odd = STR("12 x 6");
	pid_t pid;

	OK(proc_next_child(&rest, &pid) && pid == 12);
	OK(proc_next_child(&rest, &pid) && pid == 345);
	OK(proc_next_child(&rest, &pid) && pid == 6);
	OK(!proc_next_child(&rest, &pid));
	OK(!proc_next_child(&none, &pid));
	OK(proc_next_child(&odd, &pid) && pid == 12);
	OK(!proc_next_child(&odd, &pid));
}

TEST(procfs_sockets)
{
	uint64_t inode = 0;

	OK(proc_parse_socket(STR("socket:[12345]"), &inode));
	EQ(inode, 12345);
	OK(!proc_parse_socket(STR("/tmp/socket:[12345]"), &inode));
	OK(!proc_parse_socket(STR("socket:[12345"), &inode));
	OK(!proc_parse_socket(STR("socket:[]"), &inode));
	OK(!proc_parse_socket(STR("socket:["), &inode));
	OK(!proc_parse_socket(STR("socket:[1]]"), &inode));
	OK(!proc_parse_socket(STR("pipe:[1]"), &inode));
}

TEST(procfs_paths_of_arguments)
{
	struct str rest = STR("node\0/opt/x.js\0--a=/b\0\0/c"), path;

	OK(proc_next_path(&rest, &path) && str_is(path, "/opt/x.js"));
	OK(proc_next_path(&rest, &path) && str_is(path, "/c"));
	OK(!proc_next_path(&rest, &path));
	rest = STR_NONE;
	OK(!proc_next_path(&rest, &path));
}

TEST(procfs_pids)
{
	pid_t pid;

	OK(proc_parse_pid(STR("1"), &pid) && pid == 1);
	OK(proc_parse_pid(STR("2147483647"), &pid));
	OK(!proc_parse_pid(STR("2147483648"), &pid));
	OK(!proc_parse_pid(STR("0"), &pid));
	OK(!proc_parse_pid(STR("self"), &pid));
	OK(!proc_parse_pid(STR(""), &pid));
}
