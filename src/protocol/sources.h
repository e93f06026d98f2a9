/* The sources that traces may come from, by number and by name: a window carries the name of its own, and a
 * detector may ask for some of them. */
#ifndef SW_PROTOCOL_SOURCES_H
#define SW_PROTOCOL_SOURCES_H

#include "base/base.h"

typedef enum sw_source_number { SW_SOURCE_TEMPO, SW_SOURCE_OTLP, SW_SOURCES } sw_source_number;
#define SW_SOURCES_ALL ((1U << SW_SOURCES) - 1) /* a set of them has the bit 1 << number for each */

extern const char *const sw_source_names[SW_SOURCES];
/* -1 when there is none of this name. */
int sw_source_named(const char *name);

#endif
