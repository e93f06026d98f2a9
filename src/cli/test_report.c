#include "cli/test_report.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_MAX ((size_t)64 << 20)

void sw_test_report_init(sw_test_report *report, FILE *tap) {
    *report = (sw_test_report){.tap = tap};
    sw_buf_init(&report->suites, REPORT_MAX);
    sw_buf_init(&report->cases, REPORT_MAX);
    fputs("TAP version 13\n", tap);
}

void sw_test_report_release(sw_test_report *report) {
    sw_buf_release(&report->suites);
    sw_buf_release(&report->cases);
    free(report->file);
    report->file = NULL;
}

/* XML 1.0 has no way to write most control characters. */
static void append_xml(sw_buf *out, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        switch (*c) {
        case '<':
            sw_buf_append_str(out, "&lt;");
            break;
        case '>':
            sw_buf_append_str(out, "&gt;");
            break;
        case '&':
            sw_buf_append_str(out, "&amp;");
            break;
        case '"':
            sw_buf_append_str(out, "&quot;");
            break;
        case '\n':
            sw_buf_append_str(out, "&#10;");
            break;
        default:
            sw_buf_append_char(out, iscntrl((unsigned char)*c) && *c != '\t' ? '?' : *c);
        }
    }
}

static void end_file(sw_test_report *report) {
    if (report->file == NULL) {
        return;
    }
    sw_buf_append_str(&report->suites, "  <testsuite name=\"");
    append_xml(&report->suites, report->file);
    sw_buf_printf(&report->suites, "\" tests=\"%zu\" failures=\"%zu\" time=\"%.3f\">\n%s  </testsuite>\n",
                  report->file_tests, report->file_failed, report->file_ms / 1000,
                  report->cases.data != NULL ? report->cases.data : "");
    sw_buf_reset(&report->cases);
    report->file_tests = report->file_failed = 0;
    report->file_ms = 0;
    free(report->file);
    report->file = NULL;
}

void sw_test_report_file(sw_test_report *report, const char *path) {
    end_file(report);
    report->file = xstrdup(path);
    fprintf(report->tap, "# %s\n", path);
}

/* A description ends with its line, and # begins a directive. */
static void print_description(FILE *tap, const char *name) {
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '#' || *c == '\\') {
            fputc('\\', tap);
        }
        fputc(iscntrl((unsigned char)*c) ? ' ' : *c, tap);
    }
    fputc('\n', tap);
}

static void print_diagnostics(FILE *tap, const char *message) {
    fputs("  ---\n  message: |\n", tap);
    for (const char *line = message;;) {
        size_t len = strcspn(line, "\n");
        fprintf(tap, "    %.*s\n", (int)len, line);
        if (line[len] == '\0') {
            break;
        }
        line += len + 1;
    }
    fputs("  ...\n", tap);
}

void sw_test_report_test(sw_test_report *report, const char *name, const char *message, double duration_ms) {
    size_t number = report->passed + report->failed + 1;
    fprintf(report->tap, "%sok %zu - ", message != NULL ? "not " : "", number);
    print_description(report->tap, name);
    if (message != NULL) {
        print_diagnostics(report->tap, message);
    }
    sw_buf_append_str(&report->cases, "    <testcase classname=\"");
    append_xml(&report->cases, report->file);
    sw_buf_append_str(&report->cases, "\" name=\"");
    append_xml(&report->cases, name);
    sw_buf_printf(&report->cases, "\" time=\"%.3f\"", duration_ms / 1000);
    if (message != NULL) {
        sw_buf_append_str(&report->cases, "><failure message=\"");
        append_xml(&report->cases, message);
        sw_buf_append_str(&report->cases, "\"/></testcase>\n");
    } else {
        sw_buf_append_str(&report->cases, "/>\n");
    }
    report->file_tests++;
    report->file_ms += duration_ms;
    report->file_failed += message != NULL ? 1 : 0;
    report->passed += message != NULL ? 0 : 1;
    report->failed += message != NULL ? 1 : 0;
}

void sw_test_report_end(sw_test_report *report) {
    end_file(report);
    fprintf(report->tap, "1..%zu\n# %zu passed, %zu failed\n", report->passed + report->failed,
            report->passed, report->failed);
}

int sw_test_report_junit(const sw_test_report *report, const char *path) {
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return -1;
    }
    fprintf(file,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"%zu\" "
            "failures=\"%zu\">\n%s</testsuites>\n",
            report->passed + report->failed, report->failed,
            report->suites.data != NULL ? report->suites.data : "");
    bool good = ferror(file) == 0;
    return fclose(file) == 0 && good ? 0 : -1;
}
