/* Values on their way: MessagePack that a worker sent ↔ JSON, and to text that is safe to show. */
#ifndef SW_DETECTORS_CONVERT_H
#define SW_DETECTORS_CONVERT_H

#include <jansson.h>

#include "protocol/frame.h"

#define SW_CONVERT_MAX_DEPTH 48 /* leaves room for the frame around a value */

/* JSON of a parsed value. Strict: NULL when a text is not UTF-8, or a number is not finite; else such bytes
 * become U+FFFD and such numbers null. NUL characters are kept. */
json_t *sw_json_of(const msgpack_object *object, bool strict);
/* 0, or -1 when it is nested too deeply (then something has been packed all the same). */
int sw_pack_json(msgpack_packer *pk, const json_t *value);
/* Text with a length: `str` when it is UTF-8, else `bin`. */
void sw_pack_text(msgpack_packer *pk, const char *text, size_t len);

/* Text, number or boolean as valid UTF-8 without NUL, cut at `max` bytes between characters; NULL for
 * anything else. Caller frees. */
char *sw_object_text(const msgpack_object *object, size_t max);
/* The same for bytes. */
char *sw_clean_text(const char *bytes, size_t len, size_t max);

/* The elements of an array. Lua's empty table travels as an empty map: that is an array without elements, and
 * so is a value that is absent or nil. -1 for anything else. */
int sw_object_array(const msgpack_object *object, const msgpack_object **elements, uint32_t *n);

#endif
