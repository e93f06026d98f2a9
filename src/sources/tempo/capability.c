/*
 * Whether this Tempo can count (TraceQL metrics), told by its answers and never by its version:
 *
 *   - the counts have series, or the probe (an ungrouped count of everything) has: it can;
 *   - the counts are refused (400, 404), or fail with the words of a missing metrics-generator: it cannot;
 *   - the counts are empty: search is asked for the same time; if that finds entry spans it cannot, else
 *     there was nothing to count. While nothing is decided, search counts until it finds something;
 *   - a connection that fails, 429 and other 5xx decide nothing.
 *
 * A server that cannot is probed again every ten minutes, and after it was away: another may have come back.
 */
#include "sources/tempo/internal.h"

#include "telemetry/log.h"

static const char *name_of(tempo_capability capability) {
    return capability == TEMPO_CAN_METRICS       ? "metrics"
           : capability == TEMPO_CAN_SEARCH_ONLY ? "search"
                                                 : "unknown";
}

void tempo_set_capability(sw_tempo *tempo, tempo_capability capability, const char *why) {
    if (capability == TEMPO_CAN_SEARCH_ONLY) {
        tempo->next_probe_mono_ns = tempo_mono_ns(tempo) + TEMPO_PROBE_NS;
    }
    if (tempo->capability == capability) {
        return;
    }
    if (capability == TEMPO_CAN_SEARCH_ONLY) {
        sw_log(SW_LOG_WARN, "tempo has no TraceQL metrics, requests are counted from searches", "url",
               tempo->shown_url, "because", why, NULL);
    } else {
        sw_log(SW_LOG_INFO, "how tempo counts", "url", tempo->shown_url, "by", name_of(capability), "because",
               why, NULL);
    }
    tempo->capability = capability;
}
