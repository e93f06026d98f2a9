#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "cli/script_files.h"
#include "cli/worker_call.h"
#include "config/nearest.h"

typedef struct names {
    sw_files files; /* and, in the same order, */
    sw_files names;
} names;

static void add(names *all, const char *path, const char *name) {
    sw_files_add(&all->files, path);
    sw_files_add(&all->names, name);
}

/* What the agent would run: the files of the folder, and those that SPANWATCH_DETECTORS names. */
static void find_all(const sw_setup *setup, names *all) {
    sw_files found = {0};
    sw_find_detectors(setup->scripts_dir, &found);
    for (size_t i = 0; i < found.n; i++) {
        const char *file = sw_file_name(found.paths[i]);
        char *name = xstrndup(file, strlen(file) - strlen(".lua"));
        add(all, found.paths[i], name);
        free(name);
    }
    for (size_t i = 0; i < setup->config.detectors.n; i++) {
        char *path = xasprintf("%s/%s.lua", setup->scripts_dir, setup->config.detectors.items[i]);
        add(all, path, setup->config.detectors.items[i]);
        free(path);
    }
    sw_files_release(&found);
}

/* "notify/slack" when that is the format of a receiver: it has settings too. */
static bool is_format(const sw_setup *setup, const char *name) {
    for (size_t i = 0; i < setup->config.n_receivers; i++) {
        const char *format = setup->config.receivers[i].format;
        if (format[0] != '\0' && sw_starts_with(name, "notify/") &&
            sw_streq(name + strlen("notify/"), format)) {
            return true;
        }
    }
    return false;
}

static bool is_known(const names *all, const char *name, sw_nearest *nearest) {
    for (size_t i = 0; i < all->names.n; i++) {
        sw_nearest_offer(nearest, all->names.paths[i]);
        if (strcmp(all->names.paths[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Settings for a detector that does not run do nothing: that is rarely meant. */
static void warn_of_unused_settings(const sw_setup *setup, const names *all) {
    json_t *table = json_loads(setup->config.detector_config_json, 0, NULL);
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(table, name, value) {
        sw_nearest nearest;
        sw_nearest_init(&nearest, name);
        if (!is_format(setup, name) && !is_known(all, name, &nearest)) {
            fprintf(stderr,
                    "spanwatch: warning: detector_config has settings for %s, which does not run%s%s%s\n",
                    name, nearest.best[0] ? "; did you mean " : "", nearest.best, nearest.best[0] ? "?" : "");
        }
    }
    json_decref(table);
}

static size_t check_all(const sw_setup *setup, const names *all) {
    size_t bad = 0;
    for (size_t i = 0; i < all->files.n; i++) {
        char *error = NULL;
        if (sw_check_detector(setup, all->files.paths[i], all->names.paths[i], &error) != 0) {
            fprintf(stderr, "spanwatch: %s\n", error);
            bad++;
        }
        free(error);
    }
    return bad;
}

static bool check_formats(const sw_setup *setup) {
    bool good = true;
    for (size_t i = 0; i < setup->config.n_receivers; i++) {
        const sw_receiver_config *receiver = &setup->config.receivers[i];
        char *error = NULL;
        if (sw_check_format(setup, receiver, &error) != 0) {
            fprintf(stderr, "spanwatch: the format of the receiver %s cannot be used: %s\n", receiver->name,
                    error);
            good = false;
        }
        free(error);
    }
    return good;
}

/* Those of the config file: the one of the settings is always there. */
static void count_receivers(const sw_config *config, sw_buf *out) {
    if (config->n_receivers > 1) {
        sw_buf_printf(out, ", %zu receivers", config->n_receivers);
    }
}

static int check_scripts(const sw_setup *setup, bool commented) {
    names all = {0};
    sw_buf out;
    sw_buf_init(&out, 4096);
    find_all(setup, &all);
    warn_of_unused_settings(setup, &all);
    size_t bad = check_all(setup, &all);
    bool good_format = check_formats(setup);
    const char *plural = all.files.n == 1 ? "" : "s";
    if (bad > 0) {
        fprintf(stderr, "spanwatch: %zu of %zu detector%s cannot be used\n", bad, all.files.n, plural);
    } else if (setup->mistakes.len == 0 && good_format) {
        sw_buf_printf(&out, "%sok: %zu detector%s", commented ? "\n# " : "", all.files.n, plural);
        count_receivers(&setup->config, &out);
        sw_buf_append_char(&out, '\n');
    }
    int rc = sw_cli_print(&out);
    sw_buf_release(&out);
    sw_files_release(&all.files);
    sw_files_release(&all.names);
    return bad > 0 || !good_format ? SW_EXIT_FAILED : rc;
}

static int print_config(const sw_config *config) {
    sw_buf out;
    sw_buf_init(&out, (size_t)4 << 20);
    sw_config_print(config, &out);
    int rc = sw_cli_print(&out);
    sw_buf_release(&out);
    return rc;
}

static int run(const sw_options *options) {
    sw_setup setup;
    bool print = sw_option(options, "--print-config") != NULL;
    int rc = sw_setup_load(&setup, options);
    sw_setup_complain(&setup);
    if (print && print_config(&setup.config) != 0) {
        rc = SW_EXIT_FAILED;
    }
    if (setup.scripts_can_run) {
        int scripts_rc = check_scripts(&setup, print);
        rc = rc != 0 ? rc : scripts_rc;
    }
    sw_setup_release(&setup);
    return rc;
}

static const sw_verb_option options[] = {
    {"--print-config", NULL,
     "Print the effective value of every setting and where it came from; secrets are hidden."},
    {0},
};

const sw_verb sw_verb_check = {
    .name = "check",
    .summary = "say every mistake of the configuration and of the scripts",
    .doc = "Nothing is started and nobody is asked. Exit code: 0 and \"ok\"; 78 when the configuration has "
           "mistakes;\n"
           "1 when a script cannot be used.\n",
    .examples = "  spanwatch check\n  spanwatch check --print-config --config spanwatch.lua\n",
    .options = options,
    .takes_settings = true,
    .run = run,
};
