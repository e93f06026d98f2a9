/* Findings by the line, and a sink that writes down what the state machine asked for. */
#ifndef SW_TEST_ALERT_FIXTURE_H
#define SW_TEST_ALERT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alerts/alerts.h"

#define T0 INT64_C(1700000000) /* seconds */

struct fixture {
    sw_alerts *alerts;
    sw_alerts_options options;
    sw_buf said;        /* "FIRING high_latency t1,t2;" and so on, since the last look */
    sw_buf stored;      /* JSON of every alert that was changed, one a line */
    uint64_t n_changed; /* calls */
    uint64_t n_counted;
    int64_t now_s; /* seconds after T0 */
};

static inline void note_notify(const sw_alert *alert, sw_notice notice, void *arg) {
    static const char *const names[] = {"FIRING", "REPEAT", "RESOLVED"};
    struct fixture *f = arg;
    sw_buf_printf(&f->said, "%s %s", names[notice], alert->type);
    const char *before = " ";
    for (size_t i = 0; i < alert->n_evidence; i++) {
        if (!alert->evidence[i].notified) {
            sw_buf_printf(&f->said, "%s%s", before, alert->evidence[i].trace_id);
            before = ",";
        }
    }
    sw_buf_append_char(&f->said, ';');
}

static inline void note_changed(const sw_alert *alert, void *arg) {
    struct fixture *f = arg;
    f->n_changed++;
    sw_buf_reset(&f->stored);
    assert_int_equal(sw_alert_to_json(alert, &f->stored), 0);
}

static inline void note_removed(const char *fingerprint, void *arg) {
    struct fixture *f = arg;
    assert_int_equal(strlen(fingerprint), SW_FINGERPRINT_LEN);
    sw_buf_append_str(&f->said, "removed;");
}

static inline void note_reported(const char *type, const char *trace_id, int64_t at_ns, void *arg) {
    struct fixture *f = arg;
    assert_int_equal(at_ns, (T0 + f->now_s) * SW_NS_PER_S);
    sw_buf_printf(&f->said, "reported %s/%s;", type, trace_id);
}

static inline void note_counted(const char *type, uint64_t traces, void *arg) {
    struct fixture *f = arg;
    (void)type;
    f->n_counted += traces;
}

static inline void make_alerts(struct fixture *f, const char *const *group_by) {
    f->options = (sw_alerts_options){
        .group_by = group_by,
        .repeat_interval_ns = 3600 * SW_NS_PER_S,
        .evidence_max = 4,
        .reported_ttl_ns = 86400 * SW_NS_PER_S,
        .max_alerts = 1000,
    };
    f->alerts = sw_alerts_new(&f->options);
}

static inline int set_up(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    sw_buf_init(&f->said, 1 << 24);
    sw_buf_init(&f->stored, 1 << 24);
    make_alerts(f, NULL);
    *state = f;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *f = *state;
    sw_alerts_free(f->alerts);
    sw_buf_release(&f->said);
    sw_buf_release(&f->stored);
    free(f);
    return 0;
}

static inline void regroup(struct fixture *f, const char *const *group_by) {
    sw_alerts_free(f->alerts);
    make_alerts(f, group_by);
}

/* "t1,t2" as traces; the duration of each is 1000 ms and its length in the list. */
static inline void set_traces(sw_finding *finding, const char *ids) {
    char *copy = xstrdup(ids), *rest = copy;
    finding->traces = xcalloc(64, sizeof *finding->traces);
    for (char *id = strsep(&rest, ","); id != NULL; id = strsep(&rest, ",")) {
        sw_trace *trace = &finding->traces[finding->n_traces++];
        snprintf(trace->id, sizeof trace->id, "%s", id);
        trace->service = xstrdup("checkout");
        trace->operation = xstrdup("POST /pay");
        trace->error_message = xstrdup("");
        trace->start_ns = T0 * SW_NS_PER_S;
        trace->duration_ms = 1000 + (double)finding->n_traces;
    }
    free(copy);
}

/* A finding of checkout; `traces` may be NULL. Caller releases it. */
static inline sw_finding finding(const char *type, const char *traces) {
    sw_finding f = {
        .type = xstrdup(type),
        .detector = xstrdup("detect"),
        .source = xstrdup("tempo"),
        .service = xstrdup("checkout"),
        .operation = xstrdup("POST /pay"),
        .summary = xstrdup(""),
        .severity = SW_SEVERITY_WARNING,
        .window_from_s = T0 - 60,
        .window_to_s = T0,
        .window_complete = true,
    };
    if (traces != NULL) {
        set_traces(&f, traces);
    }
    return f;
}

static inline void apply_from(struct fixture *f, const char *detector, const char *source,
                              const sw_finding *findings, size_t n, bool known) {
    sw_alerts_sink sink = {.notify = note_notify,
                           .changed = note_changed,
                           .removed = note_removed,
                           .reported = note_reported,
                           .arg = f};
    sw_alerts_apply(f->alerts, detector, source, findings, n, known, (T0 + f->now_s) * SW_NS_PER_S, &sink,
                    note_counted, f);
}

static inline void apply(struct fixture *f, const char *detector, const sw_finding *findings, size_t n,
                         bool known) {
    apply_from(f, detector, "tempo", findings, n, known);
}

/* What was said since the last look. Valid until the next. */
static inline const char *said(struct fixture *f) {
    static char text[65536];
    snprintf(text, sizeof text, "%s", f->said.data != NULL ? f->said.data : "");
    sw_buf_reset(&f->said);
    return text;
}

struct only {
    sw_alert *to;
    size_t n;
};

static inline void copy_only(const sw_alert *alert, void *arg) {
    struct only *only = arg;
    if (only->n++ == 0) {
        sw_alert_copy(only->to, alert);
    }
}

/* The only alert, to be released. */
static inline sw_alert only_alert(struct fixture *f) {
    sw_alert alert = {0};
    struct only only = {&alert, 0};
    sw_alerts_each(f->alerts, copy_only, &only);
    assert_int_equal(only.n, 1);
    return alert;
}

#endif
