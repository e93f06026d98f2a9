#include "config/loading.h"
#include "config/dotenv.h"
#include "config/nearest.h"
#include "config/settings.h"

static void flag_and_key_follow_from_the_variable(void **state) {
    (void)state;
    char name[SW_SETTING_NAME_MAX];
    const sw_setting *storage = sw_setting_find("SPANWATCH_STORAGE_PATH", SW_NAME_ENV);
    assert_non_null(storage);
    sw_setting_name(storage, SW_NAME_FLAG, name);
    assert_string_equal(name, "--storage-path");
    sw_setting_name(storage, SW_NAME_KEY, name);
    assert_string_equal(name, "storage_path");
    assert_ptr_equal(sw_setting_find("--tempo-url", SW_NAME_FLAG), sw_setting_find("tempo_url", SW_NAME_KEY));
    assert_null(sw_setting_find("tempo_url", SW_NAME_ENV));
}

static void names_are_unique_and_fit_in_every_style(void **state) {
    (void)state;
    for (size_t i = 0; i < sw_settings_n; i++) {
        for (int style = SW_NAME_ENV; sw_settings[i].type != SW_TYPE_SECTION && style <= SW_NAME_FLAG;
             style++) {
            char name[SW_SETTING_NAME_MAX];
            sw_setting_name(&sw_settings[i], (sw_name_style)style, name);
            assert_true(strlen(name) < SW_SETTING_NAME_MAX - 1);
            assert_ptr_equal(sw_setting_find(name, (sw_name_style)style), &sw_settings[i]);
        }
    }
}

static void a_typing_mistake_finds_its_setting_and_nonsense_finds_none(void **state) {
    (void)state;
    char name[SW_SETTING_NAME_MAX];
    assert_true(sw_setting_nearest("--storage-paht", SW_NAME_FLAG, name));
    assert_string_equal(name, "--storage-path");
    assert_false(sw_setting_nearest("--xylophone", SW_NAME_FLAG, name));
    assert_false(sw_setting_nearest("", SW_NAME_KEY, name));
}

static void distances_count_each_kind_of_slip_once(void **state) {
    (void)state;
    assert_int_equal(sw_edit_distance("check", "check"), 0);
    assert_int_equal(sw_edit_distance("chekc", "check"), 1);
    assert_int_equal(sw_edit_distance("chck", "check"), 1);
    assert_int_equal(sw_edit_distance("checks", "check"), 1);
    assert_int_equal(sw_edit_distance("chick", "check"), 1);
    assert_int_equal(sw_edit_distance("", "check"), 5);
    char longest[200];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_true(sw_edit_distance(longest, "check") == SIZE_MAX);
}

static void help_names_flags_limits_and_defaults(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 1 << 16);
    sw_config_help(&out);
    assert_says(&out, "--tempo-url URL");
    assert_says(&out, "--[no-]tempo-enabled");
    assert_says(&out, "1 to 86400 s; default 30]");
    assert_says(&out, "  --log-format WORD               Form of the log lines on standard error. [logfmt, "
                      "json; default logfmt]\n");
    assert_false(out.overflow);
    sw_buf_release(&out);
}

static void the_example_file_in_the_tree_is_what_the_settings_say(void **state) {
    (void)state;
    sw_buf out, file;
    sw_buf_init(&out, 1 << 16);
    sw_buf_init(&file, 1 << 16);
    sw_config_env_example(&out);
    FILE *in = fopen(SW_SOURCE_DIR "/.env.example", "re");
    assert_non_null(in);
    char piece[4096];
    size_t got = 0;
    while ((got = fread(piece, 1, sizeof piece, in)) > 0) {
        sw_buf_append(&file, piece, got);
    }
    fclose(in);
    assert_string_equal(said(&file), said(&out)); /* else: build/spanwatch help --env-example >.env.example */
    sw_buf_release(&out);
    sw_buf_release(&file);
}

/* The example with every # before a setting taken away must be a file that says nothing new. */
static void the_example_file_is_a_valid_file_of_defaults(void **state) {
    (void)state;
    sw_buf out;
    sw_buf_init(&out, 1 << 16);
    sw_config_env_example(&out);
    for (char *at = out.data; (at = strstr(at, "\n#")) != NULL; at++) {
        if (sw_starts_with(at + 2, "TEMPO_") || sw_starts_with(at + 2, "SPANWATCH_")) {
            at[1] = ' ';
        }
    }
    loading it, defaults;
    load(&it, (given){.dotenv = out.data});
    load(&defaults, (given){0});
    assert_string_equal(said(&it.mistakes), "");
    sw_buf left, right;
    sw_buf_init(&left, 1 << 16);
    sw_buf_init(&right, 1 << 16);
    for (size_t i = 0; i < sw_settings_n; i++) { /* only the origins may differ */
        free(it.config.origins[i]);
        it.config.origins[i] = xstrdup("default");
    }
    sw_config_print(&it.config, &left);
    sw_config_print(&defaults.config, &right);
    assert_string_equal(said(&left), said(&right));
    sw_buf_release(&left);
    sw_buf_release(&right);
    sw_buf_release(&out);
    unload(&it);
    unload(&defaults);
}

static void collect_entry(const char *name, const char *value, unsigned line, void *arg) {
    sw_buf_printf(arg, "%u %s=[%s]\n", line, name, value);
}

static void collect_mistake(unsigned line, const char *why, void *arg) {
    sw_buf_printf(arg, "%u %s\n", line, why);
}

static void assert_dotenv(const char *text, size_t len, const char *wanted) {
    sw_buf out;
    sw_buf_init(&out, 1 << 16);
    sw_dotenv_handler handler = {.entry = collect_entry, .mistake = collect_mistake, .arg = &out};
    sw_dotenv_parse(text, len, &handler);
    assert_string_equal(said(&out), wanted);
    sw_buf_release(&out);
}
#define ASSERT_DOTENV(text, wanted) assert_dotenv(text, sizeof(text) - 1, wanted)

static void dotenv_knows_comments_quotes_blanks_and_export(void **state) {
    (void)state;
    ASSERT_DOTENV("\n# c\n  # c\nA=1\n", "4 A=[1]\n");
    ASSERT_DOTENV("A=one two  # c\nB=a#b\nC=#c\nD=\n", "1 A=[one two]\n2 B=[a#b]\n3 C=[]\n4 D=[]\n");
    ASSERT_DOTENV("export A=1\n\texport  B = 2\nexport=3", "1 A=[1]\n2 B=[2]\n3 export=[3]\n");
    ASSERT_DOTENV("A='a # \\n $b'\nB=\"a\\tb\\\"\\\\\\$\\q\" # c\n",
                  "1 A=[a # \\n $b]\n2 B=[a\tb\"\\$\\q]\n");
    ASSERT_DOTENV("\xef\xbb\xbf"
                  "A=1\r\nB=\"2\"\r\n",
                  "1 A=[1]\n2 B=[2]\n");
    ASSERT_DOTENV("A=last line", "1 A=[last line]\n");
    ASSERT_DOTENV("", "");
}

static void dotenv_says_which_line_is_wrong_and_reads_on(void **state) {
    (void)state;
    ASSERT_DOTENV(
        "A\n1=2\n=3\nB='x\nC=\"x\" y\nD=1\n",
        "1 has no = after the name\n2 must be NAME=value\n3 must be NAME=value\n"
        "4 has a quote that is not closed on its line\n5 has text behind the closing quote\n6 D=[1]\n");
    ASSERT_DOTENV("A=1\0 2\nB=\"\\", "1 has a NUL byte\n2 has a quote that is not closed on its line\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flag_and_key_follow_from_the_variable),
        cmocka_unit_test(names_are_unique_and_fit_in_every_style),
        cmocka_unit_test(a_typing_mistake_finds_its_setting_and_nonsense_finds_none),
        cmocka_unit_test(distances_count_each_kind_of_slip_once),
        cmocka_unit_test(help_names_flags_limits_and_defaults),
        cmocka_unit_test(the_example_file_in_the_tree_is_what_the_settings_say),
        cmocka_unit_test(the_example_file_is_a_valid_file_of_defaults),
        cmocka_unit_test(dotenv_knows_comments_quotes_blanks_and_export),
        cmocka_unit_test(dotenv_says_which_line_is_wrong_and_reads_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
