/* A database that cannot be written when it is opened: a limit on the size of files stands for a full disk.
 */
#include <signal.h>
#include <sys/resource.h>

#include "store/store_fixture.h"

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What a URI takes for something else, as its path names a file for SQLite. */
static void what_is_in_it_comes_into_memory_and_back_wherever_the_folder_is(void **state) {
    static const char *const names[] = {"plain", "a b", "100%20", "what?", "#1", "a?mode=rw&x=#%"};
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        struct fixture f = {.result = 0};
        char *outer = make_temp_folder(), *warning = NULL, *error = NULL;
        f.folder = xasprintf("%s/%s", outer, names[i]);
        uv_loop_init(&f.loop);
        open_store(&f);
        sw_store_batch *batch = sw_store_batch_new(f.store);
        sw_batch_put_alert(batch, "known", "1", 1);
        assert_int_equal(commit(&f, batch), 0);
        close_store(&f);

        limit_files(1);
        f.store = sw_store_open(&f.loop, f.folder, &warning, &error);
        limit_files(RLIM_INFINITY);
        assert_non_null(f.store);
        assert_true(sw_store_in_memory(f.store));
        assert_non_null(warning);
        assert_stored(&f, sw_store_each_alert, collect_alert, "known=1;");
        batch = sw_store_batch_new(f.store);
        sw_batch_put_alert(batch, "new", "2", 1);
        assert_int_equal(commit(&f, batch), 0);
        reopen_store(&f);
        assert_false(sw_store_in_memory(f.store));
        assert_stored(&f, sw_store_each_alert, collect_alert, "known=1;new=2;");
        close_store(&f);
        assert_int_equal(uv_loop_close(&f.loop), 0);
        free(warning);
        free(f.folder);
        remove_folder(outer);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_in_it_comes_into_memory_and_back_wherever_the_folder_is)};
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
