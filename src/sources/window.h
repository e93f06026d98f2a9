/*
 * The one window type: what a source knows of a stretch of time, in terms that every backend shares. Sources
 * build it, workers get it as plain values; nothing in it names a backend.
 *
 * Ownership: a window owns everything that it points to; sw_window_release() frees it. All strings are UTF-8
 * (invalid bytes replaced by the source) and never NULL unless said.
 */
#ifndef SW_SOURCES_WINDOW_H
#define SW_SOURCES_WINDOW_H

#include "base/base.h"

#define SW_TRACE_ID_LEN 32
#define SW_SPAN_ID_LEN 16

typedef enum sw_status { SW_STATUS_UNSET, SW_STATUS_OK, SW_STATUS_ERROR } sw_status;
typedef enum sw_span_kind {
    SW_KIND_UNSPECIFIED,
    SW_KIND_INTERNAL,
    SW_KIND_SERVER,
    SW_KIND_CLIENT,
    SW_KIND_PRODUCER,
    SW_KIND_CONSUMER,
} sw_span_kind;
const char *sw_status_name(sw_status status);     /* "unset" "ok" "error" */
const char *sw_span_kind_name(sw_span_kind kind); /* "unspecified" "internal" "server" … */

typedef struct sw_attribute {
    char *key;
    char *value; /* as text */
} sw_attribute;

typedef struct sw_span {
    char id[SW_SPAN_ID_LEN + 1];        /* lower-case hex */
    char parent_id[SW_SPAN_ID_LEN + 1]; /* "" when it is the root or not known */
    char *service;
    char *name;
    sw_span_kind kind;
    sw_status status;
    char *status_message; /* "" when there is none */
    int64_t start_ns;     /* unix */
    int64_t duration_ns;  /* -1 when not known */
    sw_attribute *attributes;
    size_t n_attributes;
} sw_span;

typedef struct sw_trace {
    char id[SW_TRACE_ID_LEN + 1]; /* 32 lower-case hex digits, leading zeros restored */
    const char *source;           /* "tempo", "otlp" …: static text */
    bool root_known; /* service and operation are the root span's; else those of the span that offends */
    char *service;
    char *operation;
    int64_t start_ns;   /* unix */
    double duration_ms; /* longest known: the trace's or of one of its spans; 0 when unknown */
    sw_status status;   /* error when any known span has error status */
    char
        *error_message; /* status message of the first failing span nearest the root; "" when there is none */
    sw_span *spans;     /* those known to the source, not all of the trace */
    size_t n_spans;
    uint64_t n_matched; /* spans that matched the question, where the backend says; else n_spans */
    uint64_t digest; /* of everything above that a detector may judge; changes when the source learns more */
} sw_trace;

/* Latency histogram: counts of spans in (lower_ms, upper_ms]; ascending, not cumulative. */
typedef struct sw_bucket {
    double lower_ms;
    double upper_ms;
    double count;
} sw_bucket;

/* Entry spans (server, consumer, or root) of one service and operation that started in the window. */
typedef struct sw_series {
    char *service;
    char *operation;
    double count;
    double errors;
    sw_bucket *buckets;
    size_t n_buckets;
} sw_series;

typedef struct sw_window {
    const char *source; /* static text */
    int64_t from_s;     /* unix seconds, inclusive */
    int64_t to_s;       /* exclusive */
    bool complete;      /* false: something is missing, `reason` says what */
    bool estimated;     /* counts come from search, not from exact counting */
    char *reason;       /* "" when complete and exact */
    unsigned revision;  /* 0: judged for the first time; n: counts were repaired by late spans n times */
    sw_trace *traces;
    size_t n_traces;
    sw_series *series;
    size_t n_series;
} sw_window;

/* A trace id as people and scripts write it: leading zeros may be left out, upper case is forgiven. False
 * when it is none. */
bool sw_trace_id_read(const char *text, char id[SW_TRACE_ID_LEN + 1]);

void sw_span_release(sw_span *span);
void sw_trace_release(sw_trace *trace);
void sw_trace_copy(sw_trace *to, const sw_trace *from); /* deep */
void sw_series_release(sw_series *series);
void sw_window_init(sw_window *window);
void sw_window_release(sw_window *window); /* idempotent */
/* Recomputes trace->digest from its content. */
void sw_trace_update_digest(sw_trace *trace);

#endif
