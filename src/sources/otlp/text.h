/* Texts of a request as texts of a window: terminated, valid UTF-8, bounded. */
#ifndef SW_SOURCES_OTLP_TEXT_H
#define SW_SOURCES_OTLP_TEXT_H

#include "otlp/otlp.h"

/* Longest text that is kept of anything that a sender names: the rest is cut off. */
#define OTLP_TEXT_MAX 1024

/* Bytes of `text` up to a NUL in it, at most `max`, not ending inside of a character. */
size_t otlp_text_cut(sw_otlp_text text, size_t max);
/* A copy of at most OTLP_TEXT_MAX bytes, with U+FFFD for bytes that are not UTF-8. Caller frees. */
char *otlp_text_copy(sw_otlp_text text);

#endif
