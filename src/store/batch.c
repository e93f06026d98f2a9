/* The batch: operations packed one after the other in memory, and their execution as one transaction. */
#include "store/store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* s: text, b: bytes with their length, i: int64_t, d: double; the order of the statement's parameters. */
static const struct {
    const char *sql;
    const char *signature;
} operations[SW_OP_COUNT] = {
    [SW_OP_PUT_ALERT] = {"INSERT OR REPLACE INTO alert (fingerprint, state) VALUES (?, CAST(? AS TEXT))",
                         "sb"},
    [SW_OP_DELETE_ALERT] = {"DELETE FROM alert WHERE fingerprint = ?", "s"},
    [SW_OP_PUT_REPORTED] = {"INSERT INTO reported (type, trace_id, at_ns) VALUES (?, ?, ?)", "ssi"},
    [SW_OP_EXPIRE_REPORTED] = {"DELETE FROM reported WHERE at_ns < ?", "i"},
    [SW_OP_PUT_JUDGED] = {"INSERT INTO judged (detector, source, trace_id, digest, at_ns)"
                          " VALUES (?, ?, ?, ?, ?)",
                          "sssii"},
    [SW_OP_EXPIRE_JUDGED] = {"DELETE FROM judged WHERE at_ns < ?", "i"},
    [SW_OP_PUT_DETECTOR] = {"INSERT OR REPLACE INTO detector (name, state_version, state) VALUES (?, ?, ?)",
                            "sib"},
    [SW_OP_PUT_PROGRESS] = {"INSERT OR REPLACE INTO progress (detector, source, judged_until_s)"
                            " VALUES (?, ?, ?)",
                            "ssi"},
    [SW_OP_PUT_SOURCE] = {"INSERT OR REPLACE INTO source (name, origin_s, watermark_s) VALUES (?, ?, ?)",
                          "sii"},
    [SW_OP_PUT_COUNTER] = {"INSERT OR REPLACE INTO counter (name, label, value) VALUES (?, ?, ?)", "ssd"},
    [SW_OP_PUT_OUTBOX] = {"INSERT OR REPLACE INTO outbox (id, receiver, fingerprint, idempotency_key,"
                          " content_type, body, created_ns, next_attempt_ns, attempts, dead, last_error,"
                          " resolved, severity, combined, group_key, group_labels, group_interval_ms)"
                          " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                          "issssbiiiisiiissi"},
    [SW_OP_UPDATE_OUTBOX] = {"UPDATE outbox SET next_attempt_ns = ?, attempts = ?, dead = ?, last_error = ?"
                             " WHERE id = ?",
                             "iiisi"},
    [SW_OP_DELETE_OUTBOX] = {"DELETE FROM outbox WHERE id = ?", "i"},
    [SW_OP_TRIM_DEAD] =
        {"DELETE FROM outbox WHERE dead = 1 AND receiver = ?1 AND id <= (SELECT id FROM outbox"
         " WHERE dead = 1 AND receiver = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
         "si"},
    [SW_OP_PUT_SILENCE] = {"INSERT OR REPLACE INTO silence (id, state) VALUES (?, CAST(? AS TEXT))", "sb"},
    [SW_OP_DELETE_SILENCE] = {"DELETE FROM silence WHERE id = ?", "s"},
    [SW_OP_PUT_FLAPS] = {"INSERT OR REPLACE INTO flaps (fingerprint, reporter, states, evaluation)"
                         " VALUES (?, ?, ?, ?)",
                         "ssii"},
    [SW_OP_DELETE_FLAPS] = {"DELETE FROM flaps WHERE fingerprint = ?", "s"},
    [SW_OP_PUT_NOTIFIED] =
        {"INSERT INTO notified (receiver, group_key, at_ns, group_interval_ms) VALUES (?, ?, ?, ?)", "ssii"},
    [SW_OP_EXPIRE_NOTIFIED] = {"DELETE FROM notified WHERE receiver = ?"
                               " AND at_ns <= ? - max(group_interval_ms, 3600000) * 1000000",
                               "si"},
    [SW_OP_PUT_GROUP_MEMBER] =
        {"INSERT OR REPLACE INTO group_member (receiver, fingerprint, group_key) VALUES (?, ?, ?)", "sss"},
    [SW_OP_DELETE_GROUP_MEMBER] = {"DELETE FROM group_member WHERE receiver = ? AND fingerprint = ?", "ss"},
    [SW_OP_PUT_EVALUATION] = {"INSERT OR REPLACE INTO evaluation (id, record) VALUES (?, CAST(? AS TEXT))",
                              "ib"},
    [SW_OP_DELETE_EVALUATION] = {"DELETE FROM evaluation WHERE id = ?", "i"},
};

sw_store_batch *sw_store_batch_new(sw_store *store) {
    (void)store; /* a batch is plain memory; the argument leaves room for limits of the store */
    sw_store_batch *batch = xcalloc(1, sizeof *batch);
    sw_buf_init(&batch->ops, SIZE_MAX / 4); /* the caller caps what it puts in */
    return batch;
}

void sw_store_batch_free(sw_store_batch *batch) {
    if (batch == NULL) {
        return;
    }
    sw_batch_call_hooks(batch, SW_BATCH_FREED);
    sw_buf_release(&batch->ops);
    free(batch->hooks);
    free(batch);
}

bool sw_store_batch_empty(const sw_store_batch *batch) {
    return batch->ops.len == 0;
}

void sw_batch_on_end(sw_store_batch *batch, void (*ended)(sw_store_batch *batch, int result, void *arg),
                     void *arg) {
    batch->hooks = xrealloc_array(batch->hooks, batch->n_hooks + 1, sizeof *batch->hooks);
    batch->hooks[batch->n_hooks++] = (struct sw_batch_hook){ended, arg};
}

void sw_batch_call_hooks(sw_store_batch *batch, int result) {
    struct sw_batch_hook *hooks = batch->hooks;
    size_t n = batch->n_hooks;
    batch->hooks = NULL; /* a hook may add itself for the next commit of a batch that failed */
    batch->n_hooks = 0;
    for (size_t i = 0; i < n; i++) {
        hooks[i].ended(batch, result, hooks[i].arg);
    }
    free(hooks);
}

void sw_batch_must_wait(sw_store_batch *batch) {
    sw_batch_call_hooks(batch, -1);
}

static void append_bytes(sw_buf *ops, const void *data, size_t len) {
    uint64_t size = len;
    sw_buf_append(ops, &size, sizeof size);
    sw_buf_append(ops, data, len);
    sw_buf_append_char(ops, '\0');
}

/* Arguments as the signature says; b takes a pointer and a size_t. */
static void add(sw_store_batch *batch, sw_op op, ...) {
    sw_buf *ops = &batch->ops;
    sw_buf_append_char(ops, (char)op);
    va_list args;
    va_start(args, op);
    for (const char *kind = operations[op].signature; *kind != '\0'; kind++) {
        if (*kind == 's') {
            const char *s = va_arg(args, const char *);
            s = s != NULL ? s : "";
            append_bytes(ops, s, strlen(s));
        } else if (*kind == 'b') {
            const void *data = va_arg(args, const void *);
            append_bytes(ops, data, va_arg(args, size_t));
        } else if (*kind == 'i') {
            int64_t value = va_arg(args, int64_t);
            sw_buf_append(ops, &value, sizeof value);
        } else {
            double value = va_arg(args, double);
            sw_buf_append(ops, &value, sizeof value);
        }
    }
    va_end(args);
}

void sw_batch_put_alert(sw_store_batch *batch, const char *fingerprint, const char *json, size_t len) {
    add(batch, SW_OP_PUT_ALERT, fingerprint, json, len);
}

void sw_batch_delete_alert(sw_store_batch *batch, const char *fingerprint) {
    add(batch, SW_OP_DELETE_ALERT, fingerprint);
}

void sw_batch_put_reported(sw_store_batch *batch, const char *type, const char *trace_id, int64_t at_ns) {
    add(batch, SW_OP_PUT_REPORTED, type, trace_id, at_ns);
}

void sw_batch_expire_reported(sw_store_batch *batch, int64_t before_ns) {
    add(batch, SW_OP_EXPIRE_REPORTED, before_ns);
}

void sw_batch_put_judged(sw_store_batch *batch, const char *detector, const char *source,
                         const char *trace_id, uint64_t digest, int64_t at_ns) {
    add(batch, SW_OP_PUT_JUDGED, detector, source, trace_id, (int64_t)digest, at_ns);
}

void sw_batch_expire_judged(sw_store_batch *batch, int64_t before_ns) {
    add(batch, SW_OP_EXPIRE_JUDGED, before_ns);
}

void sw_batch_put_detector(sw_store_batch *batch, const char *detector, int64_t state_version,
                           const void *state, size_t len) {
    add(batch, SW_OP_PUT_DETECTOR, detector, state_version, state, len);
}

void sw_batch_put_progress(sw_store_batch *batch, const char *detector, const char *source,
                           int64_t judged_until_s) {
    add(batch, SW_OP_PUT_PROGRESS, detector, source, judged_until_s);
}

void sw_batch_put_source(sw_store_batch *batch, const char *source, int64_t origin_s, int64_t watermark_s) {
    add(batch, SW_OP_PUT_SOURCE, source, origin_s, watermark_s);
}

void sw_batch_put_counter(sw_store_batch *batch, const char *name, const char *label, double value) {
    add(batch, SW_OP_PUT_COUNTER, name, label, value);
}

void sw_batch_put_outbox(sw_store_batch *batch, const sw_outbox_row *row) {
    add(batch, SW_OP_PUT_OUTBOX, row->id, row->receiver, row->fingerprint, row->idempotency_key,
        row->content_type, row->body, row->body_len, row->created_ns, row->next_attempt_ns,
        (int64_t)row->attempts, (int64_t)row->dead, row->last_error, (int64_t)row->resolved,
        (int64_t)row->severity, (int64_t)row->combined, row->group_key, row->group_labels,
        row->group_interval_ms);
}

void sw_batch_update_outbox(sw_store_batch *batch, const sw_outbox_row *row) {
    add(batch, SW_OP_UPDATE_OUTBOX, row->next_attempt_ns, (int64_t)row->attempts, (int64_t)row->dead,
        row->last_error, row->id);
}

void sw_batch_delete_outbox(sw_store_batch *batch, int64_t id) {
    add(batch, SW_OP_DELETE_OUTBOX, id);
}

void sw_batch_trim_dead(sw_store_batch *batch, const char *receiver, int64_t keep) {
    add(batch, SW_OP_TRIM_DEAD, receiver, keep);
}

void sw_batch_put_silence(sw_store_batch *batch, const char *id, const char *json, size_t len) {
    add(batch, SW_OP_PUT_SILENCE, id, json, len);
}

void sw_batch_delete_silence(sw_store_batch *batch, const char *id) {
    add(batch, SW_OP_DELETE_SILENCE, id);
}

void sw_batch_put_flaps(sw_store_batch *batch, const char *fingerprint, const char *reporter, uint32_t states,
                        uint32_t evaluation) {
    add(batch, SW_OP_PUT_FLAPS, fingerprint, reporter, (int64_t)states, (int64_t)evaluation);
}

void sw_batch_delete_flaps(sw_store_batch *batch, const char *fingerprint) {
    add(batch, SW_OP_DELETE_FLAPS, fingerprint);
}

void sw_batch_put_evaluation(sw_store_batch *batch, int64_t id, const char *json, size_t len) {
    add(batch, SW_OP_PUT_EVALUATION, id, json, len);
}

void sw_batch_delete_evaluation(sw_store_batch *batch, int64_t id) {
    add(batch, SW_OP_DELETE_EVALUATION, id);
}

void sw_batch_put_notified(sw_store_batch *batch, const char *receiver, const char *group_key, int64_t at_ns,
                           int64_t group_interval_ms) {
    add(batch, SW_OP_PUT_NOTIFIED, receiver, group_key, at_ns, group_interval_ms);
}

void sw_batch_expire_notified(sw_store_batch *batch, const char *receiver, int64_t now_ns) {
    add(batch, SW_OP_EXPIRE_NOTIFIED, receiver, now_ns);
}

void sw_batch_put_group_member(sw_store_batch *batch, const char *receiver, const char *fingerprint,
                               const char *group_key) {
    add(batch, SW_OP_PUT_GROUP_MEMBER, receiver, fingerprint, group_key);
}

void sw_batch_delete_group_member(sw_store_batch *batch, const char *receiver, const char *fingerprint) {
    add(batch, SW_OP_DELETE_GROUP_MEMBER, receiver, fingerprint);
}

static sqlite3_stmt *statement_for(sw_store *store, sw_op op) {
    if (store->statements[op] == NULL) {
        sqlite3_prepare_v3(store->db, operations[op].sql, -1, SQLITE_PREPARE_PERSISTENT,
                           &store->statements[op], NULL);
    }
    return store->statements[op];
}

void sw_store_finalize_statements(sw_store *store) {
    for (size_t i = 0; i < SW_OP_COUNT; i++) {
        sqlite3_finalize(store->statements[i]);
        store->statements[i] = NULL;
    }
}

/* Binds what is packed at `at` (the batch outlives the step) and returns where the next operation begins. */
static const char *bind_packed(sqlite3_stmt *statement, const char *signature, const char *at) {
    for (int i = 1; signature[i - 1] != '\0'; i++) {
        char kind = signature[i - 1];
        if (kind == 'd') {
            double value = 0;
            memcpy(&value, at, sizeof value);
            sqlite3_bind_double(statement, i, value);
            at += sizeof value;
            continue;
        }
        int64_t number = 0;
        memcpy(&number, at, sizeof number);
        at += sizeof number;
        if (kind == 'i') {
            sqlite3_bind_int64(statement, i, number);
        } else {
            if (kind == 's') {
                sqlite3_bind_text64(statement, i, at, (sqlite3_uint64)number, SQLITE_STATIC, SQLITE_UTF8);
            } else {
                sqlite3_bind_blob64(statement, i, at, (sqlite3_uint64)number, SQLITE_STATIC);
            }
            at += number + 1;
        }
    }
    return at;
}

static int run_operations(sw_store *store, const sw_store_batch *batch) {
    const char *at = batch->ops.data;
    const char *end = at + batch->ops.len;
    int code = SQLITE_OK;
    while (at < end && code == SQLITE_OK) {
        sw_op op = (sw_op)*at++;
        sqlite3_stmt *statement = statement_for(store, op);
        if (statement == NULL) {
            return sqlite3_errcode(store->db);
        }
        at = bind_packed(statement, operations[op].signature, at);
        code = sqlite3_step(statement);
        code = code == SQLITE_DONE ? SQLITE_OK : code;
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
    }
    return code;
}

int sw_batch_execute(sw_store *store, const sw_store_batch *batch, char message[SW_STORE_MESSAGE]) {
    if (sw_store_batch_empty(batch)) {
        return 0;
    }
    int code = sqlite3_exec(store->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK) {
        code = run_operations(store, batch);
    }
    if (code == SQLITE_OK) {
        code = sqlite3_exec(store->db, "COMMIT", NULL, NULL, NULL);
    }
    if (code == SQLITE_OK) {
        return 0;
    }
    sw_store_describe(store, "write to", message);
    if (!sqlite3_get_autocommit(store->db)) {
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return -1;
}
