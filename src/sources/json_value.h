/*
 * Reading JSON that a backend wrote: tolerant of what backends do (64-bit integers as strings, invalid UTF-8,
 * NUL in a text), strict about everything else.
 */
#ifndef SW_SOURCES_JSON_VALUE_H
#define SW_SOURCES_JSON_VALUE_H

#include <jansson.h>

#include "base/buf.h"

/* Parses one JSON value that fills `text`. Bytes that are not UTF-8, and escaped halves of surrogate pairs,
 * become U+FFFD. NULL, with `why` (static size 160) filled, when it is not JSON. Caller decrefs. */
#define SW_JSON_WHY 160
json_t *sw_json_parse(const char *text, size_t len, char why[SW_JSON_WHY]);

/* The text of a JSON string as a C string (a NUL inside becomes U+FFFD); "" for anything else. Caller frees.
 */
char *sw_json_text(const json_t *value);
/* The same of object[key]. */
char *sw_json_member_text(const json_t *object, const char *key);
/* A borrowed text without copying; "" for anything else. Ends at the first NUL. */
const char *sw_json_peek(const json_t *object, const char *key);

/* An integer that came as number or as string of digits; false (and *out untouched) for anything else. */
bool sw_json_int(const json_t *value, int64_t *out);
/* A finite number that came as number or as string; false for anything else. */
bool sw_json_number(const json_t *value, double *out);

/* Appends `s` as a JSON string with its quotes. */
int sw_json_append_string(sw_buf *out, const char *s);

#endif
