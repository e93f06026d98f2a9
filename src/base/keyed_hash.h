/*
 * A hash for tables whose keys come from outside: keyed with random bytes of this process, so that nobody can
 * send keys that all fall into one slot. For one thread.
 */
#ifndef SW_BASE_KEYED_HASH_H
#define SW_BASE_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t sw_keyed_hash(const void *data, size_t len);

extern uint64_t sw_keyed_hash_key[3]; /* its first word is 0 before it was made */
void sw_keyed_hash_make_key(void);

/* Two multiplications of 64 to 128 bits, folded: quick, and not to be foreseen without the key. */
static inline uint64_t sw_keyed_hash_mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t sw_keyed_hash_u64(uint64_t a, uint64_t b) {
    const uint64_t *key = sw_keyed_hash_key;
    if (key[0] == 0) {
        sw_keyed_hash_make_key();
    }
    return sw_keyed_hash_mix(sw_keyed_hash_mix(a ^ key[0], b ^ key[1]) ^ key[2], key[0]);
}

#endif
