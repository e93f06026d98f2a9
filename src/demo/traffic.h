/*
 * Believable traffic of a small shop: five services, nested spans, three kinds of requests, and two things
 * that can go wrong. The same seed makes the same traffic, but for its times.
 */
#ifndef SW_DEMO_TRAFFIC_H
#define SW_DEMO_TRAFFIC_H

#include "otlp/otlp.h"

typedef enum sw_anomaly {
    SW_ANOMALY_NONE = 0,
    SW_ANOMALY_ERRORS = 1, /* most checkouts fail: the bank refuses payment's connections */
    SW_ANOMALY_SLOW = 2,   /* catalog's database takes 1.2 s more */
} sw_anomaly;

typedef struct sw_traffic {
    uint64_t random;
} sw_traffic;

void sw_traffic_init(sw_traffic *traffic, uint64_t seed);
/* Appends an ExportTraceServiceRequest of n traces that end at end_ns (unix); `anomalies` is a set. Returns
 * the number of spans. */
size_t sw_traffic_request(sw_traffic *traffic, size_t n, int64_t end_ns, unsigned anomalies, sw_buf *out);

#endif
