/* Answers for a person. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ctl/ctl_impl.h"

static const cJSON *condition(const cJSON *sandbox, const char *type)
{
	const cJSON *it;

	cJSON_ArrayForEach(it, json_at(sandbox, "status", "conditions", NULL)) {
		if (streq(json_str(it, "type"), type))
			return it;
	}
	return NULL;
}

static bool condition_is(const cJSON *c, const char *status)
{
	return strcasecmp(json_str_or_empty(c, "status"), status) == 0;
}

/* Reasons of Ready=False that a gateway waits out (driver contract 1.11). */
static bool is_transient(const char *reason)
{
	static const char *const transient[] = {
		"ReconcilerError",        "DependenciesNotReady",
		"SupervisorNotConnected", "Starting",
		"ContainerStarting",      "ContainerCreated",
		"HealthCheckStarting",    "InspectFailed",
	};

	for (size_t i = 0; i < ARRAY_LEN(transient); i++) {
		if (strcasecmp(reason, transient[i]) == 0)
			return true;
	}
	return false;
}

static bool is_stopping(const cJSON *suspended)
{
	const char *reason = json_str_or_empty(suspended, "reason");

	return condition_is(suspended, "False") &&
	       (streq(reason, "PodTerminating") || streq(reason, "PodNotTerminated"));
}

const char *ctl_phase(const cJSON *sandbox)
{
	const cJSON *ready = condition(sandbox, "Ready");

	if (json_bool(json_get(sandbox, "status"), "deleting", false))
		return "Deleting";
	if (condition_is(condition(sandbox, "Suspended"), "True"))
		return "Stopped";
	if (is_stopping(condition(sandbox, "Suspended")))
		return "Stopping";
	if (condition_is(ready, "True"))
		return "Ready";
	if (condition_is(ready, "False") && !is_transient(json_str_or_empty(ready, "reason")))
		return "Error";
	return "Provisioning";
}

char *ctl_reason(const cJSON *sandbox)
{
	const cJSON *ready = condition(sandbox, "Ready");
	const char *message = json_str_or_empty(ready, "message");

	return xasprintf("%s%s%s", json_str_or_empty(ready, "reason"), *message ? ": " : "",
			 message);
}

enum { COLUMNS = 5 };

/* The widest cell of each column decides; the last one is as long as it likes. */
static void print_rows(char *const cells[][COLUMNS], size_t rows)
{
	int width[COLUMNS] = {0};

	for (size_t r = 0; r < rows; r++) {
		for (size_t i = 0; i + 1 < COLUMNS; i++)
			width[i] = MAX(width[i], (int)strlen(cells[r][i]));
	}
	for (size_t r = 0; r < rows; r++) {
		for (size_t i = 0; i + 1 < COLUMNS; i++)
			printf("%-*s  ", width[i], cells[r][i]);
		printf("%s\n", cells[r][COLUMNS - 1]);
	}
}

void ctl_print_sandboxes(const cJSON *sandboxes)
{
	static const char *const head[COLUMNS] = {"NAME", "WORKSPACE", "PHASE", "ID", "REASON"};
	size_t n = (size_t)cJSON_GetArraySize(sandboxes), row = 1;
	char *(*cells)[COLUMNS] = xcalloc(n + 1, sizeof *cells);
	const cJSON *it;

	for (size_t i = 0; i < COLUMNS; i++)
		cells[0][i] = xstrdup(head[i]);
	cJSON_ArrayForEach(it, sandboxes) {
		cells[row][0] = xstrdup(json_str_or_empty(it, "name"));
		cells[row][1] = xstrdup(json_str_or_empty(it, "workspace"));
		cells[row][2] = xstrdup(ctl_phase(it));
		cells[row][3] = xstrdup(json_str_or_empty(it, "id"));
		cells[row++][4] = ctl_reason(it);
	}
	print_rows((char *const(*)[COLUMNS])cells, row);
	for (size_t r = 0; r < row; r++) {
		for (size_t i = 0; i < COLUMNS; i++)
			free(cells[r][i]);
	}
	free(cells);
}

void ctl_print_members(const cJSON *object)
{
	const cJSON *it;

	cJSON_ArrayForEach(it, object) {
		if (cJSON_IsString(it)) {
			printf("%-26s %s\n", it->string, it->valuestring);
			continue;
		}
		_cleanup_free_ char *text = json_text(it);
		printf("%-26s %s\n", it->string, text);
	}
}

void ctl_print_json(const cJSON *j, bool one_line)
{
	_cleanup_free_ char *text = one_line ? json_text(j) : cJSON_Print(j);

	puts(text);
}
