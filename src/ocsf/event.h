/*
 * An event is data: what happened in the words of OCSF (Open Cybersecurity Schema Framework, schema
 * 1.8.0; supervisor contract section 7), filled in by whoever saw it and handed to ocsf_emit (ocsf.h).
 *
 *	ocsf_emit(o, &(struct ocsf_event){
 *		.class = OCSF_NET, .activity = OCSF_NET_OPEN, .severity = OCSF_MEDIUM,
 *		.action = OCSF_DENIED, .disposition = OCSF_BLOCKED,
 *		.process = {.name = exe, .pid = pid},
 *		.dst = {.host = host, .port = 443},
 *		.rule = {.policy = STR("-"), .engine = STR("opa")},
 *		.status_detail = reason,
 *	});
 *	NET:OPEN [MED] DENIED /usr/bin/curl(42) -> example.com:443 [policy:- engine:opa] [reason:...]
 *
 * What is left out of an initialiser is absent from the event: an empty text, a port of 0, an enum of
 * 0. All text is borrowed for the call and may hold any byte: what would break a line, a terminal or
 * JSON is escaped, what is too long is cut.
 *
 * docs/events.md has a row for every event that this program emits, and a test for every row
 * (scripts/events): whoever adds an event adds both.
 */
#ifndef OPENSHELL_OCSF_EVENT_H
#define OPENSHELL_OCSF_EVENT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum ocsf_class {
	OCSF_NET,       /* 4001 Network Activity */
	OCSF_HTTP,      /* 4002 HTTP Activity */
	OCSF_SSH,       /* 4007 SSH Activity */
	OCSF_PROC,      /* 1007 Process Activity */
	OCSF_FINDING,   /* 2004 Detection Finding */
	OCSF_LIFECYCLE, /* 6002 Application Lifecycle */
	OCSF_CONFIG,    /* 5019 Device Config State Change */
	OCSF_API,       /* 6003 API Activity: a request to a model */
	OCSF_BASE,      /* 0 Base Event: what none of the others says */
	OCSF_CLASS_COUNT,
};

/* Each class has its own; they share the numbers. Left out, it is Log of a configuration, an HTTP
 * event's is its method's, and of the others Other. */
enum ocsf_activity {
	OCSF_NET_OPEN = 1, /* SSH events have these seven too */
	OCSF_NET_CLOSE,
	OCSF_NET_RESET,
	OCSF_NET_FAIL,
	OCSF_NET_REFUSE,
	OCSF_NET_TRAFFIC,
	OCSF_NET_LISTEN,

	OCSF_PROC_LAUNCH = 1,
	OCSF_PROC_TERMINATE,

	OCSF_FINDING_CREATE = 1,
	OCSF_FINDING_UPDATE,
	OCSF_FINDING_CLOSE,

	OCSF_LIFECYCLE_INSTALL = 1,
	OCSF_LIFECYCLE_REMOVE,
	OCSF_LIFECYCLE_START,
	OCSF_LIFECYCLE_STOP,
	OCSF_LIFECYCLE_RESTART,
	OCSF_LIFECYCLE_ENABLE,
	OCSF_LIFECYCLE_DISABLE,

	OCSF_CONFIG_LOG = 1,

	OCSF_OTHER = 99,
};

/* Left out: informational. In the log and on stderr, low is `info`, medium `warn`, the rest `error`. */
enum ocsf_severity {
	OCSF_INFORMATIONAL = 1,
	OCSF_LOW,
	OCSF_MEDIUM,
	OCSF_HIGH,
	OCSF_CRITICAL,
	OCSF_FATAL,
};

enum ocsf_status {
	OCSF_SUCCESS = 1,
	OCSF_FAILURE,
};

enum ocsf_action {
	OCSF_ALLOWED = 1,
	OCSF_DENIED,
	OCSF_OBSERVED, /* neither: the verdict is told, and nothing was stopped (design rung 4) */
};

enum ocsf_disposition {
	OCSF_DISPOSITION_ALLOWED = 1,
	OCSF_BLOCKED = 2,
	OCSF_DETECTED = 15,
	OCSF_LOGGED = 17,
	OCSF_REJECTED = 25,
	OCSF_ERROR = 27,
};

/* Of a configuration; the label (struct ocsf_event) is what a person reads. */
enum ocsf_state {
	OCSF_DISABLED = 1,
	OCSF_ENABLED,
	OCSF_STATE_OTHER = 99,
};

enum ocsf_security_level {
	OCSF_SECURE = 1,
	OCSF_AT_RISK,
	OCSF_COMPROMISED,
};

enum ocsf_confidence {
	OCSF_LOW_CONFIDENCE = 1,
	OCSF_MEDIUM_CONFIDENCE,
	OCSF_HIGH_CONFIDENCE,
};

/* A domain name or an address; it is told apart here. */
struct ocsf_endpoint {
	struct str host;
	uint16_t port;
};

struct ocsf_process {
	struct str name; /* the program's path; empty: unknown */
	int64_t pid;
	struct str cmd_line; /* must hold no secret */
	struct str parent_name;
	int64_t parent_pid;
};

/* A key is of [a-z0-9_]; in the record the keys are sorted. */
struct ocsf_pair {
	const char *key; /* NULL ends the list */
	struct str value;
};

enum {
	OCSF_PAIRS_MAX = 8,
};

struct ocsf_event {
	enum ocsf_class class;
	enum ocsf_activity activity;
	enum ocsf_severity severity;
	enum ocsf_status status;
	int64_t time_ms;          /* since 1970; 0: now */
	struct str message;       /* a sentence; may end in "[key:value key:value]" */
	struct str status_detail; /* why: the reason of a denial */

	enum ocsf_action action;
	enum ocsf_disposition disposition;
	struct ocsf_process process;   /* NET, HTTP: who did it; PROC: whom it is about */
	struct ocsf_endpoint src, dst; /* NET, HTTP, SSH */
	struct str protocol;           /* NET: "tcp", "udp" */
	struct {                       /* NET, HTTP: what decided */
		struct str policy;     /* the matched policy's name, or "-" */
		struct str engine;     /* contract 7.5: "opa", "ssrf", "l7", "nftables", … */
	} rule;
	struct { /* HTTP; must hold no secret */
		struct str method, scheme, host, path;
		uint16_t port;
	} http;
	const int *exit_code; /* PROC: NULL when it has not exited */
	struct str auth;      /* SSH: "none", "publickey" */
	struct {              /* FINDING; uid: contract 7.5 */
		struct str uid, title;
		enum ocsf_confidence confidence;
	} finding;
	struct {                   /* CONFIG */
		const char *label; /* contract 7.4: "degraded"; upper-cased in the shorthand */
		enum ocsf_state id;
	} state;
	enum ocsf_security_level security_level, prev_security_level; /* CONFIG */
	struct {                                                      /* API */
		struct str operation, model, provider; /* unmapped "latency_ms": how long */
	} api;
	struct ocsf_pair unmapped[OCSF_PAIRS_MAX]; /* what OCSF has no word for */
};

/* What is true of every event of a process (contract 7.1); empty texts are left out. */
struct ocsf_context {
	struct str sandbox_id, sandbox_name, image, hostname, version;
	struct ocsf_endpoint proxy; /* of NET and HTTP events */
};

/* The longest shorthand: foreign texts are cut so that it always fits, and a line in a pipe is whole
 * (below PIPE_BUF with its time). */
enum {
	OCSF_SHORTHAND_MAX = 3968,
};

/* The line for a person (contract 7.3), without time and newline: one line of printable UTF-8, and a
 * C string. Its length. */
size_t ocsf_shorthand(const struct ocsf_event *ev, char out[OCSF_SHORTHAND_MAX]);

/* The record for a program (contract 7.2), appended to out without a newline; its keys are sorted.
 * False when out is full. */
bool ocsf_json(const struct ocsf_event *ev, const struct ocsf_context *c, struct buf *out);

#endif
