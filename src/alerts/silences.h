/*
 * Silences as Alertmanager has them: matchers and a span of time in which notifications of alerts that match
 * are not sent. No I/O and no clock: time comes in, what must be stored goes out through a sink.
 *
 * Besides Alertmanager's, a silence may last "until resolved": it ends as soon as it has matched a firing
 * alert and matches none any more (at its end time all the same). An acknowledgement is such a silence with
 * the one matcher fingerprint="…" and no end time of its own.
 *
 * Expired silences are kept for options.retention_ns to be looked at; over options.max silences the oldest
 * expired go first, and when there are none a new one is refused.
 */
#ifndef SW_ALERTS_SILENCES_H
#define SW_ALERTS_SILENCES_H

#include "alerts/matchers.h"

#define SW_SILENCE_ID_LEN 36
#define SW_SILENCE_MAX_TEXT 4096 /* bytes of author or comment */
/* The end time of what has none: 2200-01-01T00:00:00Z. Later ones are cut to it. */
#define SW_SILENCE_NO_END_NS (INT64_C(7258118400) * SW_NS_PER_S)

typedef enum sw_silence_state { SW_SILENCE_PENDING, SW_SILENCE_ACTIVE, SW_SILENCE_EXPIRED } sw_silence_state;
const char *sw_silence_state_name(sw_silence_state state);

typedef struct sw_silence {
    char id[SW_SILENCE_ID_LEN + 1]; /* a UUID; "" before it has one */
    sw_matchers matchers;
    int64_t starts_at_ns, ends_at_ns, updated_at_ns;
    char *created_by, *comment;
    bool until_resolved;
    bool matched; /* until_resolved: has matched an alert that was firing */
} sw_silence;

typedef struct sw_silences_options {
    size_t max;
    int64_t retention_ns;
} sw_silences_options;

/* What must be stored, from inside the calls that take a sink. */
typedef struct sw_silences_sink {
    void (*changed)(const sw_silence *silence, void *arg);
    void (*removed)(const char *id, void *arg);
    void *arg;
} sw_silences_sink;

typedef struct sw_silences sw_silences;

typedef enum sw_silence_result {
    SW_SILENCE_OK,
    SW_SILENCE_UNKNOWN, /* no silence has this id */
    SW_SILENCE_INVALID, /* what is asked for cannot be */
} sw_silence_result;

sw_silences *sw_silences_new(const sw_silences_options *options);
void sw_silences_free(sw_silences *silences);
void sw_silences_restore(sw_silences *silences, const sw_silence *silence); /* copies */

/* Creates it (id ""), or changes the one with its id as Alertmanager does: the end of an active silence, all
 * of a pending one; anything else expires the old one and creates another. `wanted` is copied. The id is
 * written to `id`. Not SW_SILENCE_OK: *why (caller frees). */
sw_silence_result sw_silences_set(sw_silences *silences, const sw_silence *wanted, int64_t now_ns,
                                  const sw_silences_sink *sink, char id[SW_SILENCE_ID_LEN + 1], char **why);
sw_silence_result sw_silences_expire(sw_silences *silences, const char *id, int64_t now_ns,
                                     const sw_silences_sink *sink, char **why);
/* What time does: silences "until resolved" end when nothing that they match in `alerts` is firing, and
 * expired ones are forgotten. */
void sw_silences_sweep(sw_silences *silences, const sw_alerts *alerts, int64_t now_ns,
                       const sw_silences_sink *sink);

/* The ids of the active silences that match the alert: how many there are, and the first `max` of them in
 * `ids`, which is valid until the next change. */
size_t sw_silences_matching(const sw_silences *silences, const sw_alert *alert, int64_t now_ns,
                            const char **ids, size_t max);
const sw_silence *sw_silences_find(const sw_silences *silences, const char *id); /* NULL when absent */
/* As Alertmanager lists them: active (next to end first), pending (next to begin first), expired (last to end
 * first). */
void sw_silences_each(const sw_silences *silences, int64_t now_ns,
                      void (*each)(const sw_silence *silence, void *arg), void *arg);
size_t sw_silences_count(const sw_silences *silences, sw_silence_state state, int64_t now_ns);

sw_silence_state sw_silence_state_at(const sw_silence *silence, int64_t now_ns);
void sw_silence_release(sw_silence *silence);
void sw_silence_copy(sw_silence *to, const sw_silence *from);
/* For the store, and back (0 or -1: damaged). */
int sw_silence_to_json(const sw_silence *silence, sw_buf *out);
int sw_silence_from_json(const char *json, size_t len, sw_silence *out);

#endif
