#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/agent_client.h"
#include "cli/cli.h"
#include "demo/generator.h"
#include "net/url.h"

#define DEFAULT_ENDPOINT "http://127.0.0.1:4318"
#define RATE_MAX 1e6

struct generate {
    uv_loop_t loop;
    uv_signal_t signals[2];
    uv_timer_t end;
    unsigned anomalies;
};

static unsigned anomalies_now(double seconds, void *arg) {
    (void)seconds;
    return ((struct generate *)arg)->anomalies;
}

static void stop(struct generate *generate) {
    uv_stop(&generate->loop);
}

static void on_signal(uv_signal_t *signal, int number) {
    (void)number;
    stop(signal->data);
}

static void on_end(uv_timer_t *timer) {
    stop(timer->data);
}

static int usage(const char *what, const char *value) {
    fprintf(stderr, "spanwatch: %s: '%s'\nTry spanwatch generate --help\n", what, value);
    return SW_EXIT_USAGE;
}

static int generate(struct generate *g, const sw_generator_options *options, int64_t seconds) {
    static const int numbers[] = {SIGINT, SIGTERM};
    uv_loop_init(&g->loop);
    for (size_t i = 0; i < SW_ARRAY_LEN(numbers); i++) {
        uv_signal_init(&g->loop, &g->signals[i]);
        g->signals[i].data = g;
        uv_signal_start(&g->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&g->loop, &g->end);
    g->end.data = g;
    if (seconds > 0) {
        uv_timer_start(&g->end, on_end, (uint64_t)seconds * 1000, 0);
    }
    sw_http_client *http = sw_http_client_new(&g->loop);
    sw_generator *generator = sw_generator_start(&g->loop, http, options);
    uv_run(&g->loop, UV_RUN_DEFAULT);
    const sw_generator_sums sums = *sw_generator_read(generator);
    sw_generator_free(generator);
    sw_http_client_free(http);
    for (size_t i = 0; i < SW_ARRAY_LEN(numbers); i++) {
        uv_close((uv_handle_t *)&g->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&g->end, NULL);
    uv_run(&g->loop, UV_RUN_DEFAULT);
    uv_loop_close(&g->loop);
    printf("%llu traces with %llu spans were taken, in %llu requests; %llu requests failed, %llu traces were "
           "not sent in time\n",
           (unsigned long long)sums.traces, (unsigned long long)sums.spans, (unsigned long long)sums.requests,
           (unsigned long long)sums.failed, (unsigned long long)sums.skipped);
    if (sums.failed > 0) {
        fprintf(stderr, "spanwatch: not everything was taken by %s: %s\n", options->endpoint,
                sums.last_error);
    }
    return sums.failed > 0 || sums.traces == 0 ? SW_EXIT_FAILED : SW_EXIT_OK;
}

static int run(const sw_options *options) {
    const char *endpoint = sw_option(options, "--endpoint"), *rate = sw_option(options, "--rate");
    const char *time = sw_option(options, "--for"), *seed = sw_option(options, "--seed");
    struct generate g = {.anomalies = (sw_option(options, "--errors") != NULL ? SW_ANOMALY_ERRORS : 0u) |
                                      (sw_option(options, "--slow") != NULL ? SW_ANOMALY_SLOW : 0u)};
    const sw_http_profile profile = {.bearer_token_file = sw_option(options, "--bearer-token-file"),
                                     .ca_file = sw_option(options, "--ca-file")};
    sw_generator_options wanted = {
        .endpoint = endpoint != NULL ? endpoint : DEFAULT_ENDPOINT,
        .profile = &profile,
        .traces_per_s = 20,
        .anomalies = anomalies_now,
        .arg = &g,
    };
    int64_t seconds = 0;
    char *end = NULL;
    if (sw_url_check(wanted.endpoint) != NULL) {
        return usage("--endpoint must be such as http://127.0.0.1:4318", wanted.endpoint);
    }
    if (rate != NULL) {
        wanted.traces_per_s = strtod(rate, &end);
        if (end == rate || *end != '\0' || !(wanted.traces_per_s > 0) || wanted.traces_per_s > RATE_MAX) {
            return usage("--rate must be a number of traces per second", rate);
        }
    }
    if (time != NULL && sw_parse_duration(time, &seconds) != 0) {
        return usage("--for must be such as 30s or 5m", time);
    }
    if (seed != NULL) {
        wanted.seed = strtoull(seed, &end, 10);
        if (end == seed || *end != '\0') {
            return usage("--seed must be a number", seed);
        }
    } else {
        sw_random_bytes(&wanted.seed, sizeof wanted.seed);
    }
    return generate(&g, &wanted, seconds);
}

static const sw_verb_option own_options[] = {
    {"--endpoint", "URL", "Where to, without /v1/traces; " DEFAULT_ENDPOINT " otherwise."},
    {"--bearer-token-file", "FILE", "The token that the endpoint wants to see."},
    {"--ca-file", "FILE", "PEM certificates that vouch for an https endpoint, instead of the system's."},
    {"--rate", "N", "Traces per second, of four to seven spans; 20 otherwise."},
    {"--for", "TIME", "How long, such as 30s or 5m; until Ctrl-C otherwise."},
    {"--errors", NULL, "Most checkouts fail."},
    {"--slow", NULL, "The catalog takes 1.2 s more."},
    {"--seed", "N", "The same number makes the same traffic."},
    {0},
};

const sw_verb sw_verb_generate = {
    .name = "generate",
    .summary = "send made-up traces of a small shop to an OTLP endpoint",
    .doc =
        "To any receiver of OTLP over HTTP: the agent's own, a collector, Tempo. The exit code is 1 when a "
        "request failed.\n",
    .examples = "  spanwatch generate --for 1m --errors\n"
                "  spanwatch generate --endpoint http://tempo:4318 --rate 500\n",
    .options = own_options,
    .run = run,
};
