/* routes: what the configuration says about who is told what; nobody is asked. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/routing.h"

#define OUT_MAX ((size_t)4 << 20)

static int usage(const char *what) {
    fprintf(stderr, "spanwatch: %s\nTry spanwatch routes --help\n", what);
    return SW_EXIT_USAGE;
}

/* An alert with these labels and nothing else; release it. -1 when one is no NAME=VALUE. */
static int make_alert(sw_alert *alert, const char **labels, size_t n) {
    *alert = (sw_alert){.labels = xcalloc(n + 1, sizeof *alert->labels)};
    for (size_t i = 0; i < n; i++) {
        const char *equals = strchr(labels[i], '=');
        if (equals == NULL || equals == labels[i]) {
            return -1;
        }
        char *name = xstrndup(labels[i], (size_t)(equals - labels[i]));
        if (strcmp(name, "alertname") == 0 || strcmp(name, "type") == 0) {
            free(alert->type);
            alert->type = xstrdup(equals + 1);
            free(name);
        } else {
            alert->labels[alert->n_labels++] = (sw_label){name, xstrdup(equals + 1)};
        }
    }
    return 0;
}

/* As amtool writes them: joined by commas. */
static void append_receivers(const sw_routing *routing, const sw_alert *alert, sw_buf *out) {
    const sw_route_config *routes[SW_RECEIVERS_MAX];
    size_t n = sw_routing_of(routing, alert, routes);
    for (size_t i = 0; i < n; i++) {
        sw_buf_printf(out, "%s%s", i == 0 ? "" : ",", routes[i]->receiver);
    }
}

static int test(const sw_options *options, const sw_routing *routing, sw_buf *out) {
    sw_alert alert;
    const char *wanted = sw_option(options, "--verify-receivers");
    if (make_alert(&alert, options->arguments + 1, options->n_arguments - 1) != 0) {
        sw_alert_release(&alert);
        return usage("routes test takes labels, such as service=checkout severity=critical");
    }
    append_receivers(routing, &alert, out);
    sw_alert_release(&alert);
    bool good = wanted == NULL || sw_streq(out->data, wanted);
    if (!good) {
        fprintf(stderr, "spanwatch: the receivers are %s, not %s\n", out->data, wanted);
    }
    sw_buf_append_char(out, '\n');
    return good ? SW_EXIT_OK : SW_EXIT_FAILED;
}

static int show(const sw_options *options, const sw_config *config, sw_buf *out) {
    if (options->n_arguments > 1) {
        return usage("routes show takes nothing more");
    }
    sw_route_print(&config->route, out);
    return SW_EXIT_OK;
}

static int run(const sw_options *options) {
    const char *name = options->n_arguments > 0 ? options->arguments[0] : "show";
    bool tests = strcmp(name, "test") == 0;
    if (!tests && strcmp(name, "show") != 0) {
        return usage("routes takes show or test");
    }
    sw_setup setup;
    sw_buf out;
    sw_buf_init(&out, OUT_MAX);
    sw_setup_config(&setup, options);
    sw_routing *routing = sw_routing_new(&setup.config, &setup.mistakes);
    int rc = setup.mistakes.len > 0 ? SW_EXIT_CONFIG : SW_EXIT_OK;
    sw_setup_complain(&setup);
    if (rc == 0) {
        rc = tests ? test(options, routing, &out) : show(options, &setup.config, &out);
        int printed = sw_cli_print(&out);
        rc = rc != 0 ? rc : printed;
    }
    sw_buf_release(&out);
    sw_routing_free(routing);
    sw_setup_release(&setup);
    return rc;
}

static const sw_verb_option own_options[] = {
    {"--verify-receivers", "A,B", "test: exit code 1 unless the receivers are these, in this order."},
    {0},
};

const sw_verb sw_verb_routes = {
    .name = "routes",
    .summary = "show the routes to receivers; say where an alert would go",
    .arguments = "show | test LABEL=VALUE...",
    .doc =
        "Reads the configuration and asks nobody. test prints the receivers of an alert with these labels: "
        "its own, and\n"
        "alertname (or type), severity, detector, source, service, operation.\n",
    .examples = "  spanwatch routes --config spanwatch.lua\n"
                "  spanwatch routes test service=checkout severity=critical --config spanwatch.lua\n",
    .options = own_options,
    .takes_settings = true,
    .run = run,
};
