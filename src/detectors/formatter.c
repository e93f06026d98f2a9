#include "detectors/formatter.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/url_suffix.h"
#include "detectors/convert.h"
#include "detectors/require.h"
#include "detectors/worker.h"

#define LOSSES_MAX 3
#define PAUSE_MS 30000

struct sw_format_call {
    char *body, *config_json;
    size_t len;
    sw_format_done done; /* NULL: cancelled */
    void *arg;
    sw_format_call *next;
};

struct sw_formatter {
    sw_formatter_options options;
    sw_worker_env env;
    sw_worker *worker; /* NULL: starts with the next call */
    bool loaded;       /* the worker has the script */
    bool busy;         /* with the first call */
    sw_format_call *first, *last;
    uv_timer_t turn; /* begins the next call, so that no callback comes from inside a function */
    char *folder, *path, *shown;
    struct stat seen; /* the file that the worker was given, or that failed */
    unsigned losses;  /* in a row */
    uint64_t paused_until_ms;
    char *last_loss; /* why; said again while it is paused */
};

char *sw_formatter_path(const char *scripts_dir, const char *name) {
    return xasprintf("%s/notify/%s.lua", scripts_dir, name);
}

static void free_call(sw_format_call *call) {
    free(call->body);
    free(call->config_json);
    free(call);
}

/* ---- the worker ---- */

static int require(const char *name, char **path, char **source, size_t *len, char **message, void *arg) {
    const sw_formatter *formatter = arg;
    sw_module module;
    int result = sw_module_find(formatter->options.scripts_dir, formatter->folder, name, &module, message);
    if (result == 0) {
        *path = module.path;
        *source = module.source;
        *len = module.len;
        module.path = module.source = NULL;
    }
    sw_module_release(&module);
    return result;
}

static void worker_lost(sw_worker *worker, const char *kind, const char *message, void *arg) {
    sw_formatter *formatter = arg;
    (void)worker;
    (void)kind;
    (void)message; /* the next call starts another, and says so if that fails too */
    formatter->worker = NULL;
}

static void stop_worker(sw_formatter *formatter) {
    if (formatter->worker != NULL) {
        sw_worker_stop(formatter->worker);
        formatter->worker = NULL;
    }
}

static bool file_changed(sw_formatter *formatter) {
    struct stat now = {0};
    stat(formatter->path, &now); /* a file that is gone has changed, until it is known to be gone */
    const struct stat *seen = &formatter->seen;
    bool same = now.st_ino == seen->st_ino && now.st_size == seen->st_size &&
                now.st_mtim.tv_sec == seen->st_mtim.tv_sec && now.st_mtim.tv_nsec == seen->st_mtim.tv_nsec;
    formatter->seen = now;
    return !same;
}

/* NULL with *error. The first request to a worker brings the script along. */
static sw_bytes *pack_request(sw_formatter *formatter, const sw_format_call *call, const char *source,
                              size_t source_len, uint64_t sequence, char **error) {
    json_t *config = json_loads(call->config_json, 0, NULL);
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_FORMAT, sequence);
    msgpack_packer *pk = &writer.packer;
    msgpack_pack_map(pk, source != NULL ? 5 : 2);
    if (source != NULL) {
        sw_pack_key_str(pk, "path", formatter->shown);
        sw_pack_str(pk, "source");
        sw_pack_text(pk, source, source_len);
        sw_pack_str(pk, "limits");
        msgpack_pack_map(pk, 2);
        sw_pack_key_int(pk, "memory_bytes", (int64_t)formatter->options.memory_bytes);
        sw_pack_key_int(pk, "cpu_ms", formatter->options.cpu_ms);
    }
    sw_pack_str(pk, "body");
    sw_pack_text(pk, call->body, call->len);
    sw_pack_str(pk, "config");
    int result = config != NULL ? sw_pack_json(pk, config) : -1;
    json_decref(config);
    if (result != 0 || sw_frame_end(&writer, SW_FRAME_MAX_TO_WORKER) != 0) {
        sw_frame_writer_release(&writer);
        *error = xstrdup("the notification or its settings are too large, or nested too deeply");
        return NULL;
    }
    return sw_bytes_of(&writer);
}

/* ---- calls ---- */

static void begin_next(uv_timer_t *timer);

static void in_next_turn(sw_formatter *formatter) {
    if (!formatter->busy && formatter->first != NULL) {
        uv_timer_start(&formatter->turn, begin_next, 0, 0);
    }
}

/* Ends the first call. */
static void finish(sw_formatter *formatter, const sw_format_result *result) {
    sw_format_call *call = formatter->first;
    formatter->busy = false;
    formatter->first = call->next;
    if (formatter->first == NULL) {
        formatter->last = NULL;
    }
    in_next_turn(formatter);
    if (call->done != NULL) {
        call->done(result, call->arg);
    }
    free_call(call);
}

static void count_loss(sw_formatter *formatter, const char *why) {
    free(formatter->last_loss);
    formatter->last_loss = xstrdup(why);
    if (++formatter->losses >= LOSSES_MAX) {
        formatter->paused_until_ms = uv_now(formatter->env.loop) + PAUSE_MS;
    }
}

static void failed(sw_formatter *formatter, const sw_outcome *outcome) {
    if (outcome->lost) {
        formatter->worker = NULL;
        count_loss(formatter, outcome->message);
    }
    stop_worker(formatter); /* what the mistake left behind is not gone on with */
    finish(formatter, &(sw_format_result){.error = outcome->message});
}

static void answered(sw_worker *worker, const sw_outcome *outcome, void *arg) {
    sw_formatter *formatter = arg;
    (void)worker;
    if (outcome->reply == NULL) {
        failed(formatter, outcome);
        return;
    }
    const msgpack_object *body = sw_map_get(outcome->reply, "body");
    char *content_type = sw_map_str(outcome->reply, "content_type", 127);
    bool good = body != NULL && body->type == MSGPACK_OBJECT_BIN && content_type != NULL;
    for (const char *c = content_type; good && *c != '\0'; c++) {
        good = *c >= ' ' && *c <= '~'; /* it goes into a header */
    }
    const msgpack_object *suffix = sw_map_get(outcome->reply, "url_suffix");
    char *url_suffix = suffix != NULL ? sw_map_str(outcome->reply, "url_suffix", SW_URL_SUFFIX_MAX) : NULL;
    good = good && (suffix == NULL ||
                    (url_suffix != NULL && sw_url_suffix_check(url_suffix, strlen(url_suffix)) == NULL));
    if (good) {
        formatter->loaded = true;
        formatter->losses = 0;
        finish(formatter, &(sw_format_result){.body = body->via.bin.size > 0 ? body->via.bin.ptr : "",
                                              .len = body->via.bin.size,
                                              .content_type = content_type,
                                              .url_suffix = url_suffix});
    } else {
        failed(formatter,
               &(sw_outcome){.message = "the worker's reply has no body, no content type, or no good path"});
    }
    free(content_type);
    free(url_suffix);
}

static void send_first(sw_formatter *formatter, const char *source, size_t source_len, char **error) {
    uint64_t sequence = sw_worker_next_sequence(&formatter->env);
    sw_bytes *bytes = pack_request(formatter, formatter->first, source, source_len, sequence, error);
    if (bytes != NULL) {
        sw_worker_call(formatter->worker, &(sw_worker_request){.bytes = bytes,
                                                               .sequence = sequence,
                                                               .timeout_ms = formatter->options.timeout_ms,
                                                               .trial = true,
                                                               .done = answered,
                                                               .arg = formatter});
    }
    sw_bytes_drop(bytes);
}

static void start_and_send(sw_formatter *formatter, char **error) {
    char *source = NULL;
    size_t len = 0;
    int reason = sw_script_read(formatter->path, &source, &len);
    if (reason != 0) {
        *error = xasprintf("%s cannot be read: %s", formatter->shown, strerror(reason));
        return;
    }
    formatter->worker = sw_worker_start(&formatter->env, error);
    formatter->loaded = false;
    if (formatter->worker != NULL) {
        sw_worker_own(formatter->worker, &(sw_worker_owner){.name = formatter->shown,
                                                            .require = require,
                                                            .lost = worker_lost,
                                                            .arg = formatter});
        send_first(formatter, source, len, error);
    } else {
        count_loss(formatter, *error);
    }
    free(source);
}

static void begin_next(uv_timer_t *timer) {
    sw_formatter *formatter = timer->data;
    formatter->busy = true;
    char *error = NULL;
    if (file_changed(formatter)) {
        stop_worker(formatter);
        formatter->losses = 0;
        formatter->paused_until_ms = 0;
    }
    if (formatter->first->done == NULL) {
        finish(formatter, NULL);
        return;
    }
    if (uv_now(formatter->env.loop) < formatter->paused_until_ms) {
        error = xstrdup(formatter->last_loss);
    } else if (formatter->worker == NULL) {
        start_and_send(formatter, &error);
    } else {
        send_first(formatter, NULL, 0, &error);
    }
    if (error != NULL) {
        if (!formatter->loaded) {
            stop_worker(formatter); /* it would wait for its script */
        }
        finish(formatter, &(sw_format_result){.error = error});
        free(error);
    }
}

sw_format_call *sw_formatter_call(sw_formatter *formatter, const char *body, size_t len,
                                  const char *config_json, sw_format_done done, void *arg) {
    sw_format_call *call = xcalloc(1, sizeof *call);
    *call = (sw_format_call){
        .body = xmalloc(len + 1), .len = len, .config_json = xstrdup(config_json), .done = done, .arg = arg};
    memcpy(call->body, body, len);
    call->body[len] = '\0';
    if (formatter->last != NULL) {
        formatter->last->next = call;
    } else {
        formatter->first = call;
    }
    formatter->last = call;
    in_next_turn(formatter);
    return call;
}

void sw_formatter_cancel(sw_format_call *call) {
    call->done = NULL;
}

/* ---- life ---- */

sw_formatter *sw_formatter_new(uv_loop_t *loop, const sw_formatter_options *options) {
    sw_formatter *formatter = xcalloc(1, sizeof *formatter);
    formatter->options = *options;
    formatter->env = (sw_worker_env){.loop = loop,
                                     .ask_ms = SW_WORKER_ASK_MS,
                                     .path = options->worker_path,
                                     .read_buffer = xmalloc(SW_WORKER_READ_BYTES)};
    formatter->path = sw_formatter_path(options->scripts_dir, options->name);
    formatter->folder = xasprintf("%s/notify", options->scripts_dir);
    formatter->shown = xasprintf("notify/%s.lua", options->name);
    uv_timer_init(loop, &formatter->turn);
    formatter->turn.data = formatter;
    return formatter;
}

static void closed(uv_handle_t *handle) {
    sw_formatter *formatter = handle->data;
    free(formatter->env.read_buffer);
    free(formatter->path);
    free(formatter->folder);
    free(formatter->shown);
    free(formatter->last_loss);
    free(formatter);
}

void sw_formatter_free(sw_formatter *formatter) {
    if (formatter == NULL) {
        return;
    }
    stop_worker(formatter);
    while (formatter->first != NULL) {
        sw_format_call *call = formatter->first;
        formatter->first = call->next;
        free_call(call);
    }
    uv_close((uv_handle_t *)&formatter->turn, closed);
}
