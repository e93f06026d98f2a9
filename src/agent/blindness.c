/*
 * What keeps the agent from seeing or telling, as findings: an alert each, which says what to do, is sent
 * once and is resolved when it is over. All are judged from what is so at the end of a tick; the counts of
 * ticks and ages in the settings keep a single hiccup silent.
 */
#include "agent/agent_internal.h"

#include <stdlib.h>

#define AFTER_RESTART_TICKS 5
#define DAMAGE_SHOWN_S 3600 /* after the start */

struct list {
    const sw_agent *agent;
    sw_finding *findings;
    size_t n;
};

/* In the order of their names. */
static void add_label(sw_finding *finding, const char *name, const char *value) {
    finding->labels = xrealloc_array(finding->labels, finding->n_labels + 1, sizeof *finding->labels);
    finding->labels[finding->n_labels++] = (sw_label){xstrdup(name), xstrdup(value)};
}

/* The finding, to be completed by the caller before the next is added. Takes the summary. `value` of the
 * label may be NULL: no label. */
static sw_finding *add_about(struct list *list, const char *type, sw_severity severity, const char *label,
                             const char *value, char *summary) {
    list->findings = xrealloc_array(list->findings, list->n + 1, sizeof *list->findings);
    sw_finding *finding = &list->findings[list->n++];
    *finding = (sw_finding){
        .type = xstrdup(type),
        .detector = xstrdup(SW_AGENT_SELF),
        .source = xstrdup(SW_AGENT_SELF),
        .severity = severity,
        .summary = summary,
        .window_complete = true,
    };
    if (value != NULL) {
        add_label(finding, label, value);
    }
    return finding;
}

static sw_finding *add(struct list *list, const char *type, sw_severity severity, const char *detector,
                       char *summary) {
    return add_about(list, type, severity, "detector", detector, summary);
}

static void set_value(sw_finding *finding, double value, double threshold) {
    finding->has_value = finding->has_threshold = true;
    finding->value = value;
    finding->threshold = threshold;
}

static void look_at_source(struct list *list, const sw_feed *feed) {
    int64_t limit = list->agent->config->source_blind_ticks;
    if (!sw_feed_counts(feed) || limit == 0 || feed->last_poll_reason == NULL) {
        return;
    }
    const char *name = sw_source_names[feed->number];
    sw_finding *finding = NULL;
    if (sw_feed_is_away(feed)) {
        finding = add_about(
            list, "source_unreachable", SW_SEVERITY_CRITICAL, "source", name,
            xasprintf("%s does not answer, nothing of it is watched: %s. What it holds is judged as "
                      "soon as it answers",
                      name, feed->last_poll_reason));
        set_value(finding, feed->polls_failed, (double)limit);
    } else if (feed->polls_incomplete >= limit) {
        finding = add_about(
            list, "answers_incomplete", SW_SEVERITY_WARNING, "source", name,
            xasprintf("answers of %s are not whole, alerts may be late: %s", name, feed->last_poll_reason));
        set_value(finding, feed->polls_incomplete, (double)limit);
    } else {
        return;
    }
    finding->error_message = xstrdup(feed->last_poll_reason);
}

/* Spans that were sent and could not be used as they should. */
static void look_at_spans(struct list *list, const sw_feed *feed) {
    const sw_spans_sent *sent = &feed->last_poll.spans;
    const struct {
        const char *type;
        unsigned polls;
        uint64_t n;
        const char *what;
    } kinds[] = {
        {"spans_late", feed->polls_late, sent->late,
         "started before what is remembered and are in no count: do senders hold spans back, or are clocks "
         "of "
         "theirs behind?"},
        {"spans_future", feed->polls_future, sent->future,
         "start too far ahead of this machine's clock and are in no count: is a clock of the senders ahead, "
         "or "
         "this one behind?"},
        {"spans_dropped", feed->polls_dropped, sent->dropped,
         "had to make room before their trace was quiet, and traces may be shown without them: "
         "SPANWATCH_OTLP_MEMORY_MB is small for this traffic"},
    };
    int64_t limit = list->agent->config->source_blind_ticks;
    for (size_t i = 0; sw_feed_counts(feed) && limit > 0 && i < SW_ARRAY_LEN(kinds); i++) {
        if (kinds[i].polls >= limit) {
            double share = sent->received > 0 ? (double)kinds[i].n / (double)sent->received : 1;
            set_value(
                add_about(list, kinds[i].type, SW_SEVERITY_WARNING, "source", sw_source_names[feed->number],
                          xasprintf("%llu spans of %llu in the last tick %s", (unsigned long long)kinds[i].n,
                                    (unsigned long long)sent->received, kinds[i].what)),
                share, SW_SPANS_MANY);
        }
    }
}

/* Requests whose spans are lost: their senders were told not to send them again. */
static void look_at_refused(struct list *list, const sw_feed *feed) {
    uint64_t refused = feed->last_poll.spans.refused;
    int64_t limit = list->agent->config->source_blind_ticks;
    if (!sw_feed_counts(feed) || limit <= 0 || feed->polls_refused < limit) {
        return;
    }
    set_value(
        add_about(list, "requests_refused", SW_SEVERITY_WARNING, "source", sw_source_names[feed->number],
                  xasprintf("%llu requests in the last tick cannot be read or are too large, and their "
                            "senders give them up: see what these log. SPANWATCH_OTLP_MAX_BODY_BYTES and "
                            "SPANWATCH_OTLP_MEMORY_MB limit how large they may be",
                            (unsigned long long)refused)),
        (double)refused, 0);
}

/* Takes the summary. */
static void add_failing(struct list *list, const char *detector, const char *error, char *summary) {
    sw_finding *finding = add(list, "detector_failing", SW_SEVERITY_CRITICAL, detector, summary);
    finding->error_message = xstrdup(error);
    /* After a restart it fails a few times before it is known to. */
    finding->keep_firing_s = AFTER_RESTART_TICKS * (double)list->agent->config->tempo_alert_interval_secs;
}

static void add_broken(const char *name, const char *error, void *arg) {
    add_failing(arg, name, error,
                xasprintf("detector %s does not run, it cannot be loaded: %s", name, error));
}

static void look_at_failing(struct list *list) {
    sw_detectors_broken(list->agent->detectors, add_broken, list);
    for (size_t i = 0; i < sw_detectors_count(list->agent->detectors); i++) {
        const sw_detector *detector = sw_detectors_at(list->agent->detectors, i);
        if (!sw_detector_ready(detector)) {
            const char *error = sw_detector_last_error(detector);
            const char *name = sw_detector_name(detector);
            add_failing(list, name, error,
                        xasprintf("detector %s fails again and again and is paused: %s", name, error));
        }
    }
}

/* A detector is not told to be behind, or silent, for what has an alert already: the source is away, or the
 * detector fails. */
static void look_at_progress(const char *name, const sw_feed *feed, int64_t judged_until_s,
                             int64_t seen_until_s, void *arg) {
    struct list *list = arg;
    const sw_agent *agent = list->agent;
    const sw_detector *detector = sw_detectors_running(agent->detectors, name);
    (void)seen_until_s;
    if (detector == NULL || !sw_detector_ready(detector) || !sw_detector_watches(detector, feed->number) ||
        judged_until_s == 0 || sw_feed_is_away(feed)) {
        return;
    }
    const sw_config *config = agent->config;
    const char *source = sw_source_names[feed->number];
    double interval_s = (double)config->tempo_alert_interval_secs, every_s = sw_detector_every_s(detector);
    double old_s = (double)config->watermark_old_intervals * (every_s > interval_s ? every_s : interval_s) +
                   (double)feed->settle_s;
    double age_s = (double)(sw_wall_ns(agent->clock) / SW_NS_PER_S - judged_until_s);
    if (config->watermark_old_intervals > 0 && age_s > old_s) {
        sw_finding *finding =
            add(list, "watermark_old", SW_SEVERITY_WARNING, name,
                xasprintf("detector %s is %.0f s behind on %s: its alerts are late", name, age_s, source));
        add_label(finding, "source", source);
        set_value(finding, age_s, old_s);
    }
}

/* How long a detector was given nothing to see, by any source. */
struct silence {
    const char *detector;
    double silent_s; /* -1: it has not judged yet */
    bool unknown;    /* one of its sources is away */
};

static void measure_silence(const char *name, const sw_feed *feed, int64_t judged_until_s,
                            int64_t seen_until_s, void *arg) {
    struct silence *silence = arg;
    if (!sw_streq(name, silence->detector) || judged_until_s == 0) {
        return;
    }
    double silent_s = (double)(judged_until_s - seen_until_s);
    silence->silent_s = silence->silent_s < 0 || silent_s < silence->silent_s ? silent_s : silence->silent_s;
    silence->unknown |= sw_feed_is_away(feed);
}

static void look_at_silence(struct list *list, const sw_detector *detector) {
    double limit_s = (double)list->agent->config->detector_silent_secs;
    struct silence silence = {.detector = sw_detector_name(detector), .silent_s = -1};
    sw_judge_each(list->agent, measure_silence, &silence);
    if (limit_s > 0 && sw_detector_ready(detector) && !silence.unknown && silence.silent_s >= limit_s) {
        set_value(
            add(list, "detector_silent", SW_SEVERITY_WARNING, silence.detector,
                xasprintf("detector %s was given no series and no trace for %.0f s: is anything sent to "
                          "the source, and does the detector want what is there?",
                          silence.detector, silence.silent_s)),
            silence.silent_s, limit_s);
    }
}

static void look_at_outbox(struct list *list, const sw_receiver *receiver) {
    if (sw_receiver_lags(list->agent, receiver)) {
        double age_s = (double)sw_receiver_oldest_age_ms(receiver) / 1000;
        set_value(
            add_about(
                list, "outbox_growing", SW_SEVERITY_CRITICAL, "receiver", receiver->name,
                xasprintf("%zu notifications for the receiver %s wait, the oldest for %.0f s: it does not "
                          "take them. None is lost before %lld s",
                          sw_receiver_depth(receiver), receiver->name, age_s,
                          (long long)receiver->config->max_age_secs)),
            age_s, (double)list->agent->config->outbox_old_secs);
    }
    const char *refused = sw_receiver_refused(receiver);
    if (refused != NULL) {
        add_about(list, "notification_refused", SW_SEVERITY_CRITICAL, "receiver", receiver->name,
                  xasprintf("the receiver %s refuses notifications: %s. Are its URL and secrets right? "
                            "spanwatch notify list shows what it refused, notify retry sends it again",
                            receiver->name, refused))
            ->error_message = xstrdup(refused);
    }
}

static void look_at_unconfigured(struct list *list, const sw_receiver *receiver) {
    if (receiver->waiting > 0) {
        set_value(
            add_about(
                list, "receiver_missing", SW_SEVERITY_CRITICAL, "receiver", receiver->name,
                xasprintf("%zu notifications wait for the receiver %s, which is not configured any more: "
                          "configure it again, or drop them with spanwatch notify drop",
                          receiver->waiting, receiver->name)),
            (double)receiver->waiting, 0);
    }
}

static void look_at_storage(struct list *list) {
    const sw_agent *agent = list->agent;
    if (agent->commit_failing || sw_store_in_memory(agent->store)) {
        add(list, "storage_failing", SW_SEVERITY_CRITICAL, NULL,
            xasprintf("the storage folder %s cannot be written: alerts are sent from memory, and a restart "
                      "now would forget them. Is the disk full?",
                      agent->paths.storage))
            ->error_message = xstrdup(agent->storage_error);
    }
    if (agent->storage_damage != NULL &&
        sw_wall_ns(agent->clock) - agent->started_at_ns < DAMAGE_SHOWN_S * SW_NS_PER_S) {
        add(list, "storage_damaged", SW_SEVERITY_CRITICAL, NULL,
            xstrdup(
                "the database was damaged, and the agent began with an empty one: what it knew of alerts and "
                "notifications is gone. Is the disk failing?"))
            ->error_message = xstrdup(agent->storage_damage);
    }
}

static void look_at_formatter(struct list *list, const sw_receiver *receiver) {
    const char *error = receiver->formatting != NULL ? sw_formatting_error(receiver->formatting) : NULL;
    if (error != NULL) {
        add_about(list, "formatter_failing", SW_SEVERITY_CRITICAL, "receiver", receiver->name,
                  xasprintf("notifications cannot be written as %s and go out in the default form, which the "
                            "receiver %s may refuse: %s",
                            receiver->config->format, receiver->name, error))
            ->error_message = xstrdup(error);
    }
}

static void look_at_receivers(struct list *list) {
    for (size_t i = 0; i < sw_receivers_count(list->agent); i++) {
        const sw_receiver *receiver = sw_receivers_at(list->agent, i);
        if (receiver->config != NULL) {
            look_at_outbox(list, receiver);
            look_at_formatter(list, receiver);
        } else {
            look_at_unconfigured(list, receiver);
        }
    }
}

/* It has begun, and whether it goes on will be seen. */
static bool is_beginning(unsigned polls, int64_t limit) {
    return polls > 0 && polls < limit;
}

bool sw_blindness_known(const sw_agent *agent) {
    int64_t limit = agent->config->source_blind_ticks;
    for (int i = 0; i < SW_SOURCES; i++) {
        const sw_feed *feed = &agent->feeds[i];
        if (sw_feed_counts(feed) &&
            (is_beginning(feed->polls_late, limit) || is_beginning(feed->polls_future, limit) ||
             is_beginning(feed->polls_dropped, limit) || is_beginning(feed->polls_refused, limit))) {
            return false;
        }
        if (sw_feed_counts(feed) && limit > 0 && feed->last_poll_reason != NULL &&
            feed->polls_failed < limit && feed->polls_incomplete < limit) {
            return false;
        }
    }
    return true;
}

sw_finding *sw_blindness(const sw_agent *agent, size_t *n) {
    struct list list = {.agent = agent};
    for (int i = 0; i < SW_SOURCES; i++) {
        look_at_source(&list, &agent->feeds[i]);
        look_at_spans(&list, &agent->feeds[i]);
        look_at_refused(&list, &agent->feeds[i]);
    }
    look_at_failing(&list);
    sw_judge_each(agent, look_at_progress, &list);
    for (size_t i = 0; i < sw_detectors_count(agent->detectors); i++) {
        look_at_silence(&list, sw_detectors_at(agent->detectors, i));
    }
    look_at_storage(&list);
    look_at_receivers(&list);
    *n = list.n;
    return list.findings;
}
