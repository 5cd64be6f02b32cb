#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "base/str.h"
#include "supervisor/tell.h"

enum { SENTENCE_MAX = 1024 };

static void tell_state(struct ocsf *o, const char *label, enum ocsf_severity severity,
		       const char *sentence)
{
	bool bad = severity >= OCSF_MEDIUM;

	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_CONFIG,
			     .activity = OCSF_CONFIG_LOG,
			     .severity = severity,
			     .status = bad ? OCSF_FAILURE : OCSF_SUCCESS,
			     .state = {.label = label, .id = bad ? OCSF_DISABLED : OCSF_ENABLED},
			     .message = str_of(sentence),
		     });
}

void tell_config(struct ocsf *o, const char *label, enum ocsf_severity severity, const char *fmt,
		 ...)
{
	char sentence[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof sentence, fmt, ap);
	va_end(ap);
	tell_state(o, label, severity, sentence);
}

void tell_finding(struct ocsf *o, const char *uid, const char *title, enum ocsf_severity severity,
		  const char *detail)
{
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_FINDING,
			     .activity = OCSF_FINDING_CREATE,
			     .severity = severity,
			     .finding = {.uid = str_of(uid),
					 .title = str_of(title),
					 .confidence = OCSF_HIGH_CONFIDENCE},
			     .message = str_of(detail),
		     });
}

void tell_policy_rejected(struct ocsf *o, unsigned version, const char *why)
{
	char uid[64];

	snprintf(uid, sizeof uid, "policy-validation-failed-%u", version);
	tell_finding(o, uid, "Invalid policy generation rejected", OCSF_HIGH, why);
}

void tell_host_mode(struct ocsf *o, enum network_mode asked, const char *reason)
{
	char sentence[SENTENCE_MAX];
	const char *mode = network_mode_name(asked);

	snprintf(sentence, sizeof sentence,
		 "Network isolation unavailable; running in host network mode (observation only) "
		 "[mode:%s rung:host reason:%s]",
		 mode, reason);
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_CONFIG,
			     .activity = OCSF_CONFIG_LOG,
			     .severity = OCSF_MEDIUM,
			     .status = OCSF_FAILURE,
			     .state = {.label = "degraded", .id = OCSF_DISABLED},
			     .security_level = OCSF_AT_RISK,
			     .message = str_of(sentence),
			     .unmapped = {{"network_mode", STR("host")},
					  {"requested_mode", str_of(mode)},
					  {"reason", str_of(reason)}},
		     });
}

/* What helps a program that went round the proxy (contract 4.3). */
static const char *hint_of(const struct bypass *b)
{
	if (b->protocol == IPPROTO_UDP && b->dport == 53)
		return "DNS queries should route through the sandbox proxy; check resolver "
		       "configuration";
	if (b->protocol == IPPROTO_UDP)
		return "UDP traffic must route through the sandbox proxy";
	return "ensure process honors HTTP_PROXY/HTTPS_PROXY; for Node.js set NODE_USE_ENV_PROXY=1";
}

static const char *protocol_of(const struct bypass *b)
{
	switch (b->protocol) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return "icmp";
	default:
		return "";
	}
}

static struct str address_of(const struct bypass *b, const struct in6_addr *a,
			     char out[INET6_ADDRSTRLEN])
{
	const void *bytes = b->family == AF_INET ? &a->s6_addr[12] : a->s6_addr;

	must(inet_ntop(b->family == AF_INET ? AF_INET : AF_INET6, bytes, out, INET6_ADDRSTRLEN));
	return str_of(out);
}

void tell_bypass(struct ocsf *o, const struct bypass *b, const char *program, pid_t pid)
{
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN], uid[16] = "";

	if (b->uid != BYPASS_UID_UNKNOWN)
		snprintf(uid, sizeof uid, "%u", b->uid);
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_NET,
			     .activity = OCSF_NET_REFUSE,
			     .severity = OCSF_MEDIUM,
			     .status = OCSF_FAILURE,
			     .action = OCSF_DENIED,
			     .disposition = OCSF_BLOCKED,
			     .process = {.name = str_of(program), .pid = pid},
			     .src = {.host = address_of(b, &b->src, src), .port = b->sport},
			     .dst = {.host = address_of(b, &b->dst, dst), .port = b->dport},
			     .protocol = str_of(protocol_of(b)),
			     .rule = {.policy = STR("bypass-detect"), .engine = STR("nftables")},
			     .status_detail = str_of(hint_of(b)),
			     .unmapped = {{*uid ? "uid" : NULL, str_of(uid)}},
		     });
}

void tell_launch(struct ocsf *o, const char *program, pid_t pid)
{
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_PROC,
			     .activity = OCSF_PROC_LAUNCH,
			     .status = OCSF_SUCCESS,
			     .process = {.name = str_of(program), .pid = pid},
		     });
}

void tell_terminate(struct ocsf *o, const char *program, pid_t pid, int exit_code,
		    const char *message, enum ocsf_severity severity)
{
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_PROC,
			     .activity = OCSF_PROC_TERMINATE,
			     .severity = severity,
			     .status = exit_code == 0 ? OCSF_SUCCESS : OCSF_FAILURE,
			     .process = {.name = str_of(program), .pid = pid},
			     .exit_code = &exit_code,
			     .message = str_of(message),
		     });
}

void tell_ssh_listen(struct ocsf *o, const char *socket)
{
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_SSH,
			     .activity = OCSF_NET_LISTEN,
			     .status = OCSF_SUCCESS,
			     .message = str_of("SSH server listening"),
			     .unmapped = {{"socket", str_of(socket)}},
		     });
}

void tell_ssh_open(struct ocsf *o, pid_t pid)
{
	char number[16];

	snprintf(number, sizeof number, "%d", pid);
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_SSH,
			     .activity = OCSF_NET_OPEN,
			     .status = OCSF_SUCCESS,
			     .action = OCSF_ALLOWED,
			     .disposition = OCSF_DISPOSITION_ALLOWED,
			     .auth = STR("none"),
			     .message = str_of("SSH connection accepted"),
			     .unmapped = {{"peer_pid", str_of(number)}},
		     });
}

void tell_ssh_refused(struct ocsf *o, const char *why)
{
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_SSH,
			     .activity = OCSF_NET_REFUSE,
			     .severity = OCSF_MEDIUM,
			     .status = OCSF_FAILURE,
			     .action = OCSF_DENIED,
			     .disposition = OCSF_BLOCKED,
			     .message = str_of(why),
			     .status_detail = str_of(why),
		     });
	log_warn("an SSH client was refused", "reason=%s", why);
}

void tell_ssh_failed(struct ocsf *o, const char *why)
{
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_SSH,
			     .activity = OCSF_NET_FAIL,
			     .severity = OCSF_LOW,
			     .status = OCSF_FAILURE,
			     .message = str_of(why),
			     .status_detail = str_of(why),
		     });
	log_warn("an SSH session was ended", "reason=%s", why);
}

/* What became of the session with the gateway, or of a relay, in a sentence. */
static void tell_session(struct ocsf *o, int activity, enum ocsf_severity severity,
			 enum ocsf_status status, const char *fmt, ...) PRINTF(5, 6);

static void tell_session(struct ocsf *o, int activity, enum ocsf_severity severity,
			 enum ocsf_status status, const char *fmt, ...)
{
	char sentence[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof sentence, fmt, ap);
	va_end(ap);
	ocsf_emit(o, &(struct ocsf_event){
			     .class = OCSF_NET,
			     .activity = activity,
			     .severity = severity,
			     .status = status,
			     .message = str_of(sentence),
		     });
}

void tell_session_open(struct ocsf *o, const char *session_id, unsigned heartbeat_secs)
{
	tell_session(o, OCSF_NET_OPEN, OCSF_INFORMATIONAL, OCSF_SUCCESS,
		     "supervisor session established (session_id=%s, heartbeat_secs=%u)",
		     session_id, heartbeat_secs);
}

void tell_session_failed(struct ocsf *o, unsigned attempt, const char *why)
{
	tell_session(o, OCSF_NET_FAIL, OCSF_LOW, OCSF_FAILURE,
		     "supervisor session failed, reconnecting (attempt %u): %s", attempt, why);
}

void tell_relay_open(struct ocsf *o, const char *channel_id, const char *target)
{
	tell_session(o, OCSF_NET_OPEN, OCSF_INFORMATIONAL, OCSF_SUCCESS,
		     "relay opened (channel_id=%s, target=%s)", channel_id, target);
}

void tell_relay_closed(struct ocsf *o, const char *channel_id, const char *target, uint64_t out,
		       uint64_t in, const char *why)
{
	tell_session(o, OCSF_NET_CLOSE, OCSF_INFORMATIONAL, OCSF_SUCCESS,
		     "relay closed (channel_id=%s, target=%s, sent=%" PRIu64 ", received=%" PRIu64
		     "): %s",
		     channel_id, target, out, in, why);
}

void tell_relay_failed(struct ocsf *o, const char *channel_id, const char *target, const char *why)
{
	tell_session(o, OCSF_NET_FAIL, OCSF_LOW, OCSF_FAILURE,
		     "relay failed (channel_id=%s, target=%s): %s", channel_id, target, why);
}
