/* The state machine. */
#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include "alerts/alerts_internal.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/merging.h"
#include "alerts/round.h"

/* ---- time ---- */

static int64_t add_saturated(int64_t a, int64_t b) {
    int64_t sum = 0;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int64_t sw_alerts_elapsed(int64_t since_ns, int64_t now_ns) {
    int64_t difference = 0;
    if (__builtin_sub_overflow(now_ns, since_ns, &difference)) {
        return now_ns > since_ns ? INT64_MAX : 0;
    }
    return difference > 0 ? difference : 0;
}

int64_t sw_alerts_seconds_to_ns(double seconds) {
    const double longest = 1e9; /* 31 years */
    if (!(seconds > 0)) {
        return 0;
    }
    return (int64_t)((seconds < longest ? seconds : longest) * (double)SW_NS_PER_S);
}

/* ---- life ---- */

sw_alerts *sw_alerts_new(const sw_alerts_options *options) {
    sw_alerts *alerts = xcalloc(1, sizeof *alerts);
    alerts->options = *options;
    alerts->reported = sw_reported_new();
    alerts->flaps = sw_flaps_new();
    size_t n = 0;
    while (options->group_by != NULL && options->group_by[n] != NULL) {
        n++;
    }
    if (n > 0) {
        alerts->group_by = xcalloc(n + 1, sizeof *alerts->group_by);
    }
    for (size_t i = 0; i < n; i++) {
        alerts->group_by[i] = xstrdup(options->group_by[i]);
        alerts->per_trace |= strcmp(options->group_by[i], "trace_id") == 0;
    }
    alerts->options.group_by = (const char *const *)alerts->group_by;
    return alerts;
}

void sw_alerts_free(sw_alerts *alerts) {
    if (alerts == NULL) {
        return;
    }
    sw_alert_table_release(&alerts->table);
    sw_reported_free(alerts->reported);
    sw_flaps_free(alerts->flaps);
    for (size_t i = 0; i < alerts->n_reporters; i++) {
        free(alerts->reporters[i]);
    }
    for (char **name = alerts->group_by; name != NULL && *name != NULL; name++) {
        free(*name);
    }
    free(alerts->reporters);
    free(alerts->evaluated);
    free(alerts->group_by);
    free(alerts);
}

static uint32_t number_of_reporter(sw_alerts *alerts, const char *reporter) {
    for (size_t i = 0; i < alerts->n_reporters; i++) {
        if (strcmp(alerts->reporters[i], reporter) == 0) {
            return (uint32_t)i;
        }
    }
    alerts->reporters = xrealloc_array(alerts->reporters, alerts->n_reporters + 1, sizeof *alerts->reporters);
    alerts->evaluated = xrealloc_array(alerts->evaluated, alerts->n_reporters + 1, sizeof *alerts->evaluated);
    alerts->reporters[alerts->n_reporters] = xstrdup(reporter);
    alerts->evaluated[alerts->n_reporters] = 0;
    return (uint32_t)alerts->n_reporters++;
}

static uint32_t reporter_number(sw_alerts *alerts, const char *detector, const char *source) {
    char *reporter = xasprintf("%s %s", detector, source);
    uint32_t number = number_of_reporter(alerts, reporter);
    free(reporter);
    return number;
}

void sw_alerts_restore(sw_alerts *alerts, const sw_alert *alert) {
    bool owes = alert->last_notified_ns != 0;
    if (alert->state == SW_ALERT_RESOLVED && !owes) {
        return;
    }
    uint64_t number = strtoull(alert->fingerprint, NULL, 16);
    if (alerts->table.n >= alerts->options.max_alerts &&
        sw_alert_table_find(&alerts->table, number) == SW_ALERT_NONE) {
        alerts->refused++;
        return;
    }
    size_t index = sw_alert_table_put(&alerts->table, number, alert);
    alerts->table.items[index].reporter = reporter_number(alerts, alert->detector, alert->source);
    alerts->table.items[index].due_ns = INT64_MIN;
    /* What had to be told when the agent ended was withheld. */
    alerts->table.items[index].withheld = alert->state == SW_ALERT_RESOLVED || !owes ||
                                          alert->severity > alert->told_severity ||
                                          alert->flapping != alert->told_flapping;
}

void sw_alerts_restore_reported(sw_alerts *alerts, const char *type, const char *trace_id, int64_t at_ns) {
    sw_reported_add(alerts->reported, type, trace_id, at_ns);
}

static void drop_unsaid(uint64_t fingerprint, void *arg) {
    (void)fingerprint; /* it stays in the store, and is dropped again after the next start */
    (void)arg;
}

void sw_alerts_restore_history(sw_alerts *alerts, const char *fingerprint, const char *reporter,
                               const sw_flap_history *history) {
    sw_flaps_put(alerts->flaps, strtoull(fingerprint, NULL, 16), number_of_reporter(alerts, reporter),
                 history, drop_unsaid, NULL);
}

void sw_alerts_restore_evaluated(sw_alerts *alerts, const char *reporter, uint32_t number) {
    uint32_t at = number_of_reporter(alerts, reporter); /* the list may move */
    alerts->evaluated[at] = number;
}

void sw_alerts_expire(sw_alerts *alerts, int64_t now_ns) {
    sw_reported_expire(alerts->reported, now_ns, alerts->options.reported_ttl_ns);
}

/* False when it is withheld: then nothing has been told, and the alert is asked again. `again`: it was
 * before. */
static bool tell(sw_alerts_round *round, sw_alert *alert, sw_notice notice, bool again) {
    const sw_alerts_sink *sink = &round->sink;
    bool asked = sink->withheld != NULL && sink->withheld(alert, notice, again, sink->arg);
    round->withheld = asked || sw_alert_is_held_as_flapping(alert);
    if (round->withheld) {
        return false;
    }
    sink->notify(alert, notice, sink->arg);
    for (size_t i = 0; i < alert->n_evidence; i++) {
        alert->evidence[i].notified = true;
    }
    const char *told = sink->told != NULL ? sink->told(alert, sink->arg) : NULL;
    if (told != NULL) {
        alert->told = (char *)told; /* put back as a copy */
    }
    alert->n_untold = 0;
    alert->last_notified_ns = round->now_ns;
    alert->told_severity = alert->severity;
    alert->told_flapping = alert->flapping;
    return true;
}

/* Stamps of a future that the clock has left. */
static void pull_back(sw_alert *alert, int64_t now_ns) {
    if (alert->last_seen_ns > now_ns) {
        alert->last_seen_ns = now_ns;
    }
    if (alert->last_notified_ns > now_ns) {
        alert->last_notified_ns = now_ns;
    }
    if (alert->state == SW_ALERT_PENDING && alert->starts_at_ns > now_ns) {
        alert->starts_at_ns = now_ns;
    }
}

static int64_t repeat_at(const sw_alerts_round *round, const sw_alert *alert) {
    const sw_alerts_sink *sink = &round->sink;
    return sink->repeat_at != NULL
               ? sink->repeat_at(alert, sink->arg)
               : add_saturated(alert->last_notified_ns, round->alerts->options.repeat_interval_ns);
}

static bool repeat_is_due(const sw_alerts_round *round, const sw_alert *alert) {
    return repeat_at(round, alert) <= round->now_ns;
}

/* Whether the alert has something to say, and what. */
static bool has_notice(const sw_alerts_round *round, const sw_alert *alert, sw_notice *notice) {
    bool per_trace = sw_alert_is_per_trace(alert);
    if (alert->state == SW_ALERT_RESOLVED) {
        *notice = SW_NOTICE_RESOLVED;
        return true;
    }
    if (alert->state != SW_ALERT_FIRING) {
        return false;
    }
    bool risen = !per_trace && alert->severity > alert->told_severity;
    bool news = risen || alert->flapping != alert->told_flapping;
    *notice = alert->last_notified_ns == 0 || news ? SW_NOTICE_FIRING : SW_NOTICE_REPEAT;
    return *notice == SW_NOTICE_FIRING || (!per_trace && repeat_is_due(round, alert));
}

/* ---- the alerts that were found ---- */

static void begin_to_fire(sw_alerts_round *round, sw_alert *alert) {
    alert->state = SW_ALERT_FIRING;
    alert->fired_at_ns = round->now_ns;
    if (round->sink.culprit != NULL) {
        alert->culprit = (sw_culprit *)round->sink.culprit(alert, round->sink.arg); /* put back as a copy */
    }
}

/* What comes back while its resolved notice is withheld goes on: nobody was told that it had ended. */
static void advance_seen(sw_alerts_round *round, sw_alert *alert, bool withheld) {
    bool begins = alert->state == SW_ALERT_PENDING;
    if (alert->state == SW_ALERT_RESOLVED) {
        alert->state = SW_ALERT_FIRING;
        alert->ends_at_ns = 0;
    } else if (begins &&
               (sw_alert_is_per_trace(alert) || sw_alerts_elapsed(alert->starts_at_ns, round->now_ns) >=
                                                    sw_alerts_seconds_to_ns(alert->for_s))) {
        begin_to_fire(round, alert);
    }
    sw_round_note_state(round, alert);
    sw_notice notice;
    if (has_notice(round, alert, &notice)) {
        tell(round, alert, notice, withheld && !begins);
    }
}

/* When an alert that is absent from now on has to be looked at again. */
static int64_t due(const sw_alerts_round *round, const sw_alert *alert) {
    if (alert->state == SW_ALERT_PENDING || alert->flapping) {
        return INT64_MIN;
    }
    if (alert->state == SW_ALERT_RESOLVED) {
        return INT64_MAX;
    }
    int64_t end = add_saturated(alert->last_seen_ns, sw_alerts_seconds_to_ns(alert->keep_firing_s));
    int64_t repeat = repeat_at(round, alert);
    return sw_alert_is_per_trace(alert) || end < repeat ? end : repeat;
}

static void keep(sw_alerts_round *round, uint64_t fingerprint, const sw_alert *alert) {
    round->sink.changed(alert, round->sink.arg);
    int64_t due_ns = due(round, alert);
    size_t index = sw_alert_table_put(&round->alerts->table, fingerprint, alert);
    sw_alert_item *item = &round->alerts->table.items[index];
    item->due_ns = due_ns;
    item->reporter = round->reporter;
    item->seen = round->evaluation;
    item->withheld = round->withheld;
}

/* With the alert that they are evidence of: both are stored or neither. */
static void report_traces(sw_alerts_round *round, const sw_group *group) {
    const sw_alerts_sink *sink = &round->sink;
    for (size_t at = group->first_fresh; at != 0; at = round->groups.fresh[at - 1].next) {
        const sw_fresh *fresh = &round->groups.fresh[at - 1];
        sink->reported(fresh->finding->type, fresh->trace->id, round->now_ns, sink->arg);
    }
    if (group->n_fresh > 0 && round->counted != NULL) {
        round->counted(group->winner->type, group->n_fresh, round->counted_arg);
    }
}

static void evaluate(sw_alerts_round *round, const sw_group *group) {
    report_traces(round, group);
    sw_alert_table *table = &round->alerts->table;
    size_t index = sw_alert_table_find(table, group->number);
    bool is_new = index == SW_ALERT_NONE;
    sw_alert *alert = NULL;
    bool withheld = !is_new && table->items[index].withheld;
    round->withheld = false;
    if (is_new) {
        alert = sw_alert_table_new_view(table, group->labels, group->n_labels);
        memcpy(alert->fingerprint, group->fingerprint, sizeof alert->fingerprint);
        alert->type = group->winner->type;
        alert->state = SW_ALERT_PENDING;
        alert->starts_at_ns = round->now_ns;
        sw_round_recall_history(round, group->number, alert);
    } else {
        alert = sw_alert_table_view(table, index);
        pull_back(alert, round->now_ns);
        if (table->items[index].reporter != round->reporter) { /* who counts otherwise */
            alert->flap_evaluation = round->number - 1;
        }
    }
    sw_alerts_merge(round->alerts, alert, round->detector, &round->groups, group, is_new);
    alert->last_seen_ns = round->now_ns;
    advance_seen(round, alert, withheld);
    keep(round, group->number, alert);
}

/* ---- what was not found ---- */

static void forget(sw_alerts_round *round, size_t index, const sw_alert *alert) {
    round->sink.removed(alert->fingerprint, round->sink.arg);
    sw_round_keep_history(round, index, alert);
    sw_alert_table_remove(&round->alerts->table, index);
    round->alerts->n_removed++;
}

/* True when it is gone. What was told as firing stays until its end can be told. */
static bool end(sw_alerts_round *round, size_t index, sw_alert *alert) {
    uint64_t fingerprint = round->alerts->table.items[index].fingerprint;
    bool told = alert->state == SW_ALERT_FIRING && alert->last_notified_ns != 0;
    if (told && !sw_alert_is_per_trace(alert)) {
        alert->state = SW_ALERT_RESOLVED;
        alert->ends_at_ns = round->now_ns;
        sw_round_note_state(round, alert);
        if (!tell(round, alert, SW_NOTICE_RESOLVED, false)) {
            keep(round, fingerprint, alert);
            return false;
        }
    } else {
        sw_round_record(round, alert, false);
    }
    forget(round, index, alert);
    return true;
}

/* What has ended, and is known because it flaps. True when it is gone: it does not any more, and that was
 * told. */
static bool calm_down(sw_alerts_round *round, size_t index, sw_alert *alert) {
    sw_round_note_state(round, alert);
    if (alert->flapping) {
        return false;
    }
    if (tell(round, alert, SW_NOTICE_RESOLVED, true)) {
        forget(round, index, alert);
        return true;
    }
    keep(round, round->alerts->table.items[index].fingerprint, alert);
    return false;
}

/* True when the alert is gone: another one has its index now. */
static bool advance_absent(sw_alerts_round *round, size_t index) {
    sw_alert_table *table = &round->alerts->table;
    uint64_t fingerprint = table->items[index].fingerprint;
    bool withheld = round->withheld = table->items[index].withheld;
    sw_alert *alert = sw_alert_table_view(table, index);
    if (alert->state == SW_ALERT_RESOLVED) {
        table->items[index].due_ns = due(round, alert);
        return alert->flapping && round->known && calm_down(round, index, alert);
    }
    sw_alert before = *alert;
    pull_back(alert, round->now_ns);
    bool kept =
        sw_alerts_elapsed(alert->last_seen_ns, round->now_ns) < sw_alerts_seconds_to_ns(alert->keep_firing_s);
    bool pending = alert->state == SW_ALERT_PENDING;
    if (round->known && (pending || !kept)) {
        return end(round, index, alert);
    }
    if (round->known && alert->flapping) {
        sw_round_note_state(round, alert);
    }
    sw_notice notice;
    if (kept && has_notice(round, alert, &notice)) {
        tell(round, alert, notice, withheld);
    }
    bool changed = before.last_seen_ns != alert->last_seen_ns ||
                   before.last_notified_ns != alert->last_notified_ns ||
                   before.starts_at_ns != alert->starts_at_ns || before.flapping != alert->flapping;
    if (changed) {
        keep(round, fingerprint, alert);
    } else {
        table->items[index].due_ns = due(round, alert);
        table->items[index].withheld = round->withheld;
    }
    return false;
}

/* False when there is none left. Whoever removed alerts between two pieces has moved others: then all are
 * looked at again, which those that were advanced have no need of any more. */
static bool advance_next_absent(sw_alerts_round *round) {
    sw_alert_table *table = &round->alerts->table;
    if (round->n_removed != round->alerts->n_removed) {
        round->n_removed = round->alerts->n_removed;
        round->next_absent = 0;
    }
    for (size_t *i = &round->next_absent; *i < table->n; (*i)++) {
        const sw_alert_item *item = &table->items[*i];
        if (item->reporter != round->reporter || item->seen == round->evaluation ||
            item->due_ns > round->now_ns) {
            continue;
        }
        *i += advance_absent(round, *i) ? 0 : 1;
        round->n_removed = round->alerts->n_removed;
        return true;
    }
    return false;
}

/* After a step back of the clock all are looked at: what is due was computed from stamps of the future. */
static void notice_step(sw_alerts *alerts, int64_t now_ns) {
    if (now_ns < alerts->last_now_ns) {
        for (size_t i = 0; i < alerts->table.n; i++) {
            alerts->table.items[i].due_ns = INT64_MIN;
        }
    }
    alerts->last_now_ns = now_ns;
}

/* ---- what was withheld ---- */

/* True when the alert is gone: another one has its index now. */
static bool tell_withheld(sw_alerts_round *round, size_t index) {
    sw_alert_table *table = &round->alerts->table;
    uint64_t fingerprint = table->items[index].fingerprint;
    sw_alert *alert = sw_alert_table_view(table, index);
    pull_back(alert, round->now_ns);
    sw_notice notice;
    if (!has_notice(round, alert, &notice)) {
        table->items[index].withheld = false;
        return false;
    }
    if (!tell(round, alert, notice, true)) {
        return false;
    }
    if (notice == SW_NOTICE_RESOLVED) {
        forget(round, index, alert);
        return true;
    }
    round->sink.changed(alert, round->sink.arg);
    int64_t due_ns = due(round, alert);
    sw_alert_table_put(table, fingerprint, alert);
    table->items[index].due_ns = due_ns;
    table->items[index].withheld = false;
    return false;
}

/* False when there is none left. One that was moved by somebody else's removal waits for the next time. */
static bool tell_next_withheld(sw_alerts_round *round) {
    sw_alert_table *table = &round->alerts->table;
    while (round->next_withheld < table->n && !table->items[round->next_withheld].withheld) {
        round->next_withheld++;
    }
    if (round->next_withheld >= table->n) {
        return false;
    }
    round->next_withheld += tell_withheld(round, round->next_withheld) ? 0 : 1;
    return true;
}

sw_alerts_round *sw_alerts_withheld_round(sw_alerts *alerts, int64_t now_ns, const sw_alerts_sink *sink) {
    sw_alerts_round *round = xcalloc(1, sizeof *round);
    *round = (sw_alerts_round){.alerts = alerts, .now_ns = now_ns, .sink = *sink, .tells_withheld = true};
    while (round->next_withheld < alerts->table.n && !alerts->table.items[round->next_withheld].withheld) {
        round->next_withheld++;
    }
    if (round->next_withheld == alerts->table.n) {
        free(round);
        return NULL;
    }
    return round;
}

void sw_alerts_tell_withheld(sw_alerts *alerts, int64_t now_ns, const sw_alerts_sink *sink) {
    sw_alerts_round *round = sw_alerts_withheld_round(alerts, now_ns, sink);
    while (round != NULL && sw_alerts_round_step(round)) {
    }
    sw_alerts_round_free(round);
}

/* ---- an evaluation ---- */

sw_alerts_round *sw_alerts_round_new(sw_alerts *alerts, const char *detector, const char *source,
                                     const sw_finding *findings, size_t n, bool known, int64_t now_ns,
                                     const sw_alerts_sink *sink,
                                     void (*counted)(const char *type, uint64_t traces, void *arg),
                                     void *counted_arg) {
    sw_alerts_round *round = xcalloc(1, sizeof *round);
    if (++alerts->evaluation == 0) {
        alerts->evaluation = 1; /* 0 is for those that were restored */
    }
    *round = (sw_alerts_round){
        .alerts = alerts,
        .detector = detector,
        .reporter = reporter_number(alerts, detector, source),
        .evaluation = alerts->evaluation,
        .known = known,
        .now_ns = now_ns,
        .sink = *sink,
        .counted = counted,
        .counted_arg = counted_arg,
        .findings = findings,
        .n_findings = n,
    };
    notice_step(alerts, now_ns);
    sw_round_count_evaluation(round);
    return round;
}

bool sw_alerts_round_step(sw_alerts_round *round) {
    if (round->tells_withheld) {
        return tell_next_withheld(round);
    }
    if (round->grouped < round->n_findings) {
        sw_round_group_next(round);
        return true;
    }
    const sw_group *group = round->next_group;
    if (group == NULL) {
        return advance_next_absent(round);
    }
    round->next_group = group->hh.next;
    if (group->winner != NULL) {
        evaluate(round, group);
    }
    return true;
}

void sw_alerts_round_free(sw_alerts_round *round) {
    if (round != NULL) {
        sw_groups_release(&round->groups);
        free(round);
    }
}

void sw_alerts_apply(sw_alerts *alerts, const char *detector, const char *source, const sw_finding *findings,
                     size_t n, bool known, int64_t now_ns, const sw_alerts_sink *sink,
                     void (*counted)(const char *type, uint64_t traces, void *arg), void *counted_arg) {
    sw_alerts_round *round =
        sw_alerts_round_new(alerts, detector, source, findings, n, known, now_ns, sink, counted, counted_arg);
    while (sw_alerts_round_step(round)) {
    }
    sw_alerts_round_free(round);
}
