#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/routing.h"
#include "alerts/inhibit_rules.h"
#include "cli/paths.h"
#include "cli/worker_call.h"
#include "detectors/formatter.h"
#include "telemetry/log.h"

extern char **environ;

#define MISTAKES_MAX ((size_t)1 << 20)

static void check_worker(sw_setup *setup) {
    struct stat status;
    bool file = stat(setup->worker, &status) == 0 && S_ISREG(status.st_mode);
    if (access(setup->worker, X_OK) != 0 || !file) {
        sw_buf_printf(&setup->mistakes, "SPANWATCH_WORKER: the worker program %s cannot be run: %s\n",
                      setup->worker, file || errno != 0 ? strerror(errno) : "it is not a file");
    }
}

static void check_scripts_dir(sw_setup *setup) {
    struct stat status;
    if (stat(setup->scripts_dir, &status) != 0 || access(setup->scripts_dir, R_OK | X_OK) != 0) {
        sw_buf_printf(&setup->mistakes, "SPANWATCH_SCRIPTS_DIR: the folder %s cannot be read: %s\n",
                      setup->scripts_dir, strerror(errno));
    } else if (!S_ISDIR(status.st_mode)) {
        sw_buf_printf(&setup->mistakes, "SPANWATCH_SCRIPTS_DIR: %s is not a folder\n", setup->scripts_dir);
    }
}

/* A format that is not there is known before the first alert needs it. */
static void check_format(sw_setup *setup, const sw_receiver_config *receiver) {
    struct stat status;
    const char *name = receiver->format;
    if (name[0] == '\0') {
        return;
    }
    char *path = sw_formatter_path(setup->scripts_dir, name);
    bool file = stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, R_OK) == 0;
    if (!file) {
        bool first = receiver == setup->config.receivers;
        char *whose =
            first ? xstrdup("SPANWATCH_WEBHOOK_FORMAT") : xasprintf("receivers.%s.format", receiver->name);
        sw_buf_printf(&setup->mistakes, "%s: there is no format \"%s\": %s cannot be read\n", whose, name,
                      path);
        free(whose);
    }
    free(path);
}

/* Matchers are compiled by who uses them. */
static void check_routes(sw_setup *setup) {
    sw_routing_free(sw_routing_new(&setup->config, &setup->mistakes));
}

static void check_inhibit_rules(sw_setup *setup) {
    sw_inhibit_rules rules;
    sw_buf mistakes;
    sw_buf_init(&mistakes, MISTAKES_MAX);
    sw_inhibit_rules_parse(setup->config.inhibit_rules_json, &rules, &mistakes);
    for (const char *line = mistakes.data; line != NULL && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        sw_buf_printf(&setup->mistakes, "%s: %.*s\n", setup->config.config_file, (int)len, line);
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    sw_buf_release(&mistakes);
    sw_inhibit_rules_release(&rules);
}

/* What was found takes the place of the empty setting, so that --print-config shows what is used. */
static void replace(char **setting, const char *found) {
    free(*setting);
    *setting = xstrdup(found);
}

static void find_paths(sw_setup *setup) {
    char *program_dir = sw_path_of_program();
    setup->worker = sw_path_worker(setup->config.worker_path, program_dir);
    setup->scripts_dir = sw_path_scripts(setup->config.scripts_dir, program_dir);
    setup->storage = sw_path_storage(setup->config.storage_path, getenv("STATE_DIRECTORY"));
    free(program_dir);
    replace(&setup->config.worker_path, setup->worker);
    replace(&setup->config.scripts_dir, setup->scripts_dir);
    replace(&setup->config.storage_path, setup->storage);
    setup->paths = (sw_agent_paths){
        .scripts_dir = setup->scripts_dir,
        .storage = setup->storage,
        .worker = setup->worker,
    };
}

static void set_up_log(const sw_config *config) {
    sw_log_level level = SW_LOG_INFO;
    sw_log_format format = SW_LOG_LOGFMT;
    sw_log_level_parse(config->log_level, &level);
    sw_log_format_parse(config->log_format, &format);
    sw_log_setup(level, format);
}

int sw_setup_config(sw_setup *setup, const sw_options *options) {
    *setup = (sw_setup){0};
    sw_buf_init(&setup->mistakes, MISTAKES_MAX);
    sw_buf_init(&setup->warnings, MISTAKES_MAX);
    sw_config_sources sources = {
        .flags = (const char *const *)options->settings,
        .environment = environ,
        .dotenv_path = ".env",
        .config_path = options->config_path,
        .evaluate = sw_evaluate_config,
        .warnings = &setup->warnings,
    };
    sw_config_load(&setup->config, &sources, &setup->mistakes);
    check_inhibit_rules(setup);
    set_up_log(&setup->config);
    find_paths(setup);
    return setup->mistakes.len > 0 ? SW_EXIT_CONFIG : 0;
}

int sw_setup_load(sw_setup *setup, const sw_options *options) {
    sw_setup_config(setup, options);
    size_t before = setup->mistakes.len;
    check_worker(setup);
    check_scripts_dir(setup);
    setup->scripts_can_run = setup->mistakes.len == before;
    for (size_t i = 0; i < setup->config.n_receivers; i++) {
        check_format(setup, &setup->config.receivers[i]);
    }
    check_routes(setup);
    return setup->mistakes.len > 0 ? SW_EXIT_CONFIG : 0;
}

static void print_lines(const sw_buf *lines, const char *before) {
    for (const char *line = lines->data; line != NULL && *line != '\0';) {
        size_t len = strcspn(line, "\n");
        fprintf(stderr, "%s%.*s\n", before, (int)len, line);
        line += len + (line[len] == '\n' ? 1 : 0);
    }
}

void sw_setup_complain(const sw_setup *setup) {
    print_lines(&setup->warnings, "spanwatch: warning: ");
    if (setup->mistakes.len > 0) {
        fputs("spanwatch: the configuration has mistakes:\n", stderr);
        print_lines(&setup->mistakes, "  ");
    }
}

void sw_setup_release(sw_setup *setup) {
    free(setup->scripts_dir);
    free(setup->storage);
    free(setup->worker);
    sw_config_release(&setup->config);
    sw_buf_release(&setup->mistakes);
    sw_buf_release(&setup->warnings);
}
