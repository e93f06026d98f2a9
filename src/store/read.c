/* Reading what was stored. */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

#include "telemetry/log.h"

static sqlite3_stmt *query(sw_store *store, const char *sql) {
    sqlite3_stmt *statement = NULL;
    sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    return statement;
}

/* The next row of a query that may have failed to prepare. */
static bool next(sqlite3_stmt *statement) {
    return statement != NULL && sqlite3_step(statement) == SQLITE_ROW;
}

/* 0 when the last step was the regular end. */
static int end(sw_store *store, sqlite3_stmt *statement) {
    int code = statement != NULL ? sqlite3_finalize(statement) : sqlite3_errcode(store->db);
    if (code == SQLITE_OK) {
        return 0;
    }
    char message[SW_STORE_MESSAGE];
    sw_store_describe(store, "read", message);
    sw_log(SW_LOG_ERROR, "stored state cannot be read", "reason", message, NULL);
    return -1;
}

static const char *text(sqlite3_stmt *statement, int column) {
    const char *s = (const char *)sqlite3_column_text(statement, column);
    return s != NULL ? s : "";
}

int sw_store_each_alert(sw_store *store,
                        void (*each)(const char *fingerprint, const char *json, size_t len, void *arg),
                        void *arg) {
    sqlite3_stmt *s = query(store, "SELECT fingerprint, state FROM alert ORDER BY fingerprint");
    while (next(s)) {
        const char *json = text(s, 1);
        each(text(s, 0), json, (size_t)sqlite3_column_bytes(s, 1), arg);
    }
    return end(store, s);
}

int sw_store_each_reported(sw_store *store,
                           void (*each)(const char *type, const char *trace_id, int64_t at_ns, void *arg),
                           void *arg) {
    sqlite3_stmt *s = query(store, "SELECT type, trace_id, at_ns FROM reported ORDER BY id");
    while (next(s)) {
        each(text(s, 0), text(s, 1), sqlite3_column_int64(s, 2), arg);
    }
    return end(store, s);
}

int sw_store_each_judged(sw_store *store,
                         void (*each)(const char *detector, const char *source, const char *trace_id,
                                      uint64_t digest, int64_t at_ns, void *arg),
                         void *arg) {
    sqlite3_stmt *s =
        query(store, "SELECT detector, source, trace_id, digest, at_ns FROM judged ORDER BY id");
    while (next(s)) {
        each(text(s, 0), text(s, 1), text(s, 2), (uint64_t)sqlite3_column_int64(s, 3),
             sqlite3_column_int64(s, 4), arg);
    }
    return end(store, s);
}

int sw_store_each_detector(sw_store *store,
                           void (*each)(const char *detector, int64_t state_version, const void *state,
                                        size_t len, void *arg),
                           void *arg) {
    sqlite3_stmt *s = query(store, "SELECT name, state_version, state FROM detector");
    while (next(s)) {
        const void *state = sqlite3_column_blob(s, 2);
        each(text(s, 0), sqlite3_column_int64(s, 1), state != NULL ? state : "",
             (size_t)sqlite3_column_bytes(s, 2), arg);
    }
    return end(store, s);
}

int sw_store_each_progress(sw_store *store,
                           void (*each)(const char *detector, const char *source, int64_t judged_until_s,
                                        void *arg),
                           void *arg) {
    sqlite3_stmt *s = query(store, "SELECT detector, source, judged_until_s FROM progress");
    while (next(s)) {
        each(text(s, 0), text(s, 1), sqlite3_column_int64(s, 2), arg);
    }
    return end(store, s);
}

int sw_store_each_source(sw_store *store,
                         void (*each)(const char *source, int64_t origin_s, int64_t watermark_s, void *arg),
                         void *arg) {
    sqlite3_stmt *s = query(store, "SELECT name, origin_s, watermark_s FROM source");
    while (next(s)) {
        each(text(s, 0), sqlite3_column_int64(s, 1), sqlite3_column_int64(s, 2), arg);
    }
    return end(store, s);
}

int sw_store_each_counter(sw_store *store,
                          void (*each)(const char *name, const char *label, double value, void *arg),
                          void *arg) {
    sqlite3_stmt *s = query(store, "SELECT name, label, value FROM counter");
    while (next(s)) {
        each(text(s, 0), text(s, 1), sqlite3_column_double(s, 2), arg);
    }
    return end(store, s);
}

int sw_store_each_silence(sw_store *store,
                          void (*each)(const char *id, const char *json, size_t len, void *arg), void *arg) {
    sqlite3_stmt *s = query(store, "SELECT id, state FROM silence ORDER BY id");
    while (next(s)) {
        const char *json = text(s, 1);
        each(text(s, 0), json, (size_t)sqlite3_column_bytes(s, 1), arg);
    }
    return end(store, s);
}

int sw_store_each_flaps(sw_store *store,
                        void (*each)(const char *fingerprint, const char *reporter, uint32_t states,
                                     uint32_t evaluation, void *arg),
                        void *arg) {
    sqlite3_stmt *s = query(store, "SELECT fingerprint, reporter, states, evaluation FROM flaps");
    while (next(s)) {
        each(text(s, 0), text(s, 1), (uint32_t)sqlite3_column_int64(s, 2),
             (uint32_t)sqlite3_column_int64(s, 3), arg);
    }
    return end(store, s);
}

int sw_store_each_evaluation(sw_store *store,
                             void (*each)(int64_t id, const char *json, size_t len, void *arg), void *arg) {
    sqlite3_stmt *s = query(store, "SELECT id, record FROM evaluation ORDER BY id");
    while (next(s)) {
        const char *json = text(s, 1);
        each(sqlite3_column_int64(s, 0), json, (size_t)sqlite3_column_bytes(s, 1), arg);
    }
    return end(store, s);
}

#define OUTBOX_COLUMNS                                                                                       \
    "id, receiver, fingerprint, idempotency_key, content_type, body, created_ns, next_attempt_ns, "          \
    "attempts, "                                                                                             \
    "dead, last_error, resolved, severity, combined, group_key, group_labels, group_interval_ms"

static char *copy_text(sqlite3_stmt *s, int column) {
    return xstrdup(text(s, column));
}

static char *copy_if_any(sqlite3_stmt *s, int column) {
    return sqlite3_column_bytes(s, column) > 0 ? copy_text(s, column) : NULL;
}

static void copy_row(sqlite3_stmt *s, sw_outbox_row *row) {
    const void *body = sqlite3_column_blob(s, 5);
    *row = (sw_outbox_row){
        .id = sqlite3_column_int64(s, 0),
        .receiver = copy_text(s, 1),
        .fingerprint = copy_text(s, 2),
        .idempotency_key = copy_text(s, 3),
        .content_type = copy_text(s, 4),
        .body_len = (size_t)sqlite3_column_bytes(s, 5),
        .created_ns = sqlite3_column_int64(s, 6),
        .next_attempt_ns = sqlite3_column_int64(s, 7),
        .attempts = sqlite3_column_int(s, 8),
        .dead = sqlite3_column_int(s, 9) != 0,
        .last_error = copy_text(s, 10),
        .resolved = sqlite3_column_int(s, 11) != 0,
        .severity = sqlite3_column_int(s, 12),
        .combined = sqlite3_column_int(s, 13) != 0,
        .group_key = copy_if_any(s, 14),
        .group_labels = copy_if_any(s, 15),
        .group_interval_ms = sqlite3_column_int64(s, 16),
    };
    row->body = xmalloc(row->body_len + 1);
    if (row->body_len > 0) {
        memcpy(row->body, body, row->body_len);
    }
    row->body[row->body_len] = '\0';
}

void sw_outbox_row_release(sw_outbox_row *row) {
    free(row->receiver);
    free(row->fingerprint);
    free(row->idempotency_key);
    free(row->content_type);
    free(row->body);
    free(row->last_error);
    free(row->group_key);
    free(row->group_labels);
    *row = (sw_outbox_row){0};
}

int sw_store_each_outbox(sw_store *store, void (*each)(const sw_outbox_row *row, void *arg), void *arg) {
    return sw_store_each_outbox_of(store, NULL, each, arg);
}

int sw_store_each_outbox_of(sw_store *store, const char *receiver,
                            void (*each)(const sw_outbox_row *row, void *arg), void *arg) {
    sqlite3_stmt *s =
        query(store, "SELECT " OUTBOX_COLUMNS " FROM outbox WHERE ?1 IS NULL OR receiver = ?1 ORDER BY id");
    if (s != NULL) {
        sqlite3_bind_text(s, 1, receiver, -1, SQLITE_STATIC);
    }
    while (next(s)) {
        sw_outbox_row row;
        copy_row(s, &row);
        each(&row, arg);
        sw_outbox_row_release(&row);
    }
    return end(store, s);
}

int sw_store_each_receiver(sw_store *store,
                           void (*each)(const char *receiver, size_t waiting, size_t dead, void *arg),
                           void *arg) {
    sqlite3_stmt *s = query(store, "SELECT receiver, sum(dead = 0), sum(dead) FROM outbox GROUP BY receiver");
    while (next(s)) {
        each(text(s, 0), (size_t)sqlite3_column_int64(s, 1), (size_t)sqlite3_column_int64(s, 2), arg);
    }
    return end(store, s);
}

/* On the pool: no log here. Returns how many, or -1. */
int sw_store_read_outbox(sw_store *store, const char *receiver, bool dead, int64_t after_id, int limit,
                         sw_outbox_row **rows) {
    *rows = NULL;
    sqlite3_stmt *s =
        query(store, "SELECT " OUTBOX_COLUMNS
                     " FROM outbox WHERE receiver = ? AND id > ? AND dead = ? ORDER BY id LIMIT ?");
    if (s == NULL) {
        return -1;
    }
    sqlite3_bind_text(s, 1, receiver, -1, SQLITE_STATIC);
    sqlite3_bind_int64(s, 2, after_id);
    sqlite3_bind_int(s, 3, dead);
    sqlite3_bind_int(s, 4, limit);
    int n = 0;
    while (next(s)) {
        *rows = xrealloc_array(*rows, (size_t)n + 1, sizeof **rows);
        copy_row(s, &(*rows)[n++]);
    }
    if (sqlite3_finalize(s) != SQLITE_OK) {
        for (int i = 0; i < n; i++) {
            sw_outbox_row_release(&(*rows)[i]);
        }
        free(*rows);
        *rows = NULL;
        return -1;
    }
    return n;
}

int sw_store_each_notified(sw_store *store,
                           void (*each)(const char *receiver, const char *group_key, int64_t at_ns,
                                        int64_t group_interval_ms, void *arg),
                           void *arg) {
    sqlite3_stmt *s =
        query(store, "SELECT receiver, group_key, at_ns, group_interval_ms FROM notified ORDER BY at_ns, id");
    while (next(s)) {
        each(text(s, 0), text(s, 1), sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3), arg);
    }
    return end(store, s);
}

int sw_store_each_group_member(sw_store *store,
                               void (*each)(const char *receiver, const char *fingerprint,
                                            const char *group_key, void *arg),
                               void *arg) {
    sqlite3_stmt *s = query(store, "SELECT receiver, fingerprint, group_key FROM group_member");
    while (next(s)) {
        each(text(s, 0), text(s, 1), text(s, 2), arg);
    }
    return end(store, s);
}

int64_t sw_store_next_outbox_id(sw_store *store) {
    return ++store->next_outbox_id;
}
