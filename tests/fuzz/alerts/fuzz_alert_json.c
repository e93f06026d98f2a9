/* A stored alert that is damaged is refused; one that is read can be told, stored and lived on. */
#include <stdlib.h>
#include <string.h>

#include "alerts/alerts.h"
#include "alerts/payload.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_notify(const sw_alert *alert, sw_notice notice, void *arg) {
    (void)arg;
    sw_buf out;
    sw_buf_init(&out, 1 << 24);
    sw_payload_options options = {.trace_url = "http://x/{trace_id}/{start_ms}/{end_ms}"};
    if (sw_payload_json(alert, notice, 1, &options, &out) != 0) {
        abort();
    }
    sw_buf_release(&out);
}

static void on_changed(const sw_alert *alert, void *arg) {
    (void)arg;
    sw_buf first, second;
    sw_buf_init(&first, 1 << 24);
    sw_buf_init(&second, 1 << 24);
    sw_alert back = {0};
    if (sw_alert_to_json(alert, &first) != 0 || sw_alert_from_json(first.data, first.len, &back) != 0 ||
        sw_alert_to_json(&back, &second) != 0 || strcmp(first.data, second.data) != 0) {
        abort();
    }
    sw_alert_release(&back);
    sw_buf_release(&first);
    sw_buf_release(&second);
}

static void on_removed(const char *fingerprint, void *arg) {
    (void)fingerprint;
    (void)arg;
}

static void on_reported(const char *type, const char *trace_id, int64_t at_ns, void *arg) {
    (void)type;
    (void)trace_id;
    (void)at_ns;
    (void)arg;
}

static void live_on(const sw_alert *alert) {
    sw_alerts_options options = {.repeat_interval_ns = 1000,
                                 .evidence_max = 10,
                                 .reported_ttl_ns = 1000,
                                 .max_alerts = 10,
                                 .flap_high_percent = 30,
                                 .flap_low_percent = 20};
    sw_alerts_sink sink = {
        .notify = on_notify, .changed = on_changed, .removed = on_removed, .reported = on_reported};
    sw_alerts *alerts = sw_alerts_new(&options);
    sw_alerts_restore(alerts, alert);
    sw_alerts_apply(alerts, alert->detector, alert->source, NULL, 0, false, INT64_C(1) << 60, &sink, NULL,
                    NULL);
    sw_alerts_each(alerts, on_changed, NULL);
    sw_alerts_apply(alerts, alert->detector, alert->source, NULL, 0, true, 1000, &sink, NULL, NULL);
    sw_alerts_apply(alerts, alert->detector, alert->source, NULL, 0, true, INT64_MAX, &sink, NULL, NULL);
    sw_alerts_free(alerts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    sw_alert alert = {0};
    if (sw_alert_from_json((const char *)data, size, &alert) == 0) {
        on_changed(&alert, NULL);
        on_notify(&alert, SW_NOTICE_RESOLVED, NULL);
        live_on(&alert);
        sw_alert_release(&alert);
    }
    return 0;
}
