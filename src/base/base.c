#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void *check(void *ptr) {
    if (ptr == NULL) {
        fputs("spanwatch: out of memory\n", stderr);
        abort();
    }
    return ptr;
}

void *xmalloc(size_t size) {
    return check(malloc(size > 0 ? size : 1));
}

void *xcalloc(size_t count, size_t size) {
    if (count == 0 || size == 0) {
        count = size = 1;
    }
    return check(calloc(count, size));
}

void *xrealloc(void *ptr, size_t size) {
    return check(realloc(ptr, size > 0 ? size : 1));
}

void *xrealloc_array(void *ptr, size_t count, size_t size) {
    size_t bytes = 0;
    return __builtin_mul_overflow(count, size, &bytes) ? check(NULL) : xrealloc(ptr, bytes);
}

char *xstrdup(const char *s) {
    return s == NULL ? NULL : xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n) {
    size_t len = strnlen(s, n);
    char *copy = xmalloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *xvasprintf(const char *fmt, va_list args) {
    char *out = NULL;
    if (vasprintf(&out, fmt, args) < 0) {
        out = NULL;
    }
    return check(out);
}

char *xasprintf(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    char *out = xvasprintf(fmt, args);
    va_end(args);
    return out;
}

bool sw_streq(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool sw_starts_with(const char *s, const char *prefix) {
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

uint64_t sw_hash(uint64_t seed, const void *data, size_t len) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < len; i++) {
        seed = (seed ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return seed;
}

void sw_hex(const unsigned char *bytes, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

void sw_random_bytes(void *out, size_t n) {
    unsigned char *bytes = out;
    while (n > 0) {
        ssize_t got = getrandom(bytes, n, 0);
        if (got > 0) {
            bytes += got;
            n -= (size_t)got;
        }
    }
}

void sw_uuid4(char out[37]) {
    unsigned char b[16];
    sw_random_bytes(b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    char hex[33];
    sw_hex(b, sizeof b, hex);
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}
