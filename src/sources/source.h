/*
 * A source: where traces come from. Each backend implements this one table; the agent knows nothing else of
 * it.
 *
 * Sequence, once per tick: poll() asks the backend what is new and calls back exactly once, when all answers
 * are there or the tick's time is up. Then the agent reads, synchronously and without any I/O:
 *   - horizon: everything before it may be judged now (aligned to step_s);
 *   - which buckets of counts are known (counts_known_until), and windows over them (build_window);
 *   - the traces that are known to offend (traces), as a list that the source owns until the next poll.
 *
 * Time is cut into buckets of step_s seconds (aligned to the epoch). A bucket's counts are read again until
 * they are final; a change raises the bucket's revision. Unknown is never zero: a bucket that could not be
 * read is not known.
 *
 * What a source must remember over a restart (its origin: the first second that it ever was responsible for,
 * and its watermark) it gives and takes as numbers: the agent stores them in the same commit as the alerts.
 */
#ifndef SW_SOURCES_SOURCE_H
#define SW_SOURCES_SOURCE_H

#include "sources/window.h"

/* Which traces the detectors need to see, all of them together. */
typedef struct sw_wants {
    double min_duration_ms; /* traces longer than this; < 0: not wanted for their duration */
    bool errors;            /* traces with a span of error status */
    bool series;            /* counts per service and operation */
} sw_wants;

/* What became of the spans that were sent to the source since the poll before; nothing where it asks for
 * them. */
typedef struct sw_spans_sent {
    uint64_t received;
    uint64_t late;    /* started before what is remembered: in no count */
    uint64_t future;  /* start too far ahead of this machine's clock: in no count */
    uint64_t dropped; /* had to make room before their trace was quiet */
    uint64_t refused; /* requests that senders give up: they cannot be read, or are too large */
} sw_spans_sent;

typedef struct sw_poll_result {
    bool reachable;            /* the backend answered something */
    bool counts_ok;            /* all the counts asked for came, whole */
    bool traces_ok;            /* all offending traces of the lookback came, whole */
    bool in_part;              /* where neither is whole: some came all the same */
    const char *counts_reason; /* why not; "" when ok. Valid until the next poll. */
    const char *traces_reason;
    int64_t horizon_s;         /* everything before it may be judged; 0 when not known yet */
    int64_t last_byte_mono_ns; /* monotonic time of the last byte of the last answer, for measuring */
    sw_spans_sent spans;
} sw_poll_result;

/* What a script's extra question gives: value as JSON text, or a message and a code ("timeout", "http_400",
 * …). */
typedef void (*sw_query_done)(const char *json, size_t len, const char *message, const char *code, void *arg);

/* The trace, valid until it returns; or NULL and a message. */
typedef void (*sw_trace_done)(const sw_trace *trace, const char *message, void *arg);

typedef struct sw_source sw_source;

typedef struct sw_source_ops {
    const char *name; /* "tempo" */
    void (*poll)(sw_source *source, const sw_wants *wants,
                 void (*done)(const sw_poll_result *result, void *arg), void *arg);
    void (*cancel)(sw_source *source); /* ends a poll without its callback */
    int64_t (*step_s)(const sw_source *source);
    /* Counts of every bucket before this second are known (without a gap from `from_s`); from_s when none is.
     */
    int64_t (*counts_known_until)(const sw_source *source, int64_t from_s);
    /* Sum of the revisions of the buckets in [from_s, to_s): grows when late spans repaired one of them. */
    unsigned (*revision)(const sw_source *source, int64_t from_s, int64_t to_s);
    /* Fills `window` (init'ed) with the series of [from_s, to_s), which must be known; no traces. */
    void (*build_window)(const sw_source *source, int64_t from_s, int64_t to_s, sw_window *window);
    const sw_trace *const *(*traces)(const sw_source *source, size_t *n);
    /* Forget buckets and traces that no detector needs any more: those before before_s. */
    void (*forget)(sw_source *source, int64_t before_s);
    /* Extra questions by scripts (ctx.search, ctx.trace, ctx.tempo.*). kind: "search", "metrics", "trace".
     * Options are JSON text of the script's table, already checked to be an object. NULL when the source has
     * none. timeout_ms > 0.
     * Returns a handle for cancel_query, or NULL when done was called with a usage message before returning.
     */
    void *(*query)(sw_source *source, const char *kind, const char *options_json, int64_t timeout_ms,
                   sw_query_done done, void *arg);
    void (*cancel_query)(sw_source *source, void *handle);
    /* Asks for a whole trace by its id (32 hex digits). NULL when the traces of the list are as whole as the
     * source knows them. Returns a handle for cancel_query, or NULL when `done` was called before returning.
     */
    void *(*fetch_trace)(sw_source *source, const char *id, int64_t timeout_ms, sw_trace_done done,
                         void *arg);
    /* Numbers to remember over a restart. */
    void (*save)(const sw_source *source, int64_t *origin_s, int64_t *watermark_s);
    void (*restore)(sw_source *source, int64_t origin_s, int64_t watermark_s);
    /* Appends a JSON object with what /api/v1/status shows of this source. */
    void (*status_json)(const sw_source *source, void *sw_buf_out);
    void (*free)(sw_source *source);
} sw_source_ops;

/* Every source starts with this. */
struct sw_source {
    const sw_source_ops *ops;
};

/* The trace of this id among those that the source lists now; NULL when it is not among them. */
const sw_trace *sw_source_listed(const sw_source *source, const char *id);

#endif
