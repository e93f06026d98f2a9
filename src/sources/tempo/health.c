/* Whether Tempo answers: said once when it stops, and once when it is back. */
#include "sources/tempo/jobs.h"

#include <stdio.h>
#include <string.h>

#include "telemetry/log.h"

void tempo_set_health(sw_tempo *tempo, bool answered, const char *reason, const char *message) {
    bool was_up = tempo->up;
    tempo->up = answered;
    snprintf(tempo->last_error, sizeof tempo->last_error, "%s", message);
    tempo->options.optional = tempo->options.optional && !tempo->poll->answered;
    if (tempo->options.optional) {
        return;
    }
    sw_metric_set(tempo->m.up, answered ? 1 : 0, "tempo");
    sw_metric_set(
        tempo->m.offset,
        tempo->server_clock.known ? (double)(tempo_server_now_ns(tempo) - sw_wall_ns(tempo->clock)) / 1e9 : 0,
        "tempo");
    bool same = tempo->health_known && was_up == answered && strcmp(tempo->health, reason) == 0;
    bool news = !same && (reason[0] != '\0' || tempo->health_known);
    if (news && reason[0] != '\0') {
        sw_log(SW_LOG_WARN, answered ? "tempo does not answer everything" : "tempo does not answer", "url",
               tempo->shown_url, "reason", reason, "message", message, NULL);
    } else if (news) {
        sw_log(SW_LOG_INFO, "tempo answers again", "url", tempo->shown_url, NULL);
    }
    if (answered && tempo->health_known && !was_up) {
        /* Another server may have come back: what this one could not is asked for again. */
        tempo->next_probe_mono_ns = tempo->no_sweep_until_mono_ns = tempo->no_histogram_until_mono_ns = 0;
        tempo->verified_empty_mono_ns = 0;
        tempo->old_metrics = tempo->old_search = false;
        tempo->trace_api = 2;
        tempo->layout.against = 0;
    }
    snprintf(tempo->health, sizeof tempo->health, "%s", reason);
    tempo->health_known = true;
}
