/* What an evaluation means for the flapping of an alert (flapping.h). */
#include "alerts/round.h"

#include <stdlib.h>
#include <string.h>

void sw_round_record(const sw_alerts_round *round, sw_alert *alert, bool firing) {
    sw_flap_history history = {alert->flap_states, alert->flap_evaluation};
    sw_flap_record(&history, round->number, firing);
    alert->flap_states = history.states;
    alert->flap_evaluation = history.evaluation;
}

void sw_round_note_state(const sw_alerts_round *round, sw_alert *alert) {
    const sw_alerts_options *options = &round->alerts->options;
    bool fired = (alert->flap_states & 1) != 0, firing = alert->state == SW_ALERT_FIRING;
    if (sw_alert_is_per_trace(alert)) {
        return;
    }
    sw_round_record(round, alert, firing);
    double percent = sw_flap_percent(alert->flap_states);
    if (alert->flapping) {
        alert->flapping = options->flap_high_percent > 0 && percent >= options->flap_low_percent;
    } else if (firing && !fired) {
        alert->flapping = options->flap_high_percent > 0 && percent >= options->flap_high_percent;
    }
}

static void say_dropped(uint64_t fingerprint, void *arg) {
    const sw_alerts_sink *sink = arg;
    char text[SW_FINGERPRINT_LEN + 1];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)fingerprint);
    if (sink->history != NULL) {
        sink->history(text, NULL, NULL, sink->arg);
    }
}

void sw_round_keep_history(const sw_alerts_round *round, size_t index, const sw_alert *alert) {
    const sw_alert_item *item = &round->alerts->table.items[index];
    const sw_alerts_sink *sink = &round->sink;
    sw_flap_history history = {alert->flap_states, alert->flap_evaluation};
    if (history.states == 0 || round->alerts->options.flap_high_percent <= 0) {
        return;
    }
    sw_flaps_put(round->alerts->flaps, item->fingerprint, item->reporter, &history, say_dropped,
                 (void *)sink);
    if (sink->history != NULL) {
        sink->history(alert->fingerprint, round->alerts->reporters[item->reporter], &history, sink->arg);
    }
}

void sw_round_recall_history(const sw_alerts_round *round, uint64_t fingerprint, sw_alert *alert) {
    sw_flap_history history;
    bool was_there = false;
    if (sw_flaps_take(round->alerts->flaps, fingerprint, round->reporter, &history, &was_there)) {
        alert->flap_states = history.states;
        alert->flap_evaluation = history.evaluation;
    } else {
        alert->flap_evaluation = round->number - 1;
    }
    if (was_there) {
        say_dropped(fingerprint, (void *)&round->sink);
    }
}

void sw_round_count_evaluation(sw_alerts_round *round) {
    sw_alerts *alerts = round->alerts;
    round->number = alerts->evaluated[round->reporter] += round->known ? 1 : 0;
    bool matters = alerts->table.n > 0 || sw_flaps_count(alerts->flaps) > 0;
    if (round->known && matters && round->sink.evaluated != NULL) {
        round->sink.evaluated(alerts->reporters[round->reporter], round->number, round->sink.arg);
    }
    if (round->known) {
        sw_flaps_expire(alerts->flaps, round->reporter, round->number, say_dropped, (void *)&round->sink);
    }
}
