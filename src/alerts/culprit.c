#include "alerts/culprit.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/alerts_internal.h"
#include "alerts/critical_path.h"

/* ---- finding it ---- */

/* At most max bytes, and no half of a character. */
static char *cut(const char *text, size_t max) {
    size_t len = strnlen(text, max + 1);
    if (len > max) {
        len = max;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80) {
            len--;
        }
    }
    return xstrndup(text, len);
}

static const char *attribute(const sw_span *span, const char *key) {
    for (size_t i = 0; i < span->n_attributes; i++) {
        if (strcmp(span->attributes[i].key, key) == 0) {
            return span->attributes[i].value;
        }
    }
    return "";
}

static double to_ms(int64_t ns) {
    return (double)ns / (double)SW_NS_PER_MS;
}

struct share {
    size_t span;
    int64_t ns;
    size_t place; /* in the order of time */
};

static int most_first(const void *a, const void *b) {
    const struct share *one = a, *other = b;
    if (one->ns != other->ns) {
        return one->ns < other->ns ? 1 : -1;
    }
    return (one->place > other->place) - (one->place < other->place);
}

static int in_time(const void *a, const void *b) {
    const struct share *one = a, *other = b;
    return (one->place > other->place) - (one->place < other->place);
}

/* Each span where it comes first. Pieces are listed backwards. */
static size_t shares_of(const sw_trace *trace, const sw_critical_path *path, struct share *shares) {
    bool *listed = xcalloc(trace->n_spans, sizeof *listed);
    size_t n = 0;
    for (size_t i = path->n_pieces; i-- > 0;) {
        size_t span = path->pieces[i].span;
        if (!listed[span]) {
            listed[span] = true;
            shares[n] = (struct share){span, path->on_path_ns[span], n};
            n++;
        }
    }
    free(listed);
    return n;
}

static void take_path(const sw_trace *trace, const sw_critical_path *path, sw_culprit *out) {
    if (path->n_pieces == 0) {
        return;
    }
    struct share *shares = xcalloc(path->n_pieces, sizeof *shares);
    size_t n = shares_of(trace, path, shares);
    qsort(shares, n, sizeof *shares, most_first);
    n = n < SW_CULPRIT_PATH_MAX ? n : SW_CULPRIT_PATH_MAX;
    qsort(shares, n, sizeof *shares, in_time);
    for (size_t i = 0; i < n; i++) {
        const sw_span *span = &trace->spans[shares[i].span];
        out->path[out->n_path++] = (sw_path_step){
            .service = cut(span->service, SW_CULPRIT_MAX_NAME),
            .name = cut(span->name, SW_CULPRIT_MAX_NAME),
            .self_time_ms = to_ms(shares[i].ns),
        };
    }
    free(shares);
}

sw_culprit *sw_culprit_of(const sw_trace *trace, bool about_errors) {
    sw_critical_path path;
    sw_critical_path_of(trace, &path);
    bool failing = about_errors && path.failing != SW_NO_SPAN;
    size_t at = failing ? path.failing : path.slowest;
    sw_culprit *culprit = NULL;
    if (at != SW_NO_SPAN) {
        const sw_span *span = &trace->spans[at];
        const char *message =
            span->status_message[0] != '\0' ? span->status_message : attribute(span, "exception.message");
        culprit = xcalloc(1, sizeof *culprit);
        culprit->failing = failing;
        memcpy(culprit->trace_id, trace->id, sizeof culprit->trace_id);
        memcpy(culprit->span_id, span->id, sizeof culprit->span_id);
        culprit->service = cut(span->service, SW_CULPRIT_MAX_NAME);
        culprit->name = cut(span->name, SW_CULPRIT_MAX_NAME);
        culprit->error_message = cut(message, SW_CULPRIT_MAX_MESSAGE);
        culprit->exception_type = cut(attribute(span, "exception.type"), SW_CULPRIT_MAX_NAME);
        culprit->self_time_ms = to_ms(path.self_ns[at]);
        take_path(trace, &path, culprit);
    }
    sw_critical_path_release(&path);
    return culprit;
}

void sw_culprit_free(sw_culprit *culprit) {
    if (culprit == NULL) {
        return;
    }
    for (size_t i = 0; i < culprit->n_path; i++) {
        free(culprit->path[i].service);
        free(culprit->path[i].name);
    }
    free(culprit->service);
    free(culprit->name);
    free(culprit->error_message);
    free(culprit->exception_type);
    free(culprit);
}

sw_culprit *sw_culprit_copy(const sw_culprit *culprit) {
    if (culprit == NULL) {
        return NULL;
    }
    sw_culprit *copy = xmalloc(sizeof *copy);
    *copy = *culprit;
    copy->service = xstrdup(culprit->service);
    copy->name = xstrdup(culprit->name);
    copy->error_message = xstrdup(culprit->error_message);
    copy->exception_type = xstrdup(culprit->exception_type);
    for (size_t i = 0; i < culprit->n_path; i++) {
        copy->path[i].service = xstrdup(culprit->path[i].service);
        copy->path[i].name = xstrdup(culprit->path[i].name);
    }
    return copy;
}

/* ---- writing ---- */

static json_t *text_or_null(const char *s) {
    return sw_text_to_json(s[0] != '\0' ? s : NULL);
}

json_t *sw_culprit_to_json(const sw_culprit *culprit) {
    json_t *root = json_object();
    json_object_set_new(root, "service", sw_text_to_json(culprit->service));
    json_object_set_new(root, "name", sw_text_to_json(culprit->name));
    json_object_set_new(root, "trace_id", sw_text_to_json(culprit->trace_id));
    json_object_set_new(root, "span_id", sw_text_to_json(culprit->span_id));
    json_object_set_new(root, "self_time_ms", sw_number_to_json(culprit->self_time_ms));
    json_object_set_new(root, "error_message", text_or_null(culprit->error_message));
    json_object_set_new(root, "exception_type", text_or_null(culprit->exception_type));
    return root;
}

json_t *sw_culprit_path_to_json(const sw_culprit *culprit) {
    json_t *list = json_array();
    for (size_t i = 0; i < culprit->n_path; i++) {
        json_t *step = json_object();
        json_object_set_new(step, "service", sw_text_to_json(culprit->path[i].service));
        json_object_set_new(step, "name", sw_text_to_json(culprit->path[i].name));
        json_object_set_new(step, "self_time_ms", sw_number_to_json(culprit->path[i].self_time_ms));
        json_array_append_new(list, step);
    }
    return list;
}

json_t *sw_culprit_to_stored(const sw_culprit *culprit) {
    json_t *root = sw_culprit_to_json(culprit);
    json_object_set_new(root, "failing", json_boolean(culprit->failing));
    json_object_set_new(root, "agreed", json_boolean(culprit->agreed));
    json_object_set_new(root, "path", sw_culprit_path_to_json(culprit));
    return root;
}

/* ---- reading: what is stored may be damaged ---- */

/* Text, or "" for null and what is absent; NULL for anything else, or when it does not fit. */
static char *read_text(const json_t *object, const char *name, size_t max) {
    const json_t *value = json_object_get(object, name);
    if (value == NULL || json_is_null(value)) {
        return xstrdup("");
    }
    bool good = json_is_string(value) && json_string_length(value) <= max;
    return good ? xstrdup(json_string_value(value)) : NULL;
}

static bool read_id(const json_t *object, const char *name, char *out, size_t size) {
    char *text = read_text(object, name, size - 1);
    bool good = text != NULL;
    if (good) {
        memcpy(out, text, strlen(text) + 1);
    }
    free(text);
    return good;
}

/* Absent, as stored before there were flags, is false. */
static bool read_flag(const json_t *object, const char *name, bool *out) {
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    return value == NULL || json_is_boolean(value);
}

static bool read_ms(const json_t *object, double *out) {
    const json_t *value = json_object_get(object, "self_time_ms");
    *out = json_number_value(value);
    return json_is_number(value) && *out >= 0;
}

static bool read_path(const json_t *list, sw_culprit *out) {
    size_t n = json_array_size(list);
    bool good = json_is_array(list) && n <= SW_CULPRIT_PATH_MAX;
    for (size_t i = 0; good && i < n; i++) {
        const json_t *step = json_array_get(list, i);
        sw_path_step *to = &out->path[out->n_path++];
        /* Three bytes for one that had to be replaced when it was written. */
        to->service = read_text(step, "service", 3 * SW_CULPRIT_MAX_NAME);
        to->name = read_text(step, "name", 3 * SW_CULPRIT_MAX_NAME);
        good = to->service != NULL && to->name != NULL && read_ms(step, &to->self_time_ms);
    }
    return good;
}

sw_culprit *sw_culprit_from_stored(const json_t *stored) {
    if (!json_is_object(stored)) {
        return NULL;
    }
    sw_culprit *culprit = xcalloc(1, sizeof *culprit);
    bool good = read_flag(stored, "failing", &culprit->failing);
    good = read_flag(stored, "agreed", &culprit->agreed) && good;
    culprit->service = read_text(stored, "service", 3 * SW_CULPRIT_MAX_NAME);
    culprit->name = read_text(stored, "name", 3 * SW_CULPRIT_MAX_NAME);
    culprit->error_message = read_text(stored, "error_message", 3 * SW_CULPRIT_MAX_MESSAGE);
    culprit->exception_type = read_text(stored, "exception_type", 3 * SW_CULPRIT_MAX_NAME);
    good = good && culprit->service != NULL && culprit->name != NULL && culprit->error_message != NULL &&
           culprit->exception_type != NULL && read_ms(stored, &culprit->self_time_ms) &&
           read_id(stored, "trace_id", culprit->trace_id, sizeof culprit->trace_id) &&
           read_id(stored, "span_id", culprit->span_id, sizeof culprit->span_id) &&
           read_path(json_object_get(stored, "path"), culprit);
    if (!good) {
        sw_culprit_free(culprit);
        return NULL;
    }
    return culprit;
}
