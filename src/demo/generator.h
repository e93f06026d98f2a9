/*
 * Sends traffic to an OTLP endpoint over HTTP, at a steady rate, without waiting for answers beyond
 * GENERATOR_IN_FLIGHT of them: what could not be sent in time is counted, not sent later.
 */
#ifndef SW_DEMO_GENERATOR_H
#define SW_DEMO_GENERATOR_H

#include <uv.h>

#include "demo/traffic.h"
#include "net/http_client.h"

typedef struct sw_generator sw_generator;

typedef struct sw_generator_options {
    const char *endpoint;           /* "http://127.0.0.1:4318", without /v1/traces; must outlive it */
    const sw_http_profile *profile; /* NULL: none; must outlive it, and so must its texts */
    double traces_per_s;            /* > 0 */
    uint64_t seed;
    /* What goes wrong this long after the start: a set of sw_anomaly. NULL: nothing. */
    unsigned (*anomalies)(double seconds, void *arg);
    void *arg;
} sw_generator_options;

typedef struct sw_generator_sums {
    uint64_t traces, spans; /* taken by the endpoint */
    uint64_t requests, failed, skipped;
    char last_error[256]; /* "" when nothing failed */
} sw_generator_sums;

/* Starts at once. */
sw_generator *sw_generator_start(uv_loop_t *loop, sw_http_client *http, const sw_generator_options *options);
const sw_generator_sums *sw_generator_read(const sw_generator *generator);
/* Cancels what is under way. Run the loop once more before closing it. */
void sw_generator_free(sw_generator *generator);

#endif
