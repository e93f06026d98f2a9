#include "sources/json_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/json_value.h"

#define MIB ((size_t)1 << 20)
#define PATH_DEPTH 4
#define KEY_MAX 64
#define DEPTH_MAX 1000 /* jansson reads 2048 */

enum place { BEFORE, INSIDE, AFTER };

struct sw_json_stream {
    sw_json_stream_options options;
    sw_buf element, rest;
    size_t elements;
    enum place place;
    unsigned depth;       /* open objects and arrays */
    unsigned objects;     /* of these, objects counted from the top without an array between */
    unsigned array_depth; /* depth of the open array that is taken apart; 0: none */
    bool in_string, escaped;
    bool key_expected; /* the next string at this depth is a key */
    bool in_key;
    bool comma;     /* an element must follow */
    bool has_value; /* the element under way has a byte that is not white space */
    size_t key_len;
    char key[PATH_DEPTH][KEY_MAX]; /* the last key of each open object; "" when too long or escaped */
    bool broken, too_large;
    char why[SW_JSON_WHY];
};

static bool fail(sw_json_stream *stream, const char *why) {
    if (!stream->broken) {
        stream->broken = true;
        snprintf(stream->why, sizeof stream->why, "%s", why);
    }
    return false;
}

sw_json_stream *sw_json_stream_new(const sw_json_stream_options *options) {
    sw_json_stream *stream = xcalloc(1, sizeof *stream);
    stream->options = *options;
    sw_buf_init(&stream->element, options->max_element > 0 ? options->max_element : 8 * MIB);
    sw_buf_init(&stream->rest, options->max_rest > 0 ? options->max_rest : MIB);
    return stream;
}

void sw_json_stream_free(sw_json_stream *stream) {
    if (stream != NULL) {
        sw_buf_release(&stream->element);
        sw_buf_release(&stream->rest);
        free(stream);
    }
}

void sw_json_stream_reset(sw_json_stream *stream) {
    sw_buf element = stream->element, rest = stream->rest;
    *stream = (sw_json_stream){.options = stream->options, .element = element, .rest = rest};
    sw_buf_reset(&stream->element);
    sw_buf_reset(&stream->rest);
}

static bool keep(sw_json_stream *stream, const char *data, size_t len) {
    sw_buf *sink = stream->array_depth > 0 ? &stream->element : &stream->rest;
    if (len > 0 && sw_buf_append(sink, data, len) != 0) {
        stream->too_large = true;
        return fail(stream, stream->array_depth > 0 ? "an element is too large" : "the answer is too large");
    }
    return true;
}

static bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Is the array that opens now one of those to take apart? */
static bool array_wanted(const sw_json_stream *stream) {
    if (stream->objects != stream->depth || stream->depth == 0 || stream->depth > PATH_DEPTH) {
        return false;
    }
    char path[PATH_DEPTH * (KEY_MAX + 1)] = "";
    size_t len = 0;
    for (unsigned i = 0; i < stream->depth; i++) {
        len += (size_t)snprintf(path + len, sizeof path - len, "%s%s", i > 0 ? "." : "", stream->key[i]);
    }
    for (const char *const *wanted = stream->options.paths; *wanted != NULL; wanted++) {
        if (strcmp(*wanted, path) == 0) {
            return true;
        }
    }
    return false;
}

static bool element_over(sw_json_stream *stream, bool last) {
    if (!stream->has_value) {
        return last && !stream->comma ? true : fail(stream, "an element is missing");
    }
    stream->elements++;
    bool taken = stream->options.on_element(stream->element.data, stream->element.len, stream->options.arg);
    sw_buf_reset(&stream->element);
    stream->has_value = false;
    stream->comma = !last;
    return taken ? true : fail(stream, "an element is not as expected");
}

static bool open_container(sw_json_stream *stream, char c) {
    if (stream->depth >= DEPTH_MAX) {
        return fail(stream, "too deep");
    }
    if (stream->array_depth > 0) {
        stream->depth++;
        stream->has_value = true;
        return true;
    }
    bool wanted = c == '[' && array_wanted(stream);
    if (c == '{' && stream->objects == stream->depth) {
        stream->objects++;
        if (stream->objects <= PATH_DEPTH) {
            stream->key[stream->objects - 1][0] = '\0';
        }
    }
    stream->depth++;
    stream->key_expected = c == '{';
    if (wanted) {
        stream->array_depth = stream->depth;
        stream->has_value = stream->comma = false;
    }
    return true;
}

static bool close_container(sw_json_stream *stream, char c) {
    if (stream->depth == 0) {
        return fail(stream, "a bracket closes what was not open");
    }
    if (stream->array_depth > 0 && stream->depth == stream->array_depth) {
        if (c != ']' || !element_over(stream, true)) {
            return fail(stream, "an array is not closed");
        }
        stream->array_depth = 0;
    }
    stream->depth--;
    if (stream->array_depth == 0) {
        if (stream->objects > stream->depth) {
            stream->objects = stream->depth;
        }
        stream->key_expected = false;
        if (stream->depth == 0) {
            stream->place = AFTER;
        }
    }
    return true;
}

static void begin_string(sw_json_stream *stream) {
    stream->in_string = true;
    stream->escaped = false;
    stream->has_value = true;
    stream->in_key = stream->array_depth == 0 && stream->key_expected && stream->objects == stream->depth &&
                     stream->depth <= PATH_DEPTH;
    stream->key_len = 0;
}

static void end_string(sw_json_stream *stream) {
    stream->in_string = false;
    if (stream->in_key) {
        char *key = stream->key[stream->depth - 1];
        key[stream->key_len < KEY_MAX ? stream->key_len : 0] = '\0';
        stream->in_key = false;
        stream->key_expected = false;
    }
}

static void string_byte(sw_json_stream *stream, char c) {
    if (stream->escaped) {
        stream->escaped = false;
    } else if (c == '\\') {
        stream->escaped = true;
        stream->key_len = KEY_MAX; /* an escaped key is none that we look for */
    } else if (c == '"') {
        end_string(stream);
    } else if (stream->in_key && stream->key_len < KEY_MAX - 1) {
        stream->key[stream->depth - 1][stream->key_len++] = c;
    } else {
        stream->key_len = KEY_MAX;
    }
}

/* A byte outside of strings that is not a bracket. */
static bool plain_byte(sw_json_stream *stream, char c) {
    if (c == '"') {
        begin_string(stream);
    } else if (c == ',' && stream->array_depth == 0) {
        stream->key_expected = stream->objects == stream->depth;
    } else if (!is_space(c)) {
        stream->has_value = true;
    }
    return true;
}

static bool outside_byte(sw_json_stream *stream, char c) {
    if (is_space(c)) {
        return true;
    }
    if (stream->place == AFTER) {
        return fail(stream, "something follows the answer");
    }
    if (c != '{') {
        return fail(stream, "the answer is not a JSON object");
    }
    stream->place = INSIDE;
    return keep(stream, &c, 1) && open_container(stream, c);
}

/* The brackets and commas of the array that is taken apart belong to no element. */
static bool array_byte(const sw_json_stream *stream, char c) {
    return stream->array_depth > 0 && stream->depth == stream->array_depth && (c == ',' || c == ']');
}

/* One byte that may change the place where bytes are kept; the bytes before it are kept already. */
static bool structure(sw_json_stream *stream, char c) {
    if (array_byte(stream, c)) {
        return c == ',' ? element_over(stream, false) : close_container(stream, c) && keep(stream, &c, 1);
    }
    if (!keep(stream, &c, 1)) {
        return false;
    }
    if (c == '{' || c == '[') {
        return open_container(stream, c);
    }
    return c == '}' || c == ']' ? close_container(stream, c) : plain_byte(stream, c);
}

/* Bytes of a string up to its end, an escape or the end of the data need no look at each. */
static size_t skip_string(sw_json_stream *stream, const char *data, size_t len) {
    if (stream->in_key || stream->escaped) {
        return 0;
    }
    size_t n = 0;
    while (n < len && data[n] != '"' && data[n] != '\\') {
        n++;
    }
    return n;
}

bool sw_json_stream_feed(sw_json_stream *stream, const char *data, size_t len) {
    size_t kept = 0; /* data[kept, i) is looked at and not yet kept */
    for (size_t i = 0; i < len && !stream->broken;) {
        char c = data[i];
        if (stream->place != INSIDE) {
            outside_byte(stream, c);
            kept = ++i;
        } else if (stream->in_string) {
            size_t n = skip_string(stream, data + i, len - i);
            i += n;
            if (n == 0) {
                string_byte(stream, c);
                i++;
            }
        } else if (c == '{' || c == '[' || c == '}' || c == ']' || array_byte(stream, c)) {
            if (keep(stream, data + kept, i - kept)) {
                structure(stream, c);
            }
            kept = ++i;
        } else {
            plain_byte(stream, c);
            i++;
        }
    }
    if (!stream->broken && stream->place == INSIDE && len > kept) {
        keep(stream, data + kept, len - kept);
    }
    return !stream->broken;
}

/* What is at a path must be an array, null, or nothing at all: else the answer is of another kind than it
 * seems. An array that still has elements was called by an escaped name and not taken apart. */
static bool arrays_where_wanted(const sw_json_stream *stream, const json_t *rest) {
    for (const char *const *path = stream->options.paths; *path != NULL; path++) {
        const json_t *at = rest;
        for (const char *key = *path; at != NULL && *key != '\0';) {
            size_t len = strcspn(key, ".");
            at = json_object_getn(at, key, len);
            key += len + (key[len] == '.' ? 1 : 0);
            bool last = *key == '\0';
            bool absent = at == NULL || json_is_null(at);
            bool empty_array = json_is_array(at) && json_array_size(at) == 0;
            if (!absent && !(last ? empty_array : json_is_object(at))) {
                return false;
            }
        }
    }
    return true;
}

json_t *sw_json_stream_finish(sw_json_stream *stream) {
    if (stream->broken) {
        return NULL;
    }
    if (stream->place != AFTER) {
        fail(stream, stream->place == BEFORE ? "the answer is empty" : "the answer ends too early");
        return NULL;
    }
    char why[SW_JSON_WHY] = "";
    json_t *rest = sw_json_parse(stream->rest.data, stream->rest.len, why);
    if (rest == NULL) {
        fail(stream, why);
    } else if (!arrays_where_wanted(stream, rest)) {
        fail(stream, "something else is where a list belongs");
        json_decref(rest);
        rest = NULL;
    }
    return rest;
}

size_t sw_json_stream_elements(const sw_json_stream *stream) {
    return stream->elements;
}

const char *sw_json_stream_why(const sw_json_stream *stream) {
    return stream->why;
}

bool sw_json_stream_too_large(const sw_json_stream *stream) {
    return stream->too_large;
}
