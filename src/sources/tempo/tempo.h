/*
 * Grafana Tempo as a source, over its HTTP API.
 *
 * Each poll asks two questions: exact counts per operation (TraceQL metrics; counted from search where Tempo
 * has no metrics) and the offending traces (search). Answers that were cut short are continued in narrower
 * windows within max_extra_queries. Every fourth poll a third question takes the place of the counts: the
 * offending spans by id from metrics, which finds what search lost; the counts are then read one poll later.
 *
 * All time is the server's, learnt from its Date headers. Counts are read again until they are 150 s old,
 * traces are looked for until they are 300 s old.
 */
#ifndef SW_SOURCES_TEMPO_TEMPO_H
#define SW_SOURCES_TEMPO_TEMPO_H

#include <uv.h>

#include "base/clock.h"
#include "net/http_client.h"
#include "sources/source.h"
#include "telemetry/metrics.h"

typedef struct sw_tempo_options {
    const char *url;         /* copied; a path is kept as prefix, a slash at the end does not matter */
    sw_http_profile profile; /* what it points to must outlive the source */
    const char *tenant;      /* X-Scope-OrgID; NULL: none. Copied. */
    int64_t step_s;          /* width of a bucket of counts */
    int64_t lookback_s;      /* the source is responsible from this long before its first poll */
    int64_t settle_s;        /* spans younger than this are not judged */
    int64_t max_catch_up_s;  /* after downtime, what is older is given up */
    int64_t interval_s;      /* between polls: a poll ends before the next is due */
    int64_t query_timeout_ms;
    int64_t query_timeout_max_ms;
    unsigned search_limit;
    unsigned max_extra_queries;
    size_t max_body;        /* bytes of one answer */
    bool optional;          /* that it does not answer is said only after it has answered once */
    int64_t retry_pause_ms; /* before a failed query is asked again; 0: 250 */
} sw_tempo_options;

/* Never NULL. Loop, clock, client and metrics must outlive the source; free with ops->free, and run the loop
 * once more before closing it. */
sw_source *sw_tempo_new(uv_loop_t *loop, const sw_clock *clock, sw_http_client *http, sw_metrics *metrics,
                        const sw_tempo_options *options);

#endif
