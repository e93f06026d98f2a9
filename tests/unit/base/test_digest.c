#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

/* FIPS 180-4 examples. */
static void sha256_matches_published_vectors(void **state) {
    (void)state;
    char out[65];
    sw_sha256_hex("", 0, out);
    assert_string_equal(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sw_sha256_hex("abc", 3, out);
    assert_string_equal(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    sw_sha256_hex(two_blocks, strlen(two_blocks), out);
    assert_string_equal(out, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

/* RFC 4231, test cases 1, 2 and 6 (a key longer than a block). */
static void hmac_sha256_matches_published_vectors(void **state) {
    (void)state;
    char out[65];
    unsigned char key[131];
    memset(key, 0x0b, 20);
    sw_hmac_sha256_hex(key, 20, "Hi There", 8, out);
    assert_string_equal(out, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    sw_hmac_sha256_hex("Jefe", 4, "what do ya want for nothing?", 28, out);
    assert_string_equal(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    const char *message = "Test Using Larger Than Block-Size Key - Hash Key First";
    sw_hmac_sha256_hex(key, sizeof key, message, strlen(message), out);
    assert_string_equal(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void hmac_of_an_empty_key_and_message_is_defined(void **state) {
    (void)state;
    char out[65];
    sw_hmac_sha256_hex("", 0, "", 0, out);
    assert_string_equal(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_matches_published_vectors),
        cmocka_unit_test(hmac_sha256_matches_published_vectors),
        cmocka_unit_test(hmac_of_an_empty_key_and_message_is_defined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
