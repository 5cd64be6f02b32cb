/* supervisor/settings.c: what of a gateway's settings is told, and what is followed. */
#include <stdio.h>
#include <string.h>

#include "supervisor/settings.h"
#include "test.h"

#define M(name) Openshell__Sandbox__V1__##name

enum { MANY = 4 };

/* Settings, as a message has them. */
struct set {
	M(GetSandboxConfigResponse) message;
	M(GetSandboxConfigResponse__SettingsEntry) entry[MANY];
	M(EffectiveSetting) effective[MANY];
	M(SettingValue) value[MANY];
	M(GetSandboxConfigResponse__SettingsEntry) * list[MANY];
};

static void begin(struct set *s)
{
	s->message = (M(
		GetSandboxConfigResponse))OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_RESPONSE__INIT;
	s->message.settings = s->list;
}

static M(SettingValue) * add(struct set *s, const char *key)
{
	size_t i = s->message.n_settings++;

	OK(i < MANY);
	s->entry[i] = (M(GetSandboxConfigResponse__SettingsEntry))
		OPENSHELL__SANDBOX__V1__GET_SANDBOX_CONFIG_RESPONSE__SETTINGS_ENTRY__INIT;
	s->effective[i] = (M(EffectiveSetting))OPENSHELL__SANDBOX__V1__EFFECTIVE_SETTING__INIT;
	s->value[i] = (M(SettingValue))OPENSHELL__SANDBOX__V1__SETTING_VALUE__INIT;
	s->entry[i].key = (char *)key;
	s->entry[i].value = &s->effective[i];
	s->effective[i].value = &s->value[i];
	s->list[i] = &s->entry[i];
	return &s->value[i];
}

static void add_bool(struct set *s, const char *key, bool value)
{
	M(SettingValue) *v = add(s, key);

	v->value_case = OPENSHELL__SANDBOX__V1__SETTING_VALUE__VALUE_BOOL_VALUE;
	v->bool_value = value;
}

static void add_text(struct set *s, const char *key, const char *value)
{
	M(SettingValue) *v = add(s, key);

	v->value_case = OPENSHELL__SANDBOX__V1__SETTING_VALUE__VALUE_STRING_VALUE;
	v->string_value = (char *)value;
}

static char said[2048];
static struct settings settings;

static void hear(void *arg UNUSED, int64_t time_ms UNUSED, enum log_level level UNUSED,
		 const char *target UNUSED, const char *words UNUSED, struct str text)
{
	snprintf(said + strlen(said), sizeof said - strlen(said), "%.*s\n", STR_FMT(text));
}

static void open_events(void)
{
	const struct ocsf_options options = {.folder = "/nowhere", .stderr_level = LOG_ERROR};

	settings.events = ocsf_new(&options);
	ocsf_set_sink(settings.events, hear, NULL);
}

TEST(what_changed_is_told_by_its_name)
{
	struct set before, now;

	open_events();
	begin(&before);
	add_text(&before, "same", "a");
	add_text(&before, "other", "secret-1");
	add_bool(&before, "gone", true);
	begin(&now);
	add_text(&now, "same", "a");
	add_text(&now, "other", "secret-2");
	add_bool(&now, "new", true);
	settings_change(&settings, &before.message, &now.message);
	STREQ(said, "CONFIG:UPDATED [INFO] Setting changed [key:other]\n"
		    "CONFIG:ENABLED [INFO] Setting added [key:new]\n"
		    "CONFIG:DISABLED [INFO] Setting removed [key:gone]\n");
	said[0] = '\0';
	settings_change(&settings, &now.message, &now.message);
	STREQ(said, "");
	ocsf_free(settings.events);
}

TEST(what_this_version_does_not_do_is_told_when_it_is_asked_for)
{
	struct set none, on, text;

	open_events();
	begin(&none);
	begin(&on);
	add_bool(&on, "agent_policy_proposals_enabled", true);
	begin(&text);
	add_text(&text, "agent_policy_proposals_enabled", "true"); /* is no flag */
	settings_begin(&settings, &none.message);
	settings_begin(&settings, &text.message);
	STREQ(said, "");
	settings_begin(&settings, &on.message);
	HAS(said, "CONFIG:SKIPPED [LOW] Setting has no effect in this version "
		  "[key:agent_policy_proposals_enabled]");
	said[0] = '\0';
	settings_change(&settings, &on.message, &on.message);
	STREQ(said, "");
	ocsf_free(settings.events);
}
