#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/agent_internal.h"

#define LONG_MS 40
#define WAIT_MS 400

static void spin(uint64_t ms) {
    uint64_t until = uv_hrtime() + ms * 1000000;
    while (uv_hrtime() < until) {
    }
}

static void woken(uv_async_t *async) {
    spin(LONG_MS);
    uv_close((uv_handle_t *)async, NULL);
}

static void timer_fired(uv_timer_t *timer) {
    uv_close((uv_handle_t *)timer, NULL);
}

/* While something is being waited for: a pass is measured when the next begins. */
static int64_t longest_of(sw_agent *agent) {
    uv_timer_t timer;
    uv_timer_init(&agent->loop, &timer);
    uv_timer_start(&timer, timer_fired, WAIT_MS, 0);
    uv_run(&agent->loop, UV_RUN_DEFAULT);
    sw_loop_watch_stop(agent);
    uv_run(&agent->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&agent->loop), 0);
    return agent->longest_pass_ns;
}

static void start(sw_agent *agent) {
    uv_loop_init(&agent->loop);
    agent->clock = sw_clock_system();
    sw_loop_watch_start(agent);
}

/* What the kernel or the pool has for the loop is called from inside its wait. */
static void what_is_called_from_the_wait_counts(void **state) {
    (void)state;
    sw_agent agent = {0};
    uv_async_t async;
    start(&agent);
    uv_async_init(&agent.loop, &async, woken);
    uv_async_send(&async);
    assert_true(longest_of(&agent) >= LONG_MS * SW_NS_PER_MS);
}

static void waiting_does_not_count(void **state) {
    (void)state;
    sw_agent agent = {0};
    start(&agent);
    assert_true(longest_of(&agent) < WAIT_MS * SW_NS_PER_MS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_called_from_the_wait_counts),
        cmocka_unit_test(waiting_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
