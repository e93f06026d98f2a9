/* Base64 (RFC 4648, section 4). */
#ifndef SW_BASE_BASE64_H
#define SW_BASE_BASE64_H

#include "base/buf.h"

/* Appends; with "=" at the end when `padded`. */
void sw_base64(sw_buf *out, const void *data, size_t len, bool padded);

#endif
