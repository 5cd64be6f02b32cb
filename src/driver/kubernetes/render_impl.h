/*
 * What the parts of the renderer share. Only render.c, env.c, resources.c, volumes.c, containers.c,
 * sidecar.c and validate.c include this.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_RENDER_IMPL_H
#define OPENSHELL_DRIVER_KUBERNETES_RENDER_IMPL_H

#include <stdbool.h>

#include <cJSON.h>

#include "base/err.h"
#include "compute_driver.pb-c.h"
#include "driver/kubernetes/config.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/options.h"
#include "driver/kubernetes/render.h"

/* A sandbox that was read and checked. */
struct render {
	const struct kubernetes_options *o;
	const struct k8s_facts *f; /* NULL while only checking */
	const Openshell__Compute__V1__DriverSandbox *sandbox;
	const Openshell__Compute__V1__DriverSandboxSpec *spec;         /* never NULL */
	const Openshell__Compute__V1__DriverSandboxTemplate *template; /* never NULL */
	struct k8s_names names;
	struct k8s_config config;
	const char *image;
	enum sideload sideload;
	bool workspace; /* a claim is mounted at WORKSPACE_DIR */
	bool own_claim; /* it is ours: a template of WORKSPACE_CLAIM with our size */
	bool user_namespaces;
};

/* Reads and checks everything (validate.c). *r is to be released by render_fini in either case. */
int render_init(struct render *r, const struct kubernetes_options *o, const struct k8s_facts *f,
		const Openshell__Compute__V1__DriverSandbox *sandbox, struct err *e);
void render_fini(struct render *r);

static inline bool is_sidecar(const struct render *r)
{
	return r->o->topology == TOPOLOGY_SIDECAR;
}

/* A string in which kubelet's $(NAME) does not happen: the text arrives in the container as it is.
 * kubelet expands names and makes one `$` of two in environment, command and arguments. The
 * caller's. */
char *no_expansion(const char *text);

/* env.c: the environment of the agent's container, [{name, value}]; and that of the network
 * supervisor in sidecar topology. The caller's. */
cJSON *render_env(const struct render *r);
cJSON *render_sidecar_env(const struct render *r);
/* Whether a user may give this variable; where not, it is dropped without a word, as upstream does:
 * its gateways refuse such names long before (1.9). */
bool env_is_users(const char *name);

/* resources.c: {limits, requests} or NULL for none; and what of them a helper container gets, so
 * that a quota on them does not refuse the pod, and its QoS class stays what it is. The caller's. */
cJSON *render_resources(const struct render *r);
cJSON *render_helper_resources(const cJSON *agent);
/* The same for the network supervisor, which runs beside the agent: a little of what the agent has
 * amounts of. */
cJSON *render_sidecar_resources(const cJSON *agent);
int resources_check(const struct render *r, struct err *e);

/* containers.c: the arrays of the pod; the caller's. Init containers: NULL when there is none. */
cJSON *render_containers(const struct render *r);
cJSON *render_init_containers(const struct render *r);

/* Pieces of containers. */
cJSON *add_container(cJSON *list, const char *name, const char *image, const char *policy);
/* One argument; kubelet is not to see names in it. */
void add_argument(cJSON *command, const char *argument);
/* How the supervisor reaches the world, in upstream's order. */
void add_proxy_arguments(cJSON *command, const struct render *r);
void put_profiles(cJSON *security, const struct render *r);
/* An init container's share: what the agent has. */
void put_helper_resources(cJSON *container, const struct render *r);

/* sidecar.c: what sidecar topology adds (driver contract 3.6). */
void put_sidecar_agent_security(cJSON *container, const struct render *r);
void add_network_init(cJSON *list, const struct render *r);
void add_network_supervisor(cJSON *list, const struct render *r);

#endif
