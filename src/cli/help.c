#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static void print_overview(sw_buf *out) {
    sw_buf_append_str(out, "spanwatch watches traces and raises alerts.\n\n"
                           "Usage: spanwatch [VERB] [OPTION]...\n\nVerbs:\n");
    for (size_t i = 0; sw_verbs[i] != NULL; i++) {
        sw_buf_printf(out, "  %-9s %s\n", sw_verbs[i]->name, sw_verbs[i]->summary);
    }
    sw_buf_append_str(out,
                      "\nspanwatch VERB --help explains a verb; spanwatch run --help lists every setting.\n\n"
                      "Examples:\n"
                      "  TEMPO_URL=http://tempo:3200 spanwatch\n"
                      "  spanwatch check && spanwatch run --config spanwatch.lua\n");
}

static void print_option(sw_buf *out, const char *name, const char *argument, const char *doc) {
    char head[96];
    snprintf(head, sizeof head, "  %s%s%s", name, argument != NULL ? " " : "",
             argument != NULL ? argument : "");
    sw_buf_printf(out, "%-33s %s\n", head, doc);
}

static void print_settings(const sw_verb *verb, sw_buf *out) {
    if (verb != &sw_verb_run) {
        sw_buf_append_str(out, "\nEvery setting is an option too; spanwatch run --help lists them.\n");
        return;
    }
    sw_buf_append_str(
        out,
        "\nSettings. Each is an option, an environment variable, a line in .env in the working folder, and "
        "a key of the config\nfile, in this order of precedence: --tempo-url, TEMPO_URL, tempo_url; "
        "--storage-path, SPANWATCH_STORAGE_PATH, storage_path.\n");
    sw_config_help(out);
}

void sw_help_print(const sw_verb *verb, sw_buf *out) {
    if (verb == NULL) {
        print_overview(out);
        return;
    }
    sw_buf_printf(out, "spanwatch %s: %s\n\nUsage: spanwatch %s [OPTION]...%s%s\n\n%s\nOptions:\n",
                  verb->name, verb->summary, verb->name, verb->arguments != NULL ? " " : "",
                  verb->arguments != NULL ? verb->arguments : "", verb->doc);
    for (size_t i = 0; verb->options != NULL && verb->options[i].name != NULL; i++) {
        print_option(out, verb->options[i].name, verb->options[i].argument, verb->options[i].doc);
    }
    if (verb->takes_settings) {
        print_option(out, "--config", "FILE",
                     "A Lua file that returns a table of settings. SPANWATCH_CONFIG names one too.");
    }
    print_option(out, "--help", NULL, "This text.");
    if (verb->takes_settings) {
        print_settings(verb, out);
    }
    sw_buf_printf(out, "\nExamples:\n%s", verb->examples);
}

static int run(const sw_options *options) {
    sw_buf out;
    sw_buf_init(&out, (size_t)1 << 20);
    const sw_verb *verb = options->n_arguments > 0 ? sw_verb_find(options->arguments[0]) : NULL;
    int rc = SW_EXIT_USAGE;
    if (options->n_arguments > 0 && verb == NULL) {
        fprintf(stderr, "spanwatch: unknown verb %s\nTry spanwatch --help\n", options->arguments[0]);
    } else {
        if (sw_option(options, "--env-example") != NULL) {
            sw_config_env_example(&out);
        } else {
            sw_help_print(verb, &out);
        }
        rc = sw_cli_print(&out);
    }
    sw_buf_release(&out);
    return rc;
}

static const sw_verb_option options[] = {
    {"--env-example", NULL, "Prints an .env file with every setting and its default."},
    {0},
};

const sw_verb sw_verb_help = {
    .name = "help",
    .summary = "explain spanwatch or one of its verbs",
    .arguments = "[VERB]",
    .doc = "",
    .examples = "  spanwatch help check\n  spanwatch help --env-example >.env\n",
    .options = options,
    .run = run,
};
