/* What test runs say: TAP 13 (https://testanything.org/tap-version-13-specification.html) as they go, JUnit
 * XML at the end. */
#ifndef SW_CLI_TEST_REPORT_H
#define SW_CLI_TEST_REPORT_H

#include <stdio.h>

#include "base/buf.h"

typedef struct sw_test_report {
    FILE *tap;
    sw_buf suites; /* XML of the files that are over */
    sw_buf cases;  /* XML of the file under way */
    size_t passed, failed;
    size_t file_tests, file_failed;
    double file_ms;
    char *file;
} sw_test_report;

void sw_test_report_init(sw_test_report *report, FILE *tap);
void sw_test_report_release(sw_test_report *report);
void sw_test_report_file(sw_test_report *report, const char *path); /* the following tests are this file's */
/* `message`: why it failed; NULL when it passed. */
void sw_test_report_test(sw_test_report *report, const char *name, const char *message, double duration_ms);
/* The plan and the summary. */
void sw_test_report_end(sw_test_report *report);
/* After end. 0, or -1 with errno. */
int sw_test_report_junit(const sw_test_report *report, const char *path);

#endif
