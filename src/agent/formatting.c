/*
 * The format of a receiver: between its outbox, which has notifications to send, and the formatter, which
 * turns each into the body that the receiver takes. What cannot be formatted goes out as it is. While the
 * last one could not be, it is tried again after each tick, so that the end of the trouble is seen without a
 * new alert.
 */
#include "agent/agent_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "detectors/formatter.h"
#include "telemetry/log.h"

struct sw_formatting {
    const sw_agent *agent;
    const sw_receiver_config *receiver;
    sw_formatter *formatter;
    sw_secrets *secrets;
    char *settings; /* a JSON object */
    char *error;    /* why the last notification could not be formatted; NULL when it could */
    char *failed;   /* that notification */
    size_t failed_len;
    sw_format_call *probe; /* the failed one, tried again */
    sw_metric *failures;   /* {receiver} */
};

struct request {
    sw_formatting *formatting;
    sw_format_call *call;
    const sw_outbox_row *row;
    sw_row_formatted done;
    void *arg;
};

/* What the script gets as `config`: its settings of the config file, and the secret as it is now. */
static char *config_json(const sw_formatting *formatting) {
    const sw_receiver_config *receiver = formatting->receiver;
    if (receiver->format_secret_file[0] == '\0') {
        return xstrdup(formatting->settings);
    }
    char why[256];
    size_t len = 0;
    const char *secret = sw_secrets_get(formatting->secrets, receiver->format_secret_file, &len, why);
    json_t *object = json_loads(formatting->settings, 0, NULL);
    json_t *text = secret != NULL ? json_stringn(secret, len) : NULL; /* NULL when it is not UTF-8 */
    if (text != NULL) {
        json_object_set_new(object, "secret", text);
    }
    char *dumped = json_dumps(object, JSON_COMPACT);
    char *settings = xstrdup(dumped);
    free(dumped);
    json_decref(object);
    return settings;
}

static void worked(sw_formatting *formatting) {
    if (formatting->error != NULL) {
        sw_log(SW_LOG_INFO, "notifications are formatted again", "receiver", formatting->receiver->name,
               "format", formatting->receiver->format, NULL);
    }
    free(formatting->error);
    free(formatting->failed);
    formatting->error = formatting->failed = NULL;
}

/* Says so once, until it works again or fails for another reason. */
static void did_not_work(sw_formatting *formatting, const char *error) {
    if (!sw_streq(formatting->error, error)) {
        sw_log(SW_LOG_ERROR, "a notification could not be formatted, it is sent in the default form",
               "receiver", formatting->receiver->name, "format", formatting->receiver->format, "error", error,
               NULL);
        free(formatting->error);
        formatting->error = xstrdup(error);
    }
}

static void keep_failed(sw_formatting *formatting, const sw_outbox_row *row) {
    free(formatting->failed);
    formatting->failed = xmalloc(row->body_len + 1);
    memcpy(formatting->failed, row->body, row->body_len);
    formatting->failed_len = row->body_len;
}

static void formatted(const sw_format_result *result, void *arg) {
    struct request *request = arg;
    sw_formatting *formatting = request->formatting;
    if (result->body != NULL) {
        worked(formatting);
    } else {
        sw_metric_add(formatting->failures, 1, formatting->receiver->name);
        did_not_work(formatting, result->error);
        keep_failed(formatting, request->row);
    }
    request->done(&(sw_formatted){.content_type = result->content_type,
                                  .body = result->body,
                                  .len = result->len,
                                  .url_suffix = result->url_suffix},
                  request->arg);
    free(request);
}

static void *start(const sw_outbox_row *row, sw_row_formatted done, void *done_arg, void *arg) {
    sw_formatting *formatting = arg;
    struct request *request = xcalloc(1, sizeof *request);
    *request = (struct request){.formatting = formatting, .row = row, .done = done, .arg = done_arg};
    char *config = config_json(formatting);
    request->call =
        sw_formatter_call(formatting->formatter, row->body, row->body_len, config, formatted, request);
    free(config);
    return request;
}

static void cancel(void *handle, void *arg) {
    struct request *request = handle;
    (void)arg;
    sw_formatter_cancel(request->call);
    free(request);
}

static void probed(const sw_format_result *result, void *arg) {
    sw_formatting *formatting = arg;
    formatting->probe = NULL;
    if (result->body != NULL) {
        worked(formatting);
    } else {
        did_not_work(formatting, result->error);
    }
}

void sw_formatting_probe(sw_formatting *formatting) {
    if (formatting->failed == NULL || formatting->probe != NULL || formatting->agent->stopping) {
        return;
    }
    char *config = config_json(formatting);
    formatting->probe = sw_formatter_call(formatting->formatter, formatting->failed, formatting->failed_len,
                                          config, probed, formatting);
    free(config);
}

const char *sw_formatting_error(const sw_formatting *formatting) {
    return formatting->error;
}

sw_formatting *sw_formatting_open(sw_agent *agent, const sw_receiver_config *receiver) {
    static const char *const by_receiver[] = {"receiver", NULL};
    const sw_config *config = agent->config;
    sw_formatting *formatting = xcalloc(1, sizeof *formatting);
    formatting->agent = agent;
    formatting->receiver = receiver;
    formatting->secrets = sw_secrets_new();
    formatting->settings = sw_config_for_format(config, receiver);
    formatting->failures = sw_metrics_counter(
        agent->metrics, "spanwatch_formatter_failures_total",
        "Notifications that could not be formatted and went out in the default form.", by_receiver);
    sw_metric_add(formatting->failures, 0, receiver->name);
    sw_formatter_options options = {
        .scripts_dir = agent->paths.scripts_dir,
        .name = receiver->format,
        .worker_path = agent->paths.worker,
        .memory_bytes = (size_t)config->worker_memory_mb << 20,
        .cpu_ms = config->worker_cpu_ms,
        .timeout_ms = config->worker_timeout_ms,
    };
    formatting->formatter = sw_formatter_new(&agent->loop, &options);
    return formatting;
}

sw_row_format sw_formatting_rows(sw_formatting *formatting) {
    return formatting != NULL ? (sw_row_format){.start = start, .cancel = cancel, .arg = formatting}
                              : (sw_row_format){0};
}

void sw_formatting_close(sw_formatting *formatting) {
    if (formatting == NULL) {
        return;
    }
    sw_formatter_free(formatting->formatter);
    sw_secrets_free(formatting->secrets);
    free(formatting->settings);
    free(formatting->error);
    free(formatting->failed);
    free(formatting);
}
