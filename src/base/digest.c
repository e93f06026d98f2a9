#include "base/base.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

/* libcrypto fails here only when it has no memory left. */
static void need(bool ok) {
    if (!ok) {
        fputs("spanwatch: libcrypto cannot compute a digest\n", stderr);
        abort();
    }
}

void sw_sha256_hex(const void *data, size_t len, char out[65]) {
    unsigned char digest[32] = {0};
    need(EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL) == 1);
    sw_hex(digest, sizeof digest, out);
}

void sw_hmac_sha256_hex(const void *key, size_t key_len, const void *data, size_t len, char out[65]) {
    unsigned char digest[32] = {0};
    unsigned int digest_len = sizeof digest;
    need(HMAC(EVP_sha256(), key, (int)key_len, data, len, digest, &digest_len) != NULL);
    sw_hex(digest, sizeof digest, out);
}
