#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

static void equal_strings_and_two_nulls_are_equal(void **state) {
    (void)state;
    char copy[] = "tempo";
    assert_true(sw_streq("tempo", copy));
    assert_true(sw_streq(NULL, NULL));
    assert_false(sw_streq("tempo", NULL));
    assert_false(sw_streq(NULL, ""));
    assert_false(sw_streq("tempo", "tempo2"));
}

static void a_prefix_is_found_only_at_the_start(void **state) {
    (void)state;
    assert_true(sw_starts_with("spanwatch_ticks", "spanwatch_"));
    assert_true(sw_starts_with("x", ""));
    assert_false(sw_starts_with("span", "spanwatch_"));
    assert_false(sw_starts_with("my_spanwatch_", "spanwatch_"));
}

static void copies_are_cut_and_terminated(void **state) {
    (void)state;
    char *cut = xstrndup("checkout", 5);
    assert_string_equal(cut, "check");
    free(cut);
    char *whole = xstrndup("pay", 100);
    assert_string_equal(whole, "pay");
    free(whole);
    assert_null(xstrdup(NULL));
    char *printed = xasprintf("%s=%d", "n", 7);
    assert_string_equal(printed, "n=7");
    free(printed);
}

static void zero_sizes_give_memory_that_can_be_freed(void **state) {
    (void)state;
    void *a = xmalloc(0);
    void *b = xcalloc(0, 8);
    void *c = xrealloc(NULL, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    free(a);
    free(b);
    free(c);
}

static void fnv1a_matches_published_vectors(void **state) {
    (void)state;
    assert_int_equal(sw_hash(SW_HASH_SEED, "", 0), UINT64_C(0xcbf29ce484222325));
    assert_int_equal(sw_hash(SW_HASH_SEED, "a", 1), UINT64_C(0xaf63dc4c8601ec8c));
    assert_int_equal(sw_hash(SW_HASH_SEED, "foobar", 6), UINT64_C(0x85944171f73967e8));
}

static void a_hash_continues_from_its_seed(void **state) {
    (void)state;
    uint64_t first = sw_hash(SW_HASH_SEED, "foo", 3);
    assert_int_equal(sw_hash(first, "bar", 3), sw_hash(SW_HASH_SEED, "foobar", 6));
}

static void hex_is_lower_case_and_terminated(void **state) {
    (void)state;
    const unsigned char bytes[] = {0x00, 0x7f, 0xab, 0xff};
    char out[9];
    sw_hex(bytes, sizeof bytes, out);
    assert_string_equal(out, "007fabff");
}

static void random_bytes_fill_everything_and_differ(void **state) {
    (void)state;
    unsigned char a[600] = {0};
    unsigned char b[600] = {0};
    sw_random_bytes(a, sizeof a);
    sw_random_bytes(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    const unsigned char zeros[64] = {0};
    assert_memory_not_equal(a + sizeof a - sizeof zeros, zeros, sizeof zeros);
}

static void a_uuid_has_the_form_of_version_4(void **state) {
    (void)state;
    for (int round = 0; round < 100; round++) {
        char uuid[37];
        sw_uuid4(uuid);
        assert_int_equal(strlen(uuid), 36);
        for (int i = 0; i < 36; i++) {
            if (i == 8 || i == 13 || i == 18 || i == 23) {
                assert_int_equal(uuid[i], '-');
            } else {
                assert_non_null(strchr("0123456789abcdef", uuid[i]));
            }
        }
        assert_int_equal(uuid[14], '4');
        assert_non_null(strchr("89ab", uuid[19]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_strings_and_two_nulls_are_equal),
        cmocka_unit_test(a_prefix_is_found_only_at_the_start),
        cmocka_unit_test(copies_are_cut_and_terminated),
        cmocka_unit_test(zero_sizes_give_memory_that_can_be_freed),
        cmocka_unit_test(fnv1a_matches_published_vectors),
        cmocka_unit_test(a_hash_continues_from_its_seed),
        cmocka_unit_test(hex_is_lower_case_and_terminated),
        cmocka_unit_test(random_bytes_fill_everything_and_differ),
        cmocka_unit_test(a_uuid_has_the_form_of_version_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
