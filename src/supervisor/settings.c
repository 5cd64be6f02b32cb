#include "base/str.h"
#include "base/util.h"
#include "supervisor/settings.h"
#include "supervisor/tell.h"

#define OCSF_JSON "ocsf_json_enabled"
#define PROPOSALS "agent_policy_proposals_enabled"

enum { SETTINGS_MAX = 256 }; /* ours: the peers have four. More are not looked at */

typedef Openshell__Sandbox__V1__GetSandboxConfigResponse config_response;
typedef Openshell__Sandbox__V1__SettingValue setting_value;

static size_t count(const config_response *c)
{
	return MIN(c->n_settings, (size_t)SETTINGS_MAX);
}

/* NULL when it is not there. Of a key that comes twice the last counts, as in any map. */
static const setting_value *find(const config_response *c, const char *key)
{
	for (size_t i = count(c); i-- > 0;)
		if (streq(c->settings[i]->key, key))
			return c->settings[i]->value ? c->settings[i]->value->value : NULL;
	return NULL;
}

static bool same(const setting_value *a, const setting_value *b)
{
	size_t n = protobuf_c_message_get_packed_size(&a->base);

	if (n != protobuf_c_message_get_packed_size(&b->base))
		return false;
	_cleanup_free_ uint8_t *x = xmalloc(n), *y = xmalloc(n);
	protobuf_c_message_pack(&a->base, x);
	protobuf_c_message_pack(&b->base, y);
	return str_eq(str_sub(x, n), str_sub(y, n));
}

/* A setting of another type is none. */
static bool is_on(const config_response *c, const char *key, bool otherwise)
{
	const setting_value *v = find(c, key);

	return v != NULL && v->value_case == OPENSHELL__SANDBOX__V1__SETTING_VALUE__VALUE_BOOL_VALUE
		       ? v->bool_value
		       : otherwise;
}

static void follow(const struct settings *s, const config_response *before,
		   const config_response *now)
{
	ocsf_set_json(s->events, is_on(now, OCSF_JSON, s->ocsf_json));
	if (is_on(now, PROPOSALS, false) && (before == NULL || !is_on(before, PROPOSALS, false)))
		tell_config(s->events, "skipped", OCSF_LOW,
			    "Setting has no effect in this version [key:" PROPOSALS "]");
}

void settings_begin(const struct settings *s, const config_response *first)
{
	follow(s, NULL, first);
}

void settings_change(const struct settings *s, const config_response *before,
		     const config_response *now)
{
	for (size_t i = 0; i < count(now); i++) {
		const char *key = now->settings[i]->key;
		const setting_value *was = find(before, key), *is = find(now, key);
		if (is == NULL || (was != NULL && same(was, is)))
			continue;
		if (was == NULL)
			tell_config(s->events, "enabled", OCSF_INFORMATIONAL,
				    "Setting added [key:%s]", key);
		else
			tell_config(s->events, "updated", OCSF_INFORMATIONAL,
				    "Setting changed [key:%s]", key);
	}
	for (size_t i = 0; i < count(before); i++) {
		const char *key = before->settings[i]->key;
		if (find(before, key) == NULL || find(now, key) != NULL)
			continue;
		tell_config(s->events, "disabled", OCSF_INFORMATIONAL, "Setting removed [key:%s]",
			    key);
	}
	follow(s, before, now);
}
