#include "driver/kubernetes/names.h"
#include "driver/kubernetes/quantity.h"
#include "k8s.h"

static struct k8s_names names;
static struct err err;

static int names_of(const char *arguments, const char *workspace, const char *name)
{
	err = (struct err){0};
	names = (struct k8s_names){0};
	return k8s_names_of(options(arguments), workspace, name, &names, &err);
}

static const char operator_mode[] = "--workspace-mode operator --operator-namespace-file /f";

TEST(names_by_mode)
{
	EQ(names_of("--namespace ns", "team", "box"), 0);
	STREQ(names.ns, "ns");
	STREQ(names.object, "team--box");
	EQ(names_of("--workspace-mode managed --gateway-id gw", "team", "box"), 0);
	STREQ(names.ns, "openshell-gw-team");
	STREQ(names.object, "box");
	EQ(names_of(operator_mode, "team", "box"), 0);
	STREQ(names.ns, "team");
	STREQ(names.object, "box");
}

/* 3.16, defect 7 */
TEST(defect_07_empty_workspace_gives_the_bare_name)
{
	EQ(names_of("", "", "box"), 0);
	STREQ(names.object, "box");
	EQ(names_of("--workspace-mode managed", "", "box"), -1);
	EQ(err.code, GRPC_INVALID_ARGUMENT);
	EQ(names_of(operator_mode, "", "box"), -1);
}

TEST(names_that_do_not_fit)
{
	/* 43 + 2 + 19 = 64 */
	EQ(names_of("", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeee", "nnnnnnnnnnmmmmmmmmm"), -1);
	EQ(err.code, GRPC_INVALID_ARGUMENT);
	STREQ(err.text, "combined Kubernetes resource name "
			"'aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeee--nnnnnnnnnnmmmmmmmmm' is 64 "
			"characters, exceeding the DNS-1123 limit of 63");
	EQ(names_of("", "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddee", "nnnnnnnnnnmmmmmmmmm"), 0);
	EQ(strlen(names.object), 63);

	EQ(names_of("", "team", "Box"), -1);
	HAS(err.text, "sandbox name must be a DNS-1123 label: ");
	EQ(names_of(operator_mode, "team", "b_x"), -1);
	HAS(err.text, "sandbox name must be a DNS-1123 label: ");
	EQ(names_of("--workspace-mode managed --gateway-id gw", "Team", "box"), -1);
	STREQ(err.text, "managed namespace 'openshell-gw-Team' (from workspace 'Team') is not a "
			"valid DNS-1123 label");
	EQ(names_of("", "te am", "box"), -1);
	EQ(err.code, GRPC_INVALID_ARGUMENT);
}

TEST(selectors)
{
	STREQ(keep_text(k8s_selector_all(options(""))), "openshell.ai/managed-by=openshell");
	STREQ(keep_text(k8s_selector_all(options("--workspace-mode managed --gateway-id gw"))),
	      "openshell.ai/managed-by=openshell,openshell.ai/sandbox-id,openshell.ai/"
	      "gateway-id=gw");
	STREQ(keep_text(k8s_selector_id(options(operator_mode), "id-1")),
	      "openshell.ai/managed-by=openshell,openshell.ai/sandbox-id=id-1,openshell.ai/"
	      "gateway-id=openshell");
	/* an id must not bring a selector of its own */
	EQ(k8s_selector_id(options(""), "a,b=c") == NULL, true);
	EQ(k8s_selector_id(options(""), "") == NULL, true);
}

/* upstream: sandbox_from_object_* (driver contract 6, item 19) */
TEST(annotation_counts_more_than_label)
{
	const cJSON *o = JSON({
		"metadata" : {
			"name" : "cr",
			"namespace" : "there",
			"uid" : "u",
			"resourceVersion" : "7",
			"annotations" : {
				"openshell.ai/sandbox-id" : "a-id",
				"openshell.ai/sandbox-name" : "a"
			},
			"labels" : {
				"openshell.ai/sandbox-id" : "l-id",
				"openshell.ai/sandbox-name" : "l",
				"openshell.ai/sandbox-workspace" : "w"
			}
		}
	});

	STREQ(k8s_object_id(o), "a-id");
	STREQ(k8s_object_sandbox(o), "a");
	STREQ(k8s_object_workspace(o), "w");
	STREQ(k8s_object_namespace(o), "there");
	STREQ(k8s_object_uid(o), "u");
	STREQ(k8s_object_version(o), "7");
}

/* 3.16, defect 5: what a driver before v0.0.88, or the Go driver, made */
TEST(defect_05_objects_without_our_labels_are_read)
{
	const cJSON *o = JSON({
		"metadata" : {
			"name" : "box",
			"namespace" : "default",
			"labels" : {
				"openshell.ai/managed-by" : "openshell",
				"openshell.ai/sandbox-id" : "i"
			}
		}
	});

	EQ(k8s_is_ours(options(""), o), true);
	EQ(k8s_is_ours(options("--namespace other"), o), false);
	STREQ(k8s_object_id(o), "i");
	STREQ(k8s_object_sandbox(o), "box");
	STREQ(k8s_object_workspace(o), "");
	STREQ(k8s_pod_name(o), "box");
	STREQ(k8s_object_id(NULL), "");
}

/* 3.16, defect 16 */
TEST(defect_16_another_gateways_objects_are_left_alone)
{
	const cJSON *o = JSON({
		"metadata" : {
			"name" : "box",
			"namespace" : "default",
			"labels" : {
				"openshell.ai/managed-by" : "openshell",
				"openshell.ai/sandbox-id" : "i",
				"openshell.ai/gateway-id" : "other"
			}
		}
	});

	EQ(k8s_is_ours(options(""), o), false);
	EQ(k8s_is_ours(options("--gateway-id other"), o), true);
	EQ(k8s_is_ours(options(""), JSON({"metadata" : {"namespace" : "default"}})), false);
}

/* without a gateway's label it can only be from before there were workspaces */
TEST(unlabelled_objects_are_ours_in_shared_mode_only)
{
	const cJSON *o = JSON({
		"metadata" : {
			"name" : "box",
			"namespace" : "default",
			"labels" : {"openshell.ai/managed-by" : "openshell"}
		}
	});

	EQ(k8s_is_ours(options("--workspace-mode managed"), o), false);
}

TEST(pod_name_is_the_controllers)
{
	STREQ(k8s_pod_name(JSON({
		      "metadata" : {
			      "name" : "box",
			      "annotations" : {"agents.x-k8s.io/pod-name" : "box-2"}
		      }
	      })),
	      "box-2");
}

/* upstream: namespace_owned_* : both labels */
TEST(namespace_ownership_needs_both_labels)
{
	const struct kubernetes_options *o = options("--workspace-mode managed --gateway-id gw");
	cJSON *ns = keep(k8s_render_namespace(o, "team", "openshell-gw-team"));

	EQ(k8s_namespace_is_ours(o, ns), true);
	EQ(k8s_namespace_is_ours(options("--workspace-mode managed"), ns), false);
	EQ(k8s_namespace_is_ours(
		   o, JSON({"metadata" : {"labels" : {"openshell.ai/gateway-id" : "gw"}}})),
	   false);
	JSONEQ(ns, {
		"apiVersion" : "v1",
		"kind" : "Namespace",
		"metadata" : {
			"name" : "openshell-gw-team",
			"labels" : {
				"openshell.ai/managed-by" : "openshell",
				"openshell.ai/gateway-id" : "gw",
				"openshell.ai/sandbox-workspace" : "team",
				"pod-security.kubernetes.io/enforce" : "privileged"
			}
		}
	});
	o = options("--managed-pod-security-level none");
	EQ(json_get(
		   json_at(keep(k8s_render_namespace(o, "team", "ns")), "metadata", "labels", NULL),
		   "pod-security.kubernetes.io/enforce") == NULL,
	   true);
}

TEST(quantities)
{
	static const char *const good[] = {"1",   "0",   "1.5",  ".5", "500m",
					   "4Gi", "1e3", "2E-2", "3E"};
	static const char *const bad[] = {"",    "NaN",  "inf", "-1", "+1", "1 Gi",
					  "4GB", "0x10", ".",   "1e", "ki", "4ki"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!is_quantity(str_of(good[i])))
			FAIL("%s is a quantity", good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (is_quantity(str_of(bad[i])))
			FAIL("'%s' is no quantity", bad[i]);
	}
	EQ(is_label_key(STR("a.b/c_d")), true);
	EQ(is_label_key(STR("/c")), false);
	EQ(is_label_key(STR("a/")), false);
	EQ(is_label_key(STR("A b")), false);
	EQ(is_label_value(STR("-a")), false);
	EQ(is_label_value(STR_NONE), true);
}
