#include "detectors/harness.h"

#include <errno.h>

#include "detectors/require.h"

/* A folder with lib/, detectors/ and something outside that must not be found. */
static int setup(void **state) {
    harness *h = xcalloc(1, sizeof *h);
    strcpy(h->dir, "/tmp/spanwatch-test-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    make_folder(h, "scripts");
    make_folder(h, "scripts/lib");
    make_folder(h, "scripts/lib/deep");
    make_folder(h, "scripts/detectors");
    write_file(h, "outside.lua", "secret");
    write_file(h, "scripts/top.lua", "top");
    write_file(h, "scripts/lib/both.lua", "from lib");
    write_file(h, "scripts/lib/deep/one.lua", "deep");
    write_file(h, "scripts/detectors/both.lua", "beside");
    write_file(h, "scripts/detectors/own.lua", "own");
    *state = h;
    return 0;
}

static int teardown(void **state) {
    harness *h = *state;
    nftw(h->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(h);
    return 0;
}

/* The source that is found, or NULL and the message. */
static char *find(const harness *h, const char *dir, const char *name, char **path, char **message) {
    char *scripts = xasprintf("%s/scripts", h->dir);
    char *own = dir != NULL ? xasprintf("%s/%s", h->dir, dir) : NULL;
    sw_module module;
    *message = NULL;
    *path = NULL;
    int result = sw_module_find(scripts, own, name, &module, message);
    char *source = result == 0 ? xstrdup(module.source) : NULL;
    if (result == 0) {
        *path = xstrdup(module.path);
        assert_int_equal(strlen(module.hash), 64);
    } else {
        assert_string_equal(module.hash, "");
    }
    sw_module_release(&module);
    free(scripts);
    free(own);
    return source;
}

static void expect(const harness *h, const char *dir, const char *name, const char *source,
                   const char *path) {
    char *found_path = NULL, *message = NULL;
    char *found = find(h, dir, name, &found_path, &message);
    assert_non_null(found);
    assert_string_equal(found, source);
    assert_string_equal(found_path, path);
    free(found);
    free(found_path);
}

static void expect_none(const harness *h, const char *dir, const char *name, const char *why) {
    char *path = NULL, *message = NULL;
    char *found = find(h, dir, name, &path, &message);
    assert_null(found);
    if (strstr(message, why) == NULL) {
        fail_msg("%s: %s", name, message);
    }
    free(message);
}

static void lib_comes_before_the_own_folder(void **state) {
    expect(*state, "scripts/detectors", "both", "from lib", "lib/both.lua");
    expect(*state, "scripts/detectors", "own", "own", "detectors/own.lua");
    expect(*state, "scripts", "top", "top", "top.lua");
    expect_none(*state, NULL, "own", "no such file");
}

static void dots_and_slashes_lead_into_folders(void **state) {
    expect(*state, NULL, "deep.one", "deep", "lib/deep/one.lua");
    expect(*state, NULL, "deep/one", "deep", "lib/deep/one.lua");
}

static void nothing_leads_out_of_the_folders(void **state) {
    static const char *const names[] = {
        "..",
        "../outside",
        "../../outside",
        "..outside",
        "deep/../both",
        "/etc/passwd",
        "./both",
        "both/",
        "",
        "a//b",
        "both.lua\n",
        "b*",
        "\xff",
        "deep/..//../outside",
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(names); i++) {
        expect_none(*state, "scripts/detectors", names[i], "");
    }
    char *long_name = xcalloc(1, 5000);
    memset(long_name, 'a', 4999);
    expect_none(*state, "scripts/detectors", long_name, "a module's name is");
    free(long_name);
    expect_none(*state, "scripts/detectors", "top", "no such file"); /* not lib, not its own folder */
}

static void links_may_lead_within_the_scripts_folder_only(void **state) {
    harness *h = *state;
    char path[256], target[256];
    snprintf(path, sizeof path, "%s/scripts/lib/out.lua", h->dir);
    assert_int_equal(symlink("../../outside.lua", path), 0);
    expect_none(h, NULL, "out", "outside of the scripts folder");
    snprintf(path, sizeof path, "%s/scripts/lib/abs.lua", h->dir);
    snprintf(target, sizeof target, "%s/outside.lua", h->dir);
    assert_int_equal(symlink(target, path), 0);
    expect_none(h, NULL, "abs", "outside of the scripts folder");
    snprintf(path, sizeof path, "%s/scripts/lib/folder", h->dir);
    assert_int_equal(symlink("../..", path), 0);
    expect_none(h, NULL, "folder/outside", "outside of the scripts folder");
    snprintf(path, sizeof path, "%s/scripts/lib/in.lua", h->dir);
    assert_int_equal(symlink("deep/one.lua", path), 0);
    expect(h, NULL, "in", "deep", "lib/in.lua");
    snprintf(path, sizeof path, "%s/scripts/lib/loop.lua", h->dir);
    assert_int_equal(symlink("loop.lua", path), 0);
    expect_none(h, NULL, "loop", "no such file");
}

static void what_is_not_a_small_file_is_refused(void **state) {
    harness *h = *state;
    char path[256];
    make_folder(h, "scripts/lib/folder2.lua");
    expect_none(h, NULL, "folder2", "not a file");
    snprintf(path, sizeof path, "%s/scripts/lib/fifo.lua", h->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_none(h, NULL, "fifo", "not a file"); /* and does not block */
    snprintf(path, sizeof path, "%s/scripts/lib/big.lua", h->dir);
    FILE *file = fopen(path, "w");
    assert_int_equal(ftruncate(fileno(file), (off_t)SW_SCRIPT_MAX_BYTES + 1), 0);
    fclose(file);
    expect_none(h, NULL, "big", "larger than 1 MiB");
    assert_int_equal(truncate(path, (off_t)SW_SCRIPT_MAX_BYTES), 0);
    char *source = NULL;
    size_t len = 0;
    assert_int_equal(sw_script_read(path, &source, &len), 0);
    assert_int_equal(len, SW_SCRIPT_MAX_BYTES);
    free(source);
    assert_int_equal(sw_script_read("/nonexistent/x", &source, &len), ENOENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lib_comes_before_the_own_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(dots_and_slashes_lead_into_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_leads_out_of_the_folders, setup, teardown),
        cmocka_unit_test_setup_teardown(links_may_lead_within_the_scripts_folder_only, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_a_small_file_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
