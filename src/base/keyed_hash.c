#include "base/keyed_hash.h"

#include <string.h>

#include "base/base.h"

uint64_t sw_keyed_hash_key[3];

void sw_keyed_hash_make_key(void) {
    sw_random_bytes(sw_keyed_hash_key, sizeof sw_keyed_hash_key);
    sw_keyed_hash_key[0] |= 1;
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
