/* Rows are formatted just before each attempt. */
#include "delivery/outbox_fixture.h"

/* A formatter that answers when the test says so. */
static struct {
    sw_row_formatted done;
    void *done_arg;
    const char *url_suffix;
    unsigned started, cancelled;
    char row[64];
} formatter;

static void *start_format(const sw_outbox_row *row, sw_row_formatted done, void *done_arg, void *arg) {
    (void)arg;
    formatter.done = done;
    formatter.done_arg = done_arg;
    formatter.started++;
    snprintf(formatter.row, sizeof formatter.row, "%s", row->body);
    return &formatter;
}

static void cancel_format(void *handle, void *arg) {
    (void)arg;
    assert_ptr_equal(handle, &formatter);
    formatter.cancelled++;
}

static int set_up_format(void **state) {
    memset(&formatter, 0, sizeof formatter);
    int result = set_up(state);
    struct fixture *f = *state;
    f->options.format = (sw_row_format){.start = start_format, .cancel = cancel_format};
    restart(f);
    return result;
}

static void formatter_answers(const char *content_type, const char *body) {
    formatter.done(&(sw_formatted){.content_type = content_type,
                                   .body = body,
                                   .len = body != NULL ? strlen(body) : 0,
                                   .url_suffix = formatter.url_suffix},
                   formatter.done_arg);
}

static void what_the_format_made_is_sent_and_the_row_keeps_its_own(void **state) {
    struct fixture *f = *state;
    f->receiver.answers[0] = STATUS("503 Away");
    f->receiver.otherwise = OK;
    send_one(f, "a", "plain");
    assert_int_equal(f->receiver.n, 0);
    formatter_answers("text/x-first", "formatted 1");
    run_until_idle(f);
    assert_string_equal(bodies(f), "formatted 1");
    assert_non_null(strstr(f->receiver.got[0].head, "Content-Type: text/x-first"));
    f->mono_ns += 8 * SW_NS_PER_S;
    sw_outbox_committed(f->outbox);
    assert_int_equal(formatter.started, 2); /* for each attempt, of the row */
    assert_string_equal(formatter.row, "plain");
    formatter_answers("text/x-second", "formatted 2");
    run_until_idle(f);
    assert_string_equal(bodies(f), "formatted 1 formatted 2");
    assert_int_equal(stored_rows(f), 0);
}

static void what_the_format_adds_to_the_url_is_where_it_goes(void **state) {
    struct fixture *f = *state;
    formatter.url_suffix = "/4711/close?by=alias";
    send_one(f, "a", "plain");
    formatter_answers("text/x", "formatted");
    run_until_idle(f);
    assert_non_null(strstr(f->receiver.got[0].head, "POST /hook/4711/close?by=alias HTTP/1.1\r\n"));
    send_one(f, "a", "plain");
    formatter_answers("text/x", NULL);
    run_until_idle(f);
    assert_non_null(
        strstr(f->receiver.got[1].head, "POST /hook HTTP/1.1\r\n")); /* the default body is for the URL */
}

static void without_a_formatted_body_the_row_goes_out_as_it_is(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = OK;
    send_one(f, "a", "plain");
    formatter_answers(NULL, NULL);
    run_until_idle(f);
    assert_string_equal(bodies(f), "plain");
    assert_non_null(strstr(f->receiver.got[0].head, "Content-Type: application/json"));
}

static void what_is_being_formatted_at_the_end_is_cancelled_and_kept(void **state) {
    struct fixture *f = *state;
    f->receiver.otherwise = OK;
    send_one(f, "a", "plain");
    assert_int_equal(formatter.started, 1);
    restart(f);
    assert_int_equal(formatter.cancelled, 1);
    assert_int_equal(formatter.started, 2);
    formatter_answers("text/plain", "formatted");
    run_until_idle(f);
    assert_string_equal(bodies(f), "formatted");
}

#define FORMAT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_format, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FORMAT_TEST(what_the_format_adds_to_the_url_is_where_it_goes),
        FORMAT_TEST(what_the_format_made_is_sent_and_the_row_keeps_its_own),
        FORMAT_TEST(without_a_formatted_body_the_row_goes_out_as_it_is),
        FORMAT_TEST(what_is_being_formatted_at_the_end_is_cancelled_and_kept),
    };
    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
