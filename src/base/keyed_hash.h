/*
 * A hash for tables whose keys come from outside: keyed with random bytes of this process, so that nobody can
 * send keys that all fall into one slot. For one thread.
 */
#ifndef SW_BASE_KEYED_HASH_H
#define SW_BASE_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t sw_keyed_hash(const void *data, size_t len);
uint64_t sw_keyed_hash_u64(uint64_t a, uint64_t b);

#endif
