/* Bodies that real senders sent (tests/data/otlp). */
#ifndef RECORDED_H
#define RECORDED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "otlp/otlp.h"

#define UNUSED __attribute__((unused))
#define BODY_MAX ((size_t)64 << 20)

static UNUSED sw_buf recorded(const char *name) {
    char path[512];
    char piece[4096];
    sw_buf body;
    sw_buf_init(&body, BODY_MAX);
    snprintf(path, sizeof path, "%s/otlp/%s", SW_TEST_DATA, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fail_msg("%s is not there", path);
    }
    for (size_t got = 0; (got = fread(piece, 1, sizeof piece, file)) > 0;) {
        assert_int_equal(sw_buf_append(&body, piece, got), 0);
    }
    fclose(file);
    return body;
}

#endif
