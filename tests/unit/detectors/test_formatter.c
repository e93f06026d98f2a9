/* The host's end of FORMAT, with the real worker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "detectors/formatter.h"

#define WORKER SW_BUILD_DIR "/spanwatch-worker"

struct result {
    bool done;
    char body[128], content_type[64], error[256];
};

struct fixture {
    uv_loop_t loop;
    char folder[64];
    sw_formatter *formatter;
};

static void write_format(struct fixture *f, const char *source) {
    char path[128];
    snprintf(path, sizeof path, "%s/notify/own.lua", f->folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(source, file);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state) {
    struct fixture *f = xcalloc(1, sizeof *f);
    snprintf(f->folder, sizeof f->folder, "/tmp/spanwatch-format-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    char path[128];
    snprintf(path, sizeof path, "%s/notify", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    uv_loop_init(&f->loop);
    sw_formatter_options options = {.scripts_dir = f->folder,
                                    .name = "own",
                                    .worker_path = WORKER,
                                    .memory_bytes = (size_t)16 << 20,
                                    .cpu_ms = 100,
                                    .timeout_ms = 20000};
    f->formatter = sw_formatter_new(&f->loop, &options);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    sw_formatter_free(f->formatter);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/notify/own.lua", f->folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/notify", f->folder);
    rmdir(path);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void done(const sw_format_result *result, void *arg) {
    struct result *out = arg;
    out->done = true;
    snprintf(out->body, sizeof out->body, "%.*s", (int)result->len, result->body != NULL ? result->body : "");
    snprintf(out->content_type, sizeof out->content_type, "%s",
             result->content_type != NULL ? result->content_type : "");
    snprintf(out->error, sizeof out->error, "%s", result->error != NULL ? result->error : "");
}

static sw_format_call *begin(struct fixture *f, const char *body, struct result *out) {
    *out = (struct result){0};
    return sw_formatter_call(f->formatter, body, strlen(body), "{\"secret\":\"s\"}", done, out);
}

static void finish(struct fixture *f, const struct result *out) {
    while (!out->done) {
        uv_run(&f->loop, UV_RUN_ONCE);
    }
}

static struct result format(struct fixture *f, const char *body) {
    struct result out;
    begin(f, body, &out);
    finish(f, &out);
    return out;
}

static void calls_are_answered_in_their_order(void **state) {
    struct fixture *f = *state;
    write_format(f, "local n = 0 return { content_type = 'text/plain', format = function(a, c)\n"
                    "n = n + 1 return a.x .. c.secret .. n end }");
    struct result one, two;
    begin(f, "{\"x\":\"a\"}", &one);
    begin(f, "{\"x\":\"b\"}", &two);
    assert_false(one.done);
    finish(f, &two);
    assert_true(one.done);
    assert_string_equal(one.body, "as1");
    assert_string_equal(two.body, "bs2");
    assert_string_equal(two.content_type, "text/plain");
}

static void a_call_that_is_cancelled_is_not_answered_and_the_next_is(void **state) {
    struct fixture *f = *state;
    write_format(f, "return { format = function(a) return a.x end }");
    struct result one, two, three;
    sw_format_call *first = begin(f, "{\"x\":\"a\"}", &one);
    sw_format_call *second = begin(f, "{\"x\":\"b\"}", &two);
    begin(f, "{\"x\":\"c\"}", &three);
    sw_formatter_cancel(second);
    uv_run(&f->loop, UV_RUN_NOWAIT); /* the first may be under way */
    sw_formatter_cancel(first);
    finish(f, &three);
    assert_false(one.done);
    assert_false(two.done);
    assert_string_equal(three.body, "c");
}

static void mistakes_are_said_and_a_changed_file_is_used(void **state) {
    struct fixture *f = *state;
    assert_string_equal(format(f, "{}").error, "notify/own.lua cannot be read: No such file or directory");
    write_format(f, "return { format = function() error('no') end }");
    assert_string_equal(format(f, "{}").error, "notify/own.lua:1: no");
    assert_string_equal(format(f, "{}").error, "notify/own.lua:1: no");
    write_format(f, "return { format = function() return 'works' end }");
    assert_string_equal(format(f, "{}").body, "works");
    write_format(f, "return { format = function() return 'better now' end }");
    assert_string_equal(format(f, "{}").body, "better now");
}

static void one_that_hangs_is_killed_and_left_alone_after_three_times(void **state) {
    struct fixture *f = *state;
    write_format(f, "return { format = function() while true do end end }");
    struct result first = format(f, "{}");
    assert_true(strlen(first.error) > 0);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(format(f, "{}").error, first.error);
    }
    write_format(f, "return { format = function() return 'mended' end }");
    assert_string_equal(format(f, "{}").body, "mended");
}

static void ending_drops_what_is_under_way(void **state) {
    struct fixture *f = *state;
    write_format(f, "return { format = function() while true do end end }");
    struct result one, two;
    begin(f, "{}", &one);
    begin(f, "{}", &two);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(one.done || two.done);
}

#define FORMATTER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FORMATTER_TEST(calls_are_answered_in_their_order),
        FORMATTER_TEST(a_call_that_is_cancelled_is_not_answered_and_the_next_is),
        FORMATTER_TEST(mistakes_are_said_and_a_changed_file_is_used),
        FORMATTER_TEST(one_that_hangs_is_killed_and_left_alone_after_three_times),
        FORMATTER_TEST(ending_drops_what_is_under_way),
    };
    return cmocka_run_group_tests_name("formatter", tests, NULL, NULL);
}
