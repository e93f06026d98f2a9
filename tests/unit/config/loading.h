/* Loads a configuration from literals and keeps everything that the tests look at. */
#ifndef TESTS_CONFIG_LOADING_H
#define TESTS_CONFIG_LOADING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"

typedef struct loading {
    sw_config config;
    sw_buf mistakes, warnings, seen;
    int rc;
} loading;

typedef struct given {
    const char *const *flags;
    char *const *environment;
    const char *dotenv; /* text of the file */
    const char *table;  /* JSON of the config file */
    const char *config_path;
    const char *evaluate_error;
} given;

#define ENVIRONMENT(...) ((char *const[]){__VA_ARGS__, NULL})
#define FLAGS(...) ((const char *const[]){__VA_ARGS__, NULL})

typedef struct evaluation {
    const given *input;
    loading *out;
} evaluation;

static inline char *evaluate_given(const sw_config_file *file, char **error, void *arg) {
    evaluation *call = arg;
    sw_buf_printf(&call->out->seen, "path=%s worker=%s", file->path, file->worker_path);
    for (size_t i = 0; file->environment[i] != NULL; i++) {
        sw_buf_printf(&call->out->seen, " %s", file->environment[i]);
    }
    if (call->input->evaluate_error != NULL) {
        *error = xstrdup(call->input->evaluate_error);
        return NULL;
    }
    return xstrdup(call->input->table);
}

static inline char *temporary_file(const char *text) {
    char *path = xstrdup("/tmp/spanwatch-test-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return path;
}

static inline void load(loading *out, given input) {
    evaluation call = {.input = &input, .out = out};
    char *dotenv = input.dotenv != NULL ? temporary_file(input.dotenv) : NULL;
    bool table = input.table != NULL || input.evaluate_error != NULL;
    sw_buf_init(&out->mistakes, 1 << 16);
    sw_buf_init(&out->warnings, 1 << 16);
    sw_buf_init(&out->seen, 1 << 16);
    sw_config_sources sources = {
        .flags = input.flags,
        .environment = input.environment,
        .dotenv_path = dotenv,
        .config_path = input.config_path != NULL ? input.config_path
                       : table                   ? "conf.lua"
                                                 : NULL,
        .evaluate = evaluate_given,
        .evaluate_arg = &call,
        .warnings = &out->warnings,
    };
    out->rc = sw_config_load(&out->config, &sources, &out->mistakes);
    if (dotenv != NULL) {
        unlink(dotenv);
        free(dotenv);
    }
}

static inline const char *said(const sw_buf *buf) {
    return buf->data != NULL ? buf->data : "";
}

static inline void unload(loading *loaded) {
    sw_config_release(&loaded->config);
    sw_buf_release(&loaded->mistakes);
    sw_buf_release(&loaded->warnings);
    sw_buf_release(&loaded->seen);
}

/* Fails with both texts when `text` lacks `part`. */
static inline void assert_says(const sw_buf *buf, const char *part) {
    if (strstr(said(buf), part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, said(buf));
    }
}

#endif
