/*
 * For tests that wall their own process in: the sanitizers' search for leaks at its end needs what the
 * walls refuse (ptrace, /proc), and would fail. Such a test sets walled_in.
 */
#ifndef OPENSHELL_TEST_WALLED_H
#define OPENSHELL_TEST_WALLED_H

#include <stdbool.h>

static bool walled_in;

/* asked by the leak sanitizer, which has the name */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return walled_in;
}

#endif
