/* ocsf: what an event looks like, to a person and to a program. */
#include <string.h>

#include "base/json.h"
#include "ocsf/ocsf_impl.h"
#include "test.h"

static const char *shown(const struct ocsf_event *ev)
{
	static char text[OCSF_SHORTHAND_MAX];

	size_t n = ocsf_shorthand(ev, text);
	EQ(n, strlen(text));
	return text;
}

#define EVENT(...) (&(struct ocsf_event){__VA_ARGS__})
#define SHOWN(...) shown(EVENT(__VA_ARGS__))

/* ---- shorthand ---- */

static const struct ocsf_process curl = {.name = {"/usr/bin/curl", 13}, .pid = 42};
static const struct ocsf_endpoint example = {.host = {"example.com", 11}, .port = 443};

#define DENIED .severity = OCSF_MEDIUM, .action = OCSF_DENIED, .disposition = OCSF_BLOCKED
#define RULE(p, e) .rule = {.policy = STR(p), .engine = STR(e)}

TEST(net)
{
	STREQ(SHOWN(.class = OCSF_NET, .activity = OCSF_NET_OPEN, .action = OCSF_ALLOWED,
		    .process = curl, .dst = example, RULE("web", "opa"), .message = STR("unseen")),
	      "NET:OPEN [INFO] ALLOWED /usr/bin/curl(42) -> example.com:443 [policy:web "
	      "engine:opa]");
	STREQ(SHOWN(.class = OCSF_NET, .activity = OCSF_NET_OPEN, DENIED, .process = curl,
		    .dst = example, RULE("-", "opa"), .status_detail = STR("no policy")),
	      "NET:OPEN [MED] DENIED /usr/bin/curl(42) -> example.com:443 [policy:- engine:opa] "
	      "[reason:no policy]");
	STREQ(SHOWN(.class = OCSF_NET, .activity = OCSF_NET_REFUSE, DENIED, .protocol = STR("udp"),
		    .dst = {.host = STR("192.0.2.1"), .port = 53},
		    RULE("bypass-detect", "nftables")),
	      "NET:REFUSE [MED] DENIED 192.0.2.1:53/udp [policy:bypass-detect engine:nftables]");
	STREQ(SHOWN(.class = OCSF_NET, .activity = OCSF_NET_LISTEN, .message = STR("proxy\nready")),
	      "NET:LISTEN [INFO] [msg:proxy ready]");
	STREQ(SHOWN(.class = OCSF_NET, .activity = OCSF_NET_FAIL, .severity = OCSF_LOW,
		    .process = {.pid = 7}),
	      "NET:FAIL [LOW] unknown(7)");
	STREQ(SHOWN(.class = OCSF_NET), "NET:OTHER [INFO]");
}

TEST(what_is_observed_or_fails_has_its_reason)
{
	STREQ(SHOWN(.class = OCSF_NET, .activity = OCSF_NET_FAIL, .severity = OCSF_LOW,
		    .status = OCSF_FAILURE, .dst = example, RULE("web", "opa"),
		    .status_detail = STR("refused")),
	      "NET:FAIL [LOW] example.com:443 [policy:web engine:opa] [reason:refused]");
	STREQ(SHOWN(.class = OCSF_NET, .activity = OCSF_NET_OPEN, .action = OCSF_OBSERVED,
		    .dst = example, .message = STR("no policy has it")),
	      "NET:OPEN [INFO] OBSERVED example.com:443 [reason:no policy has it]");
}

TEST(ipv6_before_a_port_is_in_brackets)
{
	STREQ(SHOWN(.class = OCSF_NET, .dst = {.host = STR("2001:db8::1"), .port = 80}),
	      "NET:OTHER [INFO] [2001:db8::1]:80");
	STREQ(SHOWN(.class = OCSF_NET, .dst = {.port = 80}), "NET:OTHER [INFO] unknown:80");
}

TEST(http)
{
	STREQ(SHOWN(.class = OCSF_HTTP, .action = OCSF_ALLOWED, .process = curl, RULE("web", "l7"),
		    .http = {.method = STR("GET"),
			     .scheme = STR("http"),
			     .host = STR("example.com"),
			     .port = 80,
			     .path = STR("/a?b")}),
	      "HTTP:GET [INFO] ALLOWED /usr/bin/curl(42) -> GET http://example.com/a?b "
	      "[policy:web engine:l7]");
	STREQ(SHOWN(.class = OCSF_HTTP, DENIED, RULE("web", "l7"), .status_detail = STR("no rule"),
		    .http = {.method = STR("PURGE"), .host = STR("::1"), .port = 8443},
		    .unmapped = {{"b", STR("2 [x]")}, {"a", STR("1")}}),
	      "HTTP:PURGE [MED] DENIED PURGE https://[::1]:8443/ [policy:web engine:l7] "
	      "[a:1 b:2\\u{20}\\[x\\] reason:no rule]");
	STREQ(SHOWN(.class = OCSF_HTTP, .http = {.scheme = STR("http"), .port = 443}),
	      "HTTP:UNKNOWN [INFO]  http://unknown:443/");
}

TEST(the_other_classes)
{
	STREQ(SHOWN(.class = OCSF_SSH, .activity = OCSF_NET_OPEN, .action = OCSF_ALLOWED,
		    .src = {.host = STR("10.0.0.1"), .port = 5}, .auth = STR("none")),
	      "SSH:OPEN [INFO] ALLOWED 10.0.0.1:5 [auth:none]");
	STREQ(SHOWN(.class = OCSF_PROC, .activity = OCSF_PROC_LAUNCH,
		    .process = {.name = STR("bash"), .pid = 12, .cmd_line = STR("bash -l")}),
	      "PROC:LAUNCH [INFO] bash(12) [cmd:bash -l]");
	STREQ(SHOWN(.class = OCSF_PROC, .activity = OCSF_PROC_TERMINATE, .exit_code = &(int){0}),
	      "PROC:TERMINATE [INFO] unknown(0) [exit:0]");
	STREQ(SHOWN(.class = OCSF_FINDING, .activity = OCSF_FINDING_CREATE, .severity = OCSF_HIGH,
		    .disposition = OCSF_BLOCKED,
		    .finding = {.uid = STR("bypass-detect"),
				.title = STR("Proxy \"Bypass\""),
				.confidence = OCSF_HIGH_CONFIDENCE},
		    .unmapped = {{"port", STR("53")}}),
	      "FINDING:BLOCKED [HIGH] \"Proxy \\\"Bypass\\\"\" "
	      "[type:bypass-detect port:53 confidence:high]");
	STREQ(SHOWN(.class = OCSF_FINDING, .activity = OCSF_FINDING_UPDATE,
		    .finding = {.uid = STR("u"), .title = STR("t")}),
	      "FINDING:UPDATE [INFO] \"t\" [type:u]");
	STREQ(SHOWN(.class = OCSF_LIFECYCLE, .activity = OCSF_LIFECYCLE_STOP,
		    .severity = OCSF_CRITICAL, .status = OCSF_FAILURE, .message = STR("unseen")),
	      "LIFECYCLE:STOP [CRIT] OpenShell Sandbox Supervisor failure");
	STREQ(SHOWN(.class = OCSF_API, .status = OCSF_SUCCESS,
		    .api = {.model = STR("m"), .provider = STR("p"), .operation = STR("chat")},
		    .unmapped = {{"latency_ms", STR("12")}}),
	      "API:INFERENCE [INFO] Success m via p 12ms [chat]");
	STREQ(SHOWN(.class = OCSF_BASE, .severity = OCSF_FATAL, .message = STR("end"),
		    .unmapped =
			    {{"d", STR("4")}, {"b", STR("2")}, {"c", STR("3")}, {"a", STR("1")}}),
	      "EVENT [FATAL] end [a:1 b:2 c:3]");
}

TEST(config)
{
	/* contract appendix C */
	STREQ(SHOWN(.class = OCSF_CONFIG, .severity = OCSF_MEDIUM,
		    .state = {.label = "degraded", .id = OCSF_DISABLED},
		    .message = STR("Network isolation unavailable; running in host network mode "
				   "[mode:auto reason:EPERM]"),
		    .unmapped = {{"network_mode", STR("host")}}),
	      "CONFIG:DEGRADED [MED] Network isolation unavailable; running in host network mode "
	      "[mode:auto reason:EPERM]");
	STREQ(SHOWN(.class = OCSF_CONFIG, .state = {.label = "loaded"}, .message = STR("Policy"),
		    .unmapped = {{"policy_hash", STR("cafe")},
				 {"policy_version", STR("3")},
				 {"source", STR("disk")},
				 {"other", STR("x")}}),
	      "CONFIG:LOADED [INFO] Policy [source:disk version:3 hash:cafe]");
	STREQ(SHOWN(.class = OCSF_CONFIG, .state = {.id = OCSF_ENABLED}),
	      "CONFIG:ENABLED [INFO] config");
	STREQ(SHOWN(.class = OCSF_CONFIG), "CONFIG:UNKNOWN [INFO] config");
}

/* The reason as it is shown. */
static const char *reason(struct str s)
{
	return SHOWN(.class = OCSF_NET, DENIED, .status_detail = s);
}

TEST(what_would_break_a_line_or_a_terminal_is_escaped)
{
	STREQ(reason(STR("a\r\nb\tc")), "NET:OTHER [MED] DENIED [reason:a  b c]");
	STREQ(reason(STR("\x1b[2J\x7f")), "NET:OTHER [MED] DENIED [reason:\\u{1b}[2J\\u{7f}]");
	STREQ(reason(str_sub("a\0b", 3)), "NET:OTHER [MED] DENIED [reason:a\\u{0}b]");
	/* the same in one character of UTF-8, and turning the direction of writing */
	STREQ(reason(STR("\xc2\x9b"
			 "2J \xe2\x80\xae")),
	      "NET:OTHER [MED] DENIED [reason:\\u{9b}2J \\u{202e}]");
	STREQ(reason(STR("gr\xc3\xbc\xc3\x9f"
			 "e \xf0\x9f\x90\x9a \xff\xc3")),
	      "NET:OTHER [MED] DENIED [reason:gr\xc3\xbc\xc3\x9f"
	      "e \xf0\x9f\x90\x9a \\xff\\xc3]");
	STREQ(reason(STR("\xed\xa0\x80\xc0\x80")),
	      "NET:OTHER [MED] DENIED [reason:\\xed\\xa0\\x80\\xc0\\x80]");
}

TEST(a_name_cannot_forge_what_follows_it)
{
	STREQ(SHOWN(.class = OCSF_NET, DENIED,
		    .process = {.name = STR("/tmp/x(1) -> ok.com:1 [policy:a\xc2\xa0z engine:b]"),
				.pid = 3},
		    .dst = {.host = STR("e.com x"), .port = 1}, RULE("p] [reason:y", "e")),
	      "NET:OTHER [MED] DENIED "
	      "/tmp/x(1)\\u{20}->\\u{20}ok.com:1\\u{20}[policy:a\\u{a0}z\\u{20}engine:b](3) -> "
	      "e.com\\u{20}x:1 [policy:p\\]\\u{20}\\[reason:y engine:e]");
	STREQ(SHOWN(.class = OCSF_FINDING, .finding = {.title = STR("a\" [\\"), .uid = STR("u]")}),
	      "FINDING:OTHER [INFO] \"a\\\" [\\\\\" [type:u\\]]");
}

TEST(reasons_and_messages_are_cut)
{
	char text[400], want[400];

	memset(text, 'r', sizeof text);
	snprintf(want, sizeof want, "NET:OTHER [MED] DENIED [reason:%.256s]", text);
	STREQ(reason(str_sub(text, 256)), want);
	snprintf(want, sizeof want, "NET:OTHER [MED] DENIED [reason:%.256s...]", text);
	STREQ(reason(str_sub(text, 257)), want);
	snprintf(want, sizeof want, "NET:OTHER [INFO] [msg:%.120s...]", text);
	STREQ(SHOWN(.class = OCSF_NET, .message = str_sub(text, 121)), want);
	/* never within a character, nor within an escape */
	memcpy(text + 255, "\xc3\xbc", 2);
	snprintf(want, sizeof want, "NET:OTHER [MED] DENIED [reason:%.255s...]", text);
	STREQ(reason(str_sub(text, 300)), want);
	text[254] = '\x01';
	text[255] = text[256] = 'r';
	snprintf(want, sizeof want, "NET:OTHER [MED] DENIED [reason:%.254s...]", text);
	STREQ(reason(str_sub(text, 300)), want);
}

/* ---- JSON ---- */

static const struct ocsf_context context = {
	.sandbox_id = {"SANDBOX_ID", 10},
	.sandbox_name = {"SANDBOX_NAME", 12},
	.image = {"IMAGE", 5},
	.hostname = {"HOST", 4},
	.version = {"V", 1},
	.proxy = {.host = {"10.200.0.1", 10}, .port = 3128},
};

static const char *record(const struct ocsf_event *ev)
{
	static char text[1 << 20];
	_cleanup_buf_ struct buf b = BUF_INIT(sizeof text - 1);

	OK(ocsf_json(ev, &context, &b));
	memcpy(text, buf_view(&b).p, b.n);
	text[b.n] = '\0';
	return text;
}

#define RECORD(...) record(EVENT(__VA_ARGS__))

TEST(the_record_of_a_lost_wall)
{
	/* contract appendix C, with the detail that makes it ours */
	STREQ(RECORD(.class = OCSF_CONFIG, .severity = OCSF_MEDIUM, .status = OCSF_FAILURE,
		     .state = {.label = "degraded", .id = OCSF_DISABLED}, .time_ms = 1780000000000,
		     .security_level = OCSF_AT_RISK, .prev_security_level = OCSF_SECURE,
		     .message = STR("Network isolation unavailable; running in host network mode "
				    "[mode:auto reason:EPERM]"),
		     .unmapped = {{"requested_mode", STR("auto")}, {"network_mode", STR("host")}}),
	      "{\"activity_id\":1,\"activity_name\":\"Log\",\"category_name\":\"Discovery\","
	      "\"category_uid\":5,\"class_name\":\"Device Config State Change\",\"class_uid\":5019,"
	      "\"container\":{\"image\":{\"name\":\"IMAGE\"},\"name\":\"SANDBOX_NAME\","
	      "\"uid\":\"SANDBOX_ID\"},"
	      "\"device\":{\"hostname\":\"HOST\",\"os\":{\"name\":\"Linux\"}},"
	      "\"message\":\"Network isolation unavailable; running in host network mode "
	      "[mode:auto reason:EPERM]\","
	      "\"metadata\":{\"product\":{\"name\":\"OpenShell Sandbox Supervisor\","
	      "\"vendor_name\":\"OpenShell\",\"version\":\"V\"},"
	      "\"profiles\":[\"security_control\",\"container\",\"host\"],"
	      "\"uid\":\"SANDBOX_ID\",\"version\":\"1.8.0\"},"
	      "\"prev_security_level\":\"Secure\",\"prev_security_level_id\":1,"
	      "\"security_level\":\"At Risk\",\"security_level_id\":2,"
	      "\"severity\":\"Medium\",\"severity_id\":3,\"state\":\"degraded\",\"state_id\":1,"
	      "\"status\":\"Failure\",\"status_id\":2,\"time\":1780000000000,"
	      "\"type_name\":\"Device Config State Change: Log\",\"type_uid\":501901,"
	      "\"unmapped\":{\"network_mode\":\"host\",\"requested_mode\":\"auto\"}}");
}

static void check_sorted(const cJSON *o)
{
	const cJSON *child;
	const char *before = "";

	cJSON_ArrayForEach(child, o) {
		if (cJSON_IsObject(o) && strcmp(before, child->string) >= 0)
			FAIL("%s stands before %s", before, child->string);
		before = child->string;
		check_sorted(child);
	}
}

/* An event with every text there is, each the same. */
static struct ocsf_event full(enum ocsf_class class, struct str s)
{
	static const int code = 3;
	struct ocsf_event ev = {
		.class = class,
		.severity = OCSF_HIGH,
		.status = OCSF_FAILURE,
		.time_ms = 1,
		.message = s,
		.status_detail = s,
		.action = OCSF_DENIED,
		.disposition = OCSF_REJECTED,
		.process = {s, 1, s, s, 2},
		.src = {s, 3},
		.dst = {s, 4},
		.protocol = s,
		.rule = {s, s},
		.http = {s, s, s, s, 5},
		.exit_code = &code,
		.auth = s,
		.finding = {s, s, OCSF_LOW_CONFIDENCE},
		.state = {"x", OCSF_STATE_OTHER},
		.security_level = OCSF_SECURE,
		.prev_security_level = OCSF_COMPROMISED,
		.api = {s, s, s},
		.unmapped = {{"z", s},
			     {"y", s},
			     {"x", s},
			     {"w", s},
			     {"d", s},
			     {"c", s},
			     {"b", s},
			     {"a", s}},
	};

	return ev;
}

TEST(keys_are_sorted_in_every_class)
{
	for (int class = 0; class < OCSF_CLASS_COUNT; class ++) {
		struct ocsf_event ev = full(class, STR("text"));
		struct err e;
		_cleanup_json_ cJSON *j = json_parse(str_of(record(&ev)), "record", &e);
		OK(j != NULL);
		check_sorted(j);
		EQ(json_int(j, "type_uid", -1),
		   json_int(j, "class_uid", -1) * 100 + json_int(j, "activity_id", -1));
		ev = (struct ocsf_event){.class = class};
		_cleanup_json_ cJSON *bare = json_parse(str_of(record(&ev)), "record", &e);
		OK(bare != NULL);
		check_sorted(bare);
	}
}

TEST(the_record_of_a_denied_connection)
{
	const char *text =
		RECORD(.class = OCSF_NET, .activity = OCSF_NET_OPEN, DENIED,
		       .process = {.name = STR("/bin/a"),
				   .pid = 7,
				   .parent_name = STR("/bin/b"),
				   .parent_pid = 6},
		       .dst = {.host = STR("2001:db8::1"), .port = 443},
		       .src = {.host = STR("a.example")}, .protocol = STR("tcp"), RULE("p", "opa"));

	HAS(text,
	    "\"action\":\"Denied\",\"action_id\":2,\"activity_id\":1,\"activity_name\":\"Open\","
	    "\"actor\":{\"process\":{\"name\":\"/bin/a\",\"parent_process\":{\"name\":\"/bin/b\","
	    "\"pid\":6},\"pid\":7}}");
	HAS(text, "\"connection_info\":{\"protocol_name\":\"tcp\"}");
	HAS(text, "\"disposition\":\"Blocked\",\"disposition_id\":2,"
		  "\"dst_endpoint\":{\"ip\":\"2001:db8::1\",\"port\":443},"
		  "\"firewall_rule\":{\"name\":\"p\",\"type\":\"opa\"},"
		  "\"is_src_dst_assignment_known\":true");
	HAS(text, "\"proxy_endpoint\":{\"ip\":\"10.200.0.1\",\"port\":3128}");
	HAS(text, "\"src_endpoint\":{\"domain\":\"a.example\"}");
	HAS(text, "[\"security_control\",\"network_proxy\",\"container\",\"host\"]");
}

TEST(an_http_activity_is_its_method)
{
	static const struct {
		const char *method, *name;
		int id;
	} t[] = {
		{"CONNECT", "Connect", 1}, {"DELETE", "Delete", 2},   {"GET", "Get", 3},
		{"HEAD", "Head", 4},       {"OPTIONS", "Options", 5}, {"POST", "Post", 6},
		{"PUT", "Put", 7},         {"TRACE", "Trace", 8},     {"PATCH", "Patch", 9},
		{"PURGE", "Other", 99},    {"", "Other", 99},
	};
	char want[80];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		snprintf(want, sizeof want, "{\"activity_id\":%d,\"activity_name\":\"%s\"", t[i].id,
			 t[i].name);
		HAS(RECORD(.class = OCSF_HTTP, .http = {.method = str_of(t[i].method)}), want);
	}
	HAS(RECORD(.class = OCSF_HTTP, .http = {.method = STR("GET"),
						.scheme = STR("http"),
						.host = STR("h"),
						.port = 80,
						.path = STR("/p")}),
	    "\"http_request\":{\"http_method\":\"GET\",\"url\":{\"hostname\":\"h\",\"path\":\"/p\","
	    "\"port\":80,\"scheme\":\"http\"}}");
}

TEST(a_process_event_is_about_a_process)
{
	HAS(RECORD(.class = OCSF_PROC, .activity = OCSF_PROC_LAUNCH, .process = curl),
	    "\"launch_type\":\"Spawn\",\"launch_type_id\":1");
	HAS(RECORD(.class = OCSF_PROC, .activity = OCSF_PROC_TERMINATE, .exit_code = &(int){137}),
	    "\"exit_code\":137,");
	HAS(RECORD(.class = OCSF_PROC, .activity = OCSF_PROC_TERMINATE),
	    "\"process\":{\"name\":\"unknown\",\"pid\":0}");
}

TEST(no_text_makes_invalid_json)
{
	struct err e;
	char all[256];

	HAS(RECORD(.class = OCSF_BASE, .message = STR("\"\\\n\x1b\x7f")),
	    "\"message\":\"\\\"\\\\\\u000a\\u001b\\u007f\"");
	HAS(RECORD(.class = OCSF_BASE, .message = STR("\xff\xc2\x9b\xc3\xbc\xf3\xa0\x80\x81")),
	    "\"message\":\"\\ufffd\\u009b\xc3\xbc\\udb40\\udc01\"");
	for (size_t i = 0; i < sizeof all; i++)
		all[i] = (char)i;
	for (int class = 0; class < OCSF_CLASS_COUNT; class ++) {
		struct ocsf_event ev = full(class, str_sub(all, sizeof all));
		_cleanup_json_ cJSON *j = json_parse(str_of(record(&ev)), "record", &e);
		OK(j != NULL);
		OK(str_is_utf8(str_of(record(&ev))));
		OK(!str_has_control(str_of(record(&ev))));
		OK(str_is_utf8(str_of(shown(&ev))));
		OK(!str_has_control(str_of(shown(&ev))));
	}
}

TEST(the_longest_texts_are_cut_and_fit)
{
	static char text[10000];
	struct err e;

	memset(text, '\xff', sizeof text);
	for (int class = 0; class < OCSF_CLASS_COUNT; class ++) {
		struct ocsf_event ev = full(class, str_sub(text, sizeof text));
		_cleanup_json_ cJSON *j = json_parse(str_of(record(&ev)), "record", &e);
		OK(j != NULL);
		OK(str_ends(str_of(json_str(j, "message")), "\xef\xbf\xbd..."));
		EQ(strlen(json_str(j, "message")), 4096 * 3 + 3);
		OK(strlen(shown(&ev)) < OCSF_SHORTHAND_MAX);
	}
	/* a line that is full says so, and is still a line */
	struct ocsf_event ev = full(OCSF_HTTP, str_sub(text, sizeof text));
	OK(str_ends(str_of(shown(&ev)), "..."));
	/* whole characters up to the limit */
	for (size_t i = 0; i + 1 < sizeof text; i += 2)
		memcpy(text + i, "\xc3\xbc", 2);
	memmove(text + 1, text, sizeof text - 1);
	text[0] = 'a';
	ev = full(OCSF_BASE, str_sub(text, 5001));
	_cleanup_json_ cJSON *j = json_parse(str_of(record(&ev)), "record", &e);
	EQ(strlen(json_str(j, "message")), 4095 + 3);
}

TEST(a_record_that_does_not_fit_leaves_nothing)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);

	buf_cstr(&b, "before");
	OK(!ocsf_json(EVENT(.class = OCSF_BASE), &context, &b));
	OK(str_is(buf_view(&b), "before"));
}
