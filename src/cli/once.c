#include "cli/cli.h"

static int run(const sw_options *options) {
    sw_setup setup;
    int rc = sw_setup_load(&setup, options);
    sw_setup_complain(&setup);
    if (rc == 0) {
        rc = sw_agent_once(&setup.config, &setup.paths, sw_option(options, "--json") != NULL,
                           sw_option(options, "--send") != NULL);
    }
    sw_setup_release(&setup);
    return rc;
}

static const sw_verb_option options[] = {
    {"--json", NULL, "Findings as JSON instead of a table."},
    {"--send", NULL, "Post what was found to the webhook; nothing is sent otherwise."},
    {0},
};

const sw_verb sw_verb_once = {
    .name = "once",
    .summary = "one tick: print what the detectors find now",
    .doc =
        "Starts with nothing remembered, asks Tempo once, prints and ends. The storage of a running agent is "
        "not touched, and\nspans that are sent to it are not seen.\n"
        "Exit code: 0; 1 when the backend could not be asked or a detector failed.\n",
    .examples = "  spanwatch once --tempo-url http://tempo:3200\n"
                "  spanwatch once --json --tempo-latency-threshold-ms 500 | jq .findings\n",
    .options = options,
    .takes_settings = true,
    .run = run,
};
