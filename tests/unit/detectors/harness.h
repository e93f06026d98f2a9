/* A folder of scripts, a loop, a clock that can be set forward, and detectors on top. */
#ifndef TEST_DETECTORS_HARNESS_H
#define TEST_DETECTORS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "detectors/detectors.h"
#include "detectors/internal.h"
#include "telemetry/log.h"

#define PATIENCE_MS                                                                                          \
    60000 /* sanitizers and a busy machine are slow; nothing waits this long when all is well */

typedef struct harness {
    uv_loop_t loop;
    uv_timer_t patience;
    sw_metrics *metrics;
    sw_detectors *detectors;
    sw_detectors_options options;
    sw_host_functions host;
    char dir[64];
    int64_t forward_ns; /* what the clock says; it stands still but for forward() */
    bool real_clock;    /* it runs by itself, too */
    sw_clock clock;
    sw_buf log;
    bool scanned;
    unsigned scan_errors;
    unsigned changes;
    const char *names[8];
} harness;

/* How one check ended. */
typedef struct verdict {
    bool done;
    sw_check_status status;
    char kind[32];
    char message[512];
    size_t n_findings, n_traces;
    double value;
    char summary[256];
    char type[64];
    char trace_service[64];
    int64_t state_version;
    bool has_state;
    unsigned order; /* among all verdicts */
} verdict;

static unsigned verdicts_seen;

static inline int64_t harness_mono(void *arg) {
    const harness *h = arg;
    return h->forward_ns + (h->real_clock ? sw_mono_ns(sw_clock_system()) : 1000 * SW_NS_PER_S);
}

static inline int64_t harness_wall(void *arg) {
    const harness *h = arg;
    return h->forward_ns + (h->real_clock ? sw_wall_ns(sw_clock_system()) : 1700000000 * SW_NS_PER_S);
}

static inline void harness_log(const char *line, void *arg) {
    harness *h = arg;
    sw_buf_append_str(&h->log, line);
    sw_buf_append_char(&h->log, '\n');
}

static inline void out_of_patience(uv_timer_t *timer) {
    (void)timer;
    fprintf(stderr, "nothing happened for %d ms\n", PATIENCE_MS);
    abort();
}

/* Runs the loop until the condition holds. */
#define RUN_UNTIL(h, condition)                                                                              \
    do {                                                                                                     \
        uv_timer_start(&(h)->patience, out_of_patience, PATIENCE_MS, 0);                                     \
        while (!(condition)) {                                                                               \
            uv_run(&(h)->loop, UV_RUN_ONCE);                                                                 \
        }                                                                                                    \
        uv_timer_stop(&(h)->patience);                                                                       \
    } while (0)

static inline bool logged(const harness *h, const char *text) {
    return h->log.data != NULL && strstr(h->log.data, text) != NULL;
}

static inline unsigned times_logged(const harness *h, const char *text) {
    unsigned n = 0;
    for (const char *at = h->log.data; at != NULL && (at = strstr(at, text)) != NULL; at++) {
        n++;
    }
    return n;
}

static inline void write_file(const harness *h, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", h->dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static inline void make_folder(const harness *h, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", h->dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
}

static inline void remove_file(const harness *h, const char *name) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", h->dir, name);
    assert_int_equal(unlink(path), 0);
}

static inline void rename_file(const harness *h, const char *from, const char *to) {
    char a[256], b[256];
    snprintf(a, sizeof a, "%s/%s", h->dir, from);
    snprintf(b, sizeof b, "%s/%s", h->dir, to);
    assert_int_equal(rename(a, b), 0);
}

static inline int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static inline void count_change(void *arg) {
    ((harness *)arg)->changes++;
}

/* A harness without detectors; change h->options before harness_start(). */
static inline harness *harness_new(const char *worker_path) {
    harness *h = xcalloc(1, sizeof *h);
    strcpy(h->dir, "/tmp/spanwatch-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    uv_loop_init(&h->loop);
    uv_timer_init(&h->loop, &h->patience);
    h->clock = (sw_clock){harness_wall, harness_mono, h};
    h->metrics = sw_metrics_new();
    sw_buf_init(&h->log, (size_t)4 << 20);
    sw_log_set_sink(harness_log, h);
    h->options = (sw_detectors_options){
        .scripts_dir = h->dir,
        .names = h->names,
        .worker_path = worker_path,
        .worker_memory_bytes = (size_t)64 << 20,
        .worker_cpu_ms = 500,
        .worker_timeout_ms = 20000,
        .interval_s = 30,
    };
    return h;
}

static inline void harness_start(harness *h) {
    h->options.host = h->host;
    h->detectors = sw_detectors_new(&h->loop, &h->clock, h->metrics, &h->options);
    sw_detectors_on_change(h->detectors, count_change, h);
}

static inline void harness_free(harness *h) {
    if (h->detectors != NULL) {
        sw_detectors_free(h->detectors);
    }
    uv_close((uv_handle_t *)&h->patience, NULL);
    uv_run(&h->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&h->loop), 0); /* no handle, no process is left */
    sw_metrics_free(h->metrics);
    sw_log_set_sink(NULL, NULL);
    sw_buf_release(&h->log);
    nftw(h->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(h);
}

static inline void on_scanned(unsigned errors, void *arg) {
    harness *h = arg;
    h->scanned = true;
    h->scan_errors = errors;
}

/* Looks at the folder and waits for the outcome: how many files are in error. */
static inline unsigned scan(harness *h) {
    h->scanned = false;
    sw_detectors_scan(h->detectors, on_scanned, h);
    RUN_UNTIL(h, h->scanned);
    return h->scan_errors;
}

static inline sw_detector *detector(const harness *h, const char *name) {
    for (size_t i = 0; i < sw_detectors_count(h->detectors); i++) {
        if (strcmp(sw_detector_name(sw_detectors_at(h->detectors, i)), name) == 0) {
            return sw_detectors_at(h->detectors, i);
        }
    }
    return NULL;
}

static inline void on_checked(sw_detector *d, sw_check_result *result, void *arg) {
    (void)d;
    verdict *v = arg;
    assert_false(v->done); /* told once */
    *v = (verdict){.done = true,
                   .status = result->status,
                   .n_findings = result->n_findings,
                   .state_version = result->state_version,
                   .has_state = result->state_len > 0,
                   .order = ++verdicts_seen};
    snprintf(v->kind, sizeof v->kind, "%s", result->error_kind != NULL ? result->error_kind : "");
    snprintf(v->message, sizeof v->message, "%s", result->message != NULL ? result->message : "");
    if (result->n_findings > 0) {
        const sw_finding *finding = &result->findings[0];
        v->value = finding->value;
        v->n_traces = finding->n_traces;
        snprintf(v->summary, sizeof v->summary, "%s", finding->summary);
        snprintf(v->type, sizeof v->type, "%s", finding->type);
        snprintf(v->trace_service, sizeof v->trace_service, "%s",
                 finding->n_traces > 0 ? finding->traces[0].service : "");
    }
}

/* A window with three traces: 100 ms, 2000 ms, and one that failed after 5 ms. */
static inline void make_window(sw_window *window) {
    sw_window_init(window);
    window->source = "tempo";
    window->from_s = 1000;
    window->to_s = 1060;
    window->complete = true;
    window->n_traces = 3;
    window->traces = xcalloc(3, sizeof *window->traces);
    static const double durations[] = {100, 2000, 5};
    for (size_t i = 0; i < 3; i++) {
        sw_trace *trace = &window->traces[i];
        *trace = (sw_trace){.source = "tempo",
                            .service = xasprintf("service%zu", i),
                            .operation = xstrdup("GET /"),
                            .error_message = xstrdup(i == 2 ? "boom" : ""),
                            .duration_ms = durations[i],
                            .start_ns = 1000 * SW_NS_PER_S,
                            .status = i == 2 ? SW_STATUS_ERROR : SW_STATUS_OK};
        snprintf(trace->id, sizeof trace->id, "%032zx", 3 - i); /* not in order */
    }
}

static inline void start_check(sw_detector *d, verdict *v) {
    sw_window window;
    make_window(&window);
    *v = (verdict){.done = false};
    sw_detector_check(d, &window, 1060 * SW_NS_PER_S, NULL, NULL, on_checked, v);
    sw_window_release(&window);
    assert_false(v->done); /* never from inside */
}

static inline verdict check(harness *h, const char *name) {
    verdict v;
    sw_detector *d = detector(h, name);
    assert_non_null(d);
    start_check(d, &v);
    RUN_UNTIL(h, v.done);
    return v;
}

static inline int pid_of(const sw_detector *d) {
    return d->running != NULL && d->running->worker != NULL ? sw_worker_pid(d->running->worker) : 0;
}

/* Sets the clock forward and does what is due then. */
static inline void forward(harness *h, int64_t ns) {
    h->forward_ns += ns;
    sw_detectors_keep(h->detectors);
}

#endif
