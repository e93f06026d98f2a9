/* Header lines: what may be sent, and what an answer's lines say. */
#ifndef SW_NET_HTTP_HEADER_H
#define SW_NET_HTTP_HEADER_H

#include "base/base.h"

#define SW_RETRY_AFTER_MAX_S INT64_C(31536000) /* a year; longer waits are cut to it */

/* NULL when `line` is "Name: value" that may be sent, else static text that says what is wrong. */
const char *sw_http_header_check(const char *line);
/* Length of the name in front of the colon. */
size_t sw_http_header_name_len(const char *line);
bool sw_http_header_same_name(const char *a, const char *b);
/* Whether `method` may be sent. */
bool sw_http_method_check(const char *method);

/* When the received `line` (not terminated, with or without CRLF) is the header `name`, copies its value
 * without the white space around it, cut to size - 1 bytes, control characters left out, and returns true. */
bool sw_http_header_value(const char *line, size_t len, const char *name, char *out, size_t size);
/* Seconds until the time that a Retry-After value names: a number, or a date that is compared with `now_s`.
 * -1 when it is neither. */
int64_t sw_http_retry_after(const char *value, int64_t now_s);
/* Unix seconds of a Date value; 0 when unreadable. */
int64_t sw_http_date(const char *value);

#endif
