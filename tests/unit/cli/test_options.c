#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/cli.h"

static int no_run(const sw_options *options) {
    return (int)options->n_arguments;
}

static const sw_verb_option own[] = {{"--junit", "FILE", ""}, {"--json", NULL, ""}, {0}};
static const sw_verb with_everything = {
    .name = "verb", .arguments = "[FILE]...", .options = own, .takes_settings = true, .run = no_run};
static const sw_verb bare = {.name = "bare", .run = no_run};

typedef struct parsed {
    sw_options options;
    sw_buf mistakes;
    int rc;
} parsed;

static void parse(parsed *out, const sw_verb *verb, const char *const *words) {
    int argc = 0;
    while (words[argc] != NULL) {
        argc++;
    }
    sw_buf_init(&out->mistakes, 1 << 16);
    out->rc = sw_options_parse(&out->options, verb, argc, (char **)words, &out->mistakes);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void release(parsed *it) {
    sw_options_release(&it->options);
    sw_buf_release(&it->mistakes);
}

static void assert_mistakes(const sw_verb *verb, const char *const *words, const char *wanted) {
    parsed it;
    parse(&it, verb, words);
    assert_int_equal(it.rc, -1);
    assert_string_equal(it.mistakes.data, wanted);
    release(&it);
}

static void values_follow_behind_a_blank_or_an_equals_sign(void **state) {
    (void)state;
    parsed it;
    parse(&it, &with_everything,
          WORDS("--tempo-url", "http://a/?x=1", "--storage-path=/x=y", "--config", "c.lua", "--junit=r.xml",
                "--json"));
    assert_int_equal(it.rc, 0);
    assert_int_equal(it.options.n_settings, 2);
    assert_string_equal(it.options.settings[0], "--tempo-url=http://a/?x=1");
    assert_string_equal(it.options.settings[1], "--storage-path=/x=y");
    assert_null(it.options.settings[2]);
    assert_string_equal(it.options.config_path, "c.lua");
    assert_string_equal(sw_option(&it.options, "--junit"), "r.xml");
    assert_string_equal(sw_option(&it.options, "--json"), "true");
    release(&it);
}

static void switches_may_be_negated_or_given_a_value(void **state) {
    (void)state;
    parsed it;
    parse(&it, &with_everything, WORDS("--tempo-enabled", "--no-tempo-enabled", "--tempo-enabled=yes"));
    assert_int_equal(it.options.n_settings, 3);
    assert_string_equal(it.options.settings[0], "--tempo-enabled=true");
    assert_string_equal(it.options.settings[1], "--tempo-enabled=false");
    assert_string_equal(it.options.settings[2], "--tempo-enabled=yes");
    release(&it);
}

static void other_words_are_arguments_also_behind_two_dashes(void **state) {
    (void)state;
    parsed it;
    parse(&it, &with_everything, WORDS("a", "--json", "-", "--", "--tempo-url"));
    assert_int_equal(it.rc, 0);
    assert_int_equal(it.options.n_arguments, 3);
    assert_string_equal(it.options.arguments[1], "-");
    assert_string_equal(it.options.arguments[2], "--tempo-url");
    release(&it);
}

static void help_is_understood_beside_mistakes(void **state) {
    (void)state;
    parsed it;
    parse(&it, &bare, WORDS("--nonsense", "-h"));
    assert_true(it.options.help);
    release(&it);
}

static void all_mistakes_of_a_line_are_said_with_what_was_meant(void **state) {
    (void)state;
    assert_mistakes(
        &with_everything, WORDS("--tempo-ulr=x", "--jnit=x", "--qqqqqqqqqq", "--json=x", "--no-tempo-url"),
        "unknown option --tempo-ulr; did you mean --tempo-url?\n"
        "unknown option --jnit; did you mean --junit?\nunknown option --qqqqqqqqqq\n"
        "option --json takes no value\nunknown option --no-tempo-url; did you mean --tempo-url?\n");
}

static void a_value_that_is_missing_is_a_mistake(void **state) {
    (void)state;
    assert_mistakes(&with_everything, WORDS("--tempo-url", "--json"), "option --tempo-url needs a value\n");
    assert_mistakes(&with_everything, WORDS("--config"), "option --config needs a value\n");
    assert_mistakes(&with_everything, WORDS("--junit"), "option --junit needs a value\n");
}

static void a_verb_without_settings_and_arguments_takes_none(void **state) {
    (void)state;
    assert_mistakes(&bare, WORDS("--tempo-url=http://a/"), "unknown option --tempo-url\n");
    assert_mistakes(&bare, WORDS("extra"),
                    "unexpected argument extra (spanwatch bare takes none; a value of a switch is written "
                    "--name=value)\n");
}

static void every_verb_is_found_and_explains_itself(void **state) {
    (void)state;
    for (size_t i = 0; sw_verbs[i] != NULL; i++) {
        sw_buf out;
        sw_buf_init(&out, 1 << 20);
        assert_ptr_equal(sw_verb_find(sw_verbs[i]->name), sw_verbs[i]);
        sw_help_print(sw_verbs[i], &out);
        assert_non_null(strstr(out.data, "Usage: spanwatch "));
        assert_non_null(strstr(out.data, "\nExamples:\n  spanwatch") != NULL
                            ? ""
                            : strstr(out.data, "\nExamples:\n  TEMPO"));
        for (const sw_verb_option *option = sw_verbs[i]->options; option != NULL && option->name != NULL;
             option++) {
            assert_non_null(strstr(out.data, option->name));
        }
        assert_false(out.overflow);
        sw_buf_release(&out);
    }
    assert_null(sw_verb_find("nonsense"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_follow_behind_a_blank_or_an_equals_sign),
        cmocka_unit_test(switches_may_be_negated_or_given_a_value),
        cmocka_unit_test(other_words_are_arguments_also_behind_two_dashes),
        cmocka_unit_test(help_is_understood_beside_mistakes),
        cmocka_unit_test(all_mistakes_of_a_line_are_said_with_what_was_meant),
        cmocka_unit_test(a_value_that_is_missing_is_a_mistake),
        cmocka_unit_test(a_verb_without_settings_and_arguments_takes_none),
        cmocka_unit_test(every_verb_is_found_and_explains_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
