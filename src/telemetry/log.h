/*
 * Log lines on standard error, logfmt or JSON, with levels.
 *
 * A line is an event in plain words and pairs of key and value:
 *     sw_log(SW_LOG_WARN, "tempo query failed", "query", "counts", "reason", "timeout after 100 ms", NULL);
 * Values are strings (numbers through sw_log_num, which rotates over 16 static buffers); NULL values are left
 * out. A line is cut at SW_LOG_LINE_MAX bytes; control characters are escaped. Never pass a secret; URLs go
 * through sw_url_redact() (net/url.h). The log is for one thread: the loop's.
 */
#ifndef SW_TELEMETRY_LOG_H
#define SW_TELEMETRY_LOG_H

#include "base/base.h"
#include "base/clock.h"

#define SW_LOG_LINE_MAX 16384

typedef enum sw_log_level { SW_LOG_DEBUG, SW_LOG_INFO, SW_LOG_WARN, SW_LOG_ERROR } sw_log_level;
typedef enum sw_log_format { SW_LOG_LOGFMT, SW_LOG_JSON } sw_log_format;

void sw_log_setup(sw_log_level min_level, sw_log_format format);
/* For tests: lines go to `sink` (without newline) instead of standard error; NULL restores it. */
void sw_log_set_sink(void (*sink)(const char *line, void *arg), void *arg);
/* NULL: the system's clock. */
void sw_log_set_clock(const sw_clock *clock);
bool sw_log_enabled(sw_log_level level);
void sw_log(sw_log_level level, const char *event, ...) __attribute__((sentinel));
/* The same with arrays of n keys and values, for lines whose pairs are not known when compiling. */
void sw_log_pairs(sw_log_level level, const char *event, size_t n, const char *const *keys,
                  const char *const *values);
/* A number as text, valid until 16 further calls. */
const char *sw_log_num(double value);
const char *sw_log_int(int64_t value);
/* Names: debug info warn error; logfmt json. -1 when unknown. */
int sw_log_level_parse(const char *name, sw_log_level *out);
int sw_log_format_parse(const char *name, sw_log_format *out);

#endif
