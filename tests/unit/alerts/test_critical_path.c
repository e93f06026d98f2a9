/* Critical paths of traces that were worked out by hand, and what must hold for any spans at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alerts/critical_path.h"

#define MS SW_NS_PER_MS
#define MAX_SPANS 16

struct drawn {
    const char *id, *parent;
    int64_t from_ms, to_ms;
    bool failed;
};

struct picture {
    sw_trace trace;
    sw_span spans[MAX_SPANS];
    sw_critical_path path;
};

static void set_id(char out[SW_SPAN_ID_LEN + 1], const char *id) {
    snprintf(out, SW_SPAN_ID_LEN + 1, "%s", id);
}

static void draw(struct picture *p, const struct drawn *drawn, size_t n) {
    memset(p, 0, sizeof *p);
    assert_true(n <= MAX_SPANS);
    for (size_t i = 0; i < n; i++) {
        sw_span *span = &p->spans[i];
        set_id(span->id, drawn[i].id);
        set_id(span->parent_id, drawn[i].parent);
        span->start_ns = drawn[i].from_ms * MS;
        span->duration_ns = (drawn[i].to_ms - drawn[i].from_ms) * MS;
        span->status = drawn[i].failed ? SW_STATUS_ERROR : SW_STATUS_UNSET;
    }
    p->trace.spans = p->spans;
    p->trace.n_spans = n;
    sw_critical_path_of(&p->trace, &p->path);
}

/* "a 90-100, b 10-90" */
static const char *pieces(const struct picture *p) {
    static char text[1024];
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < p->path.n_pieces; i++) {
        const sw_path_piece *piece = &p->path.pieces[i];
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s %lld-%lld", i > 0 ? ", " : "",
                                p->spans[piece->span].id, (long long)(piece->from_ns / MS),
                                (long long)(piece->to_ns / MS));
    }
    return text;
}

static const char *name_of(const struct picture *p, size_t span) {
    return span == SW_NO_SPAN ? "none" : p->spans[span].id;
}

#define DRAW(p, ...)                                                                                         \
    draw(p, (const struct drawn[]){__VA_ARGS__},                                                             \
         sizeof((const struct drawn[]){__VA_ARGS__}) / sizeof(struct drawn))
#define assert_self_ms(p, i, ms) assert_int_equal((p)->path.self_ns[i], (ms)*MS)

static void one_span_is_its_own_path(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, false});
    assert_string_equal(pieces(&p), "a 0-100");
    assert_self_ms(&p, 0, 100);
    assert_string_equal(name_of(&p, p.path.slowest), "a");
    assert_string_equal(name_of(&p, p.path.failing), "none");
    sw_critical_path_release(&p.path);
}

static void no_span_has_no_path(void **state) {
    (void)state;
    sw_trace trace = {0};
    sw_critical_path path;
    sw_critical_path_of(&trace, &path);
    assert_int_equal(path.n_pieces, 0);
    assert_true(path.slowest == SW_NO_SPAN && path.failing == SW_NO_SPAN);
    sw_critical_path_release(&path);
}

static void children_one_after_another_are_all_on_the_path(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, false}, {"b", "a", 10, 40, false}, {"c", "a", 50, 90, false});
    assert_string_equal(pieces(&p), "a 90-100, c 50-90, a 40-50, b 10-40, a 0-10");
    assert_self_ms(&p, 0, 30);
    assert_int_equal(p.path.on_path_ns[0], 30 * MS);
    assert_string_equal(name_of(&p, p.path.slowest), "c");
    sw_critical_path_release(&p.path);
}

static void of_parallel_children_the_last_to_finish_is_on_the_path(void **state) {
    (void)state;
    struct picture p;
    /* b is still running when c begins: nobody waited for it then. d had ended. */
    DRAW(&p, {"a", "", 0, 100, false}, {"b", "a", 10, 60, false}, {"c", "a", 50, 90, false},
         {"d", "a", 5, 45, false});
    assert_string_equal(pieces(&p), "a 90-100, c 50-90, a 45-50, d 5-45, a 0-5");
    assert_self_ms(&p, 0, 15); /* less the union of all three: 5-90 */
    sw_critical_path_release(&p.path);
}

static void the_path_goes_down_and_up_again(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, false}, {"b", "a", 20, 80, false}, {"c", "b", 30, 70, false},
         {"d", "c", 30, 65, false}, {"e", "a", 0, 15, false});
    assert_string_equal(pieces(&p), "a 80-100, b 70-80, c 65-70, d 30-65, b 20-30, a 15-20, e 0-15");
    assert_string_equal(name_of(&p, p.path.slowest), "d");
    assert_self_ms(&p, 1, 20);
    assert_self_ms(&p, 2, 5);
    sw_critical_path_release(&p.path);
}

static void a_child_counts_where_it_lies_inside_its_parent(void **state) {
    (void)state;
    struct picture p;
    /* b's clock is late and c's is early; d was not waited for at all. */
    DRAW(&p, {"a", "", 100, 200, false}, {"b", "a", 150, 220, false}, {"c", "a", 80, 120, false},
         {"d", "a", 300, 400, false});
    assert_string_equal(pieces(&p), "b 150-200, a 120-150, c 100-120");
    assert_self_ms(&p, 0, 30);
    assert_self_ms(&p, 3, 100);
    assert_int_equal(p.path.on_path_ns[3], 0);
    sw_critical_path_release(&p.path);
}

static void a_span_that_ends_before_it_starts_has_no_time(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, false}, {"b", "a", 50, 20, false});
    assert_string_equal(pieces(&p), "a 50-100, a 0-50");
    assert_self_ms(&p, 0, 100);
    assert_self_ms(&p, 1, 0);
    sw_critical_path_release(&p.path);
}

static void orphans_hang_from_the_root(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, false}, {"b", "lost", 20, 90, false}, {"c", "b", 30, 80, false});
    assert_string_equal(pieces(&p), "a 90-100, b 80-90, c 30-80, b 20-30, a 0-20");
    sw_critical_path_release(&p.path);
}

static void without_a_root_the_time_between_belongs_to_nobody(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"b", "lost", 0, 40, false}, {"c", "gone", 60, 100, false});
    assert_string_equal(pieces(&p), "c 60-100, b 0-40");
    sw_critical_path_release(&p.path);
}

static void of_several_roots_the_longest_is_the_root(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"x", "", 50, 60, false}, {"a", "", 0, 100, false});
    assert_string_equal(pieces(&p), "a 60-100, x 50-60, a 0-50");
    sw_critical_path_release(&p.path);
}

static void of_spans_with_the_same_id_the_longest_counts(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, false}, {"b", "a", 10, 20, false}, {"b", "a", 10, 60, false},
         {"b", "a", 10, 60, false}, {"c", "b", 30, 40, false});
    assert_self_ms(&p, 0, 50);
    assert_self_ms(&p, 1, 0);
    assert_self_ms(&p, 2, 40);
    assert_self_ms(&p, 3, 0);
    assert_string_equal(pieces(&p), "a 60-100, b 40-60, c 30-40, b 10-30, a 0-10");
    sw_critical_path_release(&p.path);
}

static void cycles_are_cut(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, false}, {"b", "c", 10, 40, false}, {"c", "b", 20, 30, false},
         {"d", "d", 50, 60, false});
    assert_int_equal(p.path.on_path_ns[3], 10 * MS);
    int64_t sum = 0;
    for (size_t i = 0; i < 4; i++) {
        sum += p.path.on_path_ns[i];
    }
    assert_int_equal(sum, 100 * MS);
    sw_critical_path_release(&p.path);

    DRAW(&p, {"b", "c", 10, 40, false}, {"c", "b", 20, 30, true});
    assert_string_equal(name_of(&p, p.path.failing), "c");
    assert_true(p.path.n_pieces > 0);
    sw_critical_path_release(&p.path);
}

static void the_deepest_failed_span_of_the_failing_path_is_the_culprit(void **state) {
    (void)state;
    struct picture p;
    /* e failed deeper, but d, its parent, coped with it: what the root failed of is c. */
    DRAW(&p, {"a", "", 0, 100, true}, {"b", "a", 10, 40, true}, {"c", "b", 20, 30, true},
         {"d", "c", 21, 29, false}, {"e", "d", 22, 28, true});
    assert_string_equal(name_of(&p, p.path.failing), "c");
    sw_critical_path_release(&p.path);

    DRAW(&p, {"a", "", 0, 100, false}, {"b", "a", 10, 40, false}, {"c", "b", 20, 30, true});
    assert_string_equal(name_of(&p, p.path.failing), "c");
    sw_critical_path_release(&p.path);
}

static void of_failed_siblings_the_last_to_end_is_the_culprit(void **state) {
    (void)state;
    struct picture p;
    DRAW(&p, {"a", "", 0, 100, true}, {"try1", "a", 10, 20, true}, {"try3", "a", 50, 60, true},
         {"try2", "a", 30, 40, true});
    assert_string_equal(name_of(&p, p.path.failing), "try3");
    sw_critical_path_release(&p.path);
}

/* ---- any spans ---- */

/* splitmix64: the same numbers on every machine. */
static uint64_t next_random(uint64_t *seed) {
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int64_t below(uint64_t *seed, uint64_t n) {
    return (int64_t)(next_random(seed) % n);
}

static void check_invariants(const sw_trace *trace, const sw_critical_path *path) {
    int64_t from = INT64_MAX, to = 0, sum = 0, of_spans = 0, end = INT64_MAX;
    for (size_t i = 0; i < trace->n_spans; i++) {
        const sw_span *span = &trace->spans[i];
        int64_t duration = span->duration_ns > 0 ? span->duration_ns : 0;
        from = span->start_ns < from ? span->start_ns : from;
        to = span->start_ns + duration > to ? span->start_ns + duration : to;
        assert_in_range(path->self_ns[i], 0, duration);
        assert_in_range(path->on_path_ns[i], 0, duration);
        of_spans += path->on_path_ns[i];
    }
    for (size_t i = 0; i < path->n_pieces; i++) {
        const sw_path_piece *piece = &path->pieces[i];
        const sw_span *span = &trace->spans[piece->span];
        assert_true(piece->from_ns < piece->to_ns);
        assert_true(piece->to_ns <= end); /* no overlap with the piece before, which is later */
        assert_true(piece->from_ns >= span->start_ns);
        assert_true(piece->to_ns <= span->start_ns + span->duration_ns);
        end = piece->from_ns;
        sum += piece->to_ns - piece->from_ns;
    }
    assert_int_equal(sum, of_spans);
    assert_true(sum <= to - from);
    bool any_failed = false;
    for (size_t i = 0; i < trace->n_spans; i++) {
        any_failed |= trace->spans[i].status == SW_STATUS_ERROR;
    }
    assert_true(path->failing == SW_NO_SPAN || trace->spans[path->failing].status == SW_STATUS_ERROR);
    assert_true(path->failing != SW_NO_SPAN || !any_failed || trace->n_spans == 0);
    assert_int_equal(path->slowest == SW_NO_SPAN, path->n_pieces == 0);
}

/* What holds for any spans, also those whose ids and parents make no sense. */
static void any_spans_have_a_path_without_overlaps(void **state) {
    (void)state;
    uint64_t seed = 42;
    sw_span spans[24];
    for (int round = 0; round < 20000; round++) {
        memset(spans, 0, sizeof spans);
        size_t n = 1 + (size_t)below(&seed, SW_ARRAY_LEN(spans));
        uint64_t ids = 1 + (uint64_t)below(&seed, 2 * n), span_of_time = 1 + (uint64_t)below(&seed, 60);
        for (size_t i = 0; i < n; i++) {
            snprintf(spans[i].id, sizeof spans[i].id, "%d", (int)below(&seed, ids));
            if (below(&seed, 5) > 0) {
                snprintf(spans[i].parent_id, sizeof spans[i].parent_id, "%d", (int)below(&seed, ids));
            }
            spans[i].start_ns = below(&seed, span_of_time);
            spans[i].duration_ns = below(&seed, 40) - 3;
            spans[i].status = SW_STATUS_UNSET;
        }
        sw_trace trace = {.spans = spans, .n_spans = n};
        sw_critical_path path;
        sw_critical_path_of(&trace, &path);
        check_invariants(&trace, &path);
        sw_critical_path_release(&path);
    }
}

/* A tree without mistakes: every failed span is reached, self time is what counting instants gives, and the
 * path covers the root from end to end. */
static void a_tree_is_covered_from_end_to_end(void **state) {
    (void)state;
    uint64_t seed = 7;
    sw_span spans[20];
    size_t parents[20];
    for (int round = 0; round < 5000; round++) {
        memset(spans, 0, sizeof spans);
        size_t n = 1 + (size_t)below(&seed, SW_ARRAY_LEN(spans));
        for (size_t i = 0; i < n; i++) {
            snprintf(spans[i].id, sizeof spans[i].id, "%u", (unsigned)i);
            spans[i].duration_ns = 200;
            spans[i].status = below(&seed, 3) == 0 ? SW_STATUS_ERROR : SW_STATUS_OK;
            if (i > 0) {
                parents[i] = (size_t)below(&seed, i);
                const sw_span *parent = &spans[parents[i]];
                snprintf(spans[i].parent_id, sizeof spans[i].parent_id, "%u", (unsigned)parents[i]);
                spans[i].start_ns = parent->start_ns + below(&seed, (uint64_t)parent->duration_ns + 1);
                spans[i].duration_ns =
                    below(&seed, (uint64_t)(parent->start_ns + parent->duration_ns - spans[i].start_ns) + 1);
            }
        }
        sw_trace trace = {.spans = spans, .n_spans = n};
        sw_critical_path path;
        sw_critical_path_of(&trace, &path);
        check_invariants(&trace, &path);
        int64_t sum = 0;
        for (size_t i = 0; i < n; i++) {
            bool covered[201] = {false};
            int64_t self = 0;
            for (size_t k = 1; k < n; k++) {
                for (int64_t t = spans[k].start_ns;
                     parents[k] == i && t < spans[k].start_ns + spans[k].duration_ns; t++) {
                    covered[t] = true;
                }
            }
            for (int64_t t = spans[i].start_ns; t < spans[i].start_ns + spans[i].duration_ns; t++) {
                self += covered[t] ? 0 : 1;
            }
            assert_int_equal(path.self_ns[i], self);
            sum += path.on_path_ns[i];
        }
        assert_int_equal(sum, 200);
        sw_critical_path_release(&path);
    }
}

/* The shapes that cost most: all of them children of one, and all of them one below the other. */
static void ten_thousand_spans_are_no_problem(void **state) {
    (void)state;
    enum { N = 10000 };
    sw_span *spans = xcalloc(N, sizeof *spans);
    for (int deep = 0; deep < 2; deep++) {
        memset(spans, 0, N * sizeof *spans);
        for (size_t i = 0; i < N; i++) {
            snprintf(spans[i].id, sizeof spans[i].id, "%016zx", i + 1);
            if (i > 0) {
                snprintf(spans[i].parent_id, sizeof spans[i].parent_id, "%016zx", deep ? i : (size_t)1);
            }
            spans[i].start_ns = (int64_t)i;
            spans[i].duration_ns = deep ? (int64_t)(2 * (N - i)) : i == 0 ? 2 * N : 1;
        }
        sw_trace trace = {.spans = spans, .n_spans = N};
        sw_critical_path path;
        sw_critical_path_of(&trace, &path);
        check_invariants(&trace, &path);
        assert_int_equal(path.n_pieces, deep ? N * 2 - 1 : N + 1);
        sw_critical_path_release(&path);
    }
    free(spans);
}

static void times_of_the_far_past_and_future_do_not_overflow(void **state) {
    (void)state;
    sw_span spans[3] = {
        {.id = "a", .start_ns = INT64_MIN, .duration_ns = INT64_MAX},
        {.id = "b", .parent_id = "a", .start_ns = INT64_MAX, .duration_ns = INT64_MAX},
        {.id = "c", .parent_id = "b", .start_ns = INT64_MAX - 1, .duration_ns = INT64_MIN},
    };
    sw_trace trace = {.spans = spans, .n_spans = 3};
    sw_critical_path path;
    sw_critical_path_of(&trace, &path);
    for (size_t i = 0; i < 3; i++) {
        assert_true(path.self_ns[i] >= 0 && path.on_path_ns[i] >= 0);
    }
    sw_critical_path_release(&path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_span_is_its_own_path),
        cmocka_unit_test(no_span_has_no_path),
        cmocka_unit_test(children_one_after_another_are_all_on_the_path),
        cmocka_unit_test(of_parallel_children_the_last_to_finish_is_on_the_path),
        cmocka_unit_test(the_path_goes_down_and_up_again),
        cmocka_unit_test(a_child_counts_where_it_lies_inside_its_parent),
        cmocka_unit_test(a_span_that_ends_before_it_starts_has_no_time),
        cmocka_unit_test(orphans_hang_from_the_root),
        cmocka_unit_test(without_a_root_the_time_between_belongs_to_nobody),
        cmocka_unit_test(of_several_roots_the_longest_is_the_root),
        cmocka_unit_test(of_spans_with_the_same_id_the_longest_counts),
        cmocka_unit_test(cycles_are_cut),
        cmocka_unit_test(the_deepest_failed_span_of_the_failing_path_is_the_culprit),
        cmocka_unit_test(of_failed_siblings_the_last_to_end_is_the_culprit),
        cmocka_unit_test(any_spans_have_a_path_without_overlaps),
        cmocka_unit_test(a_tree_is_covered_from_end_to_end),
        cmocka_unit_test(ten_thousand_spans_are_no_problem),
        cmocka_unit_test(times_of_the_far_past_and_future_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
