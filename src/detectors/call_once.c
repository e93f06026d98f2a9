/* One call to one worker, waited for in a loop of its own. */
#include "detectors/worker.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/convert.h"
#include "detectors/require.h"

struct once {
    const char *scripts_dir, *dir;
    char *reply, *error;
};

static int require(const char *name, char **path, char **source, size_t *len, char **message, void *arg) {
    const struct once *once = arg;
    sw_module module;
    int result = sw_module_find(once->scripts_dir, once->dir, name, &module, message);
    if (result == 0) {
        *path = module.path;
        *source = module.source;
        *len = module.len;
        module.path = module.source = NULL;
    }
    sw_module_release(&module);
    return result;
}

/* A script's own mistake is a reply too; what happened to its worker is not. */
static json_t *reply_json(const sw_outcome *outcome) {
    static const char *const no_reply[] = {"timeout", "crash", "protocol"};
    if (outcome->reply != NULL) {
        return sw_json_of(outcome->reply, false);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(no_reply); i++) {
        if (strcmp(outcome->kind, no_reply[i]) == 0) {
            return NULL;
        }
    }
    return json_pack("{s:b, s:{s:s, s:s, s:s}}", "ok", 0, "error", "kind", outcome->kind, "message",
                     outcome->message, "traceback", outcome->traceback);
}

static void done(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    struct once *once = arg;
    json_t *json = reply_json(outcome);
    once->reply = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (once->reply == NULL) {
        once->error = xstrdup(outcome->reply != NULL ? "the worker's reply cannot be written as JSON"
                                                     : outcome->message);
    }
    sw_worker_stop(worker);
}

/* NULL with *error. */
static sw_bytes *pack_request(int kind, uint64_t sequence, const char *payload_json, char **error) {
    json_error_t where;
    json_t *payload = json_loads(payload_json, JSON_ALLOW_NUL, &where);
    if (!json_is_object(payload)) {
        *error =
            xasprintf("the request is not a JSON object: %s", payload == NULL ? where.text : "other type");
        json_decref(payload);
        return NULL;
    }
    sw_frame_writer writer;
    sw_frame_begin(&writer, (sw_frame_kind)kind, sequence);
    int result = sw_pack_json(&writer.packer, payload);
    json_decref(payload);
    if (result != 0 || sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER) != 0) {
        sw_frame_writer_release(&writer);
        *error = xstrdup("the request is too large, or nested too deeply");
        return NULL;
    }
    return sw_bytes_of(&writer);
}

int sw_worker_call_once(const char *worker_path, int kind, const char *payload_json, const char *scripts_dir,
                        const char *dir, int64_t timeout_ms, char **reply_json, char **error) {
    struct once once = {.scripts_dir = scripts_dir, .dir = dir};
    uv_loop_t loop;
    uv_loop_init(&loop);
    sw_worker_env env = {.loop = &loop,
                         .ask_ms = SW_WORKER_ASK_MS,
                         .path = worker_path,
                         .read_buffer = xmalloc(SW_WORKER_READ_BYTES)};
    uint64_t sequence = sw_worker_next_sequence(&env);
    sw_bytes *bytes = pack_request(kind, sequence, payload_json, &once.error);
    sw_worker *worker = bytes != NULL ? sw_worker_start(&env, &once.error) : NULL;
    if (worker != NULL) {
        sw_worker_own(worker, &(sw_worker_owner){.name = "once", .require = require, .arg = &once});
        sw_worker_call(worker, &(sw_worker_request){.bytes = bytes,
                                                    .sequence = sequence,
                                                    .timeout_ms = timeout_ms,
                                                    .trial = true,
                                                    .done = done,
                                                    .arg = &once});
    }
    sw_bytes_drop(bytes);
    uv_run(&loop, UV_RUN_DEFAULT); /* until the worker is reaped */
    uv_loop_close(&loop);
    free(env.read_buffer);
    *reply_json = once.reply;
    *error = once.error;
    return once.reply != NULL ? 0 : -1;
}
