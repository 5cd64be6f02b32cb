/*
 * The program of the interoperability tests: one side of grpc.testing.TestService, served or called
 * through src/grpc. Used by test/interop/run, which puts the other side against it.
 */
#ifndef OPENSHELL_TEST_INTEROP_H
#define OPENSHELL_TEST_INTEROP_H

/* Serves on 127.0.0.1 (argv[1]: a port, else any), and prints the port; SIGTERM drains and ends. */
int interop_server(int argc, char **argv);
/* Runs the case argv[2] against 127.0.0.1, port argv[1]. 0 when it passed; else says what failed. */
int interop_client(int argc, char **argv);

#endif
