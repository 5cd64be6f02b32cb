/*
 * What the files of the Kubernetes backend's live part share; nobody else may include it. Its parts:
 *
 *   op.c         one operation: its calls one after the other, its deadline, its answer
 *   place.c      namespaces: whether sandboxes can be put there, and as whom they run
 *   allowlist.c  operator mode: which namespaces may be used
 *   box.c        what is remembered of each Sandbox object, and how it gets into the registry
 *   trouble.c    what keeps a sandbox from becoming ready, and Kubernetes Events
 *   look.c       second looks at objects, a few at a time
 *   watch.c      the reflectors that feed box.c and trouble.c
 *   create.c lifecycle.c read.c ensure.c   the RPCs
 *   backend.c    the table, start and end
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_KUBERNETES_IMPL_H
#define OPENSHELL_DRIVER_KUBERNETES_KUBERNETES_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cJSON.h>

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/util.h"
#include "driver/backend.h"
#include "driver/kubernetes/allowlist.h"
#include "driver/kubernetes/names.h"
#include "driver/kubernetes/options.h"
#include "driver/kubernetes/render.h"
#include "driver/kubernetes/status.h"
#include "driver/kubernetes/version.h"
#include "driver/registry.h"
#include "grpc/server.h"
#include "kube/client.h"
#include "kube/reflector.h"

struct watch;

struct kubernetes {
	struct backend backend;
	struct loop *loop;
	struct registry *registry;
	const struct kubernetes_options *options;
	struct kube_client *client;
	struct version *version;
	struct allowlist *allowlist; /* NULL but in operator mode */
	struct watch *watch;

	struct list ops;
	size_t writing; /* of ops, those that must not be cut off */

	struct map places;     /* namespace -> struct place */
	struct map boxes;      /* namespace/object -> struct box */
	struct map vanished;   /* uids, see box_vanished */
	size_t refused;        /* boxes whose id another object has */
	struct list claimants; /* boxes that use claims of other names than their own */
	struct list looks;     /* struct look that wait for others to end */
	size_t looking;        /* under way */

	uint64_t told_events[1024]; /* hashes of the last that were told, a ring */
	size_t n_told_events;

	bool has_gpu; /* what the last look at the nodes said, for old gateways */
};

extern const struct kube_resource resource_pods, resource_events, resource_namespaces,
	resource_nodes, resource_secrets, resource_service_accounts, resource_network_policies;

/* ---- op.c ---- */

struct op;
typedef void op_fn(struct op *op);
typedef void op_answer_fn(struct op *op, struct kube_answer *a);

/* What kind of operation; static. */
struct op_kind {
	const char *name; /* "create sandbox": in errors and logs */
	bool writes;      /* must not be cut off half-way */
	int64_t timeout_ms;
	/* Releases what the operation holds beside its struct; or NULL. Nothing is to be answered. */
	void (*release)(struct op *op);
	/* Called when no API version can be had; NULL: op_fail_kube. */
	void (*failed)(struct op *op, const struct kube_error *error);
};

/*
 * Embedded first in each operation's own struct, which op_new allocates. At any time exactly one
 * thing is waited for: an answer, a point in time, an API version, or something of its own.
 *
 *   op_new -> op_call/op_sleep/op_with_api -> ... -> op_reply or op_fail -> gone
 */
struct op {
	struct kubernetes *k;
	const struct op_kind *kind;
	struct grpc_call *call; /* NULL: nobody is there to be answered (any more) */
	int64_t deadline;       /* mono_ms */
	bool writing;           /* must not be cut off; counted in kubernetes.writing */
	bool reprobed;          /* the API version was doubted already for this operation */

	struct kube_request *request;
	op_answer_fn *answer;
	struct timer timer;
	op_fn *resume;
	struct version_wait wait;
	struct list link; /* kubernetes.ops */
};

/* A new operation in size zeroed bytes that begin with a struct op. call may be NULL. */
void *op_new(struct kubernetes *k, struct grpc_call *call, const struct op_kind *kind, size_t size);
/* Ends it without an answer and releases it. */
void op_end(struct op *op);
/* Answers, and ends it. */
void op_reply(struct op *op, const void *message);
void op_fail(struct op *op, enum grpc_status code, const char *fmt, ...) PRINTF(3, 4);
void op_fail_err(struct op *op, const struct err *e); /* e->code is a gRPC status */
void op_fail_kube(struct op *op, const struct kube_error *error);
/* Answers the call and goes on without it. */
void op_detach_fail(struct op *op, enum grpc_status code, const char *text);

/* What is left of it is no reason to put off the end of the process. */
void op_may_be_cut_off(struct op *op);

/* Milliseconds to the deadline, 0 when it has passed. */
int64_t op_left(const struct op *op);

/* Calls the API server within the deadline; takes path and body (may be NULL). fn gets the answer.
 * An answer of KUBE_NO_RESOURCE is fn's to hand to op_api_gone. */
void op_call(struct op *op, enum kube_method method, enum kube_body type, char *path, cJSON *body,
	     op_answer_fn *fn);
static inline void op_get(struct op *op, char *path, op_answer_fn *fn)
{
	op_call(op, KUBE_GET, KUBE_JSON, path, NULL, fn);
}
/* Calls fn in ms, sooner at the deadline. */
void op_sleep(struct op *op, int64_t ms, op_fn *fn);
/* Calls fn, at once or later, when the version of the Sandbox API is known; fails the operation when
 * it cannot be had. */
void op_with_api(struct op *op, op_fn *fn);
/* True when the error says that the API version is not served any more: then the operation goes on
 * with again() once it is known anew. Once an operation. */
bool op_api_gone(struct op *op, const struct kube_error *error, op_fn *again);

/* What a gateway is to make of a failed call (driver contract 3.5): never NOT_FOUND. */
enum grpc_status kube_grpc_status(const struct kube_error *error);

/* The chosen version; only where op_with_api came before. */
enum sandbox_api chosen_api(const struct kubernetes *k);
/* The path of a Sandbox, or of all (name NULL), in the chosen version. The caller's. */
char *sandbox_path(const struct kubernetes *k, const char *ns, const char *name);
/* The namespace that sandboxes are listed in: NULL for the whole cluster. */
const char *watched_namespace(const struct kubernetes *k);

/* ---- place.c ---- */

/* A namespace that sandboxes can be put into. */
struct place {
	char ns[K8S_LABEL_MAX + 1];
	char workspace[K8S_LABEL_MAX + 1];
	struct k8s_identity identity; /* its strings point to the two below */
	char *uid_range, *groups;
	int64_t good_until; /* mono_ms; 0: must be looked at before use */
	struct op *job;     /* the look under way, or NULL */
	struct list waiting;
};

struct place_wait {
	/* e is NULL when the place can be used: then place holds until the next turn of the loop. e->code
	 * is a gRPC status. */
	void (*done)(struct place_wait *w, const struct place *place, const struct err *e);
	struct list link;
};

/* The place, when it was looked at lately; else NULL: then place_wait. */
const struct place *place_ready(struct kubernetes *k, const char *ns);
/* Has the namespace made fit for sandboxes (managed: made; secrets copied; identity read), and calls
 * w->done, never from inside. Many who wait share one look. */
void place_wait(struct kubernetes *k, const char *ns, const char *workspace, struct place_wait *w);
void place_wait_cancel(struct place_wait *w);
/* Something said that the namespace is not as it was: look again before the next use. */
void place_doubt(struct kubernetes *k, const char *ns);
void places_free(struct kubernetes *k);

/* ---- box.c ---- */

struct look;

/* What is remembered of a Sandbox object of ours; the object itself is not kept. */
struct box {
	struct kubernetes *k;
	const char *ns, *object, *uid; /* in the same block as the box */
	char *image;                   /* of the agent's container; NULL: none */
	char **claims;                 /* that it uses, but for its own; NULL-terminated, or NULL */
	struct list claimant;          /* kubernetes.claimants, when it has claims */
	bool wants_run, ready, stopped; /* as the object said last */
	bool refused; /* by the registry: its id is that of another object; counted in kubernetes.refused */
	bool watched; /* the reflector knows the object, and will tell when it is gone */
	bool looked;  /* its pod was looked for since it is to stop */
	enum pod_presence presence;
	struct k8s_trouble *trouble;          /* what is known to be wrong; NULL: nothing */
	enum k8s_trouble_kind object_trouble; /* what the object itself says */
	char *end;          /* how its pod ended, in words; NULL: it has not, or does not tell */
	bool end_sought;    /* its pod was asked for that */
	struct timer timer; /* when its status changes by time alone */
	struct look *look;  /* a second look, waiting or under way; NULL */
};

struct box *box_find(const struct kubernetes *k, const char *ns, const char *object);
/* By the name of the object or of the pod that runs it. */
struct box *box_of_instance(const struct kubernetes *k, const char *ns, const char *name);
/* The sandbox's id; NULL when the registry does not have it. */
const char *box_id(const struct box *b);

/*
 * The object is like this, as a watch or an answer said: into the registry it goes, with what is
 * known about its pod. pod may be NULL; presence is POD_UNKNOWN where nobody looked. Objects that
 * are not ours are ignored, and states older than what is known. Returns its box, or NULL when it is
 * none of ours.
 */
struct box *box_update(struct kubernetes *k, const cJSON *object, const cJSON *pod,
		       enum pod_presence presence);
/* It is gone since this resourceVersion at the latest: what is older says nothing any more. */
void box_gone(struct kubernetes *k, const struct kube_key *key, const char *version);
/* The same for an object that no watch tells of and that was not found. */
void box_vanished(struct box *b);
/* A whole list was told: what is known from elsewhere and was not in it is looked at again. */
void boxes_listed(struct kubernetes *k);
void boxes_free(struct kubernetes *k);

/* ---- trouble.c ---- */

/* What an object or its pod says is taken into what is known of it. True when the user should be
 * told: then trouble_tell, once the registry knows the sandbox. */
bool trouble_in_object(struct box *b, const cJSON *object);
bool trouble_in_pod(struct box *b, const cJSON *pod);
void trouble_tell(struct box *b);
/* Its pod changed, or is gone (NULL), as a watch said. */
void trouble_pod(struct box *b, const cJSON *pod);
void trouble_forget(struct box *b);
/* A Kubernetes Event: forwarded to who watches, and looked at for trouble. One that was told already
 * (the same event with the same count) is ignored. */
void trouble_event(struct kubernetes *k, const cJSON *event);

/* ---- look.c ---- */

/* Reads object and pod again, in ms, and takes them in: for what changes without an update. A look
 * that waits already happens at the earlier of both times. */
void look_again(struct box *b, int64_t ms);
/* None waits any more, and none that is under way has an effect. */
void look_forget(struct box *b);

/* ---- watch.c ---- */

struct watch *watch_new(struct kubernetes *k);
void watch_free(struct watch *w);
/* The API version was chosen: watches its objects from now on. */
void watch_api(struct watch *w);

/* ---- target.c ---- */

/* An operation on a sandbox that exists. Embedded first instead of a struct op. */
struct target {
	struct op op;
	char *id, *name;     /* what was asked for; never NULL */
	char *ns, *object;   /* where it was found */
	char *uid, *version; /* version: NULL when not known */
	cJSON *json;         /* the object, when it was read live */
	bool live;           /* the last look was a live one */
	unsigned lost;       /* live looks that were lost on the way */
	enum lookup found;
	struct kube_list *list;
	op_fn *then, *none;
};

/* Sets up what target_find needs; target_release is the least that the op's kind must release. */
void target_init(struct target *t, const char *id, const char *name);
void target_release(struct op *op);
/* Finds the sandbox, in the registry or live, and goes on with then; where there is none, with none,
 * or with target_missing when none is NULL. */
void target_find(struct target *t, op_fn *then, op_fn *none);
/* Only live: when the registry cannot be asked, or what it said turned out to be old. */
void target_find_live(struct target *t, op_fn *then, op_fn *none);
/* Answers that the sandbox was not found, in lookup.h's words, and ends. */
void target_missing(struct op *op);

/* ---- the RPCs ---- */

/* The checks that Validate and Create make before anything is asked of the cluster; *e's code is a
 * gRPC status. Fills *at. */
int check_sandbox(const struct kubernetes *k, const Openshell__Compute__V1__DriverSandbox *sandbox,
		  struct k8s_names *at, struct err *e);
/* A watch told of a change of an object or its pod: a stop that waits for it looks at once. Not for
 * what an answer told, lest two stops of one sandbox keep waking each other. */
void stops_wake(struct kubernetes *k, const struct box *b);

void create_sandbox(struct backend *b, struct grpc_call *call,
		    const Openshell__Compute__V1__CreateSandboxRequest *r);
void stop_sandbox(struct backend *b, struct grpc_call *call,
		  const Openshell__Compute__V1__StopSandboxRequest *r);
void start_sandbox(struct backend *b, struct grpc_call *call,
		   const Openshell__Compute__V1__StartSandboxRequest *r);
void delete_sandbox(struct backend *b, struct grpc_call *call,
		    const Openshell__Compute__V1__DeleteSandboxRequest *r);
void validate_sandbox(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__ValidateSandboxCreateRequest *r);
void get_sandbox(struct backend *b, struct grpc_call *call,
		 const Openshell__Compute__V1__GetSandboxRequest *r);
void list_sandboxes(struct backend *b, struct grpc_call *call,
		    const Openshell__Compute__V1__ListSandboxesRequest *r);
void resolve_endpoint(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__ResolveSandboxEndpointRequest *r);
void ensure_workspace(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__EnsureWorkspaceRequest *r);
void delete_workspace(struct backend *b, struct grpc_call *call,
		      const Openshell__Compute__V1__DeleteWorkspaceRequest *r);

#endif
