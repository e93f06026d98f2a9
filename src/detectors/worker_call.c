#include "detectors/worker_internal.h"

#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "telemetry/log.h"

#define GRACE_MS 5 /* for an answer that came in time, but while the loop was busy or the machine asleep */
#define ERROR_TEXT_MAX 8192

void sw_worker_arm(sw_worker *worker, int64_t ms) {
    uv_update_time(worker->env->loop);
    uv_timer_start(&worker->deadline, sw_worker_on_deadline, ms > 0 ? (uint64_t)ms : 0, 0);
}

uint64_t sw_worker_next_sequence(sw_worker_env *env) {
    return ++env->sequence;
}

void sw_worker_call(sw_worker *worker, const sw_worker_request *request) {
    worker->busy = true;
    worker->late = false;
    worker->request = *request;
    sw_bytes_keep(request->bytes);
    worker->n_asks = worker->n_requires = worker->n_log_lines = worker->n_log_dropped = 0;
    worker->asked_ms = 0;
    sw_worker_send(worker, request->bytes);
    if (worker->ready) {
        sw_worker_arm(worker, request->timeout_ms);
    }
}

void sw_worker_finish(sw_worker *worker, const sw_outcome *outcome) {
    sw_worker_request request = worker->request;
    worker->busy = false;
    worker->request.bytes = NULL;
    if (!worker->stopped) {
        uv_timer_stop(&worker->deadline);
    }
    sw_worker_log_dropped(worker);
    sw_bytes_drop(request.bytes);
    request.done(worker, outcome, request.arg);
}

void sw_worker_lose(sw_worker *worker, const char *kind, const char *message) {
    sw_call_done done = worker->busy ? worker->request.done : NULL;
    void *arg = worker->request.arg;
    sw_worker_log_dropped(worker);
    sw_worker_stop(worker);
    if (done != NULL) {
        sw_outcome outcome = {.kind = kind, .message = message, .traceback = "", .lost = true};
        done(worker, &outcome, arg);
    } else if (worker->owner.lost != NULL) {
        worker->owner.lost(worker, kind, message, worker->owner.arg);
    }
}

/* When the loop itself was late (a long pass, a stopped process), the answer may be there already: timers run
 * before reads. */
void sw_worker_on_deadline(uv_timer_t *timer) {
    sw_worker *worker = timer->data;
    if (!worker->late) {
        worker->late = true;
        sw_worker_arm(worker, GRACE_MS);
        return;
    }
    worker->late = false;
    if (!worker->ready) {
        sw_worker_lose(worker, "timeout", "the worker did not become ready within 10 s");
    } else if (worker->ask.active) {
        sw_worker_ask_late(worker);
    } else if (worker->busy) {
        char *message = xasprintf("no answer within %lld ms; the worker was killed",
                                  (long long)worker->request.timeout_ms);
        sw_worker_lose(worker, "timeout", message);
        free(message);
    }
}

/* ---- frames ---- */

static void broke_protocol(sw_worker *worker, const char *what) {
    char *message = xasprintf("the worker broke the protocol: %s", what);
    sw_worker_lose(worker, "protocol", message);
    free(message);
}

static void log_warnings(sw_worker *worker, const msgpack_object *warnings) {
    if (worker->env->warned || warnings == NULL || warnings->type != MSGPACK_OBJECT_ARRAY) {
        return;
    }
    worker->env->warned = true; /* they are about the machine: once says it all */
    for (uint32_t i = 0; i < warnings->via.array.size && i < 8; i++) {
        char *text = sw_object_text(&warnings->via.array.ptr[i], 512);
        if (text != NULL) {
            sw_log(SW_LOG_WARN, "the sandbox of the workers is not whole", "reason", text, NULL);
        }
        free(text);
    }
}

static void on_ready(sw_worker *worker, const msgpack_object *payload) {
    char *version = sw_map_str(payload, "version", 64);
    if (version == NULL || strcmp(version, SW_VERSION) != 0) {
        char *message = xasprintf("the worker program %s has version %s, this program is %s",
                                  worker->env->path, version != NULL ? version : "(none)", SW_VERSION);
        sw_worker_lose(worker, "protocol", message);
        free(message);
    } else {
        worker->ready = true;
        worker->late = false;
        log_warnings(worker, sw_map_get(payload, "warnings"));
        uv_timer_stop(&worker->deadline);
        if (worker->busy) {
            sw_worker_arm(worker, worker->request.timeout_ms);
        }
    }
    free(version);
}

/* The word that the worker sent, if it is one of ours. */
static const char *known_kind(const char *kind) {
    static const char *const kinds[] = {"syntax", "shape", "runtime", "memory", "cpu", "bytecode"};
    for (size_t i = 0; i < SW_ARRAY_LEN(kinds); i++) {
        if (sw_streq(kind, kinds[i])) {
            return kinds[i];
        }
    }
    return "runtime";
}

static void on_failure(sw_worker *worker, const msgpack_object *payload) {
    const msgpack_object *error = sw_map_get(payload, "error");
    char *kind = sw_map_str(error, "kind", 32);
    char *message = sw_object_text(sw_map_get(error, "message"), ERROR_TEXT_MAX);
    char *traceback = sw_object_text(sw_map_get(error, "traceback"), ERROR_TEXT_MAX);
    sw_outcome outcome = {
        .kind = known_kind(kind),
        .message = message != NULL && message[0] != '\0' ? message : "(no message)",
        .traceback = traceback != NULL ? traceback : "",
    };
    /* A state that ran into a limit may have been left anywhere: it is rebuilt. */
    if (strcmp(outcome.kind, "memory") == 0 || strcmp(outcome.kind, "cpu") == 0) {
        sw_worker_lose(worker, outcome.kind, outcome.message);
    } else {
        sw_worker_finish(worker, &outcome);
    }
    free(kind);
    free(message);
    free(traceback);
}

static void on_reply(sw_worker *worker, const sw_frame *frame) {
    const msgpack_object *ok = sw_map_get(&frame->payload, "ok");
    if (frame->sequence != worker->request.sequence) {
        broke_protocol(worker, "a reply to another call");
    } else if (worker->ask.active) {
        broke_protocol(worker, "a reply while a host function is under way");
    } else if (ok == NULL || ok->type != MSGPACK_OBJECT_BOOLEAN) {
        broke_protocol(worker, "a reply without ok");
    } else if (ok->via.boolean) {
        sw_worker_finish(worker, &(sw_outcome){.reply = &frame->payload});
    } else {
        on_failure(worker, &frame->payload);
    }
}

void sw_worker_on_frame(sw_worker *worker, const sw_frame *frame) {
    if (frame->kind == SW_FRAME_READY && !worker->ready) {
        on_ready(worker, &frame->payload);
    } else if (!worker->ready) {
        broke_protocol(worker, "it said something before it was ready");
    } else if (!worker->busy) {
        broke_protocol(worker, "it said something without being asked");
    } else if (frame->kind == SW_FRAME_REPLY) {
        on_reply(worker, frame);
    } else if (frame->kind == SW_FRAME_ASK) {
        if (worker->ask.active) {
            broke_protocol(worker, "two questions at once");
        } else {
            sw_worker_on_ask(worker, frame);
        }
    } else if (frame->kind == SW_FRAME_LOG) {
        sw_worker_on_log(worker, frame);
    } else {
        broke_protocol(worker, "a frame that only the host sends");
    }
}
