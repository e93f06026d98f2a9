/*
 * The command line. A verb is a name, what it takes, how it is explained, and a function; verbs.c lists them.
 *
 * Exit codes: 0; 1 when something failed or a check found something; 2 for wrong usage; 78 (EX_CONFIG) when
 * the configuration has mistakes. What a verb answers goes to standard output, everything else to standard
 * error.
 */
#ifndef SW_CLI_CLI_H
#define SW_CLI_CLI_H

#include "agent/agent.h"
#include "config/config.h"

#define SW_EXIT_OK 0
#define SW_EXIT_FAILED 1
#define SW_EXIT_USAGE 2
#define SW_EXIT_CONFIG 78

/* One option of a verb's own, besides the settings. */
typedef struct sw_verb_option {
    const char *name;     /* "--junit"; NULL ends the table */
    const char *argument; /* "FILE"; NULL: a switch */
    const char *doc;
} sw_verb_option;

typedef struct sw_options sw_options;

typedef struct sw_verb {
    const char *name;
    const char *summary;           /* one line */
    const char *arguments;         /* "[FILE or FOLDER]..."; NULL: takes none */
    const char *doc;               /* some lines more */
    const char *examples;          /* lines */
    const sw_verb_option *options; /* NULL: none */
    bool takes_settings;           /* every setting is a flag of this verb, and so is --config */
    int (*run)(const sw_options *options);
} sw_verb;

extern const sw_verb sw_verb_run, sw_verb_check, sw_verb_once, sw_verb_test, sw_verb_version, sw_verb_help;
extern const sw_verb sw_verb_routes, sw_verb_alert, sw_verb_explain, sw_verb_silence, sw_verb_notify,
    sw_verb_demo, sw_verb_generate;
/* NULL-terminated, in the order of the help. */
extern const sw_verb *const sw_verbs[];
const sw_verb *sw_verb_find(const char *name);

/* A parsed command line; strings point into argv or belong to it. */
struct sw_options {
    const sw_verb *verb;
    char **settings; /* "--name=value", NULL-terminated: sw_config_sources.flags */
    size_t n_settings;
    const char *config_path; /* NULL when not given */
    bool help;
    const char **values; /* of the verb's own options, in their order; NULL when not given */
    const char **arguments;
    size_t n_arguments;
};

/* 0, or -1 with one line for each mistake. Release it either way. */
int sw_options_parse(sw_options *options, const sw_verb *verb, int argc, char **argv, sw_buf *mistakes);
void sw_options_release(sw_options *options);
/* The value of one of the verb's own options ("true" for a switch), NULL when it was not given. */
const char *sw_option(const sw_options *options, const char *name);

/* Runs the program; argv[0] is its name. */
int sw_cli_main(int argc, char **argv);

/* `verb` NULL: the overview. */
void sw_help_print(const sw_verb *verb, sw_buf *out);
/* To standard output; exit code. */
int sw_cli_print(const sw_buf *out);

/* What most verbs begin with: configuration loaded, paths found, log set up. */
typedef struct sw_setup {
    sw_config config;
    char *scripts_dir, *storage, *worker; /* never NULL */
    sw_agent_paths paths;
    bool scripts_can_run; /* there are a worker and a folder, whatever else is wrong */
    sw_buf mistakes, warnings;
} sw_setup;

/* 0, or SW_EXIT_CONFIG when there are mistakes, which are then in setup->mistakes. Release it either way. */
int sw_setup_load(sw_setup *setup, const sw_options *options);
/* The configuration alone, for verbs that run no script. */
int sw_setup_config(sw_setup *setup, const sw_options *options);
/* Mistakes and warnings to standard error. */
void sw_setup_complain(const sw_setup *setup);
void sw_setup_release(sw_setup *setup);

#endif
