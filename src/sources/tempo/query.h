/*
 * One question to Tempo, with its deadlines and retries, read while the answer arrives.
 *
 * The first deadline is query_timeout_ms; a question that misses it is asked again with four times as long,
 * up to query_timeout_max_ms, as long as there is time. A kind of question that needed longer starts there
 * next time, and comes back slowly. A connection that fails, a broken answer, 429 and 5xx are tried once more
 * after a short pause, and no further.
 */
#ifndef SW_SOURCES_TEMPO_QUERY_H
#define SW_SOURCES_TEMPO_QUERY_H

#include "sources/json_stream.h"

typedef struct sw_tempo sw_tempo;
typedef struct tempo_query tempo_query;

typedef enum tempo_query_kind {
    TEMPO_ASK_COUNTS,
    TEMPO_ASK_COUNT_SEARCH,
    TEMPO_ASK_TRACES,
    TEMPO_ASK_SWEEP,
    TEMPO_ASK_TRACE,
    TEMPO_ASK_PROBE,
    TEMPO_ASK_SCRIPT,
    TEMPO_N_KINDS,
} tempo_query_kind;
const char *tempo_query_kind_name(tempo_query_kind kind);

/* How the answer is read. `reset` is called before each attempt; `element` as in json_stream.h. */
typedef struct tempo_decoder {
    const char *const *paths;
    size_t max_element, max_rest; /* 0: as json_stream.h has it */
    void (*reset)(void *arg);
    bool (*element)(const char *json, size_t len, void *arg);
    void *arg;
} tempo_decoder;

typedef enum tempo_result {
    TEMPO_OK,
    TEMPO_TIMEOUT,
    TEMPO_AWAY,       /* no connection, TLS, reset */
    TEMPO_BROKEN,     /* an answer that cannot be read, or is too large */
    TEMPO_REFUSED,    /* 4xx but 429 */
    TEMPO_OVERLOADED, /* 429 and 5xx */
    TEMPO_NO_METRICS, /* a 5xx that says that TraceQL metrics are not there */
} tempo_result;

typedef struct tempo_answer {
    tempo_result result;
    int status;         /* of HTTP; 0 when none came */
    char reason[32];    /* word for metrics: "timeout", "http_503", "wrong_type" … */
    char message[400];  /* for people; "" when ok */
    const json_t *rest; /* what is left of the answer without its elements; NULL unless ok */
    bool cut_short;     /* the server says that the answer is partial */
} tempo_answer;

/* Takes the url. `first_timeout_ms` 0: as learnt for this kind. `give_up_mono_ns`: no attempt lasts longer.
 * `done` is called once, never from inside; the query is gone afterwards. */
tempo_query *tempo_query_start(sw_tempo *tempo, tempo_query_kind kind, char *url,
                               const tempo_decoder *decoder, int64_t first_timeout_ms,
                               int64_t give_up_mono_ns, void (*done)(const tempo_answer *answer, void *arg),
                               void *arg);
/* Ends it without its callback. */
void tempo_query_cancel(tempo_query *query);

/* What a status that is not 200 means for people: "HTTP 404: no Tempo API at …". */
void tempo_explain_status(const sw_tempo *tempo, int status, const char *body, char *out, size_t size);

#endif
