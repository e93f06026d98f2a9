#include "store/store_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void what_was_committed_is_there_after_a_restart(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    assert_true(sw_store_batch_empty(batch));
    sw_batch_put_alert(batch, "00000000000000aa", "{\"a\":1}", 7);
    sw_batch_put_reported(batch, "high_latency", "t1", 5);
    sw_batch_put_judged(batch, "detect", "otlp", "t1", UINT64_MAX, 6);
    sw_batch_put_source(batch, "tempo", 100, 200);
    sw_batch_put_counter(batch, "trace_anomalies_total", "high_latency", 3.5);
    assert_false(sw_store_batch_empty(batch));
    assert_int_equal(commit(f, batch), 0);
    assert_null(f->returned);
    reopen_store(f);
    assert_stored(f, sw_store_each_alert, collect_alert, "00000000000000aa={\"a\":1};");
    assert_stored(f, sw_store_each_reported, collect_reported, "high_latency/t1@5;");
    assert_stored(f, sw_store_each_judged, collect_judged, "detect@otlp/t1#ffffffffffffffff@6;");
    assert_stored(f, sw_store_each_source, collect_source, "tempo:100-200;");
    assert_stored(f, sw_store_each_counter, collect_counter, "trace_anomalies_total{high_latency}=3.5;");
}

static void a_later_put_replaces_and_a_delete_removes(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_alert(batch, "a", "1", 1);
    sw_batch_put_alert(batch, "b", "1", 1);
    sw_batch_put_alert(batch, "a", "2", 1);
    sw_batch_put_counter(batch, "c", "l", 1);
    sw_batch_put_counter(batch, "c", "l", 2);
    sw_batch_put_source(batch, "tempo", 1, 1);
    sw_batch_put_source(batch, "tempo", 1, 9);
    assert_int_equal(commit(f, batch), 0);
    batch = sw_store_batch_new(f->store);
    sw_batch_delete_alert(batch, "b");
    sw_batch_delete_alert(batch, "never was");
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_alert, collect_alert, "a=2;");
    assert_stored(f, sw_store_each_counter, collect_counter, "c{l}=2;");
    assert_stored(f, sw_store_each_source, collect_source, "tempo:1-9;");
}

static void silences_are_put_and_deleted(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_silence(batch, "one", "1", 1);
    sw_batch_put_silence(batch, "two", "1", 1);
    sw_batch_put_silence(batch, "two", "2", 1);
    sw_batch_delete_silence(batch, "one");
    assert_int_equal(commit(f, batch), 0);
    reopen_store(f);
    assert_stored(f, sw_store_each_silence, collect_alert, "two=2;");
}

static void states_of_alerts_that_are_gone_are_put_and_deleted(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_flaps(batch, "a", "detect", 1, 2);
    sw_batch_put_flaps(batch, "b", "detect", 1, 2);
    sw_batch_put_flaps(batch, "b", "other", 0x1fffff, UINT32_MAX);
    sw_batch_delete_flaps(batch, "a");
    assert_int_equal(commit(f, batch), 0);
    reopen_store(f);
    assert_stored(f, sw_store_each_flaps, collect_flaps, "b:other=2097151@4294967295;");
}

static void evaluations_are_put_and_deleted_and_come_by_id(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_evaluation(batch, 7, "{\"seventh\"}", 11);
    sw_batch_put_evaluation(batch, 3, "{}", 2);
    sw_batch_put_evaluation(batch, 5, "{}", 2);
    sw_batch_delete_evaluation(batch, 3);
    assert_int_equal(commit(f, batch), 0);
    reopen_store(f);
    assert_stored(f, sw_store_each_evaluation, collect_evaluation, "5={};7={\"seventh\"};");
}

static void old_traces_expire(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    for (int i = 0; i < 4; i++) {
        sw_batch_put_reported(batch, "t", i % 2 == 0 ? "even" : "odd", i);
        sw_batch_put_judged(batch, "d", "tempo", i % 2 == 0 ? "even" : "odd", 7, i);
    }
    sw_batch_expire_reported(batch, 2);
    sw_batch_expire_judged(batch, 3);
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_reported, collect_reported, "t/even@2;t/odd@3;");
    assert_stored(f, sw_store_each_judged, collect_judged, "d@tempo/odd#7@3;");
}

static void check_state(const char *detector, int64_t version, const void *bytes, size_t len, void *arg) {
    assert_string_equal(detector, "detect");
    assert_int_equal(version, 3);
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "\x00\x01\x00\xff", 4);
    ++*(int *)arg;
}

static void a_detectors_state_is_kept_as_bytes(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_detector(batch, "detect", 2, "", 0);
    sw_batch_put_detector(batch, "detect", 3, "\x00\x01\x00\xff", 4);
    assert_int_equal(commit(f, batch), 0);
    int calls = 0;
    assert_int_equal(sw_store_each_detector(f->store, check_state, &calls), 0);
    assert_int_equal(calls, 1);
}

static void progress_is_that_of_a_detector_on_a_source(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_progress(batch, "detect", "tempo", 60);
    sw_batch_put_progress(batch, "detect", "otlp", 80);
    sw_batch_put_progress(batch, "detect", "tempo", 90);
    assert_int_equal(commit(f, batch), 0);
    reopen_store(f);
    assert_stored(f, sw_store_each_progress, collect_progress, "detect@otlp:80;detect@tempo:90;");
}

static sw_outbox_row row(sw_store *store, char *body, size_t len) {
    return (sw_outbox_row){.id = sw_store_next_outbox_id(store),
                           .receiver = "webhook",
                           .fingerprint = "f",
                           .idempotency_key = "k",
                           .content_type = "application/json",
                           .body = body,
                           .body_len = len,
                           .created_ns = 1,
                           .next_attempt_ns = 2,
                           .last_error = ""};
}

static void outbox_rows_come_back_in_order_and_ids_are_never_used_again(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_outbox_row first = row(f->store, "{}", 2), second = row(f->store, "{1}", 3);
    sw_batch_put_outbox(batch, &second);
    sw_batch_put_outbox(batch, &first);
    first.attempts = 4;
    first.dead = true;
    first.last_error = "it's \"gone\"";
    sw_batch_update_outbox(batch, &first);
    assert_int_equal(commit(f, batch), 0);
    reopen_store(f);
    assert_stored(f, sw_store_each_outbox, collect_outbox,
                  "1 webhook f k application/json [{}] 1 2 4 1 'it's \"gone\"';"
                  "2 webhook f k application/json [{1}] 1 2 0 0 '';");
    batch = sw_store_batch_new(f->store);
    sw_batch_delete_outbox(batch, 1);
    sw_batch_delete_outbox(batch, 2);
    assert_int_equal(commit(f, batch), 0);
    reopen_store(f);
    assert_stored(f, sw_store_each_outbox, collect_outbox, "");
    assert_int_equal(sw_store_next_outbox_id(f->store), 3);
}

static void collect_group(const sw_outbox_row *one, void *arg) {
    sw_buf_printf(arg, "%lld %d %d %d %s %s %lld;", (long long)one->id, one->resolved, one->severity,
                  one->combined, one->group_key != NULL ? one->group_key : "-",
                  one->group_labels != NULL ? one->group_labels : "-", (long long)one->group_interval_ms);
}

static void a_rows_group_is_kept(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_outbox_row alone = row(f->store, "{}", 2), grouped = row(f->store, "{}", 2);
    grouped.resolved = grouped.combined = true;
    grouped.severity = 2;
    grouped.group_key = "{service=\"a\"}";
    grouped.group_labels = "{\"service\":\"a\"}";
    grouped.group_interval_ms = 300000;
    sw_batch_put_outbox(batch, &alone);
    sw_batch_put_outbox(batch, &grouped);
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_outbox, collect_group,
                  "1 0 0 0 - - 0;2 1 2 1 {service=\"a\"} {\"service\":\"a\"} 300000;");
}

static void collect_notified(const char *receiver, const char *group_key, int64_t at_ns,
                             int64_t group_interval_ms, void *arg) {
    sw_buf_printf(arg, "%s %s %lld %lld;", receiver, group_key, (long long)(at_ns / 1000000000),
                  (long long)group_interval_ms);
}

static void what_went_out_is_remembered_for_an_hour_or_its_groups_interval(void **state) {
    struct fixture *f = *state;
    const int64_t second = 1000000000;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_notified(batch, "webhook", "", 1000 * second, 0);
    sw_batch_put_notified(batch, "webhook", "day", 900 * second, INT64_C(86400000));
    sw_batch_put_notified(batch, "webhook", "minute", 1001 * second, 60000);
    sw_batch_put_notified(batch, "other", "", 1000 * second, 0);
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_notified, collect_notified,
                  "webhook day 900 86400000;webhook  1000 0;other  1000 0;webhook minute 1001 60000;");
    batch = sw_store_batch_new(f->store);
    sw_batch_expire_notified(batch, "webhook", 4600 * second);
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_notified, collect_notified,
                  "webhook day 900 86400000;other  1000 0;webhook minute 1001 60000;");
}

static void collect_member(const char *receiver, const char *fingerprint, const char *group_key, void *arg) {
    sw_buf_printf(arg, "%s %s %s;", receiver, fingerprint, group_key);
}

static void members_of_groups_are_put_moved_and_deleted(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_group_member(batch, "webhook", "a", "G");
    sw_batch_put_group_member(batch, "webhook", "b", "G");
    sw_batch_put_group_member(batch, "other", "a", "H");
    sw_batch_put_group_member(batch, "webhook", "b", "H");
    sw_batch_delete_group_member(batch, "webhook", "a");
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_group_member, collect_member, "other a H;webhook b H;");
}

static void the_oldest_dead_letters_are_trimmed(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    for (int i = 0; i < 6; i++) {
        sw_outbox_row one = row(f->store, "", 0);
        one.dead = i != 2;
        one.receiver = i == 1 ? "other" : "webhook";
        sw_batch_put_outbox(batch, &one);
    }
    sw_batch_trim_dead(batch, "webhook", 2);
    assert_int_equal(commit(f, batch), 0);
    assert_stored(
        f, sw_store_each_outbox, collect_outbox,
        "2 other f k application/json [] 1 2 0 1 '';3 webhook f k application/json [] 1 2 0 0 '';"
        "5 webhook f k application/json [] 1 2 0 1 '';6 webhook f k application/json [] 1 2 0 1 '';");
    batch = sw_store_batch_new(f->store);
    sw_batch_trim_dead(batch, "webhook", 5);
    assert_int_equal(commit(f, batch), 0);
    assert_stored(
        f, sw_store_each_outbox, collect_outbox,
        "2 other f k application/json [] 1 2 0 1 '';3 webhook f k application/json [] 1 2 0 0 '';"
        "5 webhook f k application/json [] 1 2 0 1 '';6 webhook f k application/json [] 1 2 0 1 '';");
}

static void rows_loaded(sw_outbox_row *rows, int n, void *arg) {
    sw_buf *out = arg;
    sw_buf_printf(out, "%d:", n);
    for (int i = 0; i < n; i++) {
        sw_buf_printf(out, "%lld[%s]", (long long)rows[i].id, rows[i].body);
        sw_outbox_row_release(&rows[i]);
    }
    free(rows);
    sw_buf_append_char(out, ';');
}

static void rows_are_loaded_after_the_commits_before(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    for (int i = 0; i < 5; i++) {
        sw_outbox_row one = row(f->store, "x", 1);
        one.dead = i == 1;
        one.receiver = i == 2 ? "other" : "webhook";
        sw_batch_put_outbox(batch, &one);
    }
    sw_buf out;
    sw_buf_init(&out, 1000);
    sw_store_commit(f->store, batch, commit_ended, f);
    sw_store_load_outbox(f->store, "webhook", false, 0, 2, rows_loaded, &out);
    sw_store_load_outbox(f->store, "webhook", false, 4, 2, rows_loaded, &out);
    sw_store_load_outbox(f->store, "webhook", false, 5, 2, rows_loaded, &out);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_string_equal(out.data, "2:1[x]4[x];1:5[x];0:;");
    sw_buf_release(&out);
}

static void note_order(int result, const char *message, sw_store_batch *batch, void *arg) {
    (void)message;
    (void)batch;
    char *order = arg;
    size_t n = strlen(order);
    order[n] = (char)(result == 0 ? 'a' + (int)n : '!');
    order[n + 1] = '\0';
}

static void commits_end_in_the_order_of_their_start(void **state) {
    struct fixture *f = *state;
    char order[16] = "", value[2] = "0";
    for (int i = 0; i < 8; i++) {
        sw_store_batch *batch = sw_store_batch_new(f->store);
        value[0] = (char)('0' + i);
        sw_batch_put_alert(batch, "same", value, 1);
        sw_store_commit(f->store, batch, note_order, order);
    }
    assert_int_equal(sw_store_commits_waiting(f->store), 8);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(sw_store_commits_waiting(f->store), 0);
    assert_string_equal(order, "abcdefgh");
    assert_stored(f, sw_store_each_alert, collect_alert, "same=7;");
}

static void closing_writes_what_still_waits_and_calls_back(void **state) {
    struct fixture *f = *state;
    char order[16] = "";
    for (int i = 0; i < 3; i++) {
        sw_store_batch *batch = sw_store_batch_new(f->store);
        sw_batch_put_alert(batch, i == 0 ? "a" : i == 1 ? "b" : "c", "1", 1);
        sw_store_commit(f->store, batch, note_order, order);
    }
    sw_store_close(f->store); /* without running the loop */
    assert_string_equal(order, "abc");
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_string_equal(order, "abc");
    open_store(f);
    assert_stored(f, sw_store_each_alert, collect_alert, "a=1;b=1;c=1;");
}

static void note_end(sw_store_batch *batch, int result, void *arg) {
    (void)batch;
    sw_buf_printf(arg, "hook%d;", result);
}

static void note_commit(int result, const char *message, sw_store_batch *batch, void *arg) {
    (void)message;
    (void)batch;
    sw_buf_printf(arg, "done%d;", result);
}

static void who_added_to_a_batch_hears_how_it_ended(void **state) {
    struct fixture *f = *state;
    sw_buf out;
    sw_buf_init(&out, 1000);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_alert(batch, "a", "1", 1);
    sw_batch_on_end(batch, note_end, &out);
    sw_store_commit(f->store, batch, note_commit, &out);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    batch = sw_store_batch_new(f->store);
    sw_batch_on_end(batch, note_end, &out);
    sw_store_batch_free(batch);
    assert_string_equal(out.data, "hook0;done0;hook-2;");
    sw_buf_release(&out);
}

static void ten_thousand_rows_are_one_transaction(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    char id[33];
    for (int i = 0; i < 10000; i++) {
        snprintf(id, sizeof id, "%032x", i * 2654435761u);
        sw_batch_put_reported(batch, "high_latency", id, i);
    }
    sw_batch_expire_reported(batch, 9990);
    assert_int_equal(commit(f, batch), 0);
    sw_buf out;
    sw_buf_init(&out, 10000);
    assert_int_equal(sw_store_each_reported(f->store, collect_reported, &out), 0);
    assert_non_null(strstr(out.data, "@9990;"));
    assert_null(strstr(out.data, "@9989;"));
    sw_buf_release(&out);
}

/* The journal is copied and used again: it does not grow with what was ever written. */
static void the_journal_stays_small(void **state) {
    struct fixture *f = *state;
    char *json = xmalloc(100000);
    memset(json, 'x', 100000);
    for (int i = 0; i < 100; i++) {
        sw_store_batch *batch = sw_store_batch_new(f->store);
        sw_batch_put_alert(batch, "a", json, 100000);
        assert_int_equal(commit(f, batch), 0);
        uv_run(&f->loop, UV_RUN_DEFAULT);
    }
    free(json);
    assert_true(sw_store_size_bytes(f->store) > 100000);
    assert_true(sw_store_size_bytes(f->store) < 4 << 20);
}

static void folder_and_files_are_for_the_owner_only(void **state) {
    struct fixture *f = *state;
    char *warning = NULL, *error = NULL;
    char *folder = xasprintf("%s/new/below", f->folder);
    sw_store *store = sw_store_open(&f->loop, folder, &warning, &error);
    assert_non_null(store);
    static const char *const names[] = {"", "/spanwatch.db", "/spanwatch.db-wal", "/spanwatch.lock"};
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        char *path = xasprintf("%s%s", folder, names[i]);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, i == 0 ? 0700 : 0600);
        free(path);
    }
    sw_store_close(store);
    free(folder);
}

static void a_second_agent_on_the_folder_is_refused(void **state) {
    struct fixture *f = *state;
    char *warning = NULL, *error = NULL;
    assert_null(sw_store_open(&f->loop, f->folder, &warning, &error));
    char *expected = xasprintf("another spanwatch (pid %ld) uses %s: give each its own storage folder",
                               (long)getpid(), f->folder);
    assert_string_equal(error, expected);
    free(expected);
    free(error);
    close_store(f);
    open_store(f); /* free again */
}

static void a_folder_that_cannot_be_is_an_error_with_its_reason(void **state) {
    struct fixture *f = *state;
    char *warning = NULL, *error = NULL;
    char *folder = xasprintf("%s/spanwatch.db/below", f->folder);
    assert_null(sw_store_open(&f->loop, folder, &warning, &error));
    assert_non_null(strstr(error, "cannot create the storage folder"));
    assert_non_null(strstr(error, "Not a directory"));
    free(error);
    free(folder);
}

static char *find_aside(const char *folder) {
    char *command = xasprintf("ls %s/spanwatch.db.corrupt-* 2>/dev/null", folder);
    FILE *pipe = popen(command, "r");
    char line[512] = "";
    bool found = fgets(line, sizeof line, pipe) != NULL;
    pclose(pipe);
    free(command);
    line[strcspn(line, "\n")] = '\0';
    return found ? xstrdup(line) : NULL;
}

static void damage(const char *folder, off_t at, const char *bytes, size_t len) {
    char *path = xasprintf("%s/spanwatch.db", folder);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
    free(path);
}

static void a_damaged_database_is_set_aside(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) { /* the header; a page in the middle */
        sw_store_batch *batch = sw_store_batch_new(f->store);
        sw_batch_put_alert(batch, "a", "1", 1);
        assert_int_equal(commit(f, batch), 0);
        close_store(f);
        char garbage[512];
        memset(garbage, 0xa5, sizeof garbage);
        damage(f->folder, i == 0 ? 0 : 4096, garbage, sizeof garbage);
        char *warning = NULL, *error = NULL;
        f->store = sw_store_open(&f->loop, f->folder, &warning, &error);
        assert_null(error);
        assert_non_null(f->store);
        assert_non_null(strstr(warning, "set aside"));
        free(warning);
        assert_stored(f, sw_store_each_alert, collect_alert, "");
        char *aside = find_aside(f->folder);
        assert_non_null(aside);
        assert_int_equal(unlink(aside), 0);
        free(aside);
    }
}

#define NEWEST_SCHEMA "7"
/* What brings the newest schema back to the fourth one, to the first one. */
#define TO_FOURTH_SCHEMA                                                                                     \
    "DROP TABLE evaluation; DROP TABLE group_member; DROP TABLE progress;"                                   \
    "ALTER TABLE judged DROP COLUMN source;"                                                                 \
    "ALTER TABLE detector ADD COLUMN judged_until_s INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = 4;"
#define TO_FIRST_SCHEMA                                                                                      \
    TO_FOURTH_SCHEMA                                                                                         \
    "DROP TABLE silence; DROP TABLE flaps; DROP TABLE notified; ALTER TABLE outbox DROP COLUMN resolved;"    \
    "ALTER TABLE outbox DROP COLUMN severity; ALTER TABLE outbox DROP COLUMN combined;"                      \
    "ALTER TABLE outbox DROP COLUMN group_key; ALTER TABLE outbox DROP COLUMN group_labels;"                 \
    "ALTER TABLE outbox DROP COLUMN group_interval_ms; PRAGMA user_version = 1;"

static void run_sql(struct fixture *f, const char *sql) {
    char *path = xasprintf("%s/spanwatch.db", f->folder);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    free(path);
}

static void a_database_of_the_first_schema_is_upgraded_and_kept(void **state) {
    struct fixture *f = *state;
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_alert(batch, "a", "1", 1);
    sw_outbox_row waiting = row(f->store, "{}", 2);
    sw_batch_put_outbox(batch, &waiting);
    assert_int_equal(commit(f, batch), 0);
    close_store(f);
    run_sql(f, TO_FIRST_SCHEMA);
    open_store(f);
    assert_stored(f, sw_store_each_outbox, collect_outbox, "1 webhook f k application/json [{}] 1 2 0 0 '';");
    batch = sw_store_batch_new(f->store);
    sw_batch_put_silence(batch, "one", "1", 1);
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_alert, collect_alert, "a=1;");
    assert_stored(f, sw_store_each_silence, collect_alert, "one=1;");
}

static void upgrade_with_progress(struct fixture *f, const char *sources, const char *progress,
                                  const char *judged) {
    close_store(f);
    char *sql =
        xasprintf(TO_FOURTH_SCHEMA
                  "INSERT INTO detector VALUES ('detect', 1, x'80', 300);"
                  "INSERT INTO judged (detector, trace_id, digest, at_ns) VALUES ('detect', 't1', 7, 8);%s",
                  sources);
    run_sql(f, sql);
    free(sql);
    open_store(f);
    assert_stored(f, sw_store_each_progress, collect_progress, progress);
    assert_stored(f, sw_store_each_judged, collect_judged, judged);
}

/* Progress was kept by detector alone: it is that of the source which was watched last. */
static void progress_of_the_fourth_schema_belongs_to_the_source_that_was(void **state) {
    upgrade_with_progress(
        *state, "INSERT INTO source VALUES ('tempo', 10, 100); INSERT INTO source VALUES ('otlp', 10, 300);",
        "detect@otlp:300;", "detect@otlp/t1#7@8;");
}

static void progress_of_the_fourth_schema_without_a_source_is_tempos(void **state) {
    upgrade_with_progress(*state, "", "detect@tempo:300;", "detect@tempo/t1#7@8;");
}

static void a_newer_schema_is_refused_and_kept(void **state) {
    struct fixture *f = *state;
    close_store(f);
    run_sql(f, "PRAGMA user_version = 9999");
    char *warning = NULL, *error = NULL;
    assert_null(sw_store_open(&f->loop, f->folder, &warning, &error));
    assert_non_null(strstr(error, "newer spanwatch"));
    assert_null(warning);
    free(error);
    run_sql(f, "PRAGMA user_version = " NEWEST_SCHEMA);
    open_store(f);
}

/* Files cannot grow: what a full disk looks like. */
static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_full_disk_leaves_nothing_of_a_batch_and_gives_it_back(void **state) {
    struct fixture *f = *state;
    signal(SIGXFSZ, SIG_IGN);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_alert(batch, "before", "1", 1);
    assert_int_equal(commit(f, batch), 0);

    sw_buf out;
    sw_buf_init(&out, 1000);
    char *json = xcalloc(1, 1000000);
    memset(json, 'x', 999999);
    batch = sw_store_batch_new(f->store);
    sw_batch_put_alert(batch, "small", "1", 1);
    sw_batch_put_alert(batch, "large", json, 999999);
    sw_batch_on_end(batch, note_end, &out);
    limit_files(500000);
    int result = commit(f, batch);
    limit_files(RLIM_INFINITY);
    assert_int_equal(result, -1);
    assert_non_null(strstr(f->message, "cannot write to"));
    assert_non_null(strstr(f->message, "spanwatch.db"));
    assert_non_null(f->returned);
    assert_stored(f, sw_store_each_alert, collect_alert, "before=1;");

    assert_int_equal(commit(f, f->returned), 0); /* the same content, when there is room again */
    assert_string_equal(out.data, "hook-1;");    /* hooks are for one commit */
    reopen_store(f);
    batch = sw_store_batch_new(f->store);
    sw_batch_delete_alert(batch, "large");
    assert_int_equal(commit(f, batch), 0);
    assert_stored(f, sw_store_each_alert, collect_alert, "before=1;small=1;");
    free(json);
    sw_buf_release(&out);
}

static void a_database_that_somebody_holds_is_an_error_that_passes(void **state) {
    struct fixture *f = *state;
    char *path = xasprintf("%s/spanwatch.db", f->folder);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    sw_batch_put_alert(batch, "a", "1", 1);
    assert_int_equal(commit(f, batch), -1);
    assert_non_null(strstr(f->message, "locked"));
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(commit(f, f->returned), 0);
    assert_stored(f, sw_store_each_alert, collect_alert, "a=1;");
    sqlite3_close(db);
    free(path);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        STORE_TEST(what_was_committed_is_there_after_a_restart),
        STORE_TEST(a_later_put_replaces_and_a_delete_removes),
        STORE_TEST(old_traces_expire),
        STORE_TEST(a_detectors_state_is_kept_as_bytes),
        STORE_TEST(progress_is_that_of_a_detector_on_a_source),
        STORE_TEST(outbox_rows_come_back_in_order_and_ids_are_never_used_again),
        STORE_TEST(a_rows_group_is_kept),
        STORE_TEST(what_went_out_is_remembered_for_an_hour_or_its_groups_interval),
        STORE_TEST(members_of_groups_are_put_moved_and_deleted),
        STORE_TEST(the_oldest_dead_letters_are_trimmed),
        STORE_TEST(rows_are_loaded_after_the_commits_before),
        STORE_TEST(commits_end_in_the_order_of_their_start),
        STORE_TEST(closing_writes_what_still_waits_and_calls_back),
        STORE_TEST(who_added_to_a_batch_hears_how_it_ended),
        STORE_TEST(ten_thousand_rows_are_one_transaction),
        STORE_TEST(the_journal_stays_small),
        STORE_TEST(folder_and_files_are_for_the_owner_only),
        STORE_TEST(a_second_agent_on_the_folder_is_refused),
        STORE_TEST(a_folder_that_cannot_be_is_an_error_with_its_reason),
        STORE_TEST(a_damaged_database_is_set_aside),
        STORE_TEST(a_newer_schema_is_refused_and_kept),
        STORE_TEST(a_database_of_the_first_schema_is_upgraded_and_kept),
        STORE_TEST(progress_of_the_fourth_schema_belongs_to_the_source_that_was),
        STORE_TEST(progress_of_the_fourth_schema_without_a_source_is_tempos),
        STORE_TEST(silences_are_put_and_deleted),
        STORE_TEST(states_of_alerts_that_are_gone_are_put_and_deleted),
        STORE_TEST(evaluations_are_put_and_deleted_and_come_by_id),
        STORE_TEST(a_full_disk_leaves_nothing_of_a_batch_and_gives_it_back),
        STORE_TEST(a_database_that_somebody_holds_is_an_error_that_passes),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
