#include "detectors/convert.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/wire.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* Length of the well-formed character at the start of `s`; 0 when there is none. */
static size_t character(const char *s, size_t len) {
    for (size_t n = 1; n <= 4 && n <= len; n++) {
        if (sw_utf8_valid(s, n)) {
            return n;
        }
    }
    return 0;
}

char *sw_clean_text(const char *bytes, size_t len, size_t max) {
    sw_buf out;
    sw_buf_init(&out, max);
    size_t at = 0;
    while (at < len && !out.overflow) {
        size_t n = bytes[at] == '\0' ? 0 : character(bytes + at, len - at);
        if (n == 0) {
            sw_buf_append_str(&out, REPLACEMENT);
            at++;
        } else {
            sw_buf_append(&out, bytes + at, n);
            at += n;
        }
    }
    return sw_buf_steal(&out, NULL);
}

char *sw_object_text(const msgpack_object *object, size_t max) {
    if (object == NULL) {
        return NULL;
    }
    switch (object->type) {
    case MSGPACK_OBJECT_STR:
        return sw_clean_text(object->via.str.ptr, object->via.str.size, max);
    case MSGPACK_OBJECT_BIN:
        return sw_clean_text(object->via.bin.ptr, object->via.bin.size, max);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return xasprintf("%" PRIu64, object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return xasprintf("%" PRId64, object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return xasprintf("%.14g", object->via.f64);
    case MSGPACK_OBJECT_BOOLEAN:
        return xstrdup(object->via.boolean ? "true" : "false");
    default:
        return NULL;
    }
}

int sw_object_array(const msgpack_object *object, const msgpack_object **elements, uint32_t *n) {
    *elements = NULL;
    *n = 0;
    if (object == NULL || object->type == MSGPACK_OBJECT_NIL ||
        (object->type == MSGPACK_OBJECT_MAP && object->via.map.size == 0)) {
        return 0;
    }
    if (object->type != MSGPACK_OBJECT_ARRAY) {
        return -1;
    }
    *elements = object->via.array.ptr;
    *n = object->via.array.size;
    return 0;
}

/* ---- MessagePack → JSON ---- */

static json_t *json_of_text(const char *text, size_t len, bool strict) {
    json_t *string = json_stringn(text, len);
    if (string == NULL && !strict) {
        char *clean = sw_clean_text(text, len, len * 3);
        string = json_string(clean);
        free(clean);
    }
    return string;
}

static json_t *json_of_array(const msgpack_object_array *array, bool strict) {
    json_t *json = json_array();
    for (uint32_t i = 0; i < array->size; i++) {
        if (json_array_append_new(json, sw_json_of(&array->ptr[i], strict)) != 0) {
            json_decref(json);
            return NULL;
        }
    }
    return json;
}

static char *key_text(const msgpack_object *key) {
    if (key->type == MSGPACK_OBJECT_STR && memchr(key->via.str.ptr, '\0', key->via.str.size) != NULL) {
        return NULL;
    }
    return sw_object_text(key, SIZE_MAX / 2);
}

static json_t *json_of_map(const msgpack_object_map *map, bool strict) {
    json_t *json = json_object();
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        char *text = strict && key->type == MSGPACK_OBJECT_BIN ? NULL : key_text(key);
        int result =
            text == NULL ? -1 : json_object_set_new(json, text, sw_json_of(&map->ptr[i].val, strict));
        if (result != 0 && (strict || text != NULL)) {
            free(text);
            json_decref(json);
            return NULL;
        }
        free(text);
    }
    return json;
}

static json_t *json_of_number(double number, bool strict) {
    return isfinite(number) ? json_real(number) : strict ? NULL : json_null();
}

/* Recursion is bounded by SW_FRAME_MAX_DEPTH: the value was parsed from a frame. */
json_t *sw_json_of(const msgpack_object *object, bool strict) {
    switch (object->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(object->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return object->via.u64 > INT64_MAX ? json_real((double)object->via.u64)
                                           : json_integer((json_int_t)object->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return json_integer(object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return json_of_number(object->via.f64, strict);
    case MSGPACK_OBJECT_STR:
        return json_of_text(object->via.str.ptr, object->via.str.size, strict);
    case MSGPACK_OBJECT_BIN:
        return json_of_text(object->via.bin.ptr, object->via.bin.size, strict);
    case MSGPACK_OBJECT_ARRAY:
        return json_of_array(&object->via.array, strict);
    case MSGPACK_OBJECT_MAP:
        return json_of_map(&object->via.map, strict);
    default:
        return json_null();
    }
}

/* ---- JSON → MessagePack ---- */

void sw_pack_text(msgpack_packer *pk, const char *text, size_t len) {
    if (sw_utf8_valid(text, len)) {
        msgpack_pack_str(pk, len);
        msgpack_pack_str_body(pk, text, len);
    } else {
        msgpack_pack_bin(pk, len);
        msgpack_pack_bin_body(pk, text, len);
    }
}

static int pack(msgpack_packer *pk, const json_t *value, unsigned depth);

static int pack_array(msgpack_packer *pk, const json_t *array, unsigned depth) {
    size_t n = json_array_size(array);
    int result = 0;
    msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n && result == 0; i++) {
        result = pack(pk, json_array_get(array, i), depth + 1);
    }
    return result;
}

static int pack_object(msgpack_packer *pk, const json_t *object, unsigned depth) {
    int result = 0;
    const char *key = NULL;
    json_t *value = NULL;
    msgpack_pack_map(pk, json_object_size(object));
    json_object_foreach((json_t *)object, key, value) {
        sw_pack_text(pk, key, strlen(key));
        result = pack(pk, value, depth + 1);
        if (result != 0) {
            break;
        }
    }
    return result;
}

static int pack(msgpack_packer *pk, const json_t *value, unsigned depth) {
    if (depth > SW_CONVERT_MAX_DEPTH) {
        return -1;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return pack_object(pk, value, depth);
    case JSON_ARRAY:
        return pack_array(pk, value, depth);
    case JSON_STRING:
        sw_pack_text(pk, json_string_value(value), json_string_length(value));
        return 0;
    case JSON_INTEGER:
        msgpack_pack_int64(pk, json_integer_value(value));
        return 0;
    case JSON_REAL:
        msgpack_pack_double(pk, json_real_value(value));
        return 0;
    case JSON_TRUE:
        msgpack_pack_true(pk);
        return 0;
    case JSON_FALSE:
        msgpack_pack_false(pk);
        return 0;
    default:
        msgpack_pack_nil(pk);
        return 0;
    }
}

int sw_pack_json(msgpack_packer *pk, const json_t *value) {
    return pack(pk, value, 0);
}
