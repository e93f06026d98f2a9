/* A store in a folder of its own, with a loop, and a commit that is waited for. */
#ifndef SW_TEST_STORE_FIXTURE_H
#define SW_TEST_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "store/store.h"
#include "store/temp_folder.h"

struct fixture {
    char *folder;
    uv_loop_t loop;
    sw_store *store;
    int ended, result; /* of commits */
    char message[512];
    sw_store_batch *returned;
};

static inline void open_store(struct fixture *f) {
    char *warning = NULL, *error = NULL;
    f->store = sw_store_open(&f->loop, f->folder, &warning, &error);
    assert_null(error);
    assert_null(warning);
    assert_non_null(f->store);
}

static inline void close_store(struct fixture *f) {
    uv_run(&f->loop, UV_RUN_DEFAULT);
    sw_store_close(f->store);
    f->store = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static inline void reopen_store(struct fixture *f) {
    close_store(f);
    open_store(f);
}

static inline int set_up(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    f->folder = make_temp_folder();
    uv_loop_init(&f->loop);
    open_store(f);
    *state = f;
    return 0;
}

static inline int tear_down(void **state) {
    struct fixture *f = *state;
    close_store(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    remove_folder(f->folder);
    free(f);
    return 0;
}

static inline void commit_ended(int result, const char *message, sw_store_batch *batch, void *arg) {
    struct fixture *f = arg;
    f->ended++;
    f->result = result;
    snprintf(f->message, sizeof f->message, "%s", message);
    f->returned = batch;
}

static inline int commit(struct fixture *f, sw_store_batch *batch) {
    int before = f->ended;
    sw_store_commit(f->store, batch, commit_ended, f);
    while (f->ended == before) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
    return f->result;
}

/* What a kind of row holds, as text: "a=1;b=2;". */
static inline void collect_alert(const char *fingerprint, const char *json, size_t len, void *arg) {
    assert_int_equal(len, strlen(json));
    sw_buf_printf(arg, "%s=%s;", fingerprint, json);
}

static inline void collect_reported(const char *type, const char *trace_id, int64_t at_ns, void *arg) {
    sw_buf_printf(arg, "%s/%s@%lld;", type, trace_id, (long long)at_ns);
}

static inline void collect_judged(const char *detector, const char *source, const char *trace_id,
                                  uint64_t digest, int64_t at_ns, void *arg) {
    sw_buf_printf(arg, "%s@%s/%s#%llx@%lld;", detector, source, trace_id, (unsigned long long)digest,
                  (long long)at_ns);
}

static inline void collect_progress(const char *detector, const char *source, int64_t judged_until_s,
                                    void *arg) {
    sw_buf_printf(arg, "%s@%s:%lld;", detector, source, (long long)judged_until_s);
}

static inline void collect_source(const char *source, int64_t origin_s, int64_t watermark_s, void *arg) {
    sw_buf_printf(arg, "%s:%lld-%lld;", source, (long long)origin_s, (long long)watermark_s);
}

static inline void collect_flaps(const char *fingerprint, const char *reporter, uint32_t states,
                                 uint32_t evaluation, void *arg) {
    sw_buf_printf(arg, "%s:%s=%u@%u;", fingerprint, reporter, states, evaluation);
}

static inline void collect_evaluation(int64_t id, const char *json, size_t len, void *arg) {
    sw_buf_printf(arg, "%lld=%.*s;", (long long)id, (int)len, json);
}

static inline void collect_counter(const char *name, const char *label, double value, void *arg) {
    sw_buf_printf(arg, "%s{%s}=%g;", name, label, value);
}

static inline void collect_outbox(const sw_outbox_row *row, void *arg) {
    sw_buf_printf(arg, "%lld %s %s %s %s [%.*s] %lld %lld %d %d '%s';", (long long)row->id, row->receiver,
                  row->fingerprint, row->idempotency_key, row->content_type, (int)row->body_len, row->body,
                  (long long)row->created_ns, (long long)row->next_attempt_ns, row->attempts, row->dead,
                  row->last_error);
}

#define assert_stored(f, each, collect, expected)                                                            \
    do {                                                                                                     \
        sw_buf stored_;                                                                                      \
        sw_buf_init(&stored_, 1 << 20);                                                                      \
        sw_buf_append_str(&stored_, "");                                                                     \
        assert_int_equal(each((f)->store, collect, &stored_), 0);                                            \
        assert_string_equal(stored_.data, expected);                                                         \
        sw_buf_release(&stored_);                                                                            \
    } while (0)

#endif
