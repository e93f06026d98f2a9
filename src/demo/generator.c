#include "demo/generator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

#define GENERATOR_IN_FLIGHT 8
#define PERIOD_MS 100
#define TIMEOUT_MS 10000

struct call {
    sw_generator *generator;
    sw_http_call *http;
    size_t traces, spans;
};

struct sw_generator {
    sw_http_client *http;
    sw_generator_options options;
    char *url;
    sw_traffic traffic;
    uv_timer_t *timer;
    int64_t started_ns;
    double sent; /* traces, and those that were skipped */
    struct call calls[GENERATOR_IN_FLIGHT];
    sw_generator_sums sums;
};

static void answered(const sw_http_response *response, void *arg) {
    struct call *call = arg;
    sw_generator_sums *sums = &call->generator->sums;
    call->http = NULL;
    if (response->status == 200) {
        sums->traces += call->traces;
        sums->spans += call->spans;
        return;
    }
    sums->failed++;
    if (response->error != SW_HTTP_OK) {
        snprintf(sums->last_error, sizeof sums->last_error, "%s", response->message);
    } else {
        snprintf(sums->last_error, sizeof sums->last_error, "HTTP %d", response->status);
    }
}

static struct call *free_call(sw_generator *generator) {
    for (size_t i = 0; i < GENERATOR_IN_FLIGHT; i++) {
        if (generator->calls[i].http == NULL) {
            return &generator->calls[i];
        }
    }
    return NULL;
}

static void send_traces(sw_generator *generator, size_t n, unsigned anomalies) {
    struct call *call = free_call(generator);
    if (call == NULL) {
        generator->sums.skipped += n;
        return;
    }
    sw_buf body;
    sw_buf_init(&body, (size_t)256 << 20);
    size_t spans =
        sw_traffic_request(&generator->traffic, n, sw_wall_ns(sw_clock_system()), anomalies, &body);
    static const char *const headers[] = {"Content-Type: application/x-protobuf", NULL};
    sw_http_request request = {
        .method = "POST",
        .url = generator->url,
        .profile = generator->options.profile,
        .headers = headers,
        .body = body.data,
        .body_len = body.len,
        .timeout_ms = TIMEOUT_MS,
        .done = answered,
        .arg = call,
    };
    *call = (struct call){.generator = generator, .traces = n, .spans = spans};
    generator->sums.requests++;
    call->http = sw_http_start(generator->http, &request);
    sw_buf_release(&body);
}

static void due(uv_timer_t *timer) {
    sw_generator *generator = timer->data;
    double seconds = (double)(sw_mono_ns(sw_clock_system()) - generator->started_ns) / (double)SW_NS_PER_S;
    double wanted = seconds * generator->options.traces_per_s - generator->sent;
    if (wanted >= 1) {
        size_t n = (size_t)wanted;
        generator->sent += (double)n;
        send_traces(generator, n,
                    generator->options.anomalies != NULL
                        ? generator->options.anomalies(seconds, generator->options.arg)
                        : 0);
    }
}

sw_generator *sw_generator_start(uv_loop_t *loop, sw_http_client *http, const sw_generator_options *options) {
    sw_generator *generator = xcalloc(1, sizeof *generator);
    generator->http = http;
    generator->options = *options;
    size_t len = strlen(options->endpoint);
    while (len > 0 && options->endpoint[len - 1] == '/') {
        len--;
    }
    generator->url = xasprintf("%.*s/v1/traces", (int)len, options->endpoint);
    sw_traffic_init(&generator->traffic, options->seed);
    generator->started_ns = sw_mono_ns(sw_clock_system());
    generator->timer = xcalloc(1, sizeof *generator->timer);
    uv_timer_init(loop, generator->timer);
    generator->timer->data = generator;
    uv_timer_start(generator->timer, due, PERIOD_MS, PERIOD_MS);
    return generator;
}

const sw_generator_sums *sw_generator_read(const sw_generator *generator) {
    return &generator->sums;
}

static void timer_closed(uv_handle_t *handle) {
    free(handle);
}

void sw_generator_free(sw_generator *generator) {
    if (generator == NULL) {
        return;
    }
    for (size_t i = 0; i < GENERATOR_IN_FLIGHT; i++) {
        if (generator->calls[i].http != NULL) {
            sw_http_cancel(generator->calls[i].http);
        }
    }
    uv_close((uv_handle_t *)generator->timer, timer_closed);
    free(generator->url);
    free(generator);
}
