/* What managed mode makes around sandboxes: a namespace, and what is in it (driver contract 3.13).
 * Declared in render.h. */
#include <string.h>

#include "base/json.h"
#include "driver/kubernetes/render.h"

#define SSH_POLICY "openshell-sandbox-ssh"
enum { SSH_PORT = 2222 };

static cJSON *new_object(const char *version, const char *kind, const char *name, const char *ns)
{
	cJSON *o = json_object();
	cJSON *meta;

	json_put_str(o, "apiVersion", version);
	json_put_str(o, "kind", kind);
	meta = json_put_object(o, "metadata");
	json_put_str(meta, "name", name);
	if (ns != NULL)
		json_put_str(meta, "namespace", ns);
	return o;
}

static void put_managed_by(cJSON *object)
{
	json_put_str(json_put_object(json_get(object, "metadata"), "labels"), LABEL_MANAGED_BY,
		     MANAGED_BY);
}

cJSON *k8s_render_namespace(const struct kubernetes_options *o, const char *workspace,
			    const char *ns)
{
	cJSON *object = new_object("v1", "Namespace", ns, NULL);
	cJSON *labels = json_put(json_get(object, "metadata"), "labels",
				 k8s_namespace_labels(o, workspace));

	/* a cluster whose default is baseline (Talos) or restricted would refuse every pod */
	if (!streq(o->managed_pod_security, "none"))
		json_put_str(labels, "pod-security.kubernetes.io/enforce", o->managed_pod_security);
	return object;
}

cJSON *k8s_render_service_account(const struct kubernetes_options *o, const char *ns)
{
	cJSON *object = new_object("v1", "ServiceAccount", o->service_account, ns);

	put_managed_by(object);
	return object;
}

cJSON *k8s_render_ssh_policy(const struct kubernetes_options *o, const char *ns)
{
	cJSON *object, *spec, *rule, *peer, *labels, *port;

	if (!o->managed_ssh_ingress)
		return NULL;
	object = new_object("networking.k8s.io/v1", "NetworkPolicy", SSH_POLICY, ns);
	put_managed_by(object);
	spec = json_put_object(object, "spec");
	json_put_str(json_put_object(json_put_object(spec, "podSelector"), "matchLabels"),
		     LABEL_MANAGED_BY, MANAGED_BY);
	json_add_str(json_put_array(spec, "policyTypes"), "Ingress");
	rule = json_add_object(json_put_array(spec, "ingress"));
	peer = json_add_object(json_put_array(rule, "from"));
	json_put_str(json_put_object(json_put_object(peer, "namespaceSelector"), "matchLabels"),
		     "kubernetes.io/metadata.name", o->managed_ssh_gateway_namespace);
	labels = json_put_object(json_put_object(peer, "podSelector"), "matchLabels");
	for (size_t i = 0; i < o->managed_ssh_gateway_pod_selector.n; i++) {
		struct str value = str_of(o->managed_ssh_gateway_pod_selector.v[i]);
		_cleanup_free_ char *key = str_dup(str_trim(str_cut(&value, '=')));
		_cleanup_free_ char *text = str_dup(str_trim(value));
		json_put_str(labels, key, text);
	}
	port = json_add_object(json_put_array(rule, "ports"));
	json_put_str(port, "protocol", "TCP");
	json_put_int(port, "port", SSH_PORT);
	return object;
}

cJSON *k8s_render_secret_copy(const cJSON *secret, const char *ns)
{
	cJSON *object = new_object("v1", "Secret", k8s_object_name(secret), ns);
	const cJSON *data = json_get(secret, "data");

	put_managed_by(object);
	if (json_str(secret, "type") != NULL)
		json_put_str(object, "type", json_str(secret, "type"));
	if (data != NULL)
		json_put(object, "data", json_copy(data));
	return object;
}
