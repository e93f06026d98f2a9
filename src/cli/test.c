#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/script_files.h"
#include "cli/test_report.h"
#include "cli/worker_call.h"

/* 0, or 1 when a path cannot be searched. */
static int find_files(const sw_options *options, const sw_setup *setup, sw_files *out) {
    int rc = 0;
    const char *default_path = setup->scripts_dir;
    size_t n = options->n_arguments > 0 ? options->n_arguments : 1;
    for (size_t i = 0; i < n; i++) {
        const char *path = options->n_arguments > 0 ? options->arguments[i] : default_path;
        if (sw_find_tests(path, out) != 0) {
            fprintf(stderr, "spanwatch: %s: %s\n", path, strerror(errno));
            rc = SW_EXIT_FAILED;
        }
    }
    if (rc == 0 && out->n == 0) {
        fprintf(stderr, "spanwatch: no *_test.lua in %s\n",
                options->n_arguments > 0 ? "what was named" : default_path);
        rc = SW_EXIT_FAILED;
    }
    return rc;
}

static void report_test(sw_test_report *report, const json_t *test) {
    const char *name = json_string_value(json_object_get(test, "name"));
    const char *message = json_string_value(json_object_get(test, "message"));
    bool ok = json_is_true(json_object_get(test, "ok"));
    sw_test_report_test(report, name != NULL ? name : "(a test without a name)",
                        ok                ? NULL
                        : message != NULL ? message
                                          : "it failed without a message",
                        json_number_value(json_object_get(test, "duration_ms")));
}

/* A file that cannot be run, or has no test, is one failed test. */
static void run_file(const sw_setup *setup, const char *path, sw_test_report *report) {
    char *error = NULL;
    json_t *tests = sw_run_test_file(setup, path, &error);
    sw_test_report_file(report, path);
    if (tests == NULL || json_array_size(tests) == 0) {
        sw_test_report_test(report, sw_file_name(path), error != NULL ? error : "the file has no tests", 0);
    }
    for (size_t i = 0; i < json_array_size(tests); i++) {
        report_test(report, json_array_get(tests, i));
    }
    json_decref(tests);
    free(error);
}

static int run_files(const sw_options *options, const sw_setup *setup, const sw_files *files) {
    sw_test_report report;
    const char *junit = sw_option(options, "--junit");
    sw_test_report_init(&report, stdout);
    for (size_t i = 0; i < files->n; i++) {
        run_file(setup, files->paths[i], &report);
        fflush(stdout);
    }
    sw_test_report_end(&report);
    int rc = report.failed > 0 ? SW_EXIT_FAILED : SW_EXIT_OK;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        perror("spanwatch: standard output");
        rc = SW_EXIT_FAILED;
    }
    if (junit != NULL && sw_test_report_junit(&report, junit) != 0) {
        fprintf(stderr, "spanwatch: %s: %s\n", junit, strerror(errno));
        rc = SW_EXIT_FAILED;
    }
    sw_test_report_release(&report);
    return rc;
}

static int run(const sw_options *options) {
    sw_setup setup;
    sw_files files = {0};
    int rc = sw_setup_load(&setup, options);
    sw_setup_complain(&setup);
    if (rc == 0) {
        rc = find_files(options, &setup, &files);
    }
    if (rc == 0) {
        rc = run_files(options, &setup, &files);
    }
    sw_files_release(&files);
    sw_setup_release(&setup);
    return rc;
}

static const sw_verb_option options[] = {
    {"--junit", "FILE", "Write the results as JUnit XML too."},
    {0},
};

const sw_verb sw_verb_test = {
    .name = "test",
    .summary = "run the *_test.lua files beside detectors",
    .arguments = "[FILE or FOLDER]...",
    .doc = "Each file runs in a sandbox of its own, with made-up traces and a clock that stands still. "
           "Without a FILE or\n"
           "FOLDER: the scripts folder. Results are printed as TAP. Exit code: 0; 1 when a test failed or "
           "there is none.\n",
    .examples = "  spanwatch test\n  spanwatch test --junit report.xml examples scripts/detect_test.lua\n",
    .options = options,
    .takes_settings = true,
    .run = run,
};
