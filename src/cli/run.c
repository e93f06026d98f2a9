#include "cli/cli.h"

static int run(const sw_options *options) {
    sw_setup setup;
    int rc = sw_setup_load(&setup, options);
    sw_setup_complain(&setup);
    if (rc == 0) {
        rc = sw_agent_run(&setup.config, &setup.paths);
    }
    sw_setup_release(&setup);
    return rc;
}

const sw_verb sw_verb_run = {
    .name = "run",
    .summary = "watch traces and raise alerts, until stopped (the default verb)",
    .doc = "Asks Tempo every interval, runs the detectors of the scripts folder, and posts what they find to "
           "the webhook;\n"
           "without a webhook, alerts are lines of the log. A changed script is used at the next tick.\n"
           "SIGTERM and SIGINT stop it, SIGHUP loads the scripts again.\n",
    .examples = "  TEMPO_URL=http://tempo:3200 TEMPO_ALERT_WEBHOOK_URL=https://example.org/hook spanwatch\n"
                "  spanwatch run --config /etc/spanwatch.lua --log-format json\n"
                "  spanwatch run --scripts-dir ./scripts --detectors detectors/latency_zscore\n",
    .takes_settings = true,
    .run = run,
};
