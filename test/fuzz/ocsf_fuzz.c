/*
 * An event of any class whose texts are any bytes: the first byte says which class, the others are its
 * texts, apart by NULs. The line stays a line of printable UTF-8, and the record JSON that says the same
 * class.
 */
#include "base/json.h"
#include "base/util.h"
#include "ocsf/ocsf_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(const struct ocsf_event *ev)
{
	char line[OCSF_SHORTHAND_MAX];
	size_t n = ocsf_shorthand(ev, line);
	struct str rest = str_sub(line, n);

	must(n < sizeof line && str_is_utf8(rest));
	while (rest.n > 0) {
		uint32_t c;
		size_t len = ocsf_next_char(rest, &c);
		must(!ocsf_unprintable(c));
		rest = str_sub(rest.p + len, rest.n - len);
	}
}

static void check_record(const struct ocsf_event *ev)
{
	const struct ocsf_context context = {.sandbox_id = ev->message, .proxy = ev->dst};
	_cleanup_buf_ struct buf record = BUF_INIT(1 << 20);
	struct err e;

	must(ocsf_json(ev, &context, &record));
	must(str_is_utf8(buf_view(&record)) && !str_has_control(buf_view(&record)));
	_cleanup_json_ cJSON *j = json_parse(buf_view(&record), "record", &e);
	must(j && json_int(j, "class_uid", -1) == ocsf_class_info(ev->class)->uid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_sub(data, size), text[12];

	if (size == 0)
		return 0;
	rest = str_sub(rest.p + 1, rest.n - 1);
	for (size_t i = 0; i < ARRAY_LEN(text); i++)
		text[i] = str_cut(&rest, '\0');
	const struct ocsf_event ev = {
		.class = data[0] % OCSF_CLASS_COUNT,
		.activity = data[0] % 3,
		.severity = data[0] % (OCSF_FATAL + 1),
		.status = data[0] % 3,
		.action = data[0] % 4,
		.disposition = data[0] % 30,
		.message = text[0],
		.status_detail = text[1],
		.process = {.name = text[2], .pid = data[0], .cmd_line = text[3]},
		.src = {.host = text[4], .port = data[0]},
		.dst = {.host = text[5]},
		.protocol = text[6],
		.rule = {text[7], text[8]},
		.http = {text[9], text[10], text[5], text[11], data[0]},
		.auth = text[7],
		.finding = {text[7], text[8], data[0] % 4},
		.api = {text[9], text[10], text[11]},
		.unmapped = {{"latency_ms", text[2]}, {"policy_version", text[3]}, {"a", text[4]}},
	};
	check_line(&ev);
	check_record(&ev);
	return 0;
}
