/* The gauges that scripts name. Their names and labels are hostile input; each detector has its own share of
 * the series, so that none can take them from the others. */
#include "telemetry/metrics_internal.h"

#include <stdlib.h>
#include <string.h>

#define CUSTOM_LABELS_MAX (SW_METRICS_MAX_LABELS - 1) /* besides detector */

static size_t family_position(const sw_metrics *metrics, const char *name, bool *found) {
    size_t at = 0;
    while (at < metrics->n_custom && strcmp(metrics->custom[at].name, name) < 0) {
        at++;
    }
    *found = at < metrics->n_custom && strcmp(metrics->custom[at].name, name) == 0;
    return at;
}

static size_t child_position(const custom_family *family, const char *labels, bool *found) {
    size_t low = 0;
    size_t high = family->n_children;
    *found = false;
    while (low < high && !*found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(family->children[middle].labels, labels);
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

static const char *check_name(const sw_metrics *metrics, const char *name) {
    if (!metrics_valid_name(name, false)) {
        return "not a valid metric name";
    }
    if (sw_starts_with(name, "spanwatch_") || metrics_find_owner(metrics, name) != NULL) {
        return "the name belongs to the agent";
    }
    return NULL;
}

static const char *check_labels(size_t n, const char *const *keys, const char *const *values) {
    if (n > CUSTOM_LABELS_MAX) {
        return "too many labels";
    }
    for (size_t i = 0; i < n; i++) {
        if (keys[i] == NULL || values[i] == NULL || !metrics_valid_name(keys[i], true)) {
            return "not a valid label name";
        }
        if (strcmp(keys[i], "detector") == 0 || strcmp(keys[i], "le") == 0 ||
            strcmp(keys[i], "quantile") == 0) {
            return "the label belongs to the agent";
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(keys[i], keys[j]) == 0) {
                return "a label is given twice";
            }
        }
    }
    return NULL;
}

/* The labels in one order, so that the same set is the same series however the script's table was walked. */
static void print_labels(sw_buf *out, const char *detector, size_t n, const char *const *keys,
                         const char *const *values) {
    size_t order[CUSTOM_LABELS_MAX];
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at > 0 && strcmp(keys[order[at - 1]], keys[i]) > 0; at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    char cleaned[SW_METRICS_MAX_LABEL_VALUE + 1];
    metrics_clean_value(detector, cleaned);
    metrics_append_label(out, "detector", cleaned);
    for (size_t i = 0; i < n; i++) {
        metrics_clean_value(values[order[i]], cleaned);
        sw_buf_append_char(out, ',');
        metrics_append_label(out, keys[order[i]], cleaned);
    }
}

static size_t count_of_detector(const sw_metrics *metrics, const char *detector) {
    size_t n = 0;
    for (size_t i = 0; i < metrics->n_custom; i++) {
        for (size_t j = 0; j < metrics->custom[i].n_children; j++) {
            n += strcmp(metrics->custom[i].children[j].detector, detector) == 0;
        }
    }
    return n;
}

static custom_family *insert_family(sw_metrics *metrics, size_t at, const char *name) {
    metrics->custom = xrealloc_array(metrics->custom, metrics->n_custom + 1, sizeof(custom_family));
    memmove(metrics->custom + at + 1, metrics->custom + at, (metrics->n_custom - at) * sizeof(custom_family));
    metrics->custom[at] = (custom_family){.name = xstrdup(name)};
    metrics->n_custom++;
    return &metrics->custom[at];
}

static void insert_child(sw_metrics *metrics, custom_family *family, size_t at, custom_child child) {
    family->children = xrealloc_array(family->children, family->n_children + 1, sizeof(custom_child));
    memmove(family->children + at + 1, family->children + at,
            (family->n_children - at) * sizeof(custom_child));
    family->children[at] = child;
    family->n_children++;
    metrics->n_custom_children++;
}

/* NULL, or why there is no room for one more series. */
static const char *check_room(sw_metrics *metrics, const char *detector) {
    if (metrics->n_custom_children < SW_METRICS_MAX_CHILDREN &&
        count_of_detector(metrics, detector) < SW_METRICS_MAX_PER_DETECTOR) {
        return NULL;
    }
    sw_metric_add(metrics->dropped, 1);
    return "too many series";
}

int sw_metrics_set_custom(sw_metrics *metrics, const char *detector, const char *name, double value, size_t n,
                          const char *const *keys, const char *const *values, const char **why) {
    const char *wrong = check_name(metrics, name);
    if (wrong == NULL) {
        wrong = check_labels(n, keys, values);
    }
    if (wrong != NULL) {
        *why = wrong;
        return -1;
    }
    sw_buf labels;
    sw_buf_init(&labels, SW_METRICS_MAX_LABELS * (SW_METRICS_MAX_NAME + 2 * SW_METRICS_MAX_LABEL_VALUE + 8));
    print_labels(&labels, detector, n, keys, values);

    bool has_family = false;
    bool has_child = false;
    size_t family_at = family_position(metrics, name, &has_family);
    size_t child_at = has_family ? child_position(&metrics->custom[family_at], labels.data, &has_child) : 0;
    if (has_child) {
        metrics->custom[family_at].children[child_at].value = value;
    } else {
        wrong = check_room(metrics, detector);
    }
    if (!has_child && wrong == NULL) {
        custom_family *family =
            has_family ? &metrics->custom[family_at] : insert_family(metrics, family_at, name);
        insert_child(
            metrics, family, child_at,
            (custom_child){.detector = xstrdup(detector), .labels = xstrdup(labels.data), .value = value});
    }
    sw_buf_release(&labels);
    if (wrong != NULL) {
        *why = wrong;
    }
    return wrong == NULL ? 0 : -1;
}

static void free_child(custom_child *child) {
    free(child->detector);
    free(child->labels);
}

/* Keeps the children of other detectors; NULL removes all. */
static void remove_children(sw_metrics *metrics, custom_family *family, const char *detector) {
    size_t kept = 0;
    for (size_t i = 0; i < family->n_children; i++) {
        if (detector != NULL && strcmp(family->children[i].detector, detector) != 0) {
            family->children[kept++] = family->children[i];
        } else {
            free_child(&family->children[i]);
            metrics->n_custom_children--;
        }
    }
    family->n_children = kept;
}

static void drop_empty_families(sw_metrics *metrics) {
    size_t kept = 0;
    for (size_t i = 0; i < metrics->n_custom; i++) {
        if (metrics->custom[i].n_children > 0) {
            metrics->custom[kept++] = metrics->custom[i];
        } else {
            free(metrics->custom[i].children);
            free(metrics->custom[i].name);
        }
    }
    metrics->n_custom = kept;
}

void sw_metrics_remove_custom(sw_metrics *metrics, const char *detector) {
    for (size_t i = 0; i < metrics->n_custom; i++) {
        remove_children(metrics, &metrics->custom[i], detector);
    }
    drop_empty_families(metrics);
}

void metrics_drop_custom(sw_metrics *metrics, const char *name) {
    bool found = false;
    size_t at = family_position(metrics, name, &found);
    if (found) {
        remove_children(metrics, &metrics->custom[at], NULL);
        drop_empty_families(metrics);
    }
}

void metrics_free_custom(sw_metrics *metrics) {
    sw_metrics_remove_custom(metrics, NULL);
    free(metrics->custom);
}
