/* The schema, its migrations, and how the connection is set up. */
#include "store/store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * One entry per version; entry n brings a database of version n to version n + 1. Never edited, only added
 * to.
 *
 * What is remembered about traces is only ever appended and expired by time: random ids as keys would touch a
 * page of their own each. Who reads them knows that a later row wins.
 */
static const char *const migrations[] = {
    "CREATE TABLE alert (fingerprint TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE reported (id INTEGER PRIMARY KEY, type TEXT NOT NULL, trace_id TEXT NOT NULL,"
    " at_ns INTEGER NOT NULL);"
    "CREATE INDEX reported_at ON reported (at_ns);"
    "CREATE TABLE judged (id INTEGER PRIMARY KEY, detector TEXT NOT NULL, trace_id TEXT NOT NULL,"
    " digest INTEGER NOT NULL, at_ns INTEGER NOT NULL);"
    "CREATE INDEX judged_at ON judged (at_ns);"
    "CREATE TABLE detector (name TEXT PRIMARY KEY, state_version INTEGER NOT NULL, state BLOB NOT NULL,"
    " judged_until_s INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE source (name TEXT PRIMARY KEY, origin_s INTEGER NOT NULL, watermark_s INTEGER NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE counter (name TEXT NOT NULL, label TEXT NOT NULL, value REAL NOT NULL,"
    " PRIMARY KEY (name, label)) WITHOUT ROWID;"
    /* AUTOINCREMENT: an id is never used again, also when all rows have been delivered. */
    "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, receiver TEXT NOT NULL,"
    " fingerprint TEXT NOT NULL, idempotency_key TEXT NOT NULL, content_type TEXT NOT NULL,"
    " body BLOB NOT NULL, created_ns INTEGER NOT NULL, next_attempt_ns INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL, dead INTEGER NOT NULL, last_error TEXT NOT NULL);"
    "CREATE INDEX outbox_dead ON outbox (receiver, id) WHERE dead = 1;",
    "CREATE TABLE silence (id TEXT PRIMARY KEY, state TEXT NOT NULL) WITHOUT ROWID;",
    ("CREATE TABLE flaps (fingerprint TEXT PRIMARY KEY, reporter TEXT NOT NULL, states INTEGER NOT NULL,"
     " evaluation INTEGER NOT NULL) WITHOUT ROWID;"),
    ("ALTER TABLE outbox ADD COLUMN resolved INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE outbox ADD COLUMN severity INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE outbox ADD COLUMN combined INTEGER NOT NULL DEFAULT 0;"
     "ALTER TABLE outbox ADD COLUMN group_key TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE outbox ADD COLUMN group_labels TEXT NOT NULL DEFAULT '';"
     "ALTER TABLE outbox ADD COLUMN group_interval_ms INTEGER NOT NULL DEFAULT 0;"
     "CREATE TABLE notified (id INTEGER PRIMARY KEY, receiver TEXT NOT NULL, group_key TEXT NOT NULL,"
     " at_ns INTEGER NOT NULL, group_interval_ms INTEGER NOT NULL);"),
    /* Progress belongs to a detector and a source. What was stored before belongs to the one source that
     * there was, the one with the newest watermark. */
    ("ALTER TABLE judged ADD COLUMN source TEXT NOT NULL DEFAULT 'tempo';"
     "UPDATE judged SET source = (SELECT name FROM source ORDER BY watermark_s DESC LIMIT 1)"
     " WHERE EXISTS (SELECT 1 FROM source);"
     "CREATE TABLE progress (detector TEXT NOT NULL, source TEXT NOT NULL, judged_until_s INTEGER NOT NULL,"
     " PRIMARY KEY (detector, source)) WITHOUT ROWID;"
     "INSERT INTO progress SELECT detector.name,"
     " coalesce((SELECT name FROM source ORDER BY watermark_s DESC LIMIT 1), 'tempo'), judged_until_s"
     " FROM detector;"
     "ALTER TABLE detector DROP COLUMN judged_until_s;"),
    ("CREATE TABLE group_member (receiver TEXT NOT NULL, fingerprint TEXT NOT NULL, group_key TEXT NOT NULL,"
     " PRIMARY KEY (receiver, fingerprint)) WITHOUT ROWID;"),
    "CREATE TABLE evaluation (id INTEGER PRIMARY KEY, record TEXT NOT NULL);",
};

/* A damaged database of this size or less is noticed at once; in a larger one when the damage is read. */
#define CHECK_MAX_BYTES (INT64_C(64) << 20)

void sw_store_describe(sw_store *store, const char *what, char message[SW_STORE_MESSAGE]) {
    int code = sqlite3_errcode(store->db);
    int system = sqlite3_system_errno(store->db);
    bool say_system = system != 0 && (code == SQLITE_IOERR || code == SQLITE_CANTOPEN);
    snprintf(message, SW_STORE_MESSAGE, "cannot %s %s: %s%s%s%s", what, store->path,
             sqlite3_errmsg(store->db), say_system ? " (" : "", say_system ? strerror(system) : "",
             say_system ? ")" : "");
}

static int read_int(sw_store *store, const char *sql, int64_t *out) {
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
        *out = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
        code = code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
    }
    sqlite3_finalize(statement);
    return code;
}

static int quick_check(sw_store *store, char message[SW_STORE_MESSAGE]) {
    struct stat st;
    if (stat(store->path, &st) != 0 || st.st_size > CHECK_MAX_BYTES) {
        return SQLITE_OK;
    }
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement, NULL);
    if (code == SQLITE_OK) {
        code = sqlite3_step(statement);
    }
    if (code == SQLITE_ROW) {
        const char *verdict = (const char *)sqlite3_column_text(statement, 0);
        code = verdict != NULL && strcmp(verdict, "ok") == 0 ? SQLITE_OK : SQLITE_CORRUPT;
        snprintf(message, SW_STORE_MESSAGE, "%s is damaged: %s", store->path, verdict != NULL ? verdict : "");
    } else if (code != SQLITE_OK) {
        sw_store_describe(store, "check", message);
    }
    sqlite3_finalize(statement);
    return code;
}

static int migrate(sw_store *store, char message[SW_STORE_MESSAGE]) {
    const int64_t newest = SW_ARRAY_LEN(migrations);
    int64_t version = 0;
    int code = read_int(store, "PRAGMA user_version", &version);
    if (code == SQLITE_OK && version > newest) {
        snprintf(message, SW_STORE_MESSAGE,
                 "%s was written by a newer spanwatch (schema %lld, this program knows %lld)", store->path,
                 (long long)version, (long long)newest);
        return SQLITE_ERROR;
    }
    for (; code == SQLITE_OK && version < newest; version++) {
        char *sql = sqlite3_mprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %lld; COMMIT;",
                                    migrations[version], (long long)version + 1);
        code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
        sqlite3_free(sql);
    }
    if (code == SQLITE_OK) {
        code =
            read_int(store, "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'", &store->next_outbox_id);
    }
    if (code != SQLITE_OK) {
        sw_store_describe(store, "set up", message);
    }
    return code;
}

int sw_store_set_up(sw_store *store, char message[SW_STORE_MESSAGE]) {
    sqlite3_busy_timeout(store->db, 2000); /* somebody may look into the database with a tool */
    /* The journal is copied into the database when the store has nothing else to do (store.c). */
    int code = sqlite3_exec(store->db,
                            "PRAGMA cache_size = -256; PRAGMA mmap_size = 0; PRAGMA journal_mode = WAL;"
                            "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;"
                            "PRAGMA journal_size_limit = 1048576;",
                            NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        sw_store_describe(store, "open", message);
        return code & 0xff;
    }
    if (sqlite3_db_readonly(store->db, "main") == 1) {
        snprintf(message, SW_STORE_MESSAGE, "cannot write to %s: it is read-only", store->path);
        return SQLITE_READONLY;
    }
    return SQLITE_OK;
}

int sw_store_prepare(sw_store *store, char message[SW_STORE_MESSAGE]) {
    int code = quick_check(store, message);
    if (code == SQLITE_OK) {
        code = migrate(store, message);
    }
    return code & 0xff;
}
