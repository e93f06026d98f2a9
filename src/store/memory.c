/*
 * A database that cannot be written when the agent starts (disk full, read-only) is taken into memory, as far
 * as it can be read. From then on everything works there, and is written back as a whole as soon as that is
 * possible: an agent that tells alerts and may forget them is worth more than none.
 */
#include "store/store_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RETURN_EVERY_MS 5000

bool sw_memory_helps(int code, int error) {
    return code == SQLITE_FULL || code == SQLITE_READONLY || error == ENOSPC || error == EROFS ||
           error == EDQUOT || error == EFBIG || error == EIO;
}

/* All of one database over another, or nothing. */
static int copy(sqlite3 *to, sqlite3 *from) {
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (backup == NULL) {
        return sqlite3_errcode(to);
    }
    int code = sqlite3_backup_step(backup, -1);
    int finished = sqlite3_backup_finish(backup);
    return code == SQLITE_DONE ? finished : code;
}

/* With what a URI takes for something else (https://www.sqlite.org/uri.html) percent-encoded. Caller frees.
 */
static char *uri_of(const char *path, const char *way) {
    sw_buf uri;
    sw_buf_init(&uri, SIZE_MAX / 4);
    sw_buf_append_str(&uri, "file:");
    for (const char *at = path; *at != '\0'; at++) {
        if (strchr("%?#", *at) != NULL) {
            sw_buf_printf(&uri, "%%%02X", (unsigned)*at);
        } else {
            sw_buf_append_char(&uri, *at);
        }
    }
    sw_buf_printf(&uri, "?%s", way);
    return sw_buf_steal(&uri, NULL);
}

/* immutable: a journal cannot even be looked for where no file can be made. Without it first, so that what is
 * in a journal that is there counts. */
static int copy_what_is_there(sqlite3 *memory, const char *path) {
    static const char *const ways[] = {"mode=ro", "immutable=1"};
    int code = SQLITE_CANTOPEN;
    for (size_t i = 0; code != SQLITE_OK && i < SW_ARRAY_LEN(ways); i++) {
        char *uri = uri_of(path, ways[i]);
        sqlite3 *disk = NULL;
        code = sqlite3_open_v2(uri, &disk, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL);
        code = code == SQLITE_OK ? copy(memory, disk) : code;
        sqlite3_close(disk);
        free(uri);
    }
    return code;
}

int sw_memory_open(sw_store *store, char message[SW_STORE_MESSAGE]) {
    char why_not_on_disk[SW_STORE_MESSAGE];
    memcpy(why_not_on_disk, message, sizeof why_not_on_disk);
    int code = sqlite3_open_v2(":memory:", &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
    if (code == SQLITE_OK) {
        code = copy_what_is_there(store->db, store->path);
    }
    if (code == SQLITE_OK) {
        code = sw_store_prepare(store, message);
    }
    if (code != SQLITE_OK) {
        snprintf(message, SW_STORE_MESSAGE, "%.*s; and it cannot be read: %s", SW_STORE_MESSAGE / 2,
                 why_not_on_disk, sqlite3_errstr(code));
        sw_store_disconnect(store);
        return code;
    }
    store->in_memory = true;
    store->returned_ms = uv_now(store->loop);
    return SQLITE_OK;
}

bool sw_memory_wants_to_return(sw_store *store) {
    if (!store->in_memory || uv_now(store->loop) - store->returned_ms < RETURN_EVERY_MS) {
        return false;
    }
    store->returned_ms = uv_now(store->loop);
    return true;
}

/* The schema on disk does not matter, nor what it holds: all of it came into memory, and is written over. */
int sw_memory_return(sw_store *store, char message[SW_STORE_MESSAGE]) {
    sqlite3 *memory = store->db;
    sw_store_finalize_statements(store);
    store->db = NULL;
    int code = sw_store_connect(store, message);
    if (code == SQLITE_OK) {
        code = copy(store->db, memory);
        if (code != SQLITE_OK) {
            sw_store_describe(store, "write to", message);
        }
    }
    if (code != SQLITE_OK) {
        sw_store_disconnect(store);
        store->db = memory;
        return -1;
    }
    sqlite3_close(memory);
    return 0;
}
