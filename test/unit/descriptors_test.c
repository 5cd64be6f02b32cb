#include "base/util.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "test.h"
#include "wire/descriptors.h"

/* The name of the file in which a symbol is found, read by protobuf-c: a second opinion. The
 * caller's. */
static char *file_of(const char *symbol)
{
	Google__Protobuf__FileDescriptorProto *f;
	struct str bytes;

	if (!descriptors_file_of(str_of(symbol), &bytes))
		return NULL;
	f = google__protobuf__file_descriptor_proto__unpack(NULL, bytes.n,
							    (const uint8_t *)bytes.p);
	OK(f != NULL);
	char *name = xstrdup(f->name);
	google__protobuf__file_descriptor_proto__free_unpacked(f, NULL);
	return name;
}

TEST(symbols_of_every_kind_are_found)
{
	static const struct {
		const char *symbol, *file;
	} t[] = {
		{"openshell.compute.v1.ComputeDriver", "compute_driver.proto"},
		{"openshell.compute.v1.ComputeDriver.GetSandbox", "compute_driver.proto"},
		{"openshell.compute.v1.DriverSandbox", "compute_driver.proto"},
		{"openshell.compute.v1.DriverSandbox.workspace", "compute_driver.proto"},
		{"openshell.compute.v1.DriverSandboxSpec.EnvironmentEntry", "compute_driver.proto"},
		{"openshell.compute.v1.DriverSandboxSpec.EnvironmentEntry.key",
		 "compute_driver.proto"},
		{"openshell.extension.v1.PeerMetadata", "extension.proto"},
		{"grpc.health.v1.Health", "grpc/health/v1/health.proto"},
		{"grpc.health.v1.HealthCheckResponse.ServingStatus", "grpc/health/v1/health.proto"},
		{"grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING",
		 "grpc/health/v1/health.proto"},
		{"grpc.reflection.v1.ServerReflection", "grpc/reflection/v1/reflection.proto"},
		{"grpc.reflection.v1alpha.ServerReflection",
		 "grpc/reflection/v1alpha/reflection.proto"},
		{"google.protobuf.Struct", "google/protobuf/struct.proto"},
		{"google.protobuf.NullValue", "google/protobuf/struct.proto"},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		_cleanup_free_ char *file = file_of(t[i].symbol);
		STREQ(file, t[i].file);
	}
}

TEST(what_is_not_there_is_not_found)
{
	static const char *const none[] = {"",
					   ".",
					   "openshell",
					   "openshell.compute.v1",
					   "openshell.compute.v1.",
					   "ComputeDriver",
					   "openshell.compute.v1.ComputeDrive",
					   "openshell.compute.v1.ComputeDriver.",
					   "openshell.compute.v1.ComputeDriver.GetSandboxes",
					   "openshell.compute.v1.DriverSandbox.id.x",
					   "grpc.health.v1.HealthCheckResponse.SERVING",
					   ".openshell.compute.v1.ComputeDriver"};
	struct str out;

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (descriptors_file_of(str_of(none[i]), &out))
			FAIL("found: '%s'", none[i]);
	OK(!descriptors_file(STR("driver.proto"), &out));
}

TEST(every_import_is_there)
{
	struct str file, name, import;
	size_t at = 0;
	int n = 0;

	OK(descriptors_file(STR("compute_driver.proto"), &file));
	while (descriptors_import(file, &at, &name)) {
		OK(descriptors_file(name, &import));
		n++;
	}
	EQ(n, 3);
}
