/* The folder changes while detectors run: hot swap, rollback, vanishing files, links, modules. */
#include "detectors/fake_worker.h"
#include "detectors/harness.h"

#define SELF "/proc/self/exe"

static harness *with_script(const char *script) {
    harness *h = harness_new(SELF);
    write_file(h, "one.lua", script);
    harness_start(h);
    assert_int_equal(scan(h), 0);
    return h;
}

static const char *tag_of(harness *h, const char *name) {
    static verdict v;
    v = check(h, name);
    assert_int_equal(v.status, SW_CHECK_OK);
    return v.summary;
}

static double reload_ok(const harness *h) {
    return sw_metric_get(h->detectors->m.reload_successful);
}

static bool has_running(const harness *h, const char *name) {
    return detector(h, name) != NULL;
}

/* The tag of the version that runs, without asking it. */
static bool runs(const harness *h, const char *name, const char *text) {
    const sw_detector *d = detector(h, name);
    return d != NULL && d->candidate == NULL && strcmp(d->running->source, text) == 0;
}

static void a_changed_file_takes_over_with_the_state(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    sw_detector *d = detector(h, "one");
    assert_string_equal(tag_of(h, "one"), "a");
    assert_true(check(h, "one").value == 2);
    unsigned changes = h->changes;
    write_file(h, "one.lua", "tag=b");
    assert_int_equal(scan(h), 0);
    assert_ptr_equal(detector(h, "one"), d);
    assert_true(h->changes > changes);
    assert_non_null(d->previous); /* until the first call has passed */
    verdict v = check(h, "one");
    assert_string_equal(v.summary, "b");
    assert_true(v.value == 3);
    assert_null(d->previous);
    assert_true(reload_ok(h) == 1);
    assert_true(sw_metric_get(h->detectors->m.reloads, "success") == 2);
    harness_free(h);
}

static void the_same_content_is_not_loaded_again(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    int pid = pid_of(detector(h, "one"));
    write_file(h, "one.lua", "tag=a");
    scan(h);
    scan(h);
    assert_int_equal(pid_of(detector(h, "one")), pid);
    assert_true(sw_metric_get(h->detectors->m.reloads, "success") == 1);
    harness_free(h);
}

static void a_bad_file_leaves_the_old_version_running(void **state) {
    (void)state;
    static const char *const bad[] = {"load=syntax", "load=hang2 dry=runtime", "", "dry=exit", "load=kill",
                                      "dry=garbage"};
    harness *h = with_script("tag=a");
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        write_file(h, "one.lua", bad[i]);
        assert_int_equal(scan(h), 1);
        unsigned lines = times_logged(h, "rejected");
        assert_int_equal(lines, i + 1);
        assert_int_equal(scan(h), 1); /* said once per content, tried once per content */
        assert_int_equal(times_logged(h, "rejected"), lines);
        assert_true(reload_ok(h) == 0);
        assert_string_equal(tag_of(h, "one"), "a");
    }
    assert_true(logged(h, "fake.lua:1: too much"));
    write_file(h, "one.lua", "tag=a");
    assert_int_equal(scan(h), 0);
    assert_true(reload_ok(h) == 1);
    assert_true(check(h, "one").value == SW_ARRAY_LEN(bad) + 1); /* one state, all the time */
    harness_free(h);
}

static void a_candidate_that_hangs_holds_up_nobody(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    h->options.worker_timeout_ms = 500;
    write_file(h, "one.lua", "tag=a");
    harness_start(h);
    scan(h);
    write_file(h, "one.lua", "load=hang");
    h->scanned = false;
    sw_detectors_scan(h->detectors, on_scanned, h);
    unsigned calls = 0;
    while (!h->scanned) {
        assert_string_equal(tag_of(h, "one"), "a");
        calls++;
    }
    assert_true(calls > 5);
    assert_int_equal(h->scan_errors, 1);
    assert_true(logged(h, "no answer within 500 ms"));
    harness_free(h);
}

static void a_version_that_fails_its_first_call_is_taken_back(void **state) {
    (void)state;
    static const char *const bad[] = {"tag=b check=runtime", "tag=b check=exit", "tag=b check=garbage",
                                      "tag=b check=wrong_types", "tag=b check=memory"};
    harness *h = with_script("tag=a");
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        check(h, "one");
        write_file(h, "one.lua", bad[i]);
        assert_int_equal(scan(h), 0);
        verdict v[3];
        for (size_t j = 0; j < 3; j++) {
            start_check(detector(h, "one"), &v[j]);
        }
        RUN_UNTIL(h, v[2].done);
        for (size_t j = 0; j < 3; j++) { /* the same calls, in order, by the version before, with its state */
            assert_int_equal(v[j].status, SW_CHECK_OK);
            assert_string_equal(v[j].summary, "a");
            assert_true(v[j].value == (double)(i * 4 + j + 2));
            assert_true(j == 0 || v[j].order > v[j - 1].order);
        }
        assert_int_equal(times_logged(h, "back to the version before"), i + 1);
        assert_true(reload_ok(h) == 0);
        assert_int_equal(scan(h), 1); /* not tried again until it changes */
        assert_string_equal(detector(h, "one")->running->source, "tag=a");
        assert_int_equal(detector(h, "one")->failures, 0);
    }
    assert_true(sw_metric_get(h->detectors->m.reloads, "rolled_back") == SW_ARRAY_LEN(bad));
    write_file(h, "one.lua", "tag=c");
    assert_int_equal(scan(h), 0);
    assert_string_equal(tag_of(h, "one"), "c");
    harness_free(h);
}

static void a_version_that_dies_before_its_first_call_is_taken_back(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    check(h, "one");
    write_file(h, "one.lua", "tag=b");
    scan(h);
    sw_detector *d = detector(h, "one");
    kill(pid_of(d), SIGKILL);
    RUN_UNTIL(h, d->previous == NULL);
    verdict v = check(h, "one");
    assert_string_equal(v.summary, "a");
    assert_true(v.value == 2);
    harness_free(h);
}

static void a_failure_after_the_first_call_is_no_reason_to_go_back(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    check(h, "one");
    write_file(h, "one.lua", "tag=b check=second_bad");
    scan(h);
    assert_int_equal(check(h, "one").status, SW_CHECK_OK);
    assert_string_equal(check(h, "one").kind, "runtime");
    assert_string_equal(tag_of(h, "one"), "b");
    harness_free(h);
}

static void no_call_is_lost_while_files_change(void **state) {
    (void)state;
    harness *h = with_script("tag=v0 check=slow");
    enum { CALLS = 60 };
    static verdict v[CALLS];
    unsigned started = 0, version = 0;
    h->scanned = true;
    while (started < CALLS) {
        start_check(detector(h, "one"), &v[started++]);
        if (h->scanned) {
            char text[64];
            version++;
            snprintf(text, sizeof text, "tag=v%u check=slow%s", version,
                     version % 4 == 3 ? " dry=runtime" : "");
            write_file(h, "one.lua", text);
            h->scanned = false;
            sw_detectors_scan(h->detectors, on_scanned, h);
        }
        RUN_UNTIL(h, started < 3 || v[started - 3].done); /* never more than three at once */
    }
    RUN_UNTIL(h, v[CALLS - 1].done);
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(v[i].status, SW_CHECK_OK);
        assert_true(v[i].value ==
                    (double)i + 1); /* one state through all versions: nothing lost or doubled */
        assert_true(i == 0 || v[i].order == v[i - 1].order + 1);
    }
    assert_true(version >= 3);
    harness_free(h);
}

static void a_state_that_changed_during_the_trial_is_handed_over(void **state) {
    (void)state;
    harness *h = with_script("tag=a check=slow");
    write_file(h, "one.lua", "tag=b");
    h->scanned = false;
    sw_detectors_scan(h->detectors, on_scanned, h);
    sw_detector *d = detector(h, "one");
    RUN_UNTIL(h, d->candidate != NULL);
    verdict v[2];
    start_check(d, &v[0]); /* changes the state after the candidate took it */
    start_check(d, &v[1]);
    RUN_UNTIL(h, h->scanned && v[1].done);
    assert_true(v[0].value == 1 && v[1].value == 2);
    assert_true(check(h, "one").value == 3);
    assert_string_equal(tag_of(h, "one"), "b");
    harness_free(h);
}

static void new_files_start_and_gone_files_stop(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    write_file(h, "two.lua", "tag=two min_ms=5");
    assert_int_equal(scan(h), 0);
    assert_int_equal(sw_detectors_count(h->detectors), 2);
    assert_string_equal(sw_detector_name(sw_detectors_at(h->detectors, 0)), "one"); /* by name */
    assert_true(sw_detectors_wants(h->detectors, SW_SOURCE_TEMPO).min_duration_ms == 5);
    check(h, "two");
    verdict v;
    start_check(detector(h, "two"), &v);
    remove_file(h, "two.lua");
    scan(h);
    RUN_UNTIL(h, v.done);
    assert_int_equal(v.status, SW_CHECK_OK);
    assert_true(has_running(h, "two")); /* it may be on its way back */
    forward(h, 500 * SW_NS_PER_MS);
    scan(h);
    assert_true(has_running(h, "two"));
    start_check(detector(h, "two"), &v);
    forward(h, 600 * SW_NS_PER_MS); /* looks again by itself */
    assert_false(has_running(h, "two"));
    RUN_UNTIL(h, v.done);
    assert_string_equal(v.kind, "removed");
    assert_true(sw_detectors_wants(h->detectors, SW_SOURCE_TEMPO).min_duration_ms == -1);
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(h->metrics, &out);
    RUN_UNTIL(h, h->detectors->n_removed == 0);
    sw_buf_reset(&out);
    sw_metrics_render(h->metrics, &out);
    assert_null(strstr(out.data, "detector=\"two\""));
    sw_buf_release(&out);
    /* Its state waits for it. */
    write_file(h, "two.lua", "tag=two");
    scan(h);
    assert_true(check(h, "two").value == 3);
    harness_free(h);
}

static void a_file_that_vanishes_for_a_moment_is_not_gone(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    int pid = pid_of(detector(h, "one"));
    rename_file(h, "one.lua", "one.lua~"); /* as vim does it */
    scan(h);
    forward(h, 900 * SW_NS_PER_MS);
    write_file(h, "one.lua", "tag=a");
    forward(h, 200 * SW_NS_PER_MS);
    scan(h);
    forward(h, 5 * SW_NS_PER_S);
    scan(h);
    assert_int_equal(pid_of(detector(h, "one")), pid);
    harness_free(h);
}

static void what_editors_leave_behind_is_no_detector(void **state) {
    (void)state;
    static const char *const files[] = {".one.lua.swp", ".hidden.lua",  "one.lua~",  "#one.lua#", "4913",
                                        "one_test.lua", "one.lua.orig", "notes.txt", ".lua",      "#x.lua"};
    harness *h = with_script("tag=a");
    for (size_t i = 0; i < SW_ARRAY_LEN(files); i++) {
        write_file(h, files[i], "load=syntax");
    }
    make_folder(h, "folder.lua");
    assert_int_equal(scan(h), 0);
    assert_int_equal(sw_detectors_count(h->detectors), 1);
    harness_free(h);
}

static void files_that_cannot_be_read_are_errors(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    char path[256];
    snprintf(path, sizeof path, "%s/pipe.lua", h->dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof path, "%s/dangling.lua", h->dir);
    assert_int_equal(symlink("/nonexistent", path), 0);
    assert_int_equal(scan(h), 2);
    scan(h);
    assert_int_equal(times_logged(h, "detector cannot be read"), 2);
    assert_int_equal(sw_detectors_count(h->detectors), 1);
    remove_file(h, "pipe.lua");
    remove_file(h, "dangling.lua");
    assert_int_equal(scan(h), 0);
    harness_free(h);
}

static void a_folder_that_cannot_be_listed_stops_nobody(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    char away[256];
    snprintf(away, sizeof away, "%s-away", h->dir);
    assert_int_equal(rename(h->dir, away), 0);
    assert_int_equal(scan(h), 1);
    forward(h, 5 * SW_NS_PER_S);
    scan(h);
    assert_true(has_running(h, "one"));
    assert_int_equal(times_logged(h, "the scripts folder cannot be read"), 1);
    assert_int_equal(rename(away, h->dir), 0);
    assert_int_equal(scan(h), 0);
    harness_free(h);
}

static void named_detectors_run_from_subfolders(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    make_folder(h, "detectors");
    write_file(h, "detectors/extra.lua", "tag=x");
    write_file(h, "detectors/other.lua", "tag=y");
    h->names[0] = "detectors/extra.lua";
    h->names[1] = "detectors/missing";
    h->names[2] = "../outside";
    harness_start(h);
    assert_int_equal(scan(h), 2);
    assert_int_equal(sw_detectors_count(h->detectors), 1);
    assert_string_equal(sw_detector_name(sw_detectors_at(h->detectors, 0)), "detectors/extra");
    assert_true(logged(h, "the configuration names it"));
    assert_true(logged(h, "without .."));
    write_file(h, "detectors/missing.lua", "tag=z");
    assert_int_equal(scan(h), 1);
    assert_int_equal(sw_detectors_count(h->detectors), 2);
    harness_free(h);
}

static void saving_is_noticed_without_being_told(void **state) {
    (void)state;
    harness *h = with_script("tag=a");
    write_file(h, "one.lua.new", "tag=b");
    rename_file(h, "one.lua.new", "one.lua"); /* as most editors do it */
    RUN_UNTIL(h, runs(h, "one", "tag=b"));
    write_file(h, "one.lua", "tag=");
    write_file(h, "one.lua", "tag=c"); /* in place, in two steps */
    RUN_UNTIL(h, runs(h, "one", "tag=c"));
    write_file(h, "two.lua", "tag=d");
    RUN_UNTIL(h, has_running(h, "two"));
    assert_false(logged(h, "rejected"));
    harness_free(h);
}

static void what_no_event_tells_is_found_by_looking(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    make_folder(h, "elsewhere");
    write_file(h, "elsewhere/real.lua", "tag=a");
    char path[256];
    snprintf(path, sizeof path, "%s/one.lua", h->dir);
    assert_int_equal(symlink("elsewhere/real.lua", path), 0);
    harness_start(h);
    assert_int_equal(scan(h), 0);
    write_file(h, "elsewhere/real.lua", "tag=b"); /* behind the link: no event */
    forward(h, 9 * SW_NS_PER_S);
    assert_null(detector(h, "one")->candidate);
    forward(h, SW_NS_PER_S);
    assert_non_null(detector(h, "one")->candidate);
    RUN_UNTIL(h, runs(h, "one", "tag=b"));
    harness_free(h);
}

/* As Kubernetes updates a ConfigMap: one.lua -> ..data/one.lua, ..data -> ..1, and then ..data is replaced.
 */
static void a_swapped_data_link_is_noticed(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    char path[256];
    make_folder(h, "..1");
    make_folder(h, "..2");
    write_file(h, "..1/one.lua", "tag=a");
    write_file(h, "..2/one.lua", "tag=b");
    snprintf(path, sizeof path, "%s/..data", h->dir);
    assert_int_equal(symlink("..1", path), 0);
    snprintf(path, sizeof path, "%s/one.lua", h->dir);
    assert_int_equal(symlink("..data/one.lua", path), 0);
    harness_start(h);
    assert_int_equal(scan(h), 0);
    assert_true(runs(h, "one", "tag=a"));
    snprintf(path, sizeof path, "%s/..data_tmp", h->dir);
    assert_int_equal(symlink("..2", path), 0);
    rename_file(h, "..data_tmp", "..data");
    RUN_UNTIL(h, runs(h, "one", "tag=b"));
    harness_free(h);
}

static void a_scripts_folder_that_is_a_link_may_lead_elsewhere(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    char link_path[256], path[256];
    make_folder(h, "v1");
    make_folder(h, "v2");
    write_file(h, "v1/one.lua", "tag=a");
    write_file(h, "v2/one.lua", "tag=b");
    snprintf(link_path, sizeof link_path, "%s/current", h->dir);
    assert_int_equal(symlink("v1", link_path), 0);
    h->options.scripts_dir = link_path;
    harness_start(h);
    scan(h);
    assert_true(runs(h, "one", "tag=a"));
    snprintf(path, sizeof path, "%s/tmp", h->dir);
    assert_int_equal(symlink("v2", path), 0);
    rename_file(h, "tmp", "current");
    forward(h, 10 * SW_NS_PER_S);
    RUN_UNTIL(h, runs(h, "one", "tag=b"));
    write_file(h, "v2/one.lua", "tag=c"); /* the new folder is watched */
    RUN_UNTIL(h, runs(h, "one", "tag=c"));
    harness_free(h);
}

static void a_changed_module_reloads_who_required_it(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    make_folder(h, "lib");
    write_file(h, "lib/util.lua", "util one");
    write_file(h, "one.lua", "require=util");
    write_file(h, "two.lua", "tag=two");
    harness_start(h);
    assert_int_equal(scan(h), 0);
    assert_string_equal(tag_of(h, "one"), "util one");
    check(h, "two");
    int pid = pid_of(detector(h, "two"));
    write_file(h, "lib/util.lua", "util two");
    RUN_UNTIL(h, detector(h, "one")->candidate != NULL);
    RUN_UNTIL(h, detector(h, "one")->candidate == NULL);
    verdict v = check(h, "one");
    assert_string_equal(v.summary, "util two");
    assert_true(v.value == 2);
    assert_int_equal(pid_of(detector(h, "two")), pid);

    /* Gone for a moment is nothing; gone is an error, and the old version goes on, also in a new worker. */
    remove_file(h, "lib/util.lua");
    assert_int_equal(scan(h), 0);
    forward(h, 2 * SW_NS_PER_S);
    assert_int_equal(scan(h), 1);
    sw_detector *d = detector(h, "one");
    kill(pid_of(d), SIGKILL);
    RUN_UNTIL(h, d->n_kills >= 1 && d->running->loaded);
    assert_string_equal(tag_of(h, "one"), "util two");
    write_file(h, "lib/util.lua", "util three");
    assert_int_equal(scan(h), 0);
    assert_string_equal(tag_of(h, "one"), "util three");
    harness_free(h);
}

static void a_missing_module_is_tried_again_when_it_appears(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    write_file(h, "one.lua", "require=later");
    harness_start(h);
    assert_int_equal(scan(h), 1);
    assert_true(logged(h, "no such file in lib"));
    assert_int_equal(scan(h), 1);
    assert_int_equal(times_logged(h, "rejected"), 1);
    write_file(h, "later.lua", "load=syntax");
    scan(h);
    assert_true(has_running(h, "one"));
    assert_string_equal(tag_of(h, "one"), "load=syntax");
    harness_free(h);
}

static void nothing_there_is_no_error(void **state) {
    (void)state;
    harness *h = harness_new(SELF);
    harness_start(h);
    assert_int_equal(scan(h), 0);
    assert_int_equal(sw_detectors_count(h->detectors), 0);
    harness_free(h);
}

int main(int argc, char **argv) {
    if (argc > 0 && strcmp(argv[0], "spanwatch-worker") == 0) {
        fake_worker_main();
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_file_takes_over_with_the_state),
        cmocka_unit_test(the_same_content_is_not_loaded_again),
        cmocka_unit_test(a_bad_file_leaves_the_old_version_running),
        cmocka_unit_test(a_candidate_that_hangs_holds_up_nobody),
        cmocka_unit_test(a_version_that_fails_its_first_call_is_taken_back),
        cmocka_unit_test(a_version_that_dies_before_its_first_call_is_taken_back),
        cmocka_unit_test(a_failure_after_the_first_call_is_no_reason_to_go_back),
        cmocka_unit_test(no_call_is_lost_while_files_change),
        cmocka_unit_test(a_state_that_changed_during_the_trial_is_handed_over),
        cmocka_unit_test(new_files_start_and_gone_files_stop),
        cmocka_unit_test(a_file_that_vanishes_for_a_moment_is_not_gone),
        cmocka_unit_test(what_editors_leave_behind_is_no_detector),
        cmocka_unit_test(files_that_cannot_be_read_are_errors),
        cmocka_unit_test(a_folder_that_cannot_be_listed_stops_nobody),
        cmocka_unit_test(named_detectors_run_from_subfolders),
        cmocka_unit_test(saving_is_noticed_without_being_told),
        cmocka_unit_test(what_no_event_tells_is_found_by_looking),
        cmocka_unit_test(a_swapped_data_link_is_noticed),
        cmocka_unit_test(a_scripts_folder_that_is_a_link_may_lead_elsewhere),
        cmocka_unit_test(a_changed_module_reloads_who_required_it),
        cmocka_unit_test(a_missing_module_is_tried_again_when_it_appears),
        cmocka_unit_test(nothing_there_is_no_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
