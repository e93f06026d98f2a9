#include "telemetry/metrics_internal.h"

#include <inttypes.h>
#include <string.h>

#include "telemetry/text.h"

static void append_escaped(sw_buf *out, const char *s, bool quotes) {
    for (; *s != '\0'; s++) {
        if (*s == '\\') {
            sw_buf_append_str(out, "\\\\");
        } else if (*s == '\n') {
            sw_buf_append_str(out, "\\n");
        } else if (*s == '"' && quotes) {
            sw_buf_append_str(out, "\\\"");
        } else {
            sw_buf_append_char(out, *s);
        }
    }
}

void metrics_append_label(sw_buf *out, const char *name, const char *value) {
    sw_buf_append_str(out, name);
    sw_buf_append_str(out, "=\"");
    append_escaped(out, value, true);
    sw_buf_append_char(out, '"');
}

static void append_head(sw_buf *out, const char *name, const char *help, const char *type) {
    sw_buf_printf(out, "# HELP %s ", name);
    append_escaped(out, help, false);
    sw_buf_printf(out, "\n# TYPE %s %s\n", name, type);
}

/* The labels of a child; `le` may be NULL. */
static void append_labels(sw_buf *out, const sw_metric *metric, const metric_child *child, const char *le) {
    if (metric->n_labels == 0 && le == NULL) {
        return;
    }
    sw_buf_append_char(out, '{');
    for (size_t i = 0; i < metric->n_labels; i++) {
        if (i > 0) {
            sw_buf_append_char(out, ',');
        }
        metrics_append_label(out, metric->labels[i], child->values[i]);
    }
    if (le != NULL) {
        sw_buf_printf(out, "%sle=\"%s\"", metric->n_labels > 0 ? "," : "", le);
    }
    sw_buf_append_char(out, '}');
}

static void append_value(sw_buf *out, double value) {
    char text[SW_DOUBLE_TEXT];
    sw_format_double(value, text);
    sw_buf_printf(out, " %s\n", text);
}

static void append_count(sw_buf *out, uint64_t count) {
    sw_buf_printf(out, " %" PRIu64 "\n", count);
}

static void render_histogram(sw_buf *out, const sw_metric *metric, const metric_child *child) {
    uint64_t below = 0;
    for (size_t i = 0; i < metric->n_bounds; i++) {
        char bound[SW_DOUBLE_TEXT];
        sw_format_double(metric->bounds[i], bound);
        below += child->buckets[i];
        sw_buf_printf(out, "%s_bucket", metric->name);
        append_labels(out, metric, child, bound);
        append_count(out, below);
    }
    sw_buf_printf(out, "%s_bucket", metric->name);
    append_labels(out, metric, child, "+Inf");
    append_count(out, child->count);
    sw_buf_printf(out, "%s_sum", metric->name);
    append_labels(out, metric, child, NULL);
    append_value(out, child->value);
    sw_buf_printf(out, "%s_count", metric->name);
    append_labels(out, metric, child, NULL);
    append_count(out, child->count);
}

static void render_family(sw_buf *out, const sw_metric *metric) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    if (metric->n_children == 0) {
        return;
    }
    append_head(out, metric->name, metric->help, types[metric->type]);
    for (size_t i = 0; i < metric->n_children; i++) {
        if (metric->type == METRIC_HISTOGRAM) {
            render_histogram(out, metric, metric->children[i]);
            continue;
        }
        sw_buf_append_str(out, metric->name);
        append_labels(out, metric, metric->children[i], NULL);
        append_value(out, metric->children[i]->value);
    }
}

static void render_custom(sw_buf *out, const custom_family *family) {
    append_head(out, family->name, "Set by a detector.", "gauge");
    for (size_t i = 0; i < family->n_children; i++) {
        sw_buf_printf(out, "%s{%s}", family->name, family->children[i].labels);
        append_value(out, family->children[i].value);
    }
}

void sw_metrics_render(const sw_metrics *metrics, sw_buf *out) {
    for (size_t i = 0; i < metrics->n_families; i++) {
        render_family(out, metrics->families[i]);
    }
    for (size_t i = 0; i < metrics->n_custom; i++) {
        render_custom(out, &metrics->custom[i]);
    }
}
