#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/rfc3339.h"
#include "base/util.h"

#define FIRST_SECOND (-62135596800) /* 0001-01-01T00:00:00Z */
#define LAST_SECOND 253402300799    /* 9999-12-31T23:59:59Z */

/* Days from 1970-01-01 to a day of the proleptic Gregorian calendar. Years are counted from March,
 * so that the leap day is the last of its year. */
static int64_t days_from_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year = y - era * 400;
	int64_t day = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;

	return era * 146097 + year * 365 + year / 4 - year / 100 + day - 719468;
}

/* Takes exactly n digits off the front. */
static bool take_digits(struct str *s, size_t n, int *out)
{
	*out = 0;
	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		*out = *out * 10 + (s->p[i] - '0');
	}
	*s = str_sub(s->p + n, s->n - n);
	return true;
}

static bool take_fraction(struct str *s, int32_t *nanos)
{
	size_t digits = 0;

	*nanos = 0;
	if (!str_skip(s, "."))
		return true;
	while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
		if (digits++ < 9)
			*nanos = *nanos * 10 + (s->p[0] - '0');
		*s = str_sub(s->p + 1, s->n - 1);
	}
	for (size_t i = digits; i < 9; i++)
		*nanos *= 10;
	return digits > 0;
}

/* Z, or an offset in minutes from it. */
static bool take_zone(struct str *s, int *minutes)
{
	int h, m, sign = 0;

	*minutes = 0;
	if (str_skip(s, "Z") || str_skip(s, "z"))
		return true;
	if (str_skip(s, "+"))
		sign = 1;
	else if (str_skip(s, "-"))
		sign = -1;
	if (sign == 0 || !take_digits(s, 2, &h) || !str_skip(s, ":") || !take_digits(s, 2, &m))
		return false;
	*minutes = sign * (h * 60 + m);
	return h < 24 && m < 60;
}

static int days_in(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

bool rfc3339_parse(struct str s, int64_t *seconds, int32_t *nanos)
{
	int year, month, day, hour, minute, second, zone;

	if (!take_digits(&s, 4, &year) || !str_skip(&s, "-") || !take_digits(&s, 2, &month) ||
	    !str_skip(&s, "-") || !take_digits(&s, 2, &day))
		return false;
	if (!str_skip(&s, "T") && !str_skip(&s, "t") && !str_skip(&s, " "))
		return false;
	if (!take_digits(&s, 2, &hour) || !str_skip(&s, ":") || !take_digits(&s, 2, &minute) ||
	    !str_skip(&s, ":") || !take_digits(&s, 2, &second) || !take_fraction(&s, nanos) ||
	    !take_zone(&s, &zone) || s.n > 0)
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in(year, month) ||
	    hour > 23 || minute > 59 || second > 60)
		return false;
	*seconds = days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 +
		   MIN(second, 59) - zone * 60;
	return *seconds >= FIRST_SECOND && *seconds <= LAST_SECOND;
}

bool rfc3339_format(int64_t seconds, int32_t nanos, char out[RFC3339_MAX])
{
	time_t t = (time_t)seconds;
	struct tm tm;
	size_t n;

	out[0] = '\0';
	if (seconds < FIRST_SECOND || seconds > LAST_SECOND || nanos < 0 || nanos > 999999999 ||
	    gmtime_r(&t, &tm) == NULL)
		return false;
	n = (size_t)snprintf(out, RFC3339_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
			     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (nanos % 1000 != 0)
		snprintf(out + n, RFC3339_MAX - n, ".%09dZ", nanos);
	else if (nanos % 1000000 != 0)
		snprintf(out + n, RFC3339_MAX - n, ".%06dZ", nanos / 1000);
	else if (nanos != 0)
		snprintf(out + n, RFC3339_MAX - n, ".%03dZ", nanos / 1000000);
	else
		snprintf(out + n, RFC3339_MAX - n, "Z");
	return true;
}
