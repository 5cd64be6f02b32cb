#include <stdio.h>

#include "base/json.h"
#include "driver/kubernetes/quantity.h"
#include "driver/kubernetes/render_impl.h"
#include "grpc/status.h"

#define GPU_RESOURCE "nvidia.com/gpu"

/* One amount of the typed part, unless it is not set. */
static void put_amount(cJSON *resources, const char *side, const char *name, const char *amount)
{
	cJSON *o = json_get(resources, side);

	if (!str_empty(amount))
		json_put_str(o ? o : json_put_object(resources, side), name, amount);
}

/* A limit without a request asks for as much as it allows. */
static void put_typed(cJSON *resources, const char *name, const char *request, const char *limit)
{
	put_amount(resources, "limits", name, limit);
	if (str_empty(request) && json_get(json_get(resources, "requests"), name) == NULL)
		request = limit;
	put_amount(resources, "requests", name, request);
}

static void put_missing(cJSON *resources, const cJSON *from, const char *side)
{
	const cJSON *v;
	cJSON *o = json_get(resources, side);

	cJSON_ArrayForEach(v, json_get(from, side)) {
		if (o == NULL)
			o = json_put_object(resources, side);
		if (json_get(o, v->string) == NULL)
			json_put(o, v->string, json_copy(v));
	}
}

/* Whether GPUs are asked for, and how many: one where no number is given. */
static bool gpu_count(const struct render *r, uint32_t *count)
{
	const Openshell__Compute__V1__ResourceRequirements *q = r->spec->resource_requirements;

	if (q == NULL || q->gpu == NULL)
		return false;
	*count = 1;
	if (q->gpu->_count_case == OPENSHELL__COMPUTE__V1__GPU_RESOURCE_REQUIREMENTS___COUNT_COUNT)
		*count = q->gpu->count;
	return true;
}

cJSON *render_resources(const struct render *r)
{
	const Openshell__Compute__V1__DriverResourceRequirements *t = r->template->resources;
	uint32_t gpus;
	const cJSON *raw = json_get(r->config.platform, "resources_raw");
	const cJSON *more = json_at(r->config.driver, "containers", "agent", "resources", NULL);
	cJSON *out = raw ? json_copy(raw) : json_object();

	if (t != NULL) {
		put_typed(out, "cpu", t->cpu_request, t->cpu_limit);
		put_typed(out, "memory", t->memory_request, t->memory_limit);
	}
	if (gpu_count(r, &gpus)) {
		char count[16];
		snprintf(count, sizeof count, "%u", gpus);
		put_amount(out, "limits", GPU_RESOURCE, count);
	}
	put_missing(out, more, "requests");
	put_missing(out, more, "limits");
	if (out->child == NULL) {
		cJSON_Delete(out);
		return NULL;
	}
	return out;
}

/* A pod's needs are the larger of its init containers' and its containers' together, so the same
 * amounts once more cost nothing. Devices are left out: an init container has no use for them. */
cJSON *render_helper_resources(const cJSON *agent)
{
	static const char *const sides[] = {"requests", "limits"};
	static const char *const names[] = {"cpu", "memory", "ephemeral-storage"};
	cJSON *out = json_object();

	for (size_t s = 0; s < ARRAY_LEN(sides); s++) {
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			const cJSON *v = json_get(json_get(agent, sides[s]), names[i]);
			cJSON *o = json_get(out, sides[s]);
			if (v == NULL)
				continue;
			json_put(o ? o : json_put_object(out, sides[s]), names[i], json_copy(v));
		}
	}
	if (out->child == NULL) {
		cJSON_Delete(out);
		return NULL;
	}
	return out;
}

cJSON *render_sidecar_resources(const cJSON *agent)
{
	static const struct {
		const char *side, *name, *amount;
	} little[] = {
		{"requests", "cpu", "50m"},
		{"requests", "memory", "64Mi"},
		{"limits", "cpu", "1"},
		{"limits", "memory", "512Mi"},
	};
	cJSON *out = json_object();

	for (size_t i = 0; i < ARRAY_LEN(little); i++) {
		if (json_get(json_get(agent, little[i].side), little[i].name) != NULL)
			put_amount(out, little[i].side, little[i].name, little[i].amount);
	}
	if (out->child == NULL) {
		cJSON_Delete(out);
		return NULL;
	}
	return out;
}

int resources_check(const struct render *r, struct err *e)
{
	const Openshell__Compute__V1__DriverResourceRequirements *t = r->template->resources;
	uint32_t gpus;

	if (gpu_count(r, &gpus) && gpus == 0)
		return err_set(e, GRPC_INVALID_ARGUMENT, "gpu count must be greater than 0");
	if (t == NULL)
		return 0;
	const struct {
		const char *name, *value;
	} typed[] = {
		{"cpu_request", t->cpu_request},
		{"cpu_limit", t->cpu_limit},
		{"memory_request", t->memory_request},
		{"memory_limit", t->memory_limit},
	};
	for (size_t i = 0; i < ARRAY_LEN(typed); i++) {
		if (!str_empty(typed[i].value) && !is_quantity(str_of(typed[i].value)))
			return err_set(e, GRPC_INVALID_ARGUMENT,
				       "template.resources.%s '%s' is no quantity such as 500m or "
				       "4Gi",
				       typed[i].name, typed[i].value);
	}
	return 0;
}
