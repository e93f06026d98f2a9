/* The window as messages.md has it. */
#ifndef SW_DETECTORS_WINDOW_PACK_H
#define SW_DETECTORS_WINDOW_PACK_H

#include "protocol/frame.h"
#include "sources/source.h"

/* Packs the window as one map, with those traces only whose place in `chosen` (ascending) is given, and with
 * series when they are wanted. */
void sw_window_pack(msgpack_packer *pk, const sw_window *window, const size_t *chosen, size_t n_chosen,
                    bool series);
/* True when a detector with these wants is to see this trace. */
bool sw_trace_wanted(const sw_trace *trace, const sw_wants *wants);

#endif
