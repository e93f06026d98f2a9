/*
 * The notices of several alerts as one body: the fields of the worst alert, as consumers of single ones know
 * them, and `alerts` with the whole notice of each. An alert with several notices is told once, as it is now.
 */
#include "delivery/outbox_internal.h"

#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"

#define MAX_TRACES 100                    /* of one alert, when those of several notices are put together */
#define PRECISION JSON_REAL_PRECISION(15) /* as the payload is written */

/* One alert. */
struct told {
    const sw_outbox_row *newest;
    size_t first, last; /* indices of its rows + 1 */
    UT_hash_handle hh;
};

/* ---- one alert ---- */

static json_t *parse(const sw_outbox_row *row) {
    json_t *object = json_loadb(row->body, row->body_len, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(object)) {
        json_decref(object);
        object = json_object(); /* not a payload: told as the text that it is */
        json_t *text = json_stringn(row->body, row->body_len);
        json_object_set_new(object, "body", text != NULL ? text : json_null());
    }
    return object;
}

static double number_at(const json_t *object, const char *name) {
    return json_number_value(json_object_get(object, name));
}

/* The original fields are about the worst trace that is listed. */
static void take_worst_trace(json_t *alert, const json_t *older) {
    static const char *const names[] = {"trace_id", "span_name", "duration_ms", "error_message"};
    if (!json_is_string(json_object_get(older, "trace_id")) ||
        (json_is_string(json_object_get(alert, "trace_id")) &&
         number_at(alert, "duration_ms") >= number_at(older, "duration_ms"))) {
        return;
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        json_object_set(alert, names[i], json_object_get(older, names[i]));
    }
}

/* Each notice has the traces that are new in it: the alert gets those of an older one too. */
static void add_evidence(json_t *alert, const json_t *older) {
    static const char *const names[] = {"culprit", "critical_path"};
    json_t *traces = json_object_get(alert, "traces");
    const json_t *more = json_object_get(older, "traces");
    if (json_is_array(traces) && json_is_array(more)) {
        for (size_t i = 0; i < json_array_size(more) && json_array_size(traces) < MAX_TRACES; i++) {
            json_array_append(traces, json_array_get(more, i));
        }
    }
    take_worst_trace(alert, older);
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        json_t *value = json_object_get(older, names[i]);
        if (value != NULL && !json_is_null(value) && json_is_null(json_object_get(alert, names[i]))) {
            json_object_set(alert, names[i], value);
        }
    }
}

/* `next` of a row: the index + 1 of the alert's next newer row, 0 at its newest. */
static json_t *whole(const struct told *told, const sw_outbox_row *const *rows, const size_t *next) {
    json_t *alert = parse(told->newest);
    for (size_t i = told->first; i != told->last; i = next[i - 1]) {
        json_t *older = parse(rows[i - 1]);
        add_evidence(alert, older);
        json_decref(older);
    }
    return alert;
}

/* ---- all of them ---- */

struct plan {
    const sw_outbox_row *const *rows;
    size_t *next;
    struct told *by_fingerprint;
    struct told **worst_first;
    size_t n, n_firing;
};

static struct told *told_of(struct plan *plan, const sw_outbox_row *row) {
    struct told *told = NULL;
    size_t len = strlen(row->fingerprint);
    HASH_FIND(hh, plan->by_fingerprint, row->fingerprint, len, told);
    if (told == NULL) {
        told = xcalloc(1, sizeof *told);
        HASH_ADD_KEYPTR(hh, plan->by_fingerprint, row->fingerprint, len, told);
    }
    return told;
}

static int worse_first(const void *a, const void *b) {
    const sw_outbox_row *x = (*(const struct told *const *)a)->newest;
    const sw_outbox_row *y = (*(const struct told *const *)b)->newest;
    if (x->resolved != y->resolved) {
        return x->resolved ? 1 : -1;
    }
    if (x->severity != y->severity) {
        return x->severity > y->severity ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

static void make_plan(struct plan *plan, const sw_outbox_row *const *rows, size_t n) {
    *plan = (struct plan){.rows = rows, .next = xcalloc(n, sizeof *plan->next)};
    for (size_t i = 0; i < n; i++) {
        struct told *told = told_of(plan, rows[i]);
        if (told->last != 0) {
            plan->next[told->last - 1] = i + 1;
        } else {
            told->first = i + 1;
        }
        told->last = i + 1;
        told->newest = rows[i];
    }
    plan->worst_first = xcalloc(HASH_COUNT(plan->by_fingerprint), sizeof(struct told *));
    for (struct told *told = plan->by_fingerprint; told != NULL; told = told->hh.next) {
        plan->worst_first[plan->n++] = told;
        plan->n_firing += told->newest->resolved ? 0 : 1;
    }
    qsort(plan->worst_first, plan->n, sizeof(struct told *), worse_first);
}

static void release_plan(struct plan *plan) {
    struct told *told, *next;
    HASH_ITER(hh, plan->by_fingerprint, told, next) {
        HASH_DEL(plan->by_fingerprint, told);
        free(told);
    }
    free(plan->worst_first);
    free(plan->next);
}

static void append_json(sw_buf *out, const json_t *value, size_t flags) {
    char *text = json_dumps(value, PRECISION | JSON_COMPACT | JSON_ENCODE_ANY | flags);
    sw_buf_append_str(out, text != NULL ? text : "null");
    free(text);
}

static bool is_object_text(const sw_outbox_row *row) {
    return row->body_len >= 2 && row->body[0] == '{' && row->body[row->body_len - 1] == '}';
}

/* The text of one alert: as it is in its row, when it has just one. */
static void append_alert(const struct plan *plan, const struct told *told, sw_buf *out) {
    const sw_outbox_row *row = told->newest;
    if (told->first == told->last && is_object_text(row)) {
        sw_buf_append(out, row->body, row->body_len);
        return;
    }
    json_t *alert = whole(told, plan->rows, plan->next);
    append_json(out, alert, 0);
    json_decref(alert);
}

/* As many as fit; returns how many. One always does: the cap of a row's body is the caller's. */
static size_t append_alerts(const struct plan *plan, size_t max_alerts, sw_buf *out) {
    size_t most = max_alerts > 0 && max_alerts < plan->n ? max_alerts : plan->n, i = 0;
    for (; i < most; i++) {
        if (i > 0 && out->len + plan->worst_first[i]->newest->body_len > SW_COMBINED_MAX_BYTES) {
            break;
        }
        sw_buf_append_str(out, i > 0 ? ", " : "");
        append_alert(plan, plan->worst_first[i], out);
    }
    return i;
}

static json_t *summary(const struct plan *plan, const json_t *worst, bool held_back) {
    const json_t *own = json_object_get(worst, "summary");
    if (plan->n == 1 && !held_back) {
        return json_incref((json_t *)own);
    }
    int64_t since_ns = plan->rows[0]->created_ns;
    char since[32];
    sw_format_rfc3339(since_ns, since);
    char *text = xasprintf("%zu alert%s: %zu firing, %zu resolved%s%s%s%s", plan->n, plan->n == 1 ? "" : "s",
                           plan->n_firing, plan->n - plan->n_firing,
                           held_back ? ", held back by the limit of notifications per hour since " : "",
                           held_back ? since : "", json_is_string(own) ? "; the worst: " : "",
                           json_is_string(own) ? json_string_value(own) : "");
    json_t *value = json_string(text);
    free(text);
    return value != NULL ? value : json_string("several alerts");
}

/* What the notification says before `alerts`. */
static json_t *top(const struct plan *plan, const char *group_key, const char *group_labels, bool held_back) {
    json_t *root = whole(plan->worst_first[0], plan->rows, plan->next);
    json_object_set_new(root, "status", json_string(plan->n_firing > 0 ? "firing" : "resolved"));
    json_object_set_new(root, "summary", summary(plan, root, held_back));
    if (plan->n > 1) {
        json_object_set_new(root, "repeat",
                            json_false()); /* who leaves out what is repeated would miss others */
    }
    json_t *key = json_string(group_key);
    json_object_set_new(root, "group_key", key != NULL ? key : json_string(""));
    json_t *labels = group_labels != NULL ? json_loads(group_labels, 0, NULL) : NULL;
    json_object_set_new(root, "group_labels", labels != NULL ? labels : json_object());
    json_object_set_new(root, "firing_alerts", json_integer((json_int_t)plan->n_firing));
    json_object_set_new(root, "resolved_alerts", json_integer((json_int_t)(plan->n - plan->n_firing)));
    return root;
}

void sw_combine(const sw_outbox_row *const *rows, size_t n, const char *group_key, const char *group_labels,
                size_t max_alerts, bool held_back, sw_combined *out) {
    struct plan plan;
    make_plan(&plan, rows, n);
    sw_buf alerts, body;
    sw_buf_init(&alerts, SIZE_MAX / 4);
    size_t n_inside = append_alerts(&plan, max_alerts, &alerts);
    json_t *root = top(&plan, group_key, group_labels, held_back);
    json_object_set_new(root, "truncated_alerts", json_integer((json_int_t)(plan.n - n_inside)));
    sw_buf_init(&body, SIZE_MAX / 4);
    append_json(&body, root, 0);
    json_decref(root);
    body.data[--body.len] = '\0'; /* its closing brace */
    sw_buf_append_str(&body, ", \"alerts\": [");
    sw_buf_append(&body, alerts.data, alerts.len);
    sw_buf_append_char(&body, ']');
    sw_buf_release(&alerts);
    *out = (sw_combined){
        .body = body,
        .resolved = plan.n_firing == 0,
        .severity = plan.worst_first[0]->newest->severity,
        .alerts = xcalloc(plan.n, sizeof *out->alerts),
        .n = plan.n,
        .n_truncated = plan.n - n_inside,
    };
    for (size_t i = 0; i < plan.n; i++) {
        const sw_outbox_row *newest = plan.worst_first[i]->newest;
        out->alerts[i] = (struct sw_combined_alert){xstrdup(newest->fingerprint), xstrdup(newest->group_key),
                                                    newest->resolved};
    }
    release_plan(&plan);
}

void sw_combined_close(sw_combined *combined, size_t group_firing) {
    sw_buf_printf(&combined->body, ", \"group_firing\": %zu}", group_firing);
}

void sw_combined_release(sw_combined *combined) {
    for (size_t i = 0; i < combined->n; i++) {
        free(combined->alerts[i].fingerprint);
        free(combined->alerts[i].group_key);
    }
    free(combined->alerts);
    sw_buf_release(&combined->body);
    *combined = (sw_combined){0};
}

void sw_combined_each(const char *body, size_t len, void (*each)(const char *fingerprint, void *arg),
                      void *arg) {
    json_t *root = json_loadb(body, len, JSON_ALLOW_NUL, NULL);
    const json_t *alerts = json_object_get(root, "alerts");
    for (size_t i = 0; i < json_array_size(alerts); i++) {
        const char *fingerprint =
            json_string_value(json_object_get(json_array_get(alerts, i), "fingerprint"));
        if (fingerprint != NULL) {
            each(fingerprint, arg);
        }
    }
    json_decref(root);
}
