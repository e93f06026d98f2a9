#include "worker/worker.h"

#include <malloc.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "worker/format.h"
#include "worker/internal.h"
#include "worker/sandbox.h"
#include "worker/test_call.h"

#define DEFAULT_MEMORY ((size_t)64 << 20)
#define LEAST_MEMORY ((size_t)1 << 20)
#define MOST_MEMORY ((size_t)8 << 30)
#define DEFAULT_CPU_MS 500
#define MOST_CPU_MS 3600000
/* Garbage is collected at the end of a call that left this much more than twice what was left the last time.
 */
#define SETTLE_SLACK ((size_t)128 << 10)
/* After a frame of this size freed memory goes back to the kernel. */
#define TRIM_FRAME ((size_t)64 << 10)

static void reply_begin(sw_worker *worker, uint64_t sequence) {
    sw_frame_writer_release(&worker->reply);
    sw_frame_begin(&worker->reply, SW_FRAME_REPLY, sequence);
}

static void pack_error(sw_worker *worker, uint64_t sequence, const char *kind, const char *message,
                       const char *traceback) {
    reply_begin(worker, sequence);
    msgpack_packer *pk = &worker->reply.packer;
    msgpack_pack_map(pk, 2);
    sw_pack_key_bool(pk, "ok", false);
    sw_pack_str(pk, "error");
    msgpack_pack_map(pk, 3);
    sw_pack_key_str(pk, "kind", kind);
    sw_pack_str(pk, "message");
    sw_pack_text(pk, message, strlen(message), SW_WORKER_MAX_ERROR);
    sw_pack_str(pk, "traceback");
    sw_pack_text(pk, traceback, strlen(traceback), SW_WORKER_MAX_ERROR);
}

static void pack_usage(sw_worker *worker) {
    msgpack_packer *pk = &worker->reply.packer;
    sw_pack_str(pk, "usage");
    msgpack_pack_map(pk, 3);
    sw_pack_key_int(pk, "memory_bytes", (int64_t)worker->limits.memory_used);
    sw_pack_key_int(pk, "memory_peak_bytes", (int64_t)worker->limits.memory_peak);
    sw_pack_key_int(pk, "cpu_us", sw_limits_cpu_us(&worker->limits));
}

static void reply_send(sw_worker *worker, uint64_t sequence) {
    if (sw_channel_send(worker, &worker->reply, SW_FRAME_MAX_TO_HOST) != 0 && !worker->closed) {
        pack_error(worker, sequence, "shape", "the reply is larger than 16 MiB", "");
        sw_channel_send(worker, &worker->reply, SW_FRAME_MAX_TO_HOST);
    }
    sw_frame_writer_release(&worker->reply);
}

static double limit_of(const sw_cursor *payload, const char *name, double fallback, double least,
                       double most) {
    sw_cursor limits;
    double value = fallback;
    if (sw_wire_find(payload, "limits", &limits)) {
        sw_wire_number(&limits, name, &value);
    }
    return value < least || isnan(value) ? least : value > most ? most : value;
}

/* The one lua_State of this process, for the first call. */
static int open_state(sw_worker *worker, const sw_cursor *payload) {
    size_t memory = (size_t)limit_of(payload, "memory_bytes", (double)DEFAULT_MEMORY, (double)LEAST_MEMORY,
                                     (double)MOST_MEMORY);
    int64_t cpu_ms = (int64_t)limit_of(payload, "cpu_ms", DEFAULT_CPU_MS, 1, MOST_CPU_MS);
    sw_limits_set(&worker->limits, memory, cpu_ms);
    if (worker->sandboxed) {
        sw_sandbox_limit_memory(memory);
    }
    worker->L = sw_environment_new(worker);
    if (worker->L == NULL) {
        return -1;
    }
    return sw_protected(worker, sw_environment_open, NULL);
}

static int collect(lua_State *L) {
    lua_gc(L, LUA_GCCOLLECT);
    return 0;
}

/* Finalizers run in here too, so it is part of the call. */
static void settle(sw_worker *worker, bool always) {
    if (always || worker->limits.memory_used > 2 * worker->memory_settled + SETTLE_SLACK) {
        sw_protected(worker, collect, NULL);
        worker->memory_settled = worker->limits.memory_used;
    }
}

static void pack_failure(sw_worker *worker, uint64_t sequence) {
    pack_error(worker, sequence, sw_error_kind_name(worker->kind), worker->message, worker->traceback);
}

/* LOAD, CONFIG, TEST and the first FORMAT: each needs a state that nothing ran in yet. */
static void first_call(sw_worker *worker, uint64_t sequence, lua_CFunction body, sw_cursor *payload) {
    if (worker->L != NULL) {
        pack_error(worker, sequence, "runtime", "this worker has a script already", "");
        return;
    }
    if (open_state(worker, payload) != 0 || sw_protected(worker, body, payload) != 0) {
        pack_failure(worker, sequence);
        return;
    }
    if (body == sw_call_test && sw_run_tests(worker) != 0) {
        pack_failure(worker, sequence);
        return;
    }
    settle(worker, true);
}

/* The state that the reply carries is what the next call begins with. */
static void keep_state(sw_worker *worker) {
    msgpack_sbuffer old = worker->state;
    worker->state = worker->next_state;
    worker->next_state = old;
    sw_scratch_free(&worker->next_state);
}

static void check(sw_worker *worker, uint64_t sequence, sw_cursor *payload) {
    if (!worker->loaded || worker->spent) {
        pack_error(worker, sequence, "runtime",
                   worker->spent ? "this worker ran into a limit before; start another"
                                 : "no detector is loaded",
                   "");
        return;
    }
    int failed = sw_protected(worker, sw_call_check, payload);
    if (failed) {
        pack_failure(worker, sequence);
        return;
    }
    if (worker->dry && !worker->explaining) {
        reply_begin(worker, sequence);
        msgpack_pack_map(&worker->reply.packer, 2);
        sw_pack_key_bool(&worker->reply.packer, "ok", true);
        sw_scratch_free(&worker->next_state);
    } else if (!worker->dry) {
        keep_state(worker);
    }
    pack_usage(worker);
    settle(worker, false);
}

static void format(sw_worker *worker, uint64_t sequence, sw_cursor *payload) {
    if (worker->L == NULL) {
        first_call(worker, sequence, sw_call_format, payload);
    } else if (!worker->formats || worker->spent) {
        pack_error(
            worker, sequence, "runtime",
            worker->spent ? "this worker ran into a limit before; start another" : "no format is loaded", "");
    } else if (sw_protected(worker, sw_call_format, payload) != 0) {
        pack_failure(worker, sequence);
    } else {
        settle(worker, false);
    }
}

static void serve(sw_worker *worker, int kind, uint64_t sequence, sw_cursor *payload) {
    worker->dry = worker->explaining = false;
    worker->now = 0;
    worker->logged = 0;
    reply_begin(worker, sequence);
    switch (kind) {
    case SW_FRAME_LOAD:
        first_call(worker, sequence, sw_call_load, payload);
        break;
    case SW_FRAME_CHECK:
        check(worker, sequence, payload);
        break;
    case SW_FRAME_CONFIG:
        first_call(worker, sequence, sw_call_config, payload);
        break;
    case SW_FRAME_TEST:
        first_call(worker, sequence, sw_call_test, payload);
        break;
    case SW_FRAME_FORMAT:
        format(worker, sequence, payload);
        break;
    default:
        pack_error(worker, sequence, "runtime", "this worker does not know this call", "");
        break;
    }
    sw_channel_log_dropped(worker);
    reply_send(worker, sequence);
}

static void say_ready(sw_worker *worker, const sw_buf *warnings) {
    sw_frame_begin(&worker->side, SW_FRAME_READY, 0);
    msgpack_packer *pk = &worker->side.packer;
    size_t n = 0;
    for (size_t i = 0; i < warnings->len; i++) {
        n += warnings->data[i] == '\n' ? 1 : 0;
    }
    msgpack_pack_map(pk, 2);
    sw_pack_key_str(pk, "version", SW_VERSION);
    sw_pack_str(pk, "warnings");
    msgpack_pack_array(pk, n);
    const char *line = warnings->data;
    for (; n > 0; n--) {
        size_t len = strcspn(line, "\n");
        sw_pack_text(pk, line, len, SW_WORKER_MAX_LOG_TEXT);
        line += len + 1;
    }
    sw_channel_send(worker, &worker->side, SW_FRAME_MAX_TO_HOST);
    sw_frame_writer_release(&worker->side);
}

static void start(sw_worker *worker, int fd, bool sandbox) {
    /* Large blocks go back to the kernel when they are freed, however large the last one was. */
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    worker->fd = fd;
    worker->sandboxed = sandbox;
    sw_frame_reader_init(&worker->reader, SW_FRAME_MAX_TO_WORKER);
    sw_buf warnings;
    sw_buf_init(&warnings, 4096);
    if (sw_limits_init(&worker->limits) != 0) {
        sw_buf_append_str(&warnings, "no CPU timer: only the host's deadline ends a loop\n");
    }
    if (sandbox) {
        sw_sandbox_enter(fd, &warnings);
    }
    say_ready(worker, &warnings);
    sw_buf_release(&warnings);
    malloc_trim(0);
}

int sw_worker_run(int fd, bool sandbox) {
    static sw_worker worker; /* one per process, as its timer is */
    start(&worker, fd, sandbox);
    int result = 0;
    while (!worker.closed && result == 0) {
        const char *body, *why;
        size_t len;
        int kind;
        uint64_t sequence;
        sw_cursor payload;
        int got = sw_channel_read(&worker, &body, &len);
        if (got == 1 && sw_wire_open(body, len, &kind, &sequence, &payload, &why) == 0) {
            serve(&worker, kind, sequence, &payload);
        } else if (got != 0) {
            result = 1;
        }
        if (got == 1 && len > TRIM_FRAME) {
            sw_frame_reader_drop(&worker.reader);
            malloc_trim(0);
        }
    }
    sw_frame_reader_release(&worker.reader);
    sw_scratch_free(&worker.config);
    sw_scratch_free(&worker.state);
    close(fd);
    return result;
}
