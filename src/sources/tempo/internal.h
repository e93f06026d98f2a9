/* What the parts of the Tempo source share. */
#ifndef SW_SOURCES_TEMPO_INTERNAL_H
#define SW_SOURCES_TEMPO_INTERNAL_H

#include "sources/buckets.h"
#include "sources/tempo/count_table.h"
#include "sources/tempo/query.h"
#include "sources/tempo/server_clock.h"
#include "sources/tempo/span_table.h"
#include "sources/tempo/tempo.h"
#include "sources/tempo/trace_cache.h"

#define TEMPO_REPAIR_S 150 /* counts are read again until they are this old */
#define TEMPO_LATE_S 300   /* traces are looked for until they are this old */
#define TEMPO_CUTOFF_S 31  /* 3.x hides what is younger */
#define TEMPO_CHUNK_S 3600 /* longest range of one question of counts */
#define TEMPO_PROBE_NS (600 * SW_NS_PER_S)
#define TEMPO_MAX_ENTRIES 200000 /* service and operation pairs over all buckets */

/* Whether Tempo has TraceQL metrics; decided by the class of its answers. */
typedef enum tempo_capability {
    TEMPO_CAN_UNKNOWN,
    TEMPO_CAN_METRICS,
    TEMPO_CAN_SEARCH_ONLY
} tempo_capability;

typedef struct tempo_metrics {
    sw_metric *duration, *queries, *failures, *up, *offset, *dropped, *skipped, *incomplete;
} tempo_metrics;

typedef struct tempo_poll tempo_poll;
typedef struct tempo_scripts tempo_scripts;

struct sw_tempo {
    sw_source source; /* first: a sw_source * is a sw_tempo * */
    uv_loop_t *loop;
    const sw_clock *clock;
    sw_http_client *http;
    sw_tempo_options options;
    char *base_url;      /* without a slash at the end */
    char *shown_url;     /* for logs */
    char *tenant_header; /* NULL: none */
    const char *headers[2];
    tempo_metrics m;

    tempo_clock server_clock;
    bool clock_jumped; /* an answer showed that what was planned with the clock is wrong */
    int64_t last_byte_mono_ns;
    int64_t timeouts_ms[TEMPO_N_KINDS]; /* first deadlines as learnt */

    tempo_capability capability;
    int64_t next_probe_mono_ns;     /* while search only */
    int64_t verified_empty_mono_ns; /* when search confirmed last that there is nothing to count; 0: not */
    int64_t no_histogram_until_mono_ns, no_sweep_until_mono_ns;
    bool old_metrics, old_search; /* refuses what is modern */
    int trace_api;                /* 2, or 1 for old servers */
    unsigned count_limit;         /* of searches that count */
    tempo_layout layout;

    sw_buckets *buckets;
    tempo_spans *spans;
    tempo_cache *cache;
    int64_t first_poll_mono_ns;
    bool origin_by_wall;    /* placed by our own clock, before the server's was known */
    int64_t origin_s;       /* first second that the source is responsible for; 0: not yet */
    int64_t counts_base_s;  /* counts before it are not needed any more; 0: origin */
    int64_t search_from_s;  /* the next search begins here at the latest; 0: at the origin */
    int64_t search_until_s; /* all offending traces before it were found; 0: none */
    int64_t horizon_s;
    uint64_t dropped_seen;

    bool up, health_known;
    char health[32];      /* reason word of the last failure; "" when all is well */
    char last_error[400]; /* "" when the last poll was whole */

    tempo_poll *poll;
    tempo_scripts *scripts;
};

int64_t tempo_mono_ns(const sw_tempo *tempo);
int64_t tempo_server_now_ns(const sw_tempo *tempo);

/* poll.c */
tempo_poll *tempo_poll_new(sw_tempo *tempo);
void tempo_poll_free(tempo_poll *poll);
void tempo_poll_start(sw_tempo *tempo, const sw_wants *wants,
                      void (*done)(const sw_poll_result *result, void *arg), void *arg);
void tempo_poll_cancel(sw_tempo *tempo);

/* scripts.c */
tempo_scripts *tempo_scripts_new(sw_tempo *tempo);
void tempo_scripts_free(tempo_scripts *scripts);
/* A new poll: equal questions are asked anew. */
void tempo_scripts_next_tick(tempo_scripts *scripts);
void *tempo_scripts_query(sw_tempo *tempo, const char *kind, const char *options_json, int64_t timeout_ms,
                          sw_query_done done, void *arg);
/* The trace itself, for the host. */
void *tempo_scripts_fetch_trace(sw_tempo *tempo, const char *id, int64_t timeout_ms, sw_trace_done done,
                                void *arg);
void tempo_scripts_cancel(sw_tempo *tempo, void *handle);

/* capability.c: what answers say about the server. */
void tempo_set_capability(sw_tempo *tempo, tempo_capability capability, const char *why);

/* health.c: said once when it changes. `reason` is a word ("" = well), `message` for people. */
void tempo_set_health(sw_tempo *tempo, bool answered, const char *reason, const char *message);

#endif
