/*
 * The spellings that Kubernetes has for amounts and label values, checked before an API server
 * would refuse them with less helpful words.
 */
#ifndef OPENSHELL_DRIVER_KUBERNETES_QUANTITY_H
#define OPENSHELL_DRIVER_KUBERNETES_QUANTITY_H

#include <stdbool.h>

#include "base/str.h"

/* An amount that is not negative: digits with at most one point, and a suffix (n u m k M G T P E, Ki
 * Mi Gi Ti Pi Ei) or an exponent (e3, E-2). 64 characters at most. "NaN" and "inf" are none. */
bool is_quantity(struct str s);

/* A label's value: empty, or 63 characters at most of letters, digits, `-`, `_`, `.`, beginning and
 * ending with a letter or digit. */
bool is_label_value(struct str s);
/* A label's or annotation's key: a label value that is not empty, with an optional DNS subdomain and
 * `/` in front. */
bool is_label_key(struct str s);

#endif
