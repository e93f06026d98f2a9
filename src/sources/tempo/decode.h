/*
 * What Tempo's answers say, element by element: traces of a search, series of a metrics query, batches of a
 * trace by id. Each decoder reads one element's JSON text and refuses (false, `why` filled) what is not of
 * the expected shape; what is only absent has its zero value, as Tempo leaves zeros out.
 */
#ifndef SW_SOURCES_TEMPO_DECODE_H
#define SW_SOURCES_TEMPO_DECODE_H

#include "sources/json_value.h"
#include "sources/window.h"

/* The service of spans whose resource names none, as the SDKs of OpenTelemetry call it. */
#define TEMPO_UNKNOWN_SERVICE "unknown_service"

/* Hex digits in any case, at most `width`, into lower case with leading zeros; false when it is not that. */
bool tempo_hex_id(const char *text, size_t width, char *out);
/* An id of n bytes in base64, or already in hex, as 2n hex digits; false when it is neither. */
bool tempo_base64_id(const char *text, size_t n, char *out);

/* A trace with its spans, and which of them are known to be its root. */
typedef struct tempo_row {
    sw_trace trace; /* source, digest and error_message are not filled */
    bool *roots;    /* one for each span */
    bool by_id;     /* from the by-id question: all spans and parents are known */
} tempo_row;

void tempo_row_release(tempo_row *row);
/* Adds an empty span at the end. */
sw_span *tempo_row_add_span(tempo_row *row);

/* One element of "traces" of a search answer. */
bool tempo_decode_search(const char *json, size_t len, tempo_row *row, char why[SW_JSON_WHY]);

/* One element of "resourceSpans" (or "batches") of a trace by id: its spans are added to the row, at most
 * max_spans in all. */
bool tempo_decode_batch(const char *json, size_t len, size_t max_spans, tempo_row *row,
                        char why[SW_JSON_WHY]);
/* After the last batch: the trace's start, duration, root. */
void tempo_finish_batches(tempo_row *row);

/* One element of "series"; the texts belong to it until it is closed. */
typedef struct tempo_series {
    json_t *json;
    const char *service, *name; /* never NULL nor empty for service */
    bool error;
    double bucket_s;                /* upper edge; 0 when it is no histogram */
    const char *trace_id, *span_id; /* as they came; "" when absent */
    const json_t *samples;          /* NULL for an instant query */
    bool has_value;
    double value; /* of an instant query */
} tempo_series;

bool tempo_series_open(const char *json, size_t len, tempo_series *series, char why[SW_JSON_WHY]);
void tempo_series_close(tempo_series *series);
/* Sample i: its time and value (0 when it is left out). False when it is not a sample. */
bool tempo_series_sample(const tempo_series *series, size_t i, int64_t *at_ms, double *value);

/* The text of an attribute's value ({"stringValue": …}, {"intValue": …} …). Caller frees. */
char *tempo_any_value_text(const json_t *value);

#endif
