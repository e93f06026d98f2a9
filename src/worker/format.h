/* The call FORMAT, and what the tests of formats need of it. */
#ifndef SW_WORKER_FORMAT_H
#define SW_WORKER_FORMAT_H

#include "worker/internal.h"

/* Body for sw_protected(): loads the script when it is the first, and packs the reply's pairs. */
int sw_call_format(lua_State *L);

/* Reads the table at `table` that a format's file returned; pushes its function. Raises (shape).
 * `content_type` takes SW_CONTENT_TYPE_SIZE bytes. */
void sw_formatter_describe(lua_State *L, int table, const char *path, char *content_type);
/* Turns what the function returned, at the top, into the text of the body. Raises. */
void sw_formatter_body(lua_State *L);
/* Checks what the function returned behind it, at the top: nil, or a path and query for the receiver's URL.
 * Raises. */
void sw_formatter_url_suffix(lua_State *L);

#endif
