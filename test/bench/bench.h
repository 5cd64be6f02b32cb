/*
 * The load program of `make bench`, and what its two parts share: time in microseconds, and what many
 * measured times say. test/bench/run starts it; it knows nothing of what it measures but the contract.
 */
#ifndef OPENSHELL_BENCH_H
#define OPENSHELL_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

int64_t bench_us(void);

/* Measured times; grows as they come. */
struct bench_times {
	int64_t *us;
	size_t n, cap;
};

void bench_add(struct bench_times *t, int64_t us);
/* The value below which `percent` of them lie; 0 when there are none. Sorts. */
int64_t bench_percentile(struct bench_times *t, int percent);

/* The JSON of a file, or the program ends and says why; the caller's. */
cJSON *bench_read_json(const char *path);

/* A thread of a server: sends on the descriptor, which it takes, for as long as it is read. */
void *bench_send_on(void *fd);

/* The parts, each with a main of its own: load on a driver's socket, and on an API server; the start of a
 * sandbox (now is what runs inside), and what goes through its proxy (client is inside). */
int load_main(int argc, char **argv);
int objects_main(int argc, char **argv);
int start_main(int argc, char **argv);
int now_main(int argc, char **argv);
int wall_main(int argc, char **argv);
int client_main(int argc, char **argv);
/* The session with a gateway (inside is the sandbox's main process), and a ProxyCommand for ssh. */
int session_main(int argc, char **argv);
int gateway_main(int argc, char **argv);
int inside_main(int argc, char **argv);
int passing_main(int argc, char **argv);
/* Who holds a connection. */
int callers_main(int argc, char **argv);

#endif
