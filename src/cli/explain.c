/* explain: which condition decided, about an alert or about what a rule says of a trace. */
#include "cli/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/url.h"

static void add_parameter(sw_buf *path, const char *name, const char *value) {
    if (value != NULL) {
        sw_buf_printf(path, "%s%s=", path->len > strlen("/api/v1/explain") ? "&" : "?", name);
        sw_url_encode(path, value);
    }
}

static int ask(const sw_options *options, sw_agent_client *client, const char *fingerprint) {
    sw_buf path;
    sw_buf_init(&path, (size_t)1 << 20);
    sw_buf_append_str(&path, "/api/v1/explain");
    add_parameter(&path, "fingerprint", fingerprint);
    add_parameter(&path, "rule", sw_option(options, "--rule"));
    add_parameter(&path, "trace", sw_option(options, "--trace"));
    json_t *answer = sw_agent_client_ask(client, "GET", path.data, NULL);
    sw_buf_release(&path);
    if (answer == NULL) {
        return SW_EXIT_FAILED;
    }
    const json_t *data = json_object_get(answer, "data");
    int rc = sw_option(options, "--json") != NULL ? sw_print_json(data)
             : fingerprint != NULL                ? sw_explain_print_alert(data)
                                                  : sw_explain_print_rule(data);
    json_decref(answer);
    return rc;
}

static int run(const sw_options *options) {
    bool rule = sw_option(options, "--rule") != NULL || sw_option(options, "--trace") != NULL;
    if (options->n_arguments + (rule ? 1 : 0) != 1 || (!rule && options->arguments[0][0] == '\0')) {
        fprintf(stderr,
                "spanwatch: explain needs a fingerprint, or --rule and --trace (or one of these two)\n"
                "Try spanwatch explain --help\n");
        return SW_EXIT_USAGE;
    }
    sw_agent_client client;
    int rc = sw_agent_client_open(&client, options);
    rc = rc == 0 ? ask(options, &client, rule ? NULL : options->arguments[0]) : rc;
    sw_agent_client_close(&client);
    return rc;
}

static const sw_verb_option own_options[] = {
    {"--rule", "RULE", "Name of a detector, or a type of alert such as high_latency."},
    {"--trace", "ID",
     "What the rule (all of them, without --rule) says of this trace, and what became of it."},
    {"--json", NULL, "What the agent answers, as JSON."},
    {0},
};

const sw_verb sw_verb_explain = {
    .name = "explain",
    .summary = "why an alert was told or was not, or what a rule says of a trace",
    .arguments = "FINGERPRINT | --rule RULE --trace ID",
    .doc = "Asks the agent at SPANWATCH_LISTEN_ADDRESS. Of an alert (the beginning of its fingerprint is "
           "enough) it shows\n"
           "where it stands, and what the last evaluations that are kept found and decided, also when it is "
           "over and\n"
           "forgotten. Of a trace it shows whether it was judged and reported, or why not, and what the rule "
           "says of it\n"
           "now: the detector judges it once more, and nothing of that is kept. --rule alone is about the "
           "newest window.\n",
    .examples = "  spanwatch explain 5d0c8e0a\n"
                "  spanwatch explain --rule high_latency --trace 06f1c3d2a4b5e697880a1b2c3d4e5f60\n"
                "  spanwatch explain --rule detect --json\n",
    .options = own_options,
    .takes_settings = true,
    .run = run,
};
