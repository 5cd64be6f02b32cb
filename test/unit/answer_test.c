/*
 * The proxy's own answers: whole, with a length that is right (supervisor contract 6.1, 6.4, appendix D and
 * the peer's defect 10.8).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "proxy/answer.h"
#include "test.h"

/* The body behind a head whose Content-Length is its length; the whole is in out. */
static const char *body_of(struct buf *out)
{
	must(buf_char(out, '\0'));
	const char *text = buf_view(out).p, *body = strstr(text, "\r\n\r\n");
	const char *length = strstr(text, "Content-Length: ");

	OK(body != NULL && length != NULL && length < body);
	EQ(strlen(body + 4), strtoul(length + strlen("Content-Length: "), NULL, 10));
	OK(strstr(text, "Connection: close\r\n") != NULL);
	return body + 4;
}

static cJSON *json_of(struct buf *out)
{
	struct err e;
	cJSON *j = json_parse(str_of(body_of(out)), "answer", &e);

	OK(j != NULL);
	HAS(buf_view(out).p, "\r\nContent-Type: application/json\r\n");
	return j;
}

TEST(errors_are_json)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ANSWER_MAX), more = BUF_INIT(ANSWER_MAX);

	answer_error(&out, 403, "policy_denied", "CONNECT a:443 not permitted by policy",
		     "why \"so\"");
	_cleanup_json_ cJSON *j = json_of(&out);
	HAS(buf_view(&out).p, "HTTP/1.1 403 Forbidden\r\n");
	STREQ(json_str(j, "error"), "policy_denied");
	STREQ(json_str(j, "detail"), "CONNECT a:443 not permitted by policy");
	STREQ(json_str(j, "reason"), "why \"so\"");

	answer_errorf(&more, 502, "upstream_unreachable", "connection to %s:%d failed", "a", 80);
	_cleanup_json_ cJSON *k = json_of(&more);
	HAS(buf_view(&more).p, "HTTP/1.1 502 Bad Gateway\r\n");
	STREQ(json_str(k, "detail"), "connection to a:80 failed");
	OK(json_get(k, "reason") == NULL);
}

TEST(texts_have_their_length)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ANSWER_MAX);

	answer_text(&out, 400, "Use CONNECT for HTTPS URLs");
	STREQ(body_of(&out), "Use CONNECT for HTTPS URLs");
	HAS(buf_view(&out).p, "Content-Length: 26\r\n");
}

TEST(tunnels_begin)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ANSWER_MAX);

	answer_established(&out);
	OK(str_is(buf_view(&out), "HTTP/1.1 200 Connection Established\r\n\r\n"));
}

TEST(denials_have_the_shape_of_appendix_d)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ANSWER_MAX);

	answer_denied(&out, &(struct answer_denial){.policy = "api",
						    .method = STR("POST"),
						    .path = STR("/x?y=1"),
						    .reason = "POST /x not permitted by policy",
						    .host = "api.example",
						    .port = 80,
						    .binary = "/usr/bin/curl"});
	_cleanup_json_ cJSON *j = json_of(&out);
	HAS(buf_view(&out).p, "\r\nX-OpenShell-Policy: api\r\n");
	STREQ(json_str(j, "error"), "policy_denied");
	STREQ(json_str(j, "policy"), "api");
	STREQ(json_str(j, "rule"), "POST /x?y=1");
	STREQ(json_str(j, "detail"), "POST /x not permitted by policy");
	STREQ(json_str(j, "layer"), "l7");
	STREQ(json_str(j, "protocol"), "rest");
	STREQ(json_str(j, "method"), "POST");
	STREQ(json_str(j, "path"), "/x?y=1");
	STREQ(json_str(j, "host"), "api.example");
	EQ(json_int(j, "port", 0), 80);
	STREQ(json_str(j, "binary"), "/usr/bin/curl");
	const cJSON *missing = json_get(j, "rule_missing");
	STREQ(json_str(missing, "type"), "rest_allow");
	STREQ(json_str(missing, "layer"), "l7");
	STREQ(json_str(missing, "method"), "POST");
	STREQ(json_str(missing, "path"), "/x?y=1");
	STREQ(json_str(missing, "host"), "api.example");
	EQ(json_int(missing, "port", 0), 80);
	STREQ(json_str(missing, "binary"), "/usr/bin/curl");
	OK(cJSON_IsArray(json_get(j, "next_steps")));
	OK(json_get(j, "agent_guidance") == NULL);
}

TEST(what_is_not_known_is_left_out)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ANSWER_MAX);

	answer_denied(&out,
		      &(struct answer_denial){
			      .method = STR("GET"), .path = STR("/"), .reason = "r", .host = ""});
	_cleanup_json_ cJSON *j = json_of(&out);
	HAS(buf_view(&out).p, "\r\nX-OpenShell-Policy: -\r\n");
	STREQ(json_str(j, "policy"), "-");
	OK(json_get(j, "host") == NULL && json_get(j, "port") == NULL &&
	   json_get(j, "binary") == NULL);
	OK(json_get(json_get(j, "rule_missing"), "host") == NULL);
}

/* Neither the name of a policy nor that of a program can end a header or break the JSON. */
TEST(odd_names_do_no_harm)
{
	_cleanup_buf_ struct buf out = BUF_INIT(ANSWER_MAX);

	answer_denied(&out, &(struct answer_denial){.policy = "a\r\nX: y\xff",
						    .method = STR("GET"),
						    .path = STR("/"),
						    .reason = "r\xff\n",
						    .binary = "/\xfe/b\""});
	_cleanup_json_ cJSON *j = json_of(&out);
	HAS(buf_view(&out).p, "\r\nX-OpenShell-Policy: a??X: y?\r\n");
	STREQ(json_str(j, "binary"), "/?/b\"");
	STREQ(json_str(j, "detail"), "r?\n");
}

TEST(the_longest_answer_fits)
{
	static char path[8192], reason[8192], binary[4096];
	_cleanup_buf_ struct buf out = BUF_INIT(ANSWER_MAX);

	memset(path, '"', sizeof path - 1);
	memset(reason, 1, sizeof reason - 1); /* six characters each */
	memset(binary, '\\', sizeof binary - 1);
	answer_denied(&out, &(struct answer_denial){.method = STR("GET"),
						    .path = str_of(path),
						    .reason = reason,
						    .binary = binary});
	_cleanup_json_ cJSON *j = json_of(&out);
	STREQ(json_str(j, "binary"), binary);
}
