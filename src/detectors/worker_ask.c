/* Host functions that a script calls, and its log lines. */
#include "detectors/worker_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "telemetry/log.h"

#define OP_MAX 64
#define LOG_TEXT_MAX 1024
#define LOG_FIELDS_MAX 16
#define LOG_KEY_MAX 64

/* A host function answers to a ticket, which outlives the worker when the answer comes late. */
typedef struct sw_ask_ticket {
    sw_worker *worker; /* NULL when nobody waits any more */
    bool starting;
    bool answered;
} sw_ask_ticket;

/* ---- answers ---- */

static void send_frame(sw_worker *worker, sw_frame_writer *writer) {
    sw_bytes *bytes = sw_bytes_of(writer);
    sw_worker_send(worker, bytes);
    sw_bytes_drop(bytes);
}

static void answer_error(sw_worker *worker, uint64_t sequence, const char *message, const char *code) {
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_ANSWER, sequence);
    msgpack_pack_map(&writer.packer, 2);
    sw_pack_key_str(&writer.packer, "message", message);
    sw_pack_key_str(&writer.packer, "code", code);
    sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER);
    send_frame(worker, &writer);
    sw_frame_writer_release(&writer);
}

static void answer_json(sw_worker *worker, uint64_t sequence, const char *json, size_t len) {
    json_t *value = json_loadb(json, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_ANSWER, sequence);
    msgpack_pack_map(&writer.packer, 1);
    sw_pack_str(&writer.packer, "value");
    if (value == NULL || sw_pack_json(&writer.packer, value) != 0) {
        answer_error(worker, sequence,
                     "the answer cannot be handed over: it is not JSON, or nested too deeply", "broken");
    } else if (sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER) != 0) {
        answer_error(worker, sequence, "the answer is too large", "too_large");
    } else {
        send_frame(worker, &writer);
    }
    sw_frame_writer_release(&writer);
    json_decref(value);
}

static void answer_require(sw_worker *worker, uint64_t sequence, const char *name) {
    char *path = NULL, *source = NULL, *message = NULL;
    size_t len = 0;
    if (++worker->n_requires > SW_WORKER_REQUIRES_MAX) {
        answer_error(worker, sequence, "more than 200 modules in one call", "limit");
    } else if (name == NULL || worker->owner.require == NULL ||
               worker->owner.require(name, &path, &source, &len, &message, worker->owner.arg) != 0) {
        answer_error(worker, sequence, message != NULL ? message : "there is no such module", "not_found");
    } else {
        sw_frame_writer writer;
        sw_frame_begin(&writer, SW_FRAME_ANSWER, sequence);
        msgpack_pack_map(&writer.packer, 1);
        sw_pack_str(&writer.packer, "value");
        msgpack_pack_map(&writer.packer, 2);
        sw_pack_key_str(&writer.packer, "path", path);
        sw_pack_str(&writer.packer, "source");
        sw_pack_text(&writer.packer, source, len);
        sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER);
        send_frame(worker, &writer);
        sw_frame_writer_release(&writer);
    }
    free(path);
    free(source);
    free(message);
}

/* ---- questions that take time ---- */

/* The call's deadline goes on where it stood. */
static void ask_is_over(sw_worker *worker) {
    uv_update_time(worker->env->loop);
    worker->asked_ms += (int64_t)uv_now(worker->env->loop) - worker->ask.started_ms;
    worker->late = false;
    sw_worker_arm(worker, worker->ask.call_left_ms);
    worker->ask = (sw_worker_ask){0};
}

static void on_answer(const char *json, size_t len, const char *message, const char *code, void *arg) {
    sw_ask_ticket *ticket = arg;
    sw_worker *worker = ticket->worker;
    if (worker != NULL) {
        uint64_t sequence = worker->ask.sequence;
        ask_is_over(worker);
        if (json != NULL) {
            answer_json(worker, sequence, json, len);
        } else {
            answer_error(worker, sequence, message != NULL ? message : "failed",
                         code != NULL ? code : "failed");
        }
        ticket->worker = NULL;
    }
    ticket->answered = true;
    if (!ticket->starting) {
        free(ticket);
    }
}

/* Cancelling is synchronous: the ticket is not used by the host function afterwards. */
void sw_worker_cancel_ask(sw_worker *worker) {
    if (!worker->ask.active) {
        return;
    }
    const sw_host_functions *host = &worker->env->host;
    sw_ask_ticket *ticket = worker->ask.ticket;
    void *handle = worker->ask.handle;
    worker->ask = (sw_worker_ask){0};
    ticket->worker = NULL;
    if (handle != NULL && host->cancel != NULL) {
        host->cancel(handle, host->arg);
        free(ticket);
    }
}

void sw_worker_ask_late(sw_worker *worker) {
    uint64_t sequence = worker->ask.sequence;
    int64_t started_ms = worker->ask.started_ms, left_ms = worker->ask.call_left_ms;
    sw_worker_cancel_ask(worker);
    worker->ask = (sw_worker_ask){.started_ms = started_ms, .call_left_ms = left_ms};
    ask_is_over(worker);
    answer_error(worker, sequence, "no answer in time", "timeout");
}

static void ask_host(sw_worker *worker, const sw_frame *frame, const char *op, const char *args,
                     int64_t budget_ms) {
    const sw_host_functions *host = &worker->env->host;
    sw_ask_ticket *ticket = xcalloc(1, sizeof *ticket);
    *ticket = (sw_ask_ticket){.worker = worker, .starting = true};
    uv_update_time(worker->env->loop);
    worker->ask = (sw_worker_ask){
        .active = true,
        .sequence = frame->sequence,
        .started_ms = (int64_t)uv_now(worker->env->loop),
        .call_left_ms = (int64_t)uv_timer_get_due_in(&worker->deadline),
        .ticket = ticket,
    };
    /* The host function keeps its own time; this is for one that forgets to. */
    sw_worker_arm(worker, budget_ms + budget_ms / 10);
    void *handle = host->ask(op, args, budget_ms, on_answer, ticket, host->arg);
    ticket->starting = false;
    if (ticket->answered) {
        free(ticket);
    } else {
        worker->ask.handle = handle;
    }
}

static char *args_json(const msgpack_object *args) {
    if (args == NULL || args->type != MSGPACK_OBJECT_MAP) {
        return NULL;
    }
    json_t *json = sw_json_of(args, true);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static void ask_world(sw_worker *worker, const sw_frame *frame, const char *op) {
    int64_t left_ms = SW_WORKER_ASK_ALL_MS - worker->asked_ms;
    char *args = args_json(sw_map_get(&frame->payload, "args"));
    if (worker->request.trial || worker->env->host.ask == NULL) {
        answer_error(worker, frame->sequence, "nothing is asked of the outside in a trial call", "dry");
    } else if (args == NULL) {
        answer_error(worker, frame->sequence, "the options must be plain values: UTF-8 text, finite numbers",
                     "usage");
    } else if (left_ms <= 0) {
        answer_error(worker, frame->sequence, "the host functions of this call have taken 60 s already",
                     "timeout");
    } else {
        ask_host(worker, frame, op, args, left_ms < worker->env->ask_ms ? left_ms : worker->env->ask_ms);
    }
    free(args);
}

void sw_worker_on_ask(sw_worker *worker, const sw_frame *frame) {
    char *op = sw_map_str(&frame->payload, "op", OP_MAX);
    if (op == NULL) {
        answer_error(worker, frame->sequence, "unknown host function", "usage");
    } else if (strcmp(op, "require") == 0) {
        char *name = sw_map_str(sw_map_get(&frame->payload, "args"), "name", 256);
        answer_require(worker, frame->sequence, name);
        free(name);
    } else if (++worker->n_asks > SW_WORKER_ASKS_MAX) {
        answer_error(worker, frame->sequence, "more than 100 host functions in one call", "limit");
    } else {
        ask_world(worker, frame, op);
    }
    free(op);
}

/* ---- log lines ---- */

void sw_worker_log_dropped(const sw_worker *worker) {
    if (worker->n_log_dropped > 0) {
        sw_log(SW_LOG_WARN, "log lines of a script left out", "detector", worker->owner.name, "lines",
               sw_log_int(worker->n_log_dropped), "limit", sw_log_int(SW_WORKER_LOG_LINES), NULL);
    }
}

void sw_worker_on_log(sw_worker *worker, const sw_frame *frame) {
    sw_log_level level = SW_LOG_INFO;
    char *name = sw_map_str(&frame->payload, "level", 16);
    bool wanted = name == NULL || sw_log_level_parse(name, &level) != 0 || sw_log_enabled(level);
    free(name);
    if (worker->request.trial || !wanted) {
        return;
    }
    if (++worker->n_log_lines > SW_WORKER_LOG_LINES) {
        worker->n_log_dropped++;
        return;
    }
    const msgpack_object *fields = sw_map_get(&frame->payload, "fields");
    uint32_t n_fields = fields != NULL && fields->type == MSGPACK_OBJECT_MAP ? fields->via.map.size : 0;
    char *texts[2 * LOG_FIELDS_MAX] = {NULL};
    const char *keys[LOG_FIELDS_MAX + 1] = {"detector"}, *values[LOG_FIELDS_MAX + 1] = {worker->owner.name};
    size_t n = 0;
    for (uint32_t i = 0; i < n_fields && n < LOG_FIELDS_MAX; i++) {
        char *key = sw_object_text(&fields->via.map.ptr[i].key, LOG_KEY_MAX);
        bool ours = key == NULL || strcmp(key, "detector") == 0; /* nobody speaks in another's name */
        texts[2 * n] = ours ? xstrdup("detector_") : xstrdup(key);
        free(key);
        texts[2 * n + 1] = sw_object_text(&fields->via.map.ptr[i].val, LOG_TEXT_MAX);
        keys[n + 1] = texts[2 * n];
        values[n + 1] = texts[2 * n + 1];
        n++;
    }
    char *message = sw_object_text(sw_map_get(&frame->payload, "message"), LOG_TEXT_MAX);
    sw_log_pairs(level, message != NULL ? message : "", n + 1, keys, values);
    free(message);
    for (size_t i = 0; i < SW_ARRAY_LEN(texts); i++) {
        free(texts[i]);
    }
}
