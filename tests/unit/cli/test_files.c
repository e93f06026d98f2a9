#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/paths.h"
#include "cli/script_files.h"
#include "cli/test_report.h"

static int make_folder(void **state) {
    char *path = xstrdup("/tmp/spanwatch-test-XXXXXX");
    *state = path;
    return mkdtemp(path) != NULL ? 0 : -1;
}

static int remove_folder(void **state) {
    char *command = xasprintf("rm -rf '%s'", (char *)*state);
    int rc = system(command);
    free(command);
    free(*state);
    return rc;
}

/* Caller frees. */
static char *put(const char *folder, const char *name, const void *text, size_t len) {
    char *path = xasprintf("%s/%s", folder, name);
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    fclose(file);
    return path;
}

static void touch(const char *folder, const char *name) {
    free(put(folder, name, "", 0));
}

static void assert_files(const sw_files *files, const char *folder, const char *wanted) {
    sw_buf out;
    sw_buf_init(&out, 1 << 16);
    for (size_t i = 0; i < files->n; i++) {
        assert_true(sw_starts_with(files->paths[i], folder));
        sw_buf_printf(&out, "%s ", files->paths[i] + strlen(folder) + 1);
    }
    assert_string_equal(out.data != NULL ? out.data : "", wanted);
    sw_buf_release(&out);
}

static void detectors_are_the_lua_files_directly_in_the_folder(void **state) {
    const char *folder = *state;
    sw_files files = {0};
    touch(folder, "b.lua");
    touch(folder, "a.lua");
    touch(folder, "a_test.lua");
    touch(folder, "notes.txt");
    touch(folder, ".hidden.lua");
    touch(folder, "lib/x.lua");
    assert_int_equal(sw_find_detectors(folder, &files), 0);
    assert_files(&files, folder, "a.lua b.lua ");
    sw_files_release(&files);
    assert_int_equal(sw_find_detectors("/nowhere/at/all", &files), -1);
}

static void tests_are_found_beneath_the_folder_or_named(void **state) {
    const char *folder = *state;
    sw_files files = {0};
    touch(folder, "z_test.lua");
    touch(folder, "lib/a_test.lua");
    touch(folder, "lib/deep/b_test.lua");
    touch(folder, ".git/c_test.lua");
    touch(folder, "a.lua");
    char *slashed = xasprintf("%s/", folder);
    char *one = xasprintf("%s/a.lua", folder);
    assert_int_equal(sw_find_tests(slashed, &files), 0);
    assert_int_equal(sw_find_tests(one, &files), 0);
    assert_files(&files, folder, "lib/a_test.lua lib/deep/b_test.lua z_test.lua a.lua ");
    assert_int_equal(sw_find_tests("/nowhere/at/all", &files), -1);
    sw_files_release(&files);
    free(slashed);
    free(one);
}

static void assert_refused(const char *folder, const void *text, size_t len, const char *why) {
    char *error = NULL;
    char *path = put(folder, "x.lua", text, len);
    assert_null(sw_read_script(path, &error));
    assert_true(sw_starts_with(error, path));
    if (strstr(error, why) == NULL) {
        fail_msg("%s", error);
    }
    free(error);
    free(path);
}

static void scripts_are_text_of_a_reasonable_size(void **state) {
    const char *folder = *state;
    char *error = NULL;
    char *path = put(folder, "x.lua", "-- \xc3\xa4\n", 6);
    char *text = sw_read_script(path, &error);
    assert_null(error);
    assert_string_equal(text, "-- \xc3\xa4\n");
    free(text);
    free(path);
    assert_refused(folder, "\033Lua", 4, "bytecode");
    assert_refused(folder, "a\0b", 3, "UTF-8");
    assert_refused(folder, "\xe4", 1, "UTF-8");
    assert_refused(folder, "\xed\xa0\x80", 3, "UTF-8");
    char *large = xcalloc(1, SW_SCRIPT_MAX + 1);
    memset(large, ' ', SW_SCRIPT_MAX + 1);
    assert_refused(folder, large, SW_SCRIPT_MAX + 1, "larger than");
    free(large);
    char *missing = xasprintf("%s/missing.lua", folder);
    assert_null(sw_read_script(missing, &error));
    assert_non_null(strstr(error, "No such file"));
    free(error);
    free(missing);
}

static void names_and_folders_are_cut_from_paths(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"a/b/c.lua", "a/b", "c.lua"}, {"c.lua", ".", "c.lua"}, {"/c.lua", "/", "c.lua"}};
    for (size_t i = 0; i < SW_ARRAY_LEN(cases); i++) {
        char *folder = sw_folder_of(cases[i][0]);
        assert_string_equal(folder, cases[i][1]);
        assert_string_equal(sw_file_name(cases[i][0]), cases[i][2]);
        free(folder);
    }
}

static void assert_path(char *got, const char *wanted) {
    assert_string_equal(got, wanted);
    free(got);
}

static void the_worker_is_set_or_beside_the_program_or_in_its_prefix(void **state) {
    const char *folder = *state;
    char *program_dir = xasprintf("%s/bin", folder);
    assert_path(sw_path_worker("/set", program_dir), "/set");
    char *in_prefix = put(folder, "libexec/spanwatch/spanwatch-worker", "", 0);
    chmod(in_prefix, 0755);
    touch(folder, "bin/other");
    assert_path(sw_path_worker("", program_dir), in_prefix);
    char *beside = put(folder, "bin/spanwatch-worker", "", 0);
    assert_path(sw_path_worker("", program_dir), in_prefix); /* the one beside it cannot be run */
    chmod(beside, 0755);
    assert_path(sw_path_worker("", program_dir), beside);
    free(beside);
    free(in_prefix);
    free(program_dir);
}

static void the_scripts_are_set_or_of_the_build_tree_or_of_the_prefix(void **state) {
    const char *folder = *state;
    char *program_dir = xasprintf("%s/bin", folder);
    touch(folder, "bin/other");
    touch(folder, "share/spanwatch/scripts/detect.lua");
    char *prefix = xasprintf("%s/share/spanwatch/scripts", folder);
    char *tree = xasprintf("%s/scripts", folder);
    assert_path(sw_path_scripts("set", program_dir), "set");
    assert_path(sw_path_scripts("", program_dir), prefix);
    touch(folder, "scripts/other.lua");
    assert_path(sw_path_scripts("", program_dir), prefix);
    touch(folder, "scripts/detect.lua");
    assert_path(sw_path_scripts("", program_dir), tree);
    free(prefix);
    free(tree);
    free(program_dir);
}

static void the_storage_is_set_or_given_by_systemd_or_a_folder_here(void **state) {
    (void)state;
    assert_path(sw_path_storage("/set", "/state"), "/set");
    assert_path(sw_path_storage("", "/state:/other"), "/state");
    assert_path(sw_path_storage("", NULL), "data");
    assert_path(sw_path_storage("", ""), "data");
}

static void results_are_tap_and_junit(void **state) {
    const char *folder = *state;
    char *tap = NULL;
    size_t tap_len = 0;
    FILE *out = open_memstream(&tap, &tap_len);
    sw_test_report report;
    sw_test_report_init(&report, out);
    sw_test_report_file(&report, "a_test.lua");
    sw_test_report_test(&report, "it works # 1", NULL, 2);
    sw_test_report_test(&report, "it <fails>\n", "a_test.lua:3: \"x\"\nsecond & last", 1);
    sw_test_report_file(&report, "b_test.lua");
    sw_test_report_test(&report, "it works", NULL, 0);
    sw_test_report_end(&report);
    fclose(out);
    assert_string_equal(tap,
                        "TAP version 13\n# a_test.lua\nok 1 - it works \\# 1\nnot ok 2 - it <fails> \n  ---\n"
                        "  message: |\n    a_test.lua:3: \"x\"\n    second & last\n  ...\n# b_test.lua\n"
                        "ok 3 - it works\n1..3\n# 2 passed, 1 failed\n");
    char *path = xasprintf("%s/r.xml", folder), *error = NULL;
    assert_int_equal(sw_test_report_junit(&report, path), 0);
    char *xml = sw_read_script(path, &error);
    assert_string_equal(
        xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"3\" failures=\"1\">\n"
             "  <testsuite name=\"a_test.lua\" tests=\"2\" failures=\"1\" time=\"0.003\">\n"
             "    <testcase classname=\"a_test.lua\" name=\"it works # 1\" time=\"0.002\"/>\n"
             "    <testcase classname=\"a_test.lua\" name=\"it &lt;fails&gt;&#10;\" time=\"0.001\">"
             "<failure message=\"a_test.lua:3: &quot;x&quot;&#10;second &amp; last\"/></testcase>\n"
             "  </testsuite>\n"
             "  <testsuite name=\"b_test.lua\" tests=\"1\" failures=\"0\" time=\"0.000\">\n"
             "    <testcase classname=\"b_test.lua\" name=\"it works\" time=\"0.000\"/>\n  "
             "</testsuite>\n</testsuites>\n");
    assert_int_equal(sw_test_report_junit(&report, "/nowhere/r.xml"), -1);
    free(xml);
    free(path);
    free(tap);
    sw_test_report_release(&report);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(detectors_are_the_lua_files_directly_in_the_folder),
        IN_FOLDER(tests_are_found_beneath_the_folder_or_named),
        IN_FOLDER(scripts_are_text_of_a_reasonable_size),
        cmocka_unit_test(names_and_folders_are_cut_from_paths),
        IN_FOLDER(the_worker_is_set_or_beside_the_program_or_in_its_prefix),
        IN_FOLDER(the_scripts_are_set_or_of_the_build_tree_or_of_the_prefix),
        cmocka_unit_test(the_storage_is_set_or_given_by_systemd_or_a_folder_here),
        IN_FOLDER(results_are_tap_and_junit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
