/*
 * What keeps a notification back: silences (and acknowledgements, which are silences of one fingerprint) and
 * mute times. Each decides when a notification would be sent, never what becomes of the alert.
 */
#include "agent/agent_internal.h"

#include "base/zone.h"
#include "telemetry/log.h"

#define MAX_SILENCES 1000
#define RETENTION_NS (INT64_C(5) * 24 * 3600 * SW_NS_PER_S) /* as long as Alertmanager keeps them */
#define SILENCE_JSON_MAX ((size_t)4 << 20)

static void changed(const sw_silence *silence, void *arg) {
    sw_agent *agent = arg;
    sw_buf json;
    sw_buf_init(&json, SILENCE_JSON_MAX);
    if (sw_silence_to_json(silence, &json) == 0) {
        sw_batch_put_silence(sw_commit_batch(agent), silence->id, json.data, json.len);
    }
    sw_buf_release(&json);
}

static void removed(const char *id, void *arg) {
    sw_batch_delete_silence(sw_commit_batch(arg), id);
}

sw_silences_sink sw_silencing_sink(sw_agent *agent) {
    return (sw_silences_sink){changed, removed, agent};
}

void sw_silencing_open(sw_agent *agent) {
    static const char *const by_reason[] = {"reason", NULL};
    sw_silences_options options = {.max = MAX_SILENCES, .retention_ns = RETENTION_NS};
    agent->silences = sw_silences_new(&options);
    sw_buf mistakes; /* the configuration was checked, but a file may have gone since */
    sw_buf_init(&mistakes, (size_t)1 << 20);
    agent->mute_times = sw_mute_times_parse(agent->config->mute_time_intervals, SW_ZONE_FOLDER, &mistakes);
    if (mistakes.len > 0) {
        sw_log(SW_LOG_ERROR, "a mute time interval is left out", "reason", mistakes.data, NULL);
    }
    sw_buf_release(&mistakes);
    agent->m.suppressed = sw_metrics_counter(
        agent->metrics, "spanwatch_notifications_suppressed_total",
        "Notifications kept back, each counted once: silenced, muted by a time interval, flapping, or "
        "inhibited.",
        by_reason);
    static const char *const reasons[] = {"silenced", "muted", "flapping", "inhibited"};
    for (size_t i = 0; i < SW_ARRAY_LEN(reasons); i++) {
        sw_metric_add(agent->m.suppressed, 0, reasons[i]);
    }
}

void sw_silencing_close(sw_agent *agent) {
    sw_silences_free(agent->silences);
    sw_mute_times_free(agent->mute_times);
}

static void restore(const char *id, const char *json, size_t len, void *arg) {
    sw_agent *agent = arg;
    sw_silence silence;
    if (sw_silence_from_json(json, len, &silence) == 0) {
        sw_silences_restore(agent->silences, &silence);
        sw_silence_release(&silence);
    } else {
        sw_log(SW_LOG_ERROR, "a stored silence cannot be read and is left out", "id", id, NULL);
    }
}

void sw_silencing_restore(sw_agent *agent) {
    sw_store_each_silence(agent->store, restore, agent);
}

const char *sw_silencing_reason(const sw_agent *agent, const sw_alert *alert) {
    int64_t now = sw_wall_ns(agent->clock);
    if (sw_alert_is_held_as_flapping(alert)) {
        return "flapping";
    }
    if (sw_silences_matching(agent->silences, alert, now, NULL, 0) > 0) {
        return "silenced";
    }
    return sw_mute_times_active(agent->mute_times, now) ? "muted" : NULL;
}

void sw_silencing_sweep(sw_agent *agent) {
    sw_silences_sink sink = sw_silencing_sink(agent);
    sw_silences_sweep(agent->silences, agent->alerts, sw_wall_ns(agent->clock), &sink);
    sw_alerting_tell_withheld(agent);
}
