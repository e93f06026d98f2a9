/* Signature, pauses, and the receiver of those who have none. */
#include "delivery/outbox_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

static void the_signature_is_hmac_sha256_of_time_and_body(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 200);
    sw_webhook_signature("key", 3, 1700000000, "{\"a\":1}", 7, &out);
    /* printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key */
    assert_string_equal(out.data,
                        "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03");
    sw_buf_release(&out);
}

static void pauses_double_up_to_their_limit_and_are_spread_over_all_of_it(void **state) {
    (void)state;
    static const struct {
        int attempt;
        int64_t min, max;
        double random;
        int64_t pause;
    } cases[] = {
        {0, 1000, 300000, 0, 0},
        {0, 1000, 300000, 0.5, 500},
        {0, 1000, 300000, 0.9999999, 1000},
        {1, 1000, 300000, 0.9999999, 2000},
        {4, 1000, 300000, 0.9999999, 16000},
        {9, 1000, 300000, 0.9999999999, 300000},
        {1000000, 1000, 300000, 0.9999999999, 300000},
        {3, 1000, 500, 0.9999999, 500},
        {70, 1, INT64_C(1) << 40, 0.5, INT64_C(1) << 39},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        assert_int_equal(sw_backoff_ms(cases[i].attempt, cases[i].min, cases[i].max, cases[i].random),
                         cases[i].pause);
    }
    for (int i = 0; i < 1000; i++) {
        double random = sw_outbox_random();
        assert_true(random >= 0 && random < 1);
    }
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_signed(struct fixture *f, size_t n, const char *secret) {
    sw_buf expected;
    sw_buf_init(&expected, 200);
    const char *body = f->receiver.got[n].body;
    sw_webhook_signature(secret, strlen(secret), f->wall_ns / SW_NS_PER_S, body, strlen(body), &expected);
    assert_string_equal(header(&f->receiver, n, "X-Spanwatch-Signature"), expected.data);
    sw_buf_release(&expected);
}

static void each_body_is_signed_with_the_secret_of_the_moment(void **state) {
    struct fixture *f = *state;
    char *path = xasprintf("%s/secret", f->folder);
    write_file(path, "first\n");
    f->options.hmac_secret_file = path;
    restart(f);
    send_one(f, "f", "{}");
    run_until_idle(f);
    assert_signed(f, 0, "first");
    char *other = xasprintf("%s/other", f->folder);
    write_file(other, "second\n");
    assert_int_equal(rename(other, path), 0);
    send_one(f, "f", "{\"n\":2}");
    run_until_idle(f);
    assert_signed(f, 1, "second");
    free(other);
    free(path);
}

static void nothing_is_sent_unsigned_when_the_secret_cannot_be_read(void **state) {
    struct fixture *f = *state;
    char *path = xasprintf("%s/secret", f->folder);
    f->options.hmac_secret_file = path;
    restart(f);
    send_one(f, "f", "{}");
    run_until_idle(f);
    assert_int_equal(f->receiver.n, 0);
    assert_int_equal(sw_outbox_depth(f->outbox), 1);
    assert_non_null(strstr(f->last_log, "cannot use secret file"));
    write_file(path, "now\n");
    advance_ms(f, 500);
    assert_int_equal(f->receiver.n, 1);
    assert_signed(f, 0, "now");
    free(path);
}

static void an_url_that_is_none_is_a_failure_that_may_pass(void **state) {
    struct fixture *f = *state;
    f->options.url = "http://";
    restart(f);
    send_one(f, "f", "{}");
    run_until_idle(f);
    assert_true(deliveries(f, "retried") == 1);
    assert_int_equal(sw_outbox_depth(f->outbox), 1);
    f->options.url = f->url;
    restart(f);
    advance_ms(f, 500);
    assert_string_equal(bodies(f), "{}");
}

/* Standard output into a file while `f` runs. */
static int redirect(const char *path, int flags) {
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    int fd = open(path, flags, 0600);
    assert_true(fd >= 0);
    dup2(fd, STDOUT_FILENO);
    close(fd);
    return saved;
}

static void restore_stdout(int saved) {
    dup2(saved, STDOUT_FILENO);
    close(saved);
}

static char *read_all(const char *path) {
    static char text[1000];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

static void without_a_url_bodies_are_lines_of_standard_output(void **state) {
    struct fixture *f = *state;
    char *path = xasprintf("%s/output", f->folder);
    f->options.url = "";
    restart(f);
    int saved = redirect(path, O_WRONLY | O_CREAT);
    sw_store_batch *batch = sw_store_batch_new(f->store);
    add(f, batch, "f", "{\"n\":1}");
    add(f, batch, "g", "{\"n\":2}");
    add(f, batch, "f", "{\"n\":3}");
    commit(f, batch);
    run_until_idle(f);
    restore_stdout(saved);
    assert_string_equal(read_all(path), "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
    assert_int_equal(f->receiver.n, 0);
    assert_int_equal(stored_rows(f), 0);
    assert_true(deliveries(f, "delivered") == 3);
    free(path);
}

static void a_standard_output_that_cannot_be_written_is_tried_again(void **state) {
    struct fixture *f = *state;
    char *path = xasprintf("%s/output", f->folder);
    f->options.url = NULL;
    restart(f);
    int saved = redirect("/dev/full", O_WRONLY);
    send_one(f, "f", "{}");
    run_until_idle(f);
    restore_stdout(saved);
    assert_int_equal(sw_outbox_depth(f->outbox), 1);
    saved = redirect(path, O_WRONLY | O_CREAT);
    advance_ms(f, 500);
    restore_stdout(saved);
    assert_string_equal(read_all(path), "{}\n");
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    free(path);
}

#define RECEIVER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_signature_is_hmac_sha256_of_time_and_body),
        cmocka_unit_test(pauses_double_up_to_their_limit_and_are_spread_over_all_of_it),
        RECEIVER_TEST(each_body_is_signed_with_the_secret_of_the_moment),
        RECEIVER_TEST(nothing_is_sent_unsigned_when_the_secret_cannot_be_read),
        RECEIVER_TEST(an_url_that_is_none_is_a_failure_that_may_pass),
        RECEIVER_TEST(without_a_url_bodies_are_lines_of_standard_output),
        RECEIVER_TEST(a_standard_output_that_cannot_be_written_is_tried_again),
    };
    return cmocka_run_group_tests_name("receivers", tests, NULL, NULL);
}
