/* A silence as JSON for the store, and back. What is read may be damaged: it is checked. */
#include <stdlib.h>
#include <string.h>

#include "alerts/alerts_internal.h"
#include "alerts/silences.h"

int sw_silence_to_json(const sw_silence *silence, sw_buf *out) {
    json_t *root = json_object(), *matchers = json_array();
    for (size_t i = 0; i < silence->matchers.n; i++) {
        const sw_matcher *matcher = &silence->matchers.items[i];
        json_t *one = json_object();
        json_object_set_new(one, "name", sw_text_to_json(matcher->name));
        json_object_set_new(one, "op", json_string(sw_match_op_text(matcher->op)));
        json_object_set_new(one, "value", sw_text_to_json(matcher->value));
        json_array_append_new(matchers, one);
    }
    json_object_set_new(root, "id", json_string(silence->id));
    json_object_set_new(root, "matchers", matchers);
    json_object_set_new(root, "starts_at_ns", json_integer(silence->starts_at_ns));
    json_object_set_new(root, "ends_at_ns", json_integer(silence->ends_at_ns));
    json_object_set_new(root, "updated_at_ns", json_integer(silence->updated_at_ns));
    json_object_set_new(root, "created_by", sw_text_to_json(silence->created_by));
    json_object_set_new(root, "comment", sw_text_to_json(silence->comment));
    json_object_set_new(root, "until_resolved", json_boolean(silence->until_resolved));
    json_object_set_new(root, "matched", json_boolean(silence->matched));
    return sw_write_json(root, 17, out);
}

static bool read_time(const json_t *root, const char *name, int64_t *out) {
    const json_t *value = json_object_get(root, name);
    *out = json_integer_value(value);
    return json_is_integer(value) && *out >= 0 && *out <= SW_SILENCE_NO_END_NS;
}

static char *read_text(const json_t *root, const char *name) {
    const char *text = json_string_value(json_object_get(root, name));
    return xstrdup(text != NULL ? text : "");
}

static bool read_matcher(const json_t *one, sw_matchers *out) {
    const char *name = json_string_value(json_object_get(one, "name"));
    const char *value = json_string_value(json_object_get(one, "value"));
    const char *op = json_string_value(json_object_get(one, "op"));
    for (int i = SW_MATCH_EQUAL; i <= SW_MATCH_NOT_REGEX; i++) {
        if (name != NULL && value != NULL && sw_streq(op, sw_match_op_text((sw_match_op)i))) {
            char *why = NULL;
            int rc = sw_matchers_add(out, name, (sw_match_op)i, value, &why);
            free(why);
            return rc == 0;
        }
    }
    return false;
}

static bool read_silence(const json_t *root, sw_silence *out) {
    const char *id = json_string_value(json_object_get(root, "id"));
    bool good = id != NULL && strlen(id) == SW_SILENCE_ID_LEN;
    if (good) {
        memcpy(out->id, id, sizeof out->id);
    }
    good &= read_time(root, "starts_at_ns", &out->starts_at_ns);
    good &= read_time(root, "ends_at_ns", &out->ends_at_ns);
    good &= read_time(root, "updated_at_ns", &out->updated_at_ns);
    out->created_by = read_text(root, "created_by");
    out->comment = read_text(root, "comment");
    out->until_resolved = json_is_true(json_object_get(root, "until_resolved"));
    out->matched = json_is_true(json_object_get(root, "matched"));
    const json_t *matchers = json_object_get(root, "matchers"), *one = NULL;
    size_t i = 0;
    json_array_foreach(matchers, i, one) {
        good = good && read_matcher(one, &out->matchers);
    }
    return good && out->matchers.n > 0;
}

int sw_silence_from_json(const char *json, size_t len, sw_silence *out) {
    *out = (sw_silence){0};
    json_t *root = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
    bool good = read_silence(root, out);
    json_decref(root);
    if (!good) {
        sw_silence_release(out);
    }
    return good ? 0 : -1;
}
