/*
 * A JSON answer read while it arrives: the elements of one array are handed out one by one, so that an answer
 * of many megabytes costs the memory of its largest element.
 *
 * The answer must be one JSON object. Arrays whose path from the top (keys joined by '.', at most four) is
 * one of `paths` are taken apart; each element's text goes to on_element, which parses it. Everything else is
 * collected and can be parsed at the end: sw_json_stream_finish() gives it as an object in which those arrays
 * are empty.
 *
 * An answer that is not an object, ends too early, goes on behind its end, has something else than an array
 * (or null) at one of the paths, or has an element that on_element refuses, is broken: that is never the same
 * as an empty answer. Once broken it stays broken.
 */
#ifndef SW_SOURCES_JSON_STREAM_H
#define SW_SOURCES_JSON_STREAM_H

#include <jansson.h>

#include "base/buf.h"

typedef struct sw_json_stream sw_json_stream;

typedef struct sw_json_stream_options {
    const char *const *paths; /* NULL-terminated; must live as long as the stream */
    size_t max_element;       /* bytes; 0 = 8 MiB */
    size_t max_rest;          /* bytes of everything else; 0 = 1 MiB */
    /* false: stop, the element is refused. `json` is valid during the call only. */
    bool (*on_element)(const char *json, size_t len, void *arg);
    void *arg;
} sw_json_stream_options;

sw_json_stream *sw_json_stream_new(const sw_json_stream_options *options);
void sw_json_stream_free(sw_json_stream *stream);
/* Forgets everything: the answer begins again. */
void sw_json_stream_reset(sw_json_stream *stream);
/* The next bytes; false when the answer is broken. */
bool sw_json_stream_feed(sw_json_stream *stream, const char *data, size_t len);
/* After the last byte: the rest as an object (caller decrefs), or NULL when the answer is broken. */
json_t *sw_json_stream_finish(sw_json_stream *stream);
/* How many elements were handed out. */
size_t sw_json_stream_elements(const sw_json_stream *stream);
/* Why it is broken, for people; "" when it is not. */
const char *sw_json_stream_why(const sw_json_stream *stream);
/* True when it is broken because an element or the rest is larger than its cap. */
bool sw_json_stream_too_large(const sw_json_stream *stream);

#endif
