#include "base/rfc3339.h"
#include "base/util.h"
#include "test.h"

TEST(times_are_read)
{
	static const struct {
		const char *text;
		int64_t seconds;
		int32_t nanos;
	} t[] = {
		{"1970-01-01T00:00:00Z", 0, 0},
		{"2026-11-25T08:00:01Z", 1795593601, 0},
		{"2026-11-25t08:00:01z", 1795593601, 0},
		{"2026-11-25T10:30:01.25+02:30", 1795593601, 250000000},
		{"2026-11-24T23:00:01-09:00", 1795593601, 0},
		{"2026-11-25T08:00:01.1234567891Z", 1795593601, 123456789},
		{"2000-02-29T00:00:00Z", 951782400, 0},
		{"1969-12-31T23:59:59Z", -1, 0},
		{"2016-12-31T23:59:60Z", 1483228799, 0},
		{"0001-01-01T00:00:00Z", -62135596800, 0},
		{"9999-12-31T23:59:59Z", 253402300799, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		int64_t seconds;
		int32_t nanos;
		if (!rfc3339_parse(str_of(t[i].text), &seconds, &nanos))
			FAIL("not read: %s", t[i].text);
		EQ(seconds, t[i].seconds);
		EQ(nanos, t[i].nanos);
	}
}

TEST(what_is_no_time_is_refused)
{
	static const char *const bad[] = {"",
					  "2026",
					  "2026-11-25",
					  "2026-11-25T08:00:01",
					  "2026-11-25T08:00Z",
					  "2026-13-01T00:00:00Z",
					  "2026-00-01T00:00:00Z",
					  "2026-02-29T00:00:00Z",
					  "2026-11-25T24:00:00Z",
					  "2026-11-25T08:60:00Z",
					  "2026-11-25T08:00:61Z",
					  "2026-11-25T08:00:01.Z",
					  "2026-11-25T08:00:01Zx",
					  "2026-11-25T08:00:01+2:00",
					  "2026-11-25T08:00:01+24:00",
					  "0000-01-01T00:00:00Z",
					  "0001-01-01T00:00:00+01:00",
					  "-026-11-25T08:00:01Z"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t seconds;
		int32_t nanos;
		if (rfc3339_parse(str_of(bad[i]), &seconds, &nanos))
			FAIL("was read: %s", bad[i]);
	}
	int64_t seconds;
	int32_t nanos;
	OK(!rfc3339_parse(STR_NONE, &seconds, &nanos));
}

TEST(times_are_written_with_as_many_digits_as_they_need)
{
	char text[RFC3339_MAX];

	OK(rfc3339_format(1795593601, 0, text));
	STREQ(text, "2026-11-25T08:00:01Z");
	OK(rfc3339_format(1795593601, 250000000, text));
	STREQ(text, "2026-11-25T08:00:01.250Z");
	OK(rfc3339_format(1795593601, 250000, text));
	STREQ(text, "2026-11-25T08:00:01.000250Z");
	OK(rfc3339_format(253402300799, 999999999, text));
	STREQ(text, "9999-12-31T23:59:59.999999999Z");
	OK(rfc3339_format(-62135596800, 0, text));
	STREQ(text, "0001-01-01T00:00:00Z");
	OK(!rfc3339_format(253402300800, 0, text));
	OK(!rfc3339_format(0, 1000000000, text));
	OK(!rfc3339_format(0, -1, text));
}
