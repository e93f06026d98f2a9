/* An agent is closed while something is under way: nothing of it may go on when the parts are gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "agent/progress.h"
#include "store/temp_folder.h"
#include "telemetry/log.h"

#define MANY 10000 /* alerts: far more than one pass of the loop takes */

struct fixture {
    sw_agent agent;
    sw_config config;
    char *folder;
    uv_prepare_t meanwhile;
    sw_finding *findings;
    sw_progress *progress;
    bool begun;
};

static void ignore_log(const char *line, void *arg) {
    (void)line;
    (void)arg;
}

static void open_agent(struct fixture *f) {
    char *environment[] = {"TEMPO_ENABLED=false", "SPANWATCH_OTLP_HTTP_ADDRESS=127.0.0.1:0",
                           "SPANWATCH_OTLP_GRPC_ADDRESS=", NULL};
    sw_config_sources sources = {.environment = environment};
    sw_buf mistakes;
    sw_buf_init(&mistakes, 1 << 16);
    sw_log_set_sink(ignore_log, NULL);
    assert_int_equal(sw_config_load(&f->config, &sources, &mistakes), 0);
    sw_buf_release(&mistakes);
    f->folder = make_temp_folder();
    sw_agent_paths paths = {.scripts_dir = f->folder, .storage = f->folder, .worker = "/nowhere"};
    assert_int_equal(sw_agent_open(&f->agent, &f->config, &paths, sw_clock_system(), true), 0);
}

static void never(void *arg) {
    (void)arg;
    fail();
}

/* A detector answers while the last commit is waited for. */
static void answer(uv_prepare_t *handle) {
    struct fixture *f = handle->data;
    sw_agent *agent = &f->agent;
    uv_close((uv_handle_t *)handle, NULL);
    f->begun = true;
    f->progress = sw_progress_of(&agent->feeds[SW_SOURCE_OTLP], "detect");
    f->progress->busy = true;
    sw_alerts_round *round = sw_alerting_round(agent, "detect", "otlp", f->findings, MANY, true);
    f->progress->applying = sw_applying_start(agent, round, NULL, NULL, never, NULL);
}

static void what_was_found_at_the_very_end_is_given_up(void **state) {
    (void)state;
    struct fixture f = {.findings = xcalloc(MANY, sizeof(sw_finding))};
    open_agent(&f);
    for (size_t i = 0; i < MANY; i++) {
        f.findings[i] = (sw_finding){
            .type = xasprintf("type%zu", i), .source = xstrdup("otlp"), .severity = SW_SEVERITY_WARNING};
    }
    uv_prepare_init(&f.agent.loop, &f.meanwhile);
    f.meanwhile.data = &f;
    uv_prepare_start(&f.meanwhile, answer);
    sw_batch_put_counter(sw_commit_batch(&f.agent), "counter", "label", 1);
    sw_agent_close(&f.agent);
    assert_true(f.begun);
    for (size_t i = 0; i < MANY; i++) {
        sw_finding_release(&f.findings[i]);
    }
    free(f.findings);
    sw_config_release(&f.config);
    remove_folder(f.folder);
    sw_log_set_sink(NULL, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_found_at_the_very_end_is_given_up)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
