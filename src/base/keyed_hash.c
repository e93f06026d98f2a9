#include "base/keyed_hash.h"

#include <string.h>

#include "base/base.h"

/* Two multiplications of 64 to 128 bits, folded: quick, and not to be foreseen without the key. */
static uint64_t mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static const uint64_t *hash_key(void) {
    static uint64_t key[3];
    if (key[0] == 0) {
        sw_random_bytes(key, sizeof key);
        key[0] |= 1;
    }
    return key;
}

uint64_t sw_keyed_hash_u64(uint64_t a, uint64_t b) {
    const uint64_t *key = hash_key();
    return mix(mix(a ^ key[0], b ^ key[1]) ^ key[2], key[0]);
}

uint64_t sw_keyed_hash(const void *data, size_t len) {
    const unsigned char *at = data;
    uint64_t hash = len;
    while (len > 0) {
        uint64_t word = 0;
        size_t n = len < sizeof word ? len : sizeof word;
        memcpy(&word, at, n);
        hash = sw_keyed_hash_u64(word, hash);
        at += n;
        len -= n;
    }
    return hash;
}
