/* An outbox with its store and receiver in one loop, and a clock that stands still until it is moved. */
#ifndef SW_TEST_OUTBOX_FIXTURE_H
#define SW_TEST_OUTBOX_FIXTURE_H

#include "delivery/receiver.h"

#include "delivery/outbox_internal.h"
#include "store/temp_folder.h"
#include "telemetry/log.h"

struct fixture {
    uv_loop_t loop;
    char *folder;
    int64_t wall_ns, mono_ns;
    sw_clock clock;
    sw_metrics *metrics;
    sw_http_client *http;
    sw_store *store;
    sw_outbox *outbox;
    sw_receiver_options options;
    struct receiver receiver;
    char url[64];
    int commit_result;
    sw_store_batch *returned;
    int log_lines;
    char last_log[2048];
};

static inline int64_t fake_wall(void *arg) {
    return ((struct fixture *)arg)->wall_ns;
}

static inline int64_t fake_mono(void *arg) {
    return ((struct fixture *)arg)->mono_ns;
}

static inline void take_log(const char *line, void *arg) {
    struct fixture *f = arg;
    f->log_lines++;
    snprintf(f->last_log, sizeof f->last_log, "%s", line);
}

static inline double half(void) {
    return 0.5;
}

static inline void open_outbox(struct fixture *f) {
    char *warning = NULL, *error = NULL;
    f->store = sw_store_open(&f->loop, f->folder, &warning, &error);
    assert_non_null(f->store);
    f->metrics = sw_metrics_new();
    f->http = sw_http_client_new(&f->loop);
    f->outbox = sw_outbox_new(&f->loop, &f->clock, f->http, f->store, f->metrics, &f->options);
    f->outbox->random = half; /* pauses of 500, 1000, 2000, 4000, 4000 ms */
}

/* As the agent does it. */
static inline void close_outbox(struct fixture *f) {
    sw_outbox_free(f->outbox);
    sw_http_client_free(f->http);
    while (sw_store_commits_waiting(f->store) > 0) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    sw_store_close(f->store);
    sw_metrics_free(f->metrics);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static inline void restart(struct fixture *f) {
    close_outbox(f);
    open_outbox(f);
}

static inline int set_up(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    unsetenv("http_proxy");
    unsetenv("HTTP_PROXY");
    unsetenv("all_proxy");
    unsetenv("ALL_PROXY");
    uv_loop_init(&f->loop);
    f->folder = make_temp_folder();
    f->wall_ns = INT64_C(1700000000) * SW_NS_PER_S;
    f->mono_ns = 1000 * SW_NS_PER_S;
    f->clock = (sw_clock){fake_wall, fake_mono, f};
    sw_log_set_sink(take_log, f);
    start_receiver(&f->receiver, &f->loop, 0);
    snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d/hook", f->receiver.port);
    f->options = (sw_receiver_options){
        .name = "webhook",
        .url = f->url,
        .timeout_ms = 10000,
        .max_age_ms = 3600 * 1000,
        .backoff_min_ms = 1000,
        .backoff_max_ms = 8000,
        .max_in_flight = 4,
        .max_rows = 100,
    };
    open_outbox(f);
    *state = f;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *f = *state;
    stop_receiver(&f->receiver);
    close_outbox(f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    forget_received(&f->receiver);
    sw_log_set_sink(NULL, NULL);
    remove_folder(f->folder);
    free(f);
    return 0;
}

static inline void committed(int result, const char *message, sw_store_batch *batch, void *arg) {
    struct fixture *f = arg;
    (void)message;
    f->commit_result = result;
    f->returned = batch;
    sw_outbox_committed(f->outbox);
}

static inline void commit(struct fixture *f, sw_store_batch *batch) {
    f->commit_result = 1;
    sw_store_commit(f->store, batch, committed, f);
    while (f->commit_result == 1) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static inline void add(struct fixture *f, sw_store_batch *batch, const char *fingerprint, const char *body) {
    sw_notification notification = {
        .fingerprint = fingerprint, .content_type = "application/json", .body = body, .len = strlen(body)};
    sw_outbox_add(f->outbox, batch, &notification);
}

static inline void send_one(struct fixture *f, const char *fingerprint, const char *body) {
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, fingerprint, body);
    commit(f, batch);
}

/* Until nothing can happen before the clock is moved. */
static inline void run_until_idle(struct fixture *f) {
    while (f->outbox->in_flight > 0 || f->outbox->loading || f->outbox->records != NULL ||
           f->outbox->writing || sw_store_commits_waiting(f->store) > 0) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static inline void run_until_received(struct fixture *f, size_t n) {
    while (f->receiver.n < n) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static inline void advance_ms(struct fixture *f, int64_t ms) {
    f->wall_ns += ms * SW_NS_PER_MS;
    f->mono_ns += ms * SW_NS_PER_MS;
    sw_outbox_committed(f->outbox);
    run_until_idle(f);
}

static inline void count_row(const sw_outbox_row *row, void *arg) {
    (void)row;
    ++*(size_t *)arg;
}

static inline size_t stored_rows(struct fixture *f) {
    size_t n = 0;
    assert_int_equal(sw_store_each_outbox(f->store, count_row, &n), 0);
    return n;
}

static inline double deliveries(struct fixture *f, const char *result) {
    return sw_metric_get(f->outbox->m.deliveries, "webhook", result);
}

/* "a b c": the bodies in the order in which they came. Valid until the next call. */
static inline const char *bodies(struct fixture *f) {
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < f->receiver.n; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", i > 0 ? " " : "", f->receiver.got[i].body);
    }
    return text;
}

#endif
