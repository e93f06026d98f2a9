/* Traces as the JSON text that scripts see (`trace` in protocol/messages.md). */
#ifndef SW_SOURCES_TRACE_JSON_H
#define SW_SOURCES_TRACE_JSON_H

#include "base/buf.h"
#include "sources/window.h"

/* Appends the trace as a JSON object; -1 when the buffer is full. */
int sw_trace_append_json(sw_buf *out, const sw_trace *trace);

#endif
