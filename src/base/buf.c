#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sw_buf_init(sw_buf *buf, size_t cap) {
    *buf = (sw_buf){.cap = cap};
}

void sw_buf_release(sw_buf *buf) {
    free(buf->data);
    sw_buf_init(buf, buf->cap);
}

void sw_buf_reset(sw_buf *buf) {
    buf->len = 0;
    buf->overflow = false;
    if (buf->data != NULL) {
        buf->data[0] = '\0';
    }
}

/* Makes room for `more` bytes and the NUL. */
static int reserve(sw_buf *buf, size_t more) {
    if (buf->overflow || more > buf->cap - buf->len) {
        buf->overflow = true;
        return -1;
    }
    size_t need = buf->len + more + 1;
    if (need > buf->allocated) {
        size_t grown = buf->allocated < 128 ? 128 : buf->allocated * 2;
        buf->allocated = grown < need ? need : grown;
        buf->data = xrealloc(buf->data, buf->allocated);
    }
    return 0;
}

int sw_buf_reserve(sw_buf *buf, size_t more) {
    return reserve(buf, more);
}

int sw_buf_append(sw_buf *buf, const void *data, size_t len) {
    if (reserve(buf, len) != 0) {
        return -1;
    }
    if (len > 0) {
        memcpy(buf->data + buf->len, data, len);
    }
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int sw_buf_append_str(sw_buf *buf, const char *s) {
    return sw_buf_append(buf, s, strlen(s));
}

int sw_buf_append_char(sw_buf *buf, char c) {
    return sw_buf_append(buf, &c, 1);
}

int sw_buf_printf(sw_buf *buf, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    int result = -1;
    if (len >= 0 && reserve(buf, (size_t)len) == 0) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, again);
        buf->len += (size_t)len;
        result = 0;
    }
    va_end(again);
    return result;
}

char *sw_buf_steal(sw_buf *buf, size_t *len) {
    if (len != NULL) {
        *len = buf->len;
    }
    char *data = buf->data != NULL ? buf->data : xstrdup("");
    sw_buf_init(buf, buf->cap);
    return data;
}
