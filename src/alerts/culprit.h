/*
 * The culprit of a trace: the span that made it fail or that took its time, and where the time went. What an
 * alert keeps of a trace that was fetched by its id; the spans are not kept.
 */
#ifndef SW_ALERTS_CULPRIT_H
#define SW_ALERTS_CULPRIT_H

#include <jansson.h>

#include "sources/window.h"

#define SW_CULPRIT_PATH_MAX 20 /* spans listed of a critical path */
#define SW_CULPRIT_MAX_NAME 256
#define SW_CULPRIT_MAX_MESSAGE 1024

typedef struct sw_path_step {
    char *service, *name;
    double self_time_ms; /* what of the critical path the span itself is */
} sw_path_step;

typedef struct sw_culprit {
    char trace_id[SW_TRACE_ID_LEN + 1];
    char span_id[SW_SPAN_ID_LEN + 1];
    char *service, *name;                 /* never NULL */
    char *error_message, *exception_type; /* "" when not known */
    bool failing;                         /* it is the one that failed; else the one that took most time */
    bool agreed;         /* every other trace of the alert that had to be looked at blames this service too */
    double self_time_ms; /* the span's duration without its children's */
    sw_path_step path[SW_CULPRIT_PATH_MAX]; /* in the order of time: those that take most of it */
    size_t n_path;
} sw_culprit;

/* `about_errors`: the span that failed is looked for, if one did; else the one that takes most time. NULL
 * when the trace has no such span. Caller frees. */
sw_culprit *sw_culprit_of(const sw_trace *trace, bool about_errors);
void sw_culprit_free(sw_culprit *culprit);
sw_culprit *sw_culprit_copy(const sw_culprit *culprit); /* NULL in, NULL out */

/* The object of a notification, and what is stored (which has the path and the trace in it). */
json_t *sw_culprit_to_json(const sw_culprit *culprit);
json_t *sw_culprit_path_to_json(const sw_culprit *culprit);
json_t *sw_culprit_to_stored(const sw_culprit *culprit);
/* NULL when it is not what was stored. */
sw_culprit *sw_culprit_from_stored(const json_t *stored);

#endif
