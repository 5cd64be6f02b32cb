#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "compute_driver.pb-c.h"
#include "grpc/health/v1/health.pb-c.h"
#include "test.h"
#include "wire/json.h"
#include "wire/wire.h"

#define SANDBOX (&openshell__compute__v1__driver_sandbox__descriptor)

static struct arena arena = ARENA_INIT(16 << 20);
static struct err err;

static void *read_text(const ProtobufCMessageDescriptor *type, const char *text)
{
	_cleanup_json_ cJSON *j = json_parse(str_of(text), "text", &err);

	if (j == NULL)
		FAIL("%s", err.text);
	return wire_from_json(type, j, &arena, &err);
}

static char *written(const void *m)
{
	_cleanup_json_ cJSON *j = wire_to_json(m, &err);

	if (j == NULL)
		FAIL("%s", err.text);
	return json_text(j);
}

/* What the text reads as, written again. */
static char *again(const ProtobufCMessageDescriptor *type, const char *text)
{
	void *m = read_text(type, text);

	if (m == NULL)
		FAIL("%s", err.text);
	return written(m);
}

#define REFUSED(type, given, why)                                                                  \
	do {                                                                                       \
		if (read_text(type, given) != NULL)                                                \
			FAIL("was taken: %s", given);                                              \
		STREQ(err.text, why);                                                              \
	} while (0)

TEST(a_sandbox_is_read_and_written)
{
	static const char text[] =
		"{\"id\":\"i\",\"name\":\"n\",\"spec\":{\"environment\":{\"A\":\"1\",\"B\":\"\"},"
		"\"template\":{\"image\":\"img\",\"driverConfig\":{\"pod\":{\"a\":[1,true,null]}},"
		"\"userNamespaces\":false},\"resourceRequirements\":{\"gpu\":{\"count\":2}},"
		"\"command\":[\"a\",\"b\"],\"tty\":true,\"launchAuthentication\":\"AP8=\"}}";
	_cleanup_free_ char *out = again(SANDBOX, text);

	STREQ(out, text);
}

TEST(names_are_taken_as_declared_too)
{
	_cleanup_free_ char *out =
		again(SANDBOX, "{\"spec\":{\"log_level\":\"x\",\"sandboxToken\":\"t\"}}");

	STREQ(out, "{\"spec\":{\"logLevel\":\"x\",\"sandboxToken\":\"t\"}}");
}

TEST(defaults_and_null_are_not_written)
{
	_cleanup_free_ char *out = again(
		SANDBOX, "{\"id\":\"\",\"spec\":{\"tty\":false,\"command\":[],\"template\":null}}");

	STREQ(out, "{\"spec\":{}}");
}

TEST(times_and_64_bit_numbers)
{
	const ProtobufCMessageDescriptor *event =
		&openshell__compute__v1__driver_platform_event__descriptor;
	_cleanup_free_ char *out =
		again(event, "{\"timestampMs\":\"9007199254740993\",\"eventTime\":"
			     "\"2026-11-25T10:00:00.5+02:00\"}");
	STREQ(out, "{\"timestampMs\":\"9007199254740993\",\"eventTime\":"
		   "\"2026-11-25T08:00:00.500Z\"}");
	_cleanup_free_ char *number = again(event, "{\"timestampMs\":5}");
	STREQ(number, "{\"timestampMs\":\"5\"}");
	REFUSED(event, "{\"timestampMs\":1.5}", "timestampMs: is not a whole number");
	REFUSED(event, "{\"timestampMs\":\"9223372036854775808\"}",
		"timestampMs: '9223372036854775808' is not a whole number");
	REFUSED(event, "{\"eventTime\":\"yesterday\"}", "eventTime: is not an RFC 3339 time");
	REFUSED(event, "{\"eventTime\":5}", "eventTime: is not an RFC 3339 time");
}

TEST(enums_go_by_name)
{
	const ProtobufCMessageDescriptor *d = &grpc__health__v1__health_check_response__descriptor;
	_cleanup_free_ char *out = again(d, "{\"status\":\"NOT_SERVING\"}");
	STREQ(out, "{\"status\":\"NOT_SERVING\"}");
	_cleanup_free_ char *number = again(d, "{\"status\":1}");
	STREQ(number, "{\"status\":\"SERVING\"}");
	_cleanup_free_ char *unknown = again(d, "{\"status\":77}");
	STREQ(unknown, "{\"status\":77}");
	REFUSED(d, "{\"status\":\"FINE\"}", "status: 'FINE' is not a value of ServingStatus");
}

TEST(maps_may_hold_messages)
{
	_cleanup_free_ char *out =
		again(&grpc__health__v1__health_list_response__descriptor,
		      "{\"statuses\":{\"a\":{\"status\":\"SERVING\"},\"b\":{}}}");

	STREQ(out, "{\"statuses\":{\"a\":{\"status\":\"SERVING\"},\"b\":{}}}");
}

TEST(a_map_value_that_is_absent_on_the_wire_is_a_default_one)
{
	uint8_t bytes[] = "\x0a\x03\x0a\x01"
			  "a";
	void *m = wire_unpack(&grpc__health__v1__health_list_response__descriptor, bytes, 5, &arena,
			      &err);

	OK(m != NULL);
	_cleanup_free_ char *out = written(m);
	STREQ(out, "{\"statuses\":{\"a\":{}}}");
}

TEST(a_oneof_is_one_of)
{
	const ProtobufCMessageDescriptor *d =
		&openshell__compute__v1__isolation_backend__descriptor;
	_cleanup_free_ char *out = again(d, "{\"name\":\"n\",\"vsock\":{\"guestCid\":4294967295}}");
	STREQ(out, "{\"name\":\"n\",\"vsock\":{\"guestCid\":4294967295}}");
	_cleanup_free_ char *empty = again(d, "{\"unixSocketPath\":\"\"}");
	STREQ(empty, "{\"unixSocketPath\":\"\"}");
	REFUSED(d, "{\"unixSocketPath\":\"a\",\"tcp\":{}}",
		"tcp: is set beside another of its oneof");
	REFUSED(d, "{\"vsock\":{\"port\":4294967296}}", "vsock.port: 4294967296 is out of range");
	REFUSED(d, "{\"vsock\":{\"port\":-1}}", "vsock.port: -1 is out of range");
}

TEST(what_is_wrong_is_named_by_its_path)
{
	REFUSED(SANDBOX, "[]", "is not an object");
	REFUSED(SANDBOX, "{\"spec\":{\"template\":{\"imge\":\"x\"}}}",
		"spec.template.imge: no such field in DriverSandboxTemplate");
	REFUSED(SANDBOX, "{\"spec\":{\"command\":[\"a\",7]}}", "spec.command[1]: is not a string");
	REFUSED(SANDBOX, "{\"spec\":{\"command\":\"a\"}}", "spec.command: is not an array");
	REFUSED(SANDBOX, "{\"spec\":{\"environment\":[]}}", "spec.environment: is not an object");
	REFUSED(SANDBOX, "{\"spec\":{\"environment\":{\"A\":1}}}",
		"spec.environment.A: is not a string");
	REFUSED(SANDBOX, "{\"spec\":{\"environment\":{\"A\":\"1\",\"A\":\"2\"}}}",
		"spec.environment.A: is there twice");
	REFUSED(SANDBOX, "{\"spec\":{\"logLevel\":\"a\",\"log_level\":\"b\"}}",
		"spec.log_level: is there twice");
	REFUSED(SANDBOX, "{\"spec\":{\"tty\":1}}", "spec.tty: is neither true nor false");
	REFUSED(SANDBOX, "{\"spec\":{\"launchAuthentication\":\"?\"}}",
		"spec.launchAuthentication: is not base64");
	REFUSED(SANDBOX, "{\"spec\":{\"template\":{\"driverConfig\":[]}}}",
		"spec.template.driverConfig: is not an object");
	REFUSED(SANDBOX, "{\"status\":{\"conditions\":[{},{\"type\":{}}]}}",
		"status.conditions[1].type: is not a string");
}
