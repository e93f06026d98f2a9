/*
 * What the files of the worker share. `sw_worker` is reached from every C function that Lua calls through
 * sw_worker_of(L).
 *
 * Nothing that a longjmp would lose: what outlives a raise (the frame being written, buffers) belongs to the
 * sw_worker, everything else is on the Lua stack.
 */
#ifndef SW_WORKER_INTERNAL_H
#define SW_WORKER_INTERNAL_H

#include <lauxlib.h>
#include <lua.h>

#include "protocol/frame.h"
#include "protocol/sources.h"
#include "protocol/wire.h"
#include "worker/limits.h"

#define SW_WORKER_MAX_ERROR 4096 /* bytes of an error message or a traceback */
#define SW_WORKER_MAX_DEPTH 56   /* of plain values */
#define SW_WORKER_MAX_STATE ((size_t)4 << 20)
#define SW_WORKER_MAX_VALUES ((size_t)500000) /* in a state, a configuration, or all findings of a call */
#define SW_WORKER_MAX_FINDINGS 10000
#define SW_WORKER_MAX_METRICS 200   /* per call */
#define SW_WORKER_MAX_LOGS 200      /* lines per call; the rest is counted */
#define SW_WORKER_MAX_LOG_TEXT 2048 /* bytes of a log message or field; the rest is cut */
#define SW_WORKER_MAX_LOG_FIELDS 32
#define SW_WORKER_MAX_EXPLAINED 200 /* lines of ctx.explain per call; one more says that there was more */
#define SW_WORKER_MAX_EXPLAINED_TEXT 1024
#define SW_CONTENT_TYPE_SIZE 128

typedef enum sw_error_kind {
    SW_ERROR_RUNTIME,
    SW_ERROR_SYNTAX,
    SW_ERROR_SHAPE,
    SW_ERROR_MEMORY,
    SW_ERROR_CPU,
    SW_ERROR_BYTECODE,
} sw_error_kind;

typedef struct sw_worker {
    int fd;
    bool sandboxed;
    bool closed; /* the host is gone */
    bool spent;  /* ran out of memory or time: nothing more is run here */
    sw_frame_reader reader;
    sw_frame_writer reply; /* of the call under way */
    sw_frame_writer side;  /* ASK and LOG */
    uint64_t ask_sequence;
    lua_State *L; /* NULL until the first call */
    sw_limits limits;
    size_t memory_settled; /* memory_used when garbage was last collected */

    sw_error_kind kind;      /* of the last error that has one, */
    char kind_message[1024]; /* which begins like this */
    char message[SW_WORKER_MAX_ERROR];
    char traceback[SW_WORKER_MAX_ERROR];

    /* The call under way. */
    bool dry;        /* a trial: nothing leaves the worker */
    bool explaining; /* the reply says what was found, and why; else it is as dry */
    double now;      /* unix seconds; 0: the system's */
    char source[16]; /* the window's; "" when it has none that is known */
    unsigned logged; /* lines */

    /* The detector, after LOAD. Values live in the registry. */
    bool loaded;
    msgpack_sbuffer config;     /* effective, MessagePack */
    msgpack_sbuffer state;      /* as of the last reply */
    msgpack_sbuffer next_state; /* of the reply that is being made */

    /* The format, after the first FORMAT. */
    bool formats;
    char content_type[SW_CONTENT_TYPE_SIZE];
} sw_worker;

static inline sw_worker *sw_worker_of(lua_State *L) {
    return *(sw_worker **)lua_getextraspace(L);
}

/* protect.c: the one entry into Lua. Runs body(L) with `arg` as light userdata at index 1, under the limits.
 * 0, or -1 with kind, message and traceback filled in. */
int sw_protected(sw_worker *worker, lua_CFunction body, void *arg);
/* Raises an error of kind shape; the message is not given a position. */
int sw_shape_error(lua_State *L, const char *format, ...) SW_PRINTF(2, 3);
/* Raises what a memory error is when C caught it. */
int sw_memory_error(lua_State *L);
/* Loads text as a function. Raises with kind syntax or bytecode. */
void sw_load_text(lua_State *L, const char *source, size_t len, const char *path);
const char *sw_error_kind_name(sw_error_kind kind);

/* channel.c: the socket. */
int sw_channel_read(sw_worker *worker, const char **body, size_t *len); /* 1, or 0 at the end; -1: nonsense */
int sw_channel_send(sw_worker *worker, sw_frame_writer *writer, size_t max);
/* After sw_channel_ask_begin() pack one map of arguments into worker->side; end sends it, waits, and pushes
 * `value`, or nil, message, code. Gives the number of values pushed. */
void sw_channel_ask_begin(sw_worker *worker, const char *op);
int sw_channel_ask_end(sw_worker *worker, lua_State *L);
/* `fields` is the stack index of a map of text, or 0. */
void sw_channel_log(sw_worker *worker, lua_State *L, const char *level, const char *message, size_t len,
                    int fields);
void sw_channel_log_dropped(sw_worker *worker); /* at the end of a call: how many were over the cap */
void sw_channel_log_plain(sw_worker *worker, const char *level, const char *message);
/* Text as UTF-8 without NUL, cut to `max` bytes: what is not becomes '?'. */
void sw_pack_text(msgpack_packer *pk, const char *text, size_t len, size_t max);

/* values.c: plain values, between MessagePack and Lua. */
typedef struct sw_values_writer {
    msgpack_packer *packer;
    const msgpack_sbuffer *bytes;
    const char *what; /* names the root in messages: "state" */
    size_t max_bytes; /* of what is packed here */
    size_t values_left;
    size_t start;
} sw_values_writer;
/* Pushes one value; raises when the bytes are not one. */
void sw_values_push(lua_State *L, sw_cursor *cursor);
void sw_values_begin(sw_values_writer *writer, msgpack_packer *packer, const msgpack_sbuffer *bytes,
                     const char *what);
/* Packs the value at index; raises (shape) when it is not plain or too large. Metatables are ignored. */
void sw_values_pack(lua_State *L, int index, sw_values_writer *writer);
/* Pushes a deep copy of the value at index, made through MessagePack; raises as sw_values_pack(). */
void sw_values_copy(lua_State *L, int index, const char *what);
/* Replaces *out with the value at index, packed; *out is unchanged when this raises. */
void sw_values_store(lua_State *L, int index, const char *what, msgpack_sbuffer *out);
/* Pushes an empty buffer that belongs to the Lua stack: a raise does not lose it. Free it early when it is
 * done. */
msgpack_sbuffer *sw_scratch_push(lua_State *L);
void sw_scratch_free(msgpack_sbuffer *scratch);
/* True when the table at index has keys 1..n, n >= 1. */
bool sw_values_is_list(lua_State *L, int index, size_t *n);

/* environment.c: a state with everything that scripts see. */
lua_State *sw_environment_new(sw_worker *worker);
int sw_environment_open(lua_State *L); /* run protected, once */
/* Pushes a `require` with a cache of its own that runs modules in the environment at the top of the stack
 * (popped). */
void sw_environment_push_require(lua_State *L);
/* coroutines.c: pcall, xpcall, and the coroutine library. */
void sw_coroutines_open(lua_State *L);
/* json.c: pushes the table `json`. */
void sw_json_push(lua_State *L);

/* context.c: what ctx holds besides window, state, config and now. */
void sw_context_open(lua_State *L); /* once */
void sw_context_push(lua_State *L); /* a new ctx with log, metric, explain, search, trace, tempo and http */
void sw_context_push_metrics(lua_State *L); /* list of what ctx.metric took since reset */
void sw_context_reset(lua_State *L);
void sw_context_set_log_sink(
    lua_State *L); /* log lines are appended to the table at the top (popped); nil: sent */
void sw_context_explain(
    lua_State *L); /* lines of ctx.explain are appended to the table at the top (popped); nil: dropped */
void sw_context_pack_explained(lua_State *L, msgpack_packer *pk); /* them, as an array */
/* options.c: checks the options of a host function (argument 1) and packs them as its arguments. */
void sw_options_pack(lua_State *L, const char *op, msgpack_packer *pk);
/* Gives the table at index the methods of a window. */
void sw_window_dress(lua_State *L, int index);

/* detector.c: reads what a script returned. */
typedef struct sw_description {
    char name[128];
    double every_s;
    bool revisions;
    unsigned sources; /* that it is called for, as a set */
    bool wants_errors, wants_series;
    double wants_min_duration_ms;
    int64_t state_version;
} sw_description;
/* The detector's table is at `table`, the configuration to merge over its defaults at `config` (0: none).
 * Raises (shape). Pushes the effective configuration. */
void sw_detector_describe(lua_State *L, int table, int config, const char *path, sw_description *out);
/* Pushes the state to begin with: from the one at index `state` (nil: none) of `version`. True when
 * migrate() made it. */
bool sw_detector_take_state(lua_State *L, int table, int state, int64_t version,
                            const sw_description *description);
/* The results of check() are the two values at `first`: true and nothing, or false with *reason (on the Lua
 * stack) when it cannot tell. Raises (shape) when it is neither. */
bool sw_detector_judged(lua_State *L, int first, const char **reason);

/* finding.c: checks the list at index and packs it as an array of findings. Raises (shape). */
void sw_findings_pack(lua_State *L, int index, msgpack_packer *pk);

/* For the calls: replaces the stack with the table of the payload; runs the source in it and leaves what that
 * returned, and gives its path (on the stack too). */
void sw_push_payload(lua_State *L);
const char *sw_run_source(lua_State *L);
/* The calls: bodies for sw_protected(); the argument is the cursor at the payload. Each packs its reply's
 * pairs. */
int sw_call_load(lua_State *L);
int sw_call_check(lua_State *L);
int sw_call_config(lua_State *L);
int sw_call_test(lua_State *L);

#endif
