/*
 * Counters, gauges and histograms, rendered in the Prometheus text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 * A family is registered once with its label names and keeps one child for each combination of label values,
 * at most `SW_METRICS_MAX_CHILDREN`; beyond that, values are added to a child whose label values are all
 * "other", and spanwatch_metrics_dropped_series_total counts it. Families live as long as the registry. One
 * thread: the loop's.
 */
#ifndef SW_TELEMETRY_METRICS_H
#define SW_TELEMETRY_METRICS_H

#include "base/buf.h"

#define SW_METRICS_MAX_LABELS 6
#define SW_METRICS_MAX_CHILDREN 2000
#define SW_METRICS_MAX_PER_DETECTOR 200 /* series that one detector may have in all its custom gauges */
#define SW_METRICS_MAX_NAME 200         /* bytes of a metric's or label's name */
/* Bytes; longer values are cut, and bytes that are not UTF-8 become U+FFFD. */
#define SW_METRICS_MAX_LABEL_VALUE 256

typedef struct sw_metrics sw_metrics;
typedef struct sw_metric sw_metric;

sw_metrics *sw_metrics_new(void);
void sw_metrics_free(sw_metrics *metrics);

/* `labels` is a NULL-terminated list of label names (or NULL). Registering a name twice returns the first
 * family; with another type or other labels it is a programming mistake and aborts. */
sw_metric *sw_metrics_counter(sw_metrics *metrics, const char *name, const char *help,
                              const char *const *labels);
sw_metric *sw_metrics_gauge(sw_metrics *metrics, const char *name, const char *help,
                            const char *const *labels);
/* `bounds`: ascending upper bounds without +Inf. */
sw_metric *sw_metrics_histogram(sw_metrics *metrics, const char *name, const char *help,
                                const char *const *labels, const double *bounds, size_t n_bounds);

/* The variable arguments are the label values (const char *), as many as the family has label names. */
void sw_metric_add(sw_metric *metric, double value, ...); /* a counter ignores what would lower it */
void sw_metric_set(sw_metric *metric, double value, ...);
void sw_metric_observe(sw_metric *metric, double value, ...);
double sw_metric_get(const sw_metric *metric, ...); /* counter or gauge; 0 when the child does not exist */
/* Removes the children whose label `label` has the value `value` (a detector that went away). */
void sw_metric_remove(sw_metric *metric, const char *label, const char *value);

/* A gauge that a script names. Returns -1 with *why (static text) when the name is not a valid metric name,
 * belongs to the agent (registered, or starting with spanwatch_), or there are too many. Labels as n pairs,
 * at most SW_METRICS_MAX_LABELS - 1; the label detector is added. The cap on all custom series together is
 * SW_METRICS_MAX_CHILDREN. */
int sw_metrics_set_custom(sw_metrics *metrics, const char *detector, const char *name, double value, size_t n,
                          const char *const *keys, const char *const *values, const char **why);
/* Removes what a detector that went away has set; NULL: of all detectors. */
void sw_metrics_remove_custom(sw_metrics *metrics, const char *detector);

/* Families in order of name, children in order of label values; custom gauges come last. Give `out` a cap
 * that is large enough: an answer that was cut (out->overflow) must not be served. */
void sw_metrics_render(const sw_metrics *metrics, sw_buf *out);

#endif
