/* Text that goes to outside programs: valid UTF-8 and numbers that read back as the same value. */
#ifndef SW_TELEMETRY_TEXT_H
#define SW_TELEMETRY_TEXT_H

#include "base/base.h"

#define SW_UTF8_REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* Reads one character of `s` (`len` > 0 bytes) and returns how many bytes it takes, at least 1. A byte that
 * does not belong to well-formed UTF-8 (overlong forms and surrogates included) is one byte with *code =
 * 0xFFFD. */
size_t sw_utf8_next(const char *s, size_t len, uint32_t *code);
bool sw_text_valid(const char *s, size_t len);

/* The shortest of 15 to 17 digits that reads back as `value`; integers without exponent or point;
 * "NaN", "+Inf", "-Inf". */
#define SW_DOUBLE_TEXT 32
void sw_format_double(double value, char out[SW_DOUBLE_TEXT]);

#endif
