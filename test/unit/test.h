/*
 * The harness of the unit tests: a file test/unit/x_test.c is one program, each TEST in it a child
 * process with a time limit, so that a test may crash, hang, exit or change the process without
 * harm to the others.
 *
 *	TEST(str_eq_compares_bytes)
 *	{
 *		EQ(str_len(s), 3);
 *	}
 *
 * A check that fails says where and what, and ends the test. SKIP says why loudly, and is a failure
 * under REQUIRE_ALL=1. Arguments of the program choose the tests whose names contain one of them;
 * TEST_NOFORK=1 runs them in the process itself, for a debugger.
 */
#ifndef OPENSHELL_TEST_H
#define OPENSHELL_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test {
	const char *name;
	void (*run)(void);
	unsigned seconds; /* until it is killed */
	struct test *next;
};

#define TEST_SECONDS 20

#define TEST(name) TEST_WITHIN(name, TEST_SECONDS)

/* A test that may take longer (or must be quicker) than TEST_SECONDS. */
#define TEST_WITHIN(name, limit)                                                                   \
	static void test_##name(void);                                                             \
	__attribute__((constructor)) static void test_add_##name(void)                             \
	{                                                                                          \
		static struct test t = {#name, test_##name, limit, NULL};                          \
		test_add(&t);                                                                      \
	}                                                                                          \
	static void test_##name(void)

#define TEST_HERE __FILE__, __LINE__

#define OK(cond) ((cond) ? (void)0 : test_fail(TEST_HERE, "%s", #cond))
#define EQ(a, b) test_eq(TEST_HERE, #a, #b, (long long)(a), (long long)(b))
#define STREQ(a, b) test_streq(TEST_HERE, #a, #b, a, b)
/* Whether the text a contains b. */
#define HAS(a, b) test_has(TEST_HERE, #a, a, b)
#define MEMEQ(a, b, n) test_memeq(TEST_HERE, #a, #b, a, b, n)
#define FAIL(...) test_fail(TEST_HERE, __VA_ARGS__)
#define SKIP(...) test_skip(__VA_ARGS__)
/* Skips where an emulator runs the test (TEST_EMULATOR=1) that lacks a system call; that is no
 * failure under REQUIRE_ALL=1, since the same test runs on this machine's own build. */
#define NOT_EMULATED(syscall) test_not_emulated(syscall)

/* A pause in which something is expected to happen, stretched where tests run slowly: under an
 * emulator or the sanitizers (TEST_TIME_SCALE). Prefer to wait for the thing itself. */
int64_t test_ms(int64_t ms);

void test_add(struct test *t);
void test_eq(const char *file, int line, const char *a, const char *b, long long va, long long vb);
void test_streq(const char *file, int line, const char *a, const char *b, const char *va,
		const char *vb);
void test_has(const char *file, int line, const char *a, const char *text, const char *part);
void test_memeq(const char *file, int line, const char *a, const char *b, const void *va,
		const void *vb, size_t n);
void test_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void test_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void test_not_emulated(const char *syscall);

#endif
