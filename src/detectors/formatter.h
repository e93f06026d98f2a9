/*
 * The formatter: one worker process that turns notifications into what their receiver takes, by a script of
 * scripts/notify. Its worker starts with the first notification, and again after each failure and when the
 * file has changed. After three losses in a row (it was killed, ran into a limit, could not be started) it
 * fails at once for 30 s, or until the file changes.
 *
 * Notifications are formatted one after another, in the order in which they came. Callbacks come from the
 * loop, never from inside these functions.
 */
#ifndef SW_DETECTORS_FORMATTER_H
#define SW_DETECTORS_FORMATTER_H

#include <uv.h>

#include "base/base.h"

typedef struct sw_formatter sw_formatter;
typedef struct sw_format_call sw_format_call;

typedef struct sw_formatter_options {
    const char *scripts_dir;
    const char *name;        /* "slack": scripts_dir/notify/slack.lua */
    const char *worker_path; /* spanwatch-worker */
    size_t memory_bytes;
    int64_t cpu_ms;     /* of one call */
    int64_t timeout_ms; /* of one call */
} sw_formatter_options;

/* Valid in the callback only. */
typedef struct sw_format_result {
    const char *body; /* NULL when it failed */
    size_t len;
    const char *content_type;
    const char *url_suffix; /* base/url_suffix.h, checked; NULL when it is not said */
    const char *error;      /* why it failed */
} sw_format_result;
typedef void (*sw_format_done)(const sw_format_result *result, void *arg);

/* The options' texts stay the caller's and must outlive the formatter. */
sw_formatter *sw_formatter_new(uv_loop_t *loop, const sw_formatter_options *options);
/* Drops calls under way without their callbacks, kills the worker; run the loop until idle afterwards. */
void sw_formatter_free(sw_formatter *formatter);

/* Copies the notification and the JSON object that the script gets as `config`. `done` exactly once, unless
 * cancelled. */
sw_format_call *sw_formatter_call(sw_formatter *formatter, const char *body, size_t len,
                                  const char *config_json, sw_format_done done, void *arg);
void sw_formatter_cancel(sw_format_call *call);

/* The file of a format. Caller frees. */
char *sw_formatter_path(const char *scripts_dir, const char *name);

#endif
