/*
 * A growing byte buffer with a cap that is stated at birth.
 *
 * Ownership: the buffer owns its bytes until sw_buf_release() or sw_buf_steal(). `data` is always
 * NUL-terminated once anything was appended (the NUL is not counted in `len`), and NULL before. Errors: an
 * append that would pass the cap appends nothing, sets `overflow` and returns -1; later appends fail too.
 */
#ifndef SW_BASE_BUF_H
#define SW_BASE_BUF_H

#include "base/base.h"

typedef struct sw_buf {
    char *data;
    size_t len;
    size_t allocated;
    size_t cap; /* bytes, at most */
    bool overflow;
} sw_buf;

void sw_buf_init(sw_buf *buf, size_t cap);
void sw_buf_release(sw_buf *buf); /* idempotent; frees the bytes, keeps the cap */
void sw_buf_reset(sw_buf *buf);   /* len = 0, overflow = false, keeps the memory */
/* Memory for `more` bytes at once, so that appending them moves nothing. As an append that is too large. */
int sw_buf_reserve(sw_buf *buf, size_t more);
int sw_buf_append(sw_buf *buf, const void *data, size_t len);
int sw_buf_append_str(sw_buf *buf, const char *s);
int sw_buf_append_char(sw_buf *buf, char c);
int sw_buf_printf(sw_buf *buf, const char *fmt, ...) SW_PRINTF(2, 3);
/* Hands the bytes to the caller (who frees them); "" when empty. The buffer is empty afterwards. */
char *sw_buf_steal(sw_buf *buf, size_t *len);

#endif
