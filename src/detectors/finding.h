/*
 * A finding: what a detector reports, checked and copied out of its reply. Everything has a cap (below); what
 * is over a cap is cut (texts) or refused (counts) where the reply is read.
 */
#ifndef SW_DETECTORS_FINDING_H
#define SW_DETECTORS_FINDING_H

#include "sources/window.h"

#define SW_FINDING_MAX_TEXT 1024
#define SW_FINDING_MAX_LABELS 32
#define SW_FINDINGS_MAX 10000 /* per reply */

typedef enum sw_severity { SW_SEVERITY_INFO, SW_SEVERITY_WARNING, SW_SEVERITY_CRITICAL } sw_severity;
const char *sw_severity_name(sw_severity severity);        /* "info" "warning" "critical" */
int sw_severity_parse(const char *name, sw_severity *out); /* -1 when unknown */

typedef struct sw_label {
    char *name;
    char *value;
} sw_label;

typedef struct sw_finding {
    char *type;               /* [a-zA-Z_][a-zA-Z0-9_.:-]*, at most 128 bytes: the rule */
    char *detector;           /* who reported it */
    char detector_sha256[65]; /* of the source that did, hex; "" when it is not a script */
    char *source;             /* window's source */
    char *service;            /* NULL when it does not apply; likewise below */
    char *operation;
    char *key;        /* the identity that the finding named itself, or NULL */
    sw_label *labels; /* sorted by name, unique */
    size_t n_labels;
    sw_severity severity; /* warning unless said */
    char *summary;        /* "" when not given */
    char *span_name;      /* NULL when not given */
    char *error_message;  /* NULL when not given */
    sw_trace *traces;     /* offending traces (deep copies; at least the id is known) */
    size_t n_traces;
    bool has_value, has_threshold, has_baseline, has_baseline_samples, has_duration, has_affected, has_total;
    double value;
    double threshold;
    double baseline;         /* what is usual, in the unit of the value */
    double baseline_samples; /* how many values that was learned from */
    double duration_ms;
    double affected_traces;
    double total_traces;
    double for_s;         /* 0 unless said */
    double keep_firing_s; /* 0 unless said */
    int64_t window_from_s, window_to_s;
    bool window_complete, window_estimated;
} sw_finding;

void sw_finding_release(sw_finding *finding);
void sw_findings_free(sw_finding *findings, size_t n);

#endif
