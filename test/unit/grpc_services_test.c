/* The standard services, as their clients see them: grpc.health.v1 and server reflection. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/util.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "grpc/client.h"
#include "grpc/health.h"
#include "grpc/health/v1/health.pb-c.h"
#include "grpc/reflection.h"
#include "grpc/reflection/v1/reflection.pb-c.h"
#include "test.h"

typedef Grpc__Health__V1__HealthCheckRequest check_request;
typedef Grpc__Health__V1__HealthCheckResponse check_response;
typedef Grpc__Reflection__V1__ServerReflectionRequest info_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse info_response;

static struct loop *loop;
static struct grpc_server *server;
static struct grpc_health *health;
static struct grpc_channel *channel;

static void set_up(void)
{
	struct conn *a, *b;
	struct err e;
	int fd[2];

	OK(loop_new(&loop, &e) == 0);
	server = grpc_server_new(loop, &GRPC_CONFIG_DEFAULT);
	health = grpc_health_new(server);
	grpc_reflection_add(server);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0);
	OK(conn_of_fd(&a, loop, fd[0], "client", &e) == 0);
	OK(conn_of_fd(&b, loop, fd[1], "server", &e) == 0);
	grpc_server_serve(server, b);
	channel = grpc_channel_new(a, &GRPC_CHANNEL_CONFIG_DEFAULT, NULL, NULL);
}

static void tear_down(void)
{
	grpc_channel_free(channel);
	grpc_server_free(server);
	grpc_health_free(health);
	loop_free(loop);
}

/* ---- a call ---- */

static bool ended;
static enum grpc_status status;
static int answers;
static void (*look)(void *message);

static void on_message(struct grpc_rpc *r UNUSED, void *message)
{
	answers++;
	look(message);
	loop_stop(loop, 0);
}

static void on_ended(struct grpc_rpc *r UNUSED, enum grpc_status s, struct str text UNUSED)
{
	ended = true;
	status = s;
	loop_stop(loop, 0);
}

static const struct grpc_rpc_ops ops = {.message = on_message, .ended = on_ended};

static struct grpc_rpc *call(const char *path, const ProtobufCMessageDescriptor *out, bool streams,
			     const void *request)
{
	const struct grpc_rpc_config cfg = {.path = path, .out = out, .streams = streams};

	ended = false;
	return grpc_rpc_call(channel, &cfg, request, &ops, NULL);
}

static void run_until_ended(void)
{
	while (!ended)
		loop_run(loop);
}

static void run_until_answered(int n)
{
	while (answers < n && !ended)
		loop_run(loop);
	EQ(answers, n);
}

/* ---- health ---- */

static int state;

static void look_state(void *message)
{
	state = (int)((check_response *)message)->status;
}

static enum grpc_status check(const char *service)
{
	check_request q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

	q.service = (char *)service;
	look = look_state;
	call("/grpc.health.v1.Health/Check", &grpc__health__v1__health_check_response__descriptor,
	     false, &q);
	run_until_ended();
	return status;
}

TEST(health_is_asked_by_service)
{
	set_up();
	EQ(check(""), GRPC_OK);
	EQ(state, GRPC_HEALTH_SERVING);
	EQ(check("t.T"), GRPC_NOT_FOUND);
	grpc_health_set(health, "t.T", GRPC_HEALTH_NOT_SERVING);
	EQ(check("t.T"), GRPC_OK);
	EQ(state, GRPC_HEALTH_NOT_SERVING);
	tear_down();
}

static void look_list(void *message)
{
	state = (int)((Grpc__Health__V1__HealthListResponse *)message)->n_statuses;
}

TEST(health_is_listed)
{
	Grpc__Health__V1__HealthListRequest q = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;

	set_up();
	grpc_health_set(health, "t.T", GRPC_HEALTH_SERVING);
	look = look_list;
	call("/grpc.health.v1.Health/List", &grpc__health__v1__health_list_response__descriptor,
	     false, &q);
	run_until_ended();
	EQ(status, GRPC_OK);
	EQ(state, 2);
	tear_down();
}

TEST(health_is_watched_and_told_once_a_change)
{
	check_request q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

	set_up();
	look = look_state;
	q.service = (char *)"t.T";
	struct grpc_rpc *r = call("/grpc.health.v1.Health/Watch",
				  &grpc__health__v1__health_check_response__descriptor, true, &q);
	run_until_answered(1);
	EQ(state, GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN);
	grpc_health_set(health, "t.T", GRPC_HEALTH_SERVING);
	grpc_health_set(health, "t.T", GRPC_HEALTH_SERVING);
	run_until_answered(2);
	EQ(state, GRPC_HEALTH_SERVING);
	grpc_health_set(health, "other", GRPC_HEALTH_SERVING);
	grpc_health_set(health, "t.T", GRPC_HEALTH_NOT_SERVING);
	run_until_answered(3);
	EQ(state, GRPC_HEALTH_NOT_SERVING);
	grpc_rpc_cancel(r);
	EQ(check(""), GRPC_OK);
	EQ(grpc_server_calls(server), 0);
	tear_down();
}

/* ---- reflection ---- */

static int answer_case, n_files, error_code;
static char names[1000]; /* of services or of files */

static void add_name(const char *name)
{
	size_t n = strlen(names);

	snprintf(names + n, sizeof names - n, "%s ", name);
}

static void look_files(const Grpc__Reflection__V1__FileDescriptorResponse *f)
{
	n_files = (int)f->n_file_descriptor_proto;
	for (size_t i = 0; i < f->n_file_descriptor_proto; i++) {
		Google__Protobuf__FileDescriptorProto *d =
			google__protobuf__file_descriptor_proto__unpack(
				NULL, f->file_descriptor_proto[i].len,
				f->file_descriptor_proto[i].data);
		OK(d != NULL);
		add_name(d->name);
		google__protobuf__file_descriptor_proto__free_unpacked(d, NULL);
	}
}

static void look_info(void *message)
{
	const info_response *r = message;

	names[0] = '\0';
	answer_case = (int)r->message_response_case;
	STREQ(r->valid_host, "h");
	OK(r->original_request != NULL);
	switch (answer_case) {
	case 4:
		look_files(r->file_descriptor_response);
		break;
	case 5:
		STREQ(r->all_extension_numbers_response->base_type_name,
		      "grpc.health.v1.HealthCheckRequest");
		EQ(r->all_extension_numbers_response->n_extension_number, 0);
		break;
	case 6:
		for (size_t i = 0; i < r->list_services_response->n_service; i++)
			add_name(r->list_services_response->service[i]->name);
		break;
	case 7:
		error_code = r->error_response->error_code;
		break;
	default:
		FAIL("an answer of kind %d", answer_case);
	}
}

#define INFO(version) "/grpc.reflection." version ".ServerReflection/ServerReflectionInfo"

static void ask(struct grpc_rpc *r, int kind, const char *text)
{
	info_request q = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
	Grpc__Reflection__V1__ExtensionRequest ext = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;

	q.host = (char *)"h";
	q.message_request_case = kind;
	if (kind == 5)
		q.file_containing_extension = &ext;
	else if (kind != 0)
		q.file_by_filename = (char *)text;
	OK(grpc_rpc_send(r, &q));
	run_until_answered(answers + 1);
}

static struct grpc_rpc *start_info(const char *path)
{
	const struct grpc_rpc_config cfg = {
		.path = path,
		.out = &grpc__reflection__v1__server_reflection_response__descriptor,
		.streams = true,
	};

	set_up();
	look = look_info;
	ended = false;
	return grpc_rpc_start(channel, &cfg, &ops, NULL);
}

static void list_services(const char *path)
{
	struct grpc_rpc *r = start_info(path);

	ask(r, 7, "");
	EQ(answer_case, 6);
	STREQ(names, "grpc.health.v1.Health grpc.reflection.v1.ServerReflection "
		     "grpc.reflection.v1alpha.ServerReflection ");
	grpc_rpc_half_close(r);
	run_until_ended();
	EQ(status, GRPC_OK);
	tear_down();
}

TEST(services_are_listed_in_both_versions)
{
	list_services(INFO("v1"));
	answers = 0;
	list_services(INFO("v1alpha"));
}

TEST(files_come_with_what_they_import)
{
	struct grpc_rpc *r = start_info(INFO("v1"));

	ask(r, 3, "grpc/health/v1/health.proto");
	EQ(answer_case, 4);
	STREQ(names, "grpc/health/v1/health.proto ");
	ask(r, 4, "openshell.compute.v1.ComputeDriver.GetSandbox");
	EQ(answer_case, 4);
	HAS(names, "compute_driver.proto ");
	HAS(names, "google/protobuf/struct.proto ");
	OK(n_files >= 2);
	tear_down();
}

TEST(what_there_is_not_is_said)
{
	struct grpc_rpc *r = start_info(INFO("v1"));

	ask(r, 3, "nope.proto");
	EQ(error_code, GRPC_NOT_FOUND);
	ask(r, 4, "no.Such");
	EQ(error_code, GRPC_NOT_FOUND);
	ask(r, 5, "");
	EQ(error_code, GRPC_NOT_FOUND);
	ask(r, 6, "no.Such");
	EQ(error_code, GRPC_NOT_FOUND);
	ask(r, 0, "");
	EQ(error_code, GRPC_INVALID_ARGUMENT);
	ask(r, 6, "grpc.health.v1.HealthCheckRequest");
	EQ(answer_case, 5);
	tear_down();
}

TEST(many_questions_before_the_first_answer_is_read)
{
	enum { N = 200 }; /* of about 10 KB each: more than a stream may queue */
	struct grpc_rpc *r = start_info(INFO("v1"));
	info_request q = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

	q.host = (char *)"h";
	q.message_request_case =
		GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME;
	q.file_by_filename = (char *)"compute_driver.proto";
	grpc_rpc_pause(r);
	for (int i = 0; i < N; i++)
		OK(grpc_rpc_send(r, &q));
	grpc_rpc_half_close(r);
	EQ(check(""), GRPC_OK); /* on the same connection, meanwhile */
	look = look_info;
	answers = 0;
	ended = false;
	grpc_rpc_resume(r);
	run_until_ended();
	EQ(status, GRPC_OK);
	EQ(answers, N);
	tear_down();
}
