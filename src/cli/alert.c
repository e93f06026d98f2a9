#include "cli/alert.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(const sw_options *options, sw_agent_client *client);
} actions[] = {
    {"ack", sw_alert_ack},
    {"list", sw_alert_list},
    {"show", sw_alert_show},
};

static int run(const sw_options *options) {
    const char *name = options->n_arguments > 0 ? options->arguments[0] : "list";
    for (size_t i = 0; i < SW_ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, name) == 0) {
            sw_agent_client client;
            int rc = sw_agent_client_open(&client, options);
            rc = rc == 0 ? actions[i].run(options, &client) : rc;
            sw_agent_client_close(&client);
            return rc;
        }
    }
    fprintf(stderr, "spanwatch: alert does not know %s\nTry spanwatch alert --help\n",
            name[0] != '\0' ? name : "what to do");
    return SW_EXIT_USAGE;
}

static const sw_verb_option options_of_alert[] = {
    {"--author", "NAME", "ack: who looks at it. The user's name otherwise."},
    {"--comment", "TEXT", "ack: what to say about it."},
    {"--json", NULL, "What the agent answers, as JSON."},
    {0},
};

const sw_verb sw_verb_alert = {
    .name = "alert",
    .summary = "list, show or acknowledge alerts of the running agent",
    .arguments = "list | show FINGERPRINT | ack FINGERPRINT",
    .doc = "Asks the agent at SPANWATCH_LISTEN_ADDRESS. For show the beginning of a fingerprint is enough, "
           "if no other "
           "begins so. An acknowledged alert is not told again until it is "
           "resolved; the id that\n"
           "is printed is that of the silence (spanwatch silence expire takes it back).\n",
    .examples = "  spanwatch alert list --json\n"
                "  spanwatch alert show 0123\n"
                "  spanwatch alert ack 0123456789abcdef --comment 'I look at it'\n",
    .options = options_of_alert,
    .takes_settings = true,
    .run = run,
};
