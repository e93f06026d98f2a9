#include "telemetry/metrics_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "telemetry/text.h"

static _Noreturn void mistake(const char *name, const char *what) {
    fprintf(stderr, "spanwatch: metric %s: %s\n", name, what);
    abort();
}

bool metrics_valid_name(const char *name, bool label) {
    if (*name == '\0' || strlen(name) > SW_METRICS_MAX_NAME || (label && sw_starts_with(name, "__"))) {
        return false;
    }
    for (size_t i = 0; name[i] != '\0'; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c == ':' && !label);
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return true;
}

void metrics_clean_value(const char *value, char out[SW_METRICS_MAX_LABEL_VALUE + 1]) {
    size_t len = strlen(value);
    size_t used = 0;
    for (size_t i = 0; i < len;) {
        uint32_t code = 0;
        size_t n = sw_utf8_next(value + i, len - i, &code);
        const char *from = code == 0xFFFD ? SW_UTF8_REPLACEMENT : value + i;
        size_t size = code == 0xFFFD ? 3 : n;
        if (used + size > SW_METRICS_MAX_LABEL_VALUE) {
            break;
        }
        memcpy(out + used, from, size);
        used += size;
        i += n;
    }
    out[used] = '\0';
}

/* Where the family `name` is or belongs. */
static size_t family_position(const sw_metrics *metrics, const char *name, bool *found) {
    size_t low = 0;
    size_t high = metrics->n_families;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(metrics->families[middle]->name, name);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = false;
    return low;
}

static const sw_metric *find_family(const sw_metrics *metrics, const char *name) {
    bool found = false;
    size_t at = family_position(metrics, name, &found);
    return found ? metrics->families[at] : NULL;
}

const sw_metric *metrics_find_owner(const sw_metrics *metrics, const char *name) {
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    const sw_metric *owner = find_family(metrics, name);
    size_t len = strlen(name);
    for (size_t i = 0; i < SW_ARRAY_LEN(suffixes) && owner == NULL; i++) {
        size_t suffix = strlen(suffixes[i]);
        if (len > suffix && strcmp(name + len - suffix, suffixes[i]) == 0) {
            char *base = xstrndup(name, len - suffix);
            const sw_metric *candidate = find_family(metrics, base);
            owner = candidate != NULL && candidate->type == METRIC_HISTOGRAM ? candidate : NULL;
            free(base);
        }
    }
    return owner;
}

static int compare_values(const sw_metric *metric, const metric_child *child, const char *const *values) {
    int order = 0;
    for (size_t i = 0; i < metric->n_labels && order == 0; i++) {
        order = strcmp(child->values[i], values[i]);
    }
    return order;
}

static size_t child_position(const sw_metric *metric, const char *const *values, bool *found) {
    size_t low = 0;
    size_t high = metric->n_children;
    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_values(metric, metric->children[middle], values);
        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static metric_child *insert_child(sw_metric *metric, size_t at, const char *const *values) {
    metric_child *child = xcalloc(1, sizeof *child);
    for (size_t i = 0; i < metric->n_labels; i++) {
        child->values[i] = xstrdup(values[i]);
    }
    if (metric->type == METRIC_HISTOGRAM) {
        child->buckets = xcalloc(metric->n_bounds, sizeof *child->buckets);
    }
    metric->children = xrealloc_array(metric->children, metric->n_children + 1, sizeof(metric_child *));
    memmove(metric->children + at + 1, metric->children + at,
            (metric->n_children - at) * sizeof(metric_child *));
    metric->children[at] = child;
    metric->n_children++;
    return child;
}

static metric_child *get_child(sw_metric *metric, const char *const *values) {
    bool found = false;
    size_t at = child_position(metric, values, &found);
    if (found) {
        return metric->children[at];
    }
    if (metric->n_children - (metric->other != NULL) < SW_METRICS_MAX_CHILDREN) {
        return insert_child(metric, at, values);
    }
    if (metric->other == NULL) {
        static const char *const others[SW_METRICS_MAX_LABELS] = {"other", "other", "other",
                                                                  "other", "other", "other"};
        at = child_position(metric, others, &found);
        metric->other = found ? metric->children[at] : insert_child(metric, at, others);
    }
    sw_metric_add(metric->metrics->dropped, 1);
    return metric->other;
}

static void free_child(metric_child *child) {
    for (size_t i = 0; i < SW_METRICS_MAX_LABELS; i++) {
        free(child->values[i]);
    }
    free(child->buckets);
    free(child);
}

static size_t count_labels(const char *const *labels) {
    size_t n = 0;
    while (labels != NULL && labels[n] != NULL) {
        n++;
    }
    return n;
}

static bool same_shape(const sw_metric *metric, metric_type type, const char *const *labels,
                       size_t n_labels) {
    bool same = metric->type == type && metric->n_labels == n_labels;
    for (size_t i = 0; same && i < n_labels; i++) {
        same = strcmp(metric->labels[i], labels[i]) == 0;
    }
    return same;
}

static sw_metric *new_family(sw_metrics *metrics, metric_type type, const char *name, const char *help,
                             const char *const *labels, size_t n_labels) {
    sw_metric *metric = xcalloc(1, sizeof *metric);
    metric->metrics = metrics;
    metric->type = type;
    metric->name = xstrdup(name);
    metric->help = xstrdup(help);
    metric->n_labels = n_labels;
    for (size_t i = 0; i < n_labels; i++) {
        if (!metrics_valid_name(labels[i], true) || (type == METRIC_HISTOGRAM && sw_streq(labels[i], "le"))) {
            mistake(name, "invalid label name");
        }
        metric->labels[i] = xstrdup(labels[i]);
    }
    return metric;
}

/* Returns the family; *is_new says whether the caller has to complete it. */
static sw_metric *register_family(sw_metrics *metrics, metric_type type, const char *name, const char *help,
                                  const char *const *labels, bool *is_new) {
    size_t n_labels = count_labels(labels);
    if (!metrics_valid_name(name, false)) {
        mistake(name, "invalid name");
    }
    if (n_labels > SW_METRICS_MAX_LABELS) {
        mistake(name, "too many labels");
    }
    bool found = false;
    size_t at = family_position(metrics, name, &found);
    *is_new = !found;
    if (found) {
        if (!same_shape(metrics->families[at], type, labels, n_labels)) {
            mistake(name, "registered twice, differently");
        }
        return metrics->families[at];
    }
    metrics_drop_custom(metrics, name);
    sw_metric *metric = new_family(metrics, type, name, help, labels, n_labels);
    metrics->families = xrealloc_array(metrics->families, metrics->n_families + 1, sizeof(sw_metric *));
    memmove(metrics->families + at + 1, metrics->families + at,
            (metrics->n_families - at) * sizeof(sw_metric *));
    metrics->families[at] = metric;
    metrics->n_families++;
    return metric;
}

/* A family without labels shows its zero from the start. */
static void show_zero(sw_metric *metric) {
    if (metric->n_labels == 0) {
        insert_child(metric, 0, NULL);
    }
}

static sw_metric *register_plain(sw_metrics *metrics, metric_type type, const char *name, const char *help,
                                 const char *const *labels) {
    bool is_new = false;
    sw_metric *metric = register_family(metrics, type, name, help, labels, &is_new);
    if (is_new) {
        show_zero(metric);
    }
    return metric;
}

sw_metric *sw_metrics_counter(sw_metrics *metrics, const char *name, const char *help,
                              const char *const *labels) {
    return register_plain(metrics, METRIC_COUNTER, name, help, labels);
}

sw_metric *sw_metrics_gauge(sw_metrics *metrics, const char *name, const char *help,
                            const char *const *labels) {
    return register_plain(metrics, METRIC_GAUGE, name, help, labels);
}

static bool same_bounds(const sw_metric *metric, const double *bounds, size_t n_bounds) {
    bool same = metric->n_bounds == n_bounds;
    for (size_t i = 0; same && i < n_bounds; i++) {
        same = metric->bounds[i] == bounds[i];
    }
    return same;
}

sw_metric *sw_metrics_histogram(sw_metrics *metrics, const char *name, const char *help,
                                const char *const *labels, const double *bounds, size_t n_bounds) {
    for (size_t i = 0; i < n_bounds; i++) {
        if (!isfinite(bounds[i]) || (i > 0 && bounds[i] <= bounds[i - 1])) {
            mistake(name, "bounds are not finite and ascending");
        }
    }
    bool is_new = false;
    sw_metric *metric = register_family(metrics, METRIC_HISTOGRAM, name, help, labels, &is_new);
    if (is_new) {
        metric->bounds = xcalloc(n_bounds, sizeof(double));
        metric->n_bounds = n_bounds;
        for (size_t i = 0; i < n_bounds; i++) {
            metric->bounds[i] = bounds[i];
        }
        show_zero(metric);
    } else if (!same_bounds(metric, bounds, n_bounds)) {
        mistake(name, "registered twice, differently");
    }
    return metric;
}

typedef struct label_values {
    char text[SW_METRICS_MAX_LABELS][SW_METRICS_MAX_LABEL_VALUE + 1];
    const char *values[SW_METRICS_MAX_LABELS];
} label_values;

static void read_values(const sw_metric *metric, label_values *out, va_list args) {
    for (size_t i = 0; i < metric->n_labels; i++) {
        const char *value = va_arg(args, const char *);
        metrics_clean_value(value != NULL ? value : "", out->text[i]);
        out->values[i] = out->text[i];
    }
}

static void need_value(const sw_metric *metric) {
    if (metric->type == METRIC_HISTOGRAM) {
        mistake(metric->name, "a histogram has no single value");
    }
}

void sw_metric_add(sw_metric *metric, double value, ...) {
    need_value(metric);
    label_values labels;
    va_list args;
    va_start(args, value);
    read_values(metric, &labels, args);
    va_end(args);
    /* A counter that falls or is no number would ruin every rate that is computed from it. */
    if (metric->type == METRIC_GAUGE || value >= 0) {
        get_child(metric, labels.values)->value += value;
    }
}

void sw_metric_set(sw_metric *metric, double value, ...) {
    need_value(metric);
    label_values labels;
    va_list args;
    va_start(args, value);
    read_values(metric, &labels, args);
    va_end(args);
    get_child(metric, labels.values)->value = value;
}

void sw_metric_observe(sw_metric *metric, double value, ...) {
    if (metric->type != METRIC_HISTOGRAM) {
        mistake(metric->name, "observed, but no histogram");
    }
    label_values labels;
    va_list args;
    va_start(args, value);
    read_values(metric, &labels, args);
    va_end(args);
    if (isnan(value)) {
        return;
    }
    metric_child *child = get_child(metric, labels.values);
    size_t bucket = 0;
    while (bucket < metric->n_bounds && value > metric->bounds[bucket]) {
        bucket++;
    }
    if (bucket < metric->n_bounds) {
        child->buckets[bucket]++;
    }
    child->count++;
    child->value += value;
}

double sw_metric_get(const sw_metric *metric, ...) {
    label_values labels;
    va_list args;
    va_start(args, metric);
    read_values(metric, &labels, args);
    va_end(args);
    bool found = false;
    size_t at = child_position(metric, labels.values, &found);
    return found ? metric->children[at]->value : 0;
}

void sw_metric_remove(sw_metric *metric, const char *label, const char *value) {
    size_t index = 0;
    while (index < metric->n_labels && strcmp(metric->labels[index], label) != 0) {
        index++;
    }
    if (index == metric->n_labels) {
        return;
    }
    char cleaned[SW_METRICS_MAX_LABEL_VALUE + 1];
    metrics_clean_value(value, cleaned);
    size_t kept = 0;
    for (size_t i = 0; i < metric->n_children; i++) {
        metric_child *child = metric->children[i];
        if (strcmp(child->values[index], cleaned) != 0) {
            metric->children[kept++] = child;
            continue;
        }
        if (child == metric->other) {
            metric->other = NULL;
        }
        free_child(child);
    }
    metric->n_children = kept;
}

sw_metrics *sw_metrics_new(void) {
    sw_metrics *metrics = xcalloc(1, sizeof *metrics);
    metrics->dropped =
        sw_metrics_counter(metrics, "spanwatch_metrics_dropped_series_total",
                           "Updates that had no series of their own because a limit was reached.", NULL);
    return metrics;
}

static void free_family(sw_metric *metric) {
    for (size_t i = 0; i < metric->n_children; i++) {
        free_child(metric->children[i]);
    }
    for (size_t i = 0; i < metric->n_labels; i++) {
        free(metric->labels[i]);
    }
    free(metric->children);
    free(metric->bounds);
    free(metric->name);
    free(metric->help);
    free(metric);
}

void sw_metrics_free(sw_metrics *metrics) {
    if (metrics == NULL) {
        return;
    }
    for (size_t i = 0; i < metrics->n_families; i++) {
        free_family(metrics->families[i]);
    }
    free(metrics->families);
    metrics_free_custom(metrics);
    free(metrics);
}
