/* What the files of the metrics registry share; nobody else includes this. */
#ifndef SW_TELEMETRY_METRICS_INTERNAL_H
#define SW_TELEMETRY_METRICS_INTERNAL_H

#include "telemetry/metrics.h"

typedef enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM } metric_type;

typedef struct metric_child {
    char *values[SW_METRICS_MAX_LABELS]; /* one for each label of the family */
    double value;                        /* counter, gauge; histogram: the sum */
    uint64_t count;                      /* histogram */
    uint64_t *buckets;                   /* histogram: n_bounds, not cumulative; the +Inf bucket is `count` */
} metric_child;

struct sw_metric {
    sw_metrics *metrics;
    char *name;
    char *help;
    metric_type type;
    size_t n_labels;
    char *labels[SW_METRICS_MAX_LABELS];
    double *bounds;
    size_t n_bounds;
    metric_child **children; /* sorted by label values */
    size_t n_children;
    metric_child *other; /* one of `children`, or NULL while there is room */
};

/* One series of a gauge that a script named; the labels as they are printed are its identity. */
typedef struct custom_child {
    char *detector;
    char *labels;
    double value;
} custom_child;

typedef struct custom_family {
    char *name;
    custom_child *children; /* sorted by labels */
    size_t n_children;
} custom_family;

struct sw_metrics {
    sw_metric **families; /* sorted by name */
    size_t n_families;
    custom_family *custom; /* sorted by name */
    size_t n_custom;
    size_t n_custom_children;
    sw_metric *dropped;
};

bool metrics_valid_name(const char *name, bool label);
/* The family that `name` would be mixed up with, or NULL: its own name, or one that a histogram prints. */
const sw_metric *metrics_find_owner(const sw_metrics *metrics, const char *name);
/* `value` as it may stand in a label: valid UTF-8, at most SW_METRICS_MAX_LABEL_VALUE bytes. */
void metrics_clean_value(const char *value, char out[SW_METRICS_MAX_LABEL_VALUE + 1]);
void metrics_append_label(sw_buf *out, const char *name, const char *value);
void metrics_drop_custom(sw_metrics *metrics, const char *name);
void metrics_free_custom(sw_metrics *metrics);

#endif
