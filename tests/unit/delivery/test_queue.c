/* The heap of lanes against a plain search, over many random steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "delivery/outbox_internal.h"

#define ROWS 300

static uint32_t next_random(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static sw_entry *add(sw_queue *queue, int64_t id, unsigned lane) {
    sw_outbox_row row = {.id = id, .fingerprint = xasprintf("f%u", lane), .body_len = 10};
    return sw_queue_add(queue, NULL, &row);
}

/* The first rows of all lanes that may be started, the one that is due first. */
static sw_entry *search(const sw_queue *queue) {
    sw_entry *best = NULL;
    for (sw_lane *lane = queue->lanes; lane != NULL; lane = lane->hh.next) {
        sw_entry *entry = lane->first;
        bool sooner = best == NULL || entry->due_mono_ns < best->due_mono_ns ||
                      (entry->due_mono_ns == best->due_mono_ns && entry->row.id < best->row.id);
        if (entry->state == SW_ENTRY_READY && sooner) {
            best = entry;
        }
    }
    return best;
}

static void the_row_that_is_due_first_comes_first(void **state) {
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++) {
        uint32_t random = seed;
        sw_queue queue = {0};
        for (int64_t id = 1; id <= ROWS; id++) {
            sw_entry *entry = add(&queue, id, next_random(&random) % 40);
            entry->due_mono_ns = next_random(&random) % 100;
            entry->state = next_random(&random) % 4 == 0 ? SW_ENTRY_HELD : SW_ENTRY_READY;
            sw_queue_update(&queue, entry);
            assert_ptr_equal(sw_queue_first_due(&queue), search(&queue));
        }
        assert_int_equal(queue.n_live, ROWS);
        assert_int_equal(queue.bytes, ROWS * 10);
        size_t left = ROWS;
        while (left > 0) {
            sw_entry *entry = sw_queue_first_due(&queue);
            if (entry == NULL) { /* only held ones are first: let one go */
                entry = queue.lanes->first;
                entry->state = SW_ENTRY_READY;
                sw_queue_update(&queue, entry);
            } else if (next_random(&random) % 3 == 0) { /* again, later */
                entry->due_mono_ns += next_random(&random) % 50;
                sw_queue_update(&queue, entry);
            } else {
                entry->state = SW_ENTRY_IN_FLIGHT;
                sw_queue_update(&queue, entry);
                assert_ptr_equal(sw_queue_first_due(&queue), search(&queue));
                sw_queue_leave_lane(&queue, entry);
                assert_ptr_equal(sw_queue_find(&queue, entry->row.id), entry);
                sw_queue_remove(&queue, entry);
                left--;
            }
            assert_ptr_equal(sw_queue_first_due(&queue), search(&queue));
        }
        assert_int_equal(queue.n_live, 0);
        assert_int_equal(queue.bytes, 0);
        assert_null(queue.lanes);
        assert_null(sw_queue_oldest(&queue, false));
        sw_queue_release(&queue);
    }
}

static void a_lane_gives_its_rows_in_order(void **state) {
    (void)state;
    sw_queue queue = {0};
    for (int64_t id = 1; id <= 3; id++) {
        sw_entry *entry = add(&queue, id, 0);
        entry->due_mono_ns = 10 - id; /* later ones are due sooner, and wait all the same */
        entry->state = SW_ENTRY_READY;
        sw_queue_update(&queue, entry);
    }
    for (int64_t id = 1; id <= 3; id++) {
        sw_entry *entry = sw_queue_first_due(&queue);
        assert_int_equal(entry->row.id, id);
        assert_ptr_equal(sw_queue_oldest(&queue, false), entry);
        sw_queue_leave_lane(&queue, entry); /* settled, but still known */
    }
    assert_null(sw_queue_oldest(&queue, false));
    assert_non_null(sw_queue_find(&queue, 2));
    sw_queue_release(&queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_row_that_is_due_first_comes_first),
        cmocka_unit_test(a_lane_gives_its_rows_in_order),
    };
    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
