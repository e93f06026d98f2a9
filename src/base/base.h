/*
 * What every part of the host and the worker may rely on: memory that is there or the program ends, and small
 * string helpers.
 *
 * Memory policy: the x* functions never return NULL. When the system has no memory left they print one line
 * and abort(): everything that matters is already committed, and a restart continues from there. Sizes that
 * come from outside are checked against a cap *before* they reach an allocation.
 */
#ifndef SW_BASE_BASE_H
#define SW_BASE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SW_VERSION "0.1.0"
#define SW_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define SW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define SW_NS_PER_MS INT64_C(1000000)
#define SW_NS_PER_S INT64_C(1000000000)

/* Like malloc, calloc, realloc, strdup, but never NULL. `xrealloc_array` checks the multiplication. */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *ptr, size_t size);
void *xrealloc_array(void *ptr, size_t count, size_t size);
char *xstrdup(const char *s);            /* NULL in, NULL out */
char *xstrndup(const char *s, size_t n); /* copies at most n bytes, always terminated */
char *xasprintf(const char *fmt, ...) SW_PRINTF(1, 2);
char *xvasprintf(const char *fmt, va_list args);

/* True when both are NULL or both are equal strings. */
bool sw_streq(const char *a, const char *b);
bool sw_starts_with(const char *s, const char *prefix);

/* FNV-1a, 64 bit, of `len` bytes, continuing from `seed` (start with SW_HASH_SEED). Not for hostile keys in
 * tables. */
#define SW_HASH_SEED UINT64_C(14695981039346656037)
uint64_t sw_hash(uint64_t seed, const void *data, size_t len);

/* `n` bytes as 2n lower-case hex digits and a NUL. */
void sw_hex(const unsigned char *bytes, size_t n, char *out);
/* SHA-256 of `len` bytes as 64 lower-case hex digits and a NUL. */
void sw_sha256_hex(const void *data, size_t len, char out[65]);
/* HMAC-SHA-256 (RFC 2104) as 64 lower-case hex digits and a NUL. */
void sw_hmac_sha256_hex(const void *key, size_t key_len, const void *data, size_t len, char out[65]);

/* `n` random bytes from the kernel (getrandom). Never fails after boot. */
void sw_random_bytes(void *out, size_t n);
/* A random UUID (version 4) as text, 36 characters and a NUL. */
void sw_uuid4(char out[37]);

#endif
