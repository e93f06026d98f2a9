/* What the files of src/store share: the connection, the batch as a list of packed operations, and errors. */
#ifndef SW_STORE_STORE_INTERNAL_H
#define SW_STORE_STORE_INTERNAL_H

#include <sqlite3.h>

#include "base/buf.h"
#include "store/store.h"

typedef enum sw_op {
    SW_OP_PUT_ALERT,
    SW_OP_DELETE_ALERT,
    SW_OP_PUT_REPORTED,
    SW_OP_EXPIRE_REPORTED,
    SW_OP_PUT_JUDGED,
    SW_OP_EXPIRE_JUDGED,
    SW_OP_PUT_DETECTOR,
    SW_OP_PUT_PROGRESS,
    SW_OP_PUT_SOURCE,
    SW_OP_PUT_COUNTER,
    SW_OP_PUT_OUTBOX,
    SW_OP_UPDATE_OUTBOX,
    SW_OP_DELETE_OUTBOX,
    SW_OP_TRIM_DEAD,
    SW_OP_PUT_SILENCE,
    SW_OP_DELETE_SILENCE,
    SW_OP_PUT_FLAPS,
    SW_OP_DELETE_FLAPS,
    SW_OP_PUT_NOTIFIED,
    SW_OP_EXPIRE_NOTIFIED,
    SW_OP_PUT_GROUP_MEMBER,
    SW_OP_DELETE_GROUP_MEMBER,
    SW_OP_PUT_EVALUATION,
    SW_OP_DELETE_EVALUATION,
    SW_OP_COUNT,
} sw_op;

struct sw_batch_hook {
    void (*ended)(sw_store_batch *batch, int result, void *arg);
    void *arg;
};

/* Operations one after the other in one buffer: a byte for the kind, then its arguments as the signature in
 * batch.c says (8 bytes for a number; 8 bytes of length, the bytes and a NUL for a text). */
struct sw_store_batch {
    sw_buf ops;
    struct sw_batch_hook *hooks;
    size_t n_hooks;
};

#define SW_STORE_MESSAGE 512

typedef struct sw_store_job sw_store_job;

struct sw_store {
    uv_loop_t *loop;
    char *folder;
    char *path;
    int lock_fd;
    sqlite3 *db;
    sqlite3_stmt *statements[SW_OP_COUNT]; /* prepared when first used */
    int64_t next_outbox_id;
    bool in_memory;       /* memory.c; belongs to the loop's thread */
    uint64_t returned_ms; /* the loop's time when that was last tried */
    int wal_pages;        /* in the journal after the last commit; read and written by whoever runs a job */
    /* Jobs run one at a time on the pool; the queue belongs to the loop's thread. */
    sw_store_job *running, *first, *last;
    size_t commits_waiting;
    uv_mutex_t mutex;
    uv_cond_t executed;
};

/* batch.c: runs all operations in one transaction. 0, or -1 with a message and nothing done. */
int sw_batch_execute(sw_store *store, const sw_store_batch *batch, char message[SW_STORE_MESSAGE]);
void sw_batch_call_hooks(sw_store_batch *batch, int result);
void sw_store_finalize_statements(sw_store *store);

/* store.c: opens the file and sets the connection up. SQLite's code, and a message; connected only when 0. */
int sw_store_connect(sw_store *store, char message[SW_STORE_MESSAGE]);
void sw_store_disconnect(sw_store *store);

/* memory.c. Whether what failed is a disk that cannot be written; `error` is the system's. */
bool sw_memory_helps(int code, int error);
/* SQLite's code, and a message, to which `message` says why it was not opened on disk. */
int sw_memory_open(sw_store *store, char message[SW_STORE_MESSAGE]);
/* Now and then, while it is in memory. */
bool sw_memory_wants_to_return(sw_store *store);
/* Writes all of it to the disk: 0, or -1 with a message, and it stays in memory. On the pool. */
int sw_memory_return(sw_store *store, char message[SW_STORE_MESSAGE]);

/* schema.c: how a connection works; SQLite's code, and a message. */
int sw_store_set_up(sw_store *store, char message[SW_STORE_MESSAGE]);
/* Brings the schema of a connection to this version. SQLite's code, and a message. */
int sw_store_prepare(sw_store *store, char message[SW_STORE_MESSAGE]);
/* "cannot WHAT PATH: REASON", with the system's reason where there is one. */
void sw_store_describe(sw_store *store, const char *what, char message[SW_STORE_MESSAGE]);

/* read.c */
int sw_store_read_outbox(sw_store *store, const char *receiver, bool dead, int64_t after_id, int limit,
                         sw_outbox_row **rows);

#endif
