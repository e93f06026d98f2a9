/*
 * Counts of entry spans per step of time, as they come in: for each service and operation how many started,
 * how many failed, and how long they took.
 *
 * Durations are kept in a DDSketch with relative error SW_OTLP_SKETCH_ERROR (Masson, Rim, Lee: "DDSketch: a
 * fast and fully-mergeable quantile sketch", VLDB 2019): bin i holds those in (g^(i-1), g^i] milliseconds
 * with g = (1 + e) / (1 - e). Sketches of steps are merged by adding bins.
 *
 * Bounded: a step has at most max_entries series, and all steps together take about max_bytes; what comes
 * beyond is counted under the service and operation "other". When the memory is full a sketch that would have
 * to grow has two bins become one instead, which doubles its error (Epicoco et al.: "UDDSketch", IEEE Access
 * 2020), and no step begins. Windows say both in their reason.
 */
#ifndef SW_SOURCES_OTLP_SERIES_H
#define SW_SOURCES_OTLP_SERIES_H

#include "otlp/otlp.h"
#include "sources/window.h"

#define SW_OTLP_SKETCH_ERROR 0.01

typedef struct otlp_series otlp_series;

otlp_series *otlp_series_new(int64_t step_s, size_t max_entries, size_t max_bytes);
void otlp_series_free(otlp_series *series);

/* One span that started in the step of at_s and stands for `weight` spans. False when that step was
 * forgotten, or there is no memory for another step. */
bool otlp_series_add(otlp_series *series, int64_t at_s, sw_otlp_text service, sw_otlp_text operation,
                     double weight, bool error, int64_t duration_ns);
/* Forgets the steps that end before or at before_s; spans of them are refused from now on. */
void otlp_series_forget(otlp_series *series, int64_t before_s);
/* How many spans came into the steps of [from_s, to_s). */
unsigned otlp_series_revision(const otlp_series *series, int64_t from_s, int64_t to_s);
/* Fills an init'ed window, by service and operation; complete unless told otherwise by the caller. */
void otlp_series_build_window(const otlp_series *series, int64_t from_s, int64_t to_s, sw_window *window);
size_t otlp_series_entries(const otlp_series *series);
size_t otlp_series_bytes(const otlp_series *series);
/* Spans that were counted under "other". */
uint64_t otlp_series_overflowed(const otlp_series *series);

#endif
