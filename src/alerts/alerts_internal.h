/* What the files of src/alerts share. */
#ifndef SW_ALERTS_ALERTS_INTERNAL_H
#define SW_ALERTS_ALERTS_INTERNAL_H

#include "alerts/alerts.h"

#include <jansson.h>

#include "base/keyed_hash.h"

/* Identity: labels of a finding and those that the agent adds. */
#define SW_ALERT_MAX_LABELS (SW_FINDING_MAX_LABELS + 4)

/* It has one notification in all. */
bool sw_alert_is_per_trace(const sw_alert *alert);

/* A JSON string of any bytes: what is not UTF-8 is replaced. NULL gives null. */
json_t *sw_text_to_json(const char *s);
/* A JSON number, an integer where it is one; null when it is not finite. */
json_t *sw_number_to_json(double value);
/* Appends the document in one line, and frees it. 0 or -1. `digits` are those of numbers that are no
 * integers: 17 read back as the same, 15 leave 0.05 as it is. */
int sw_write_json(json_t *document, int digits, sw_buf *out);

#endif
