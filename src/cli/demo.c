#include "demo/demo.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/agent_client.h"
#include "cli/cli.h"

static int run(const sw_options *options) {
    const char *time = sw_option(options, "--for");
    int64_t seconds = 0;
    if (time != NULL && sw_parse_duration(time, &seconds) != 0) {
        fprintf(stderr, "spanwatch: --for must be such as 60s or 5m: '%s'\nTry spanwatch demo --help\n",
                time);
        return SW_EXIT_USAGE;
    }
    sw_setup setup;
    int rc = sw_setup_load(&setup, options);
    sw_setup_complain(&setup);
    if (rc == 0) {
        char *program = realpath("/proc/self/exe", NULL);
        const sw_demo_options demo = {
            .program = program,
            .worker = setup.worker,
            .scripts_dir = setup.scripts_dir,
            .seconds = seconds,
        };
        rc = sw_demo_run(&demo);
        free(program);
    }
    sw_setup_release(&setup);
    return rc;
}

static const sw_verb_option own_options[] = {
    {"--for", "TIME", "How long, such as 60s; until Ctrl-C otherwise. 40 s are enough to see everything."},
    {0},
};

const sw_verb sw_verb_demo = {
    .name = "demo",
    .summary = "show the main job at work: traffic with planted anomalies, and the alerts about them",
    .doc =
        "Starts an agent that receives spans, sends it made-up traffic of five services in which checkouts "
        "fail for 6 s and\n"
        "a database becomes slow, and prints the alerts. On the way a detector is dropped into the scripts "
        "folder. With --for\n"
        "the exit code is 0 only if every planted anomaly was alerted and nothing else.\n",
    .examples = "  spanwatch demo\n"
                "  spanwatch demo --for 60s\n",
    .options = own_options,
    .takes_settings = true,
    .run = run,
};
