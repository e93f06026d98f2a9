/*
 * Receivers that forget an alert of which they hear no more (Alertmanager): what fires is sent to them again,
 * every resend_secs, in batches. That is not kept in the outbox: it is only true now. The outbox pauses
 * meanwhile, so that a batch never overtakes the notice that an alert in it is over, nor comes after it.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/payload.h"
#include "alerts/told.h"
#include "telemetry/log.h"

#define BATCH_ALERTS 100
#define BATCH_BYTES ((size_t)1 << 19) /* then no more alerts are added */
#define PAYLOAD_MAX ((size_t)64 << 20)

struct sw_resending {
    sw_agent *agent;
    const sw_receiver *receiver;
    uv_timer_t timer;
    char (*fingerprints)[SW_FINGERPRINT_LEN + 1]; /* of this round */
    size_t n, allocated, next;
    bool pausing;
    sw_buf batch;
    size_t in_batch;
    sw_outbox_row row; /* the batch, for the format */
    void *formatting;
    sw_post *post;
    bool failing;
    sw_metric *sent; /* {receiver,result} */
};

static void end_round(sw_resending *resending) {
    resending->n = resending->next = 0;
    resending->pausing = false;
    sw_outbox_go_on(resending->receiver->outbox);
}

/* ---- one batch ---- */

static bool is_due(const sw_resending *resending, const sw_alert *alert) {
    return alert->state == SW_ALERT_FIRING && sw_told_at(alert->told, resending->receiver->name) >= 0;
}

/* As it was told: with all its traces, and not more or less severe than was said. */
static int append_alert(sw_resending *resending, const sw_alert *alert, sw_buf *out) {
    const sw_agent *agent = resending->agent;
    sw_payload_options options = {.trace_url = agent->config->trace_url_template};
    sw_alert whole;
    sw_alert_copy(&whole, alert);
    whole.severity = whole.told_severity;
    for (size_t i = 0; i < whole.n_evidence; i++) {
        whole.evidence[i].notified = false;
    }
    int rc = sw_payload_json(&whole, SW_NOTICE_REPEAT, sw_wall_ns(agent->clock), &options, out);
    sw_alert_release(&whole);
    return rc;
}

/* The fields of the first alert, and all as `alerts`: like a group, but for what only groups have. */
static void make_batch(sw_resending *resending) {
    sw_buf list;
    sw_buf_init(&list, PAYLOAD_MAX);
    sw_buf_reset(&resending->batch);
    resending->in_batch = 0;
    while (resending->next < resending->n && resending->in_batch < BATCH_ALERTS && list.len < BATCH_BYTES) {
        const sw_alert *alert =
            sw_alerts_find(resending->agent->alerts, resending->fingerprints[resending->next++]);
        sw_buf one;
        sw_buf_init(&one, PAYLOAD_MAX);
        if (alert != NULL && is_due(resending, alert) && append_alert(resending, alert, &one) == 0) {
            if (resending->in_batch++ == 0) {
                sw_buf_append(&resending->batch, one.data, one.len - 1); /* without its closing brace */
            }
            sw_buf_append_str(&list, resending->in_batch > 1 ? ", " : "");
            sw_buf_append(&list, one.data, one.len);
        }
        sw_buf_release(&one);
    }
    if (resending->in_batch > 0) {
        sw_buf_append_str(&resending->batch, ", \"alerts\": [");
        sw_buf_append(&resending->batch, list.data, list.len);
        sw_buf_append_str(&resending->batch, "]}");
    }
    sw_buf_release(&list);
}

static void next_batch(sw_resending *resending);

static void posted(bool delivered, const char *message, void *arg) {
    sw_resending *resending = arg;
    const char *name = resending->receiver->name;
    resending->post = NULL;
    sw_metric_add(resending->sent, (double)resending->in_batch, name, delivered ? "ok" : "failed");
    if (delivered == resending->failing) {
        sw_log(delivered ? SW_LOG_INFO : SW_LOG_WARN,
               delivered ? "alerts that go on are taken again"
                         : "alerts that go on are not taken, trying again in the next round",
               "receiver", name, "reason", message, NULL);
        resending->failing = !delivered;
    }
    if (delivered) {
        next_batch(resending);
    } else {
        end_round(resending);
    }
}

static void post(sw_resending *resending, const sw_formatted *what) {
    resending->post = sw_outbox_post(resending->receiver->outbox, what, posted, resending);
}

static void formatted(const sw_formatted *result, void *arg) {
    sw_resending *resending = arg;
    resending->formatting = NULL;
    if (result->body != NULL) {
        post(resending, result);
    } else { /* that is an alert of its own; the default form is of no use here */
        end_round(resending);
    }
}

static void next_batch(sw_resending *resending) {
    sw_row_format format = sw_formatting_rows(resending->receiver->formatting);
    make_batch(resending);
    if (resending->in_batch == 0) {
        end_round(resending);
        return;
    }
    if (format.start == NULL) {
        post(resending, &(sw_formatted){.content_type = "application/json",
                                        .body = resending->batch.data,
                                        .len = resending->batch.len});
        return;
    }
    resending->row = (sw_outbox_row){
        .receiver = resending->receiver->name,
        .fingerprint = "",
        .body = resending->batch.data,
        .body_len = resending->batch.len,
    };
    resending->formatting = format.start(&resending->row, formatted, resending, format.arg);
}

/* ---- one round ---- */

static void note(const sw_alert *alert, void *arg) {
    sw_resending *resending = arg;
    if (!is_due(resending, alert)) {
        return;
    }
    if (resending->n == resending->allocated) {
        resending->allocated = resending->allocated == 0 ? 64 : 2 * resending->allocated;
        resending->fingerprints =
            xrealloc_array(resending->fingerprints, resending->allocated, sizeof *resending->fingerprints);
    }
    memcpy(resending->fingerprints[resending->n++], alert->fingerprint, sizeof *resending->fingerprints);
}

static void paused(void *arg) {
    next_batch(arg);
}

static void on_timer(uv_timer_t *timer) {
    sw_resending *resending = timer->data;
    if (resending->pausing) { /* the round before is not over */
        return;
    }
    sw_alerts_each(resending->agent->alerts, note, resending);
    if (resending->n > 0) {
        resending->pausing = true;
        sw_outbox_pause(resending->receiver->outbox, paused, resending);
    }
}

/* ---- life ---- */

sw_resending *sw_resending_start(sw_agent *agent, const sw_receiver *receiver) {
    static const char *const by_result[] = {"receiver", "result", NULL};
    sw_resending *resending = xcalloc(1, sizeof *resending);
    resending->agent = agent;
    resending->receiver = receiver;
    resending->sent =
        sw_metrics_counter(agent->metrics, "spanwatch_resent_alerts_total",
                           "Alerts that go on, sent again to receivers that forget.", by_result);
    sw_metric_add(resending->sent, 0, receiver->name, "ok");
    sw_metric_add(resending->sent, 0, receiver->name, "failed");
    sw_buf_init(&resending->batch, PAYLOAD_MAX);
    uv_timer_init(&agent->loop, &resending->timer);
    resending->timer.data = resending;
    uint64_t every_ms = (uint64_t)receiver->config->resend_secs * 1000;
    uv_timer_start(&resending->timer, on_timer, 0,
                   every_ms); /* the first at once: after a restart it hurries */
    return resending;
}

static void closed(uv_handle_t *handle) {
    sw_resending *resending = handle->data;
    sw_buf_release(&resending->batch);
    free(resending->fingerprints);
    free(resending);
}

void sw_resending_stop(sw_resending *resending) {
    if (resending == NULL) {
        return;
    }
    if (resending->formatting != NULL) {
        sw_row_format format = sw_formatting_rows(resending->receiver->formatting);
        format.cancel(resending->formatting, format.arg);
    }
    if (resending->post != NULL) {
        sw_post_cancel(resending->post);
    }
    if (resending->pausing) {
        sw_outbox_go_on(resending->receiver->outbox);
    }
    uv_close((uv_handle_t *)&resending->timer, closed);
}
