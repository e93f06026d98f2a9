#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "config/nearest.h"

const sw_verb *const sw_verbs[] = {&sw_verb_run,      &sw_verb_check,
                                   &sw_verb_once,     &sw_verb_test,
                                   &sw_verb_alert,    &sw_verb_explain,
                                   &sw_verb_silence,  &sw_verb_notify,
                                   &sw_verb_routes,   &sw_verb_demo,
                                   &sw_verb_generate, &sw_verb_version,
                                   &sw_verb_help,     NULL};

const sw_verb *sw_verb_find(const char *name) {
    for (size_t i = 0; sw_verbs[i] != NULL; i++) {
        if (strcmp(sw_verbs[i]->name, name) == 0) {
            return sw_verbs[i];
        }
    }
    return NULL;
}

static int unknown_verb(const char *name) {
    sw_nearest nearest;
    sw_nearest_init(&nearest, name);
    for (size_t i = 0; sw_verbs[i] != NULL; i++) {
        sw_nearest_offer(&nearest, sw_verbs[i]->name);
    }
    fprintf(stderr, "spanwatch: unknown verb %s%s%s%s\nTry spanwatch --help\n", name,
            nearest.best[0] ? "; did you mean " : "", nearest.best, nearest.best[0] ? "?" : "");
    return SW_EXIT_USAGE;
}

static int usage_mistakes(const sw_verb *verb, const char *mistakes) {
    for (const char *line = mistakes; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        fprintf(stderr, "spanwatch: %.*s\n", (int)len, line);
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    fprintf(stderr, "Try spanwatch %s --help\n", verb->name);
    return SW_EXIT_USAGE;
}

static int run_verb(const sw_verb *verb, int argc, char **argv) {
    sw_options options;
    sw_buf mistakes;
    sw_buf_init(&mistakes, (size_t)1 << 16);
    int rc = sw_options_parse(&options, verb, argc, argv, &mistakes);
    if (options.help) {
        sw_buf out;
        sw_buf_init(&out, (size_t)1 << 20);
        sw_help_print(verb, &out);
        rc = sw_cli_print(&out);
        sw_buf_release(&out);
    } else if (rc != 0) {
        rc = usage_mistakes(verb, mistakes.data);
    } else {
        rc = verb->run(&options);
    }
    sw_buf_release(&mistakes);
    sw_options_release(&options);
    return rc;
}

int sw_cli_print(const sw_buf *out) {
    if (fwrite(out->data != NULL ? out->data : "", 1, out->len, stdout) != out->len || fflush(stdout) != 0) {
        perror("spanwatch: standard output");
        return SW_EXIT_FAILED;
    }
    return SW_EXIT_OK;
}

int sw_cli_main(int argc, char **argv) {
    const char *first = argc > 1 ? argv[1] : "";
    if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        return run_verb(&sw_verb_help, argc - 2, argv + 2);
    }
    if (strcmp(first, "--version") == 0 || strcmp(first, "-V") == 0) {
        return run_verb(&sw_verb_version, argc - 2, argv + 2);
    }
    if (argc < 2 || first[0] == '-') {
        return run_verb(&sw_verb_run, argc - 1, argv + 1);
    }
    const sw_verb *verb = sw_verb_find(first);
    return verb != NULL ? run_verb(verb, argc - 2, argv + 2) : unknown_verb(first);
}
