#include "agent/progress.h"

#include <stdlib.h>
#include <string.h>

static char *key_of(const sw_feed *feed, const char *name) {
    return xasprintf("%s\n%s", name, sw_source_names[feed->number]);
}

sw_progress *sw_progress_find(const sw_feed *feed, const char *name) {
    char *key = key_of(feed, name);
    sw_progress *progress = NULL;
    HASH_FIND_STR(feed->agent->progress, key, progress);
    free(key);
    return progress;
}

sw_progress *sw_progress_of(sw_feed *feed, const char *name) {
    sw_progress *progress = sw_progress_find(feed, name);
    if (progress == NULL) {
        progress = xcalloc(1, sizeof *progress);
        progress->key = key_of(feed, name);
        progress->name = xstrdup(name);
        progress->agent = feed->agent;
        progress->feed = feed;
        HASH_ADD_KEYPTR(hh, feed->agent->progress, progress->key, strlen(progress->key), progress);
    }
    return progress;
}

void sw_progress_remember(sw_progress *progress, const char *id, uint64_t digest, int64_t at_ns) {
    struct judged_trace *entry = NULL;
    HASH_FIND_STR(progress->judged, id, entry);
    if (entry == NULL) {
        entry = xcalloc(1, sizeof *entry);
        snprintf(entry->id, sizeof entry->id, "%s", id);
        HASH_ADD_STR(progress->judged, id, entry);
    }
    entry->digest = digest;
    entry->at_ns = at_ns;
}

void sw_progress_forget(sw_progress *progress, int64_t before_ns) {
    struct judged_trace *entry = NULL, *next = NULL;
    HASH_ITER(hh, progress->judged, entry, next) {
        if (entry->at_ns < before_ns) {
            HASH_DEL(progress->judged, entry); // NOLINT: the analyzer takes it for a freed one
            free(entry);
        }
    }
}

void sw_progress_clear(sw_progress *progress) {
    sw_applying_cancel(progress->applying);
    progress->applying = NULL;
    sw_evaluation_free(progress->record);
    progress->record = NULL;
    sw_culprits_free(progress->culprits);
    progress->culprits = NULL;
    sw_findings_free(progress->findings, progress->n_findings);
    progress->findings = NULL;
    progress->n_findings = 0;
    free(progress->taken);
    progress->taken = NULL;
    progress->n_taken = 0;
    free(progress->offered);
    progress->offered = NULL;
    progress->n_offered = progress->offered_allocated = 0;
    progress->more_traces = false;
    free(progress->reason);
    progress->reason = NULL;
    free(progress->state);
    progress->state = NULL;
    progress->has_state = false;
    progress->n_steps = progress->next_step = 0;
    progress->busy = progress->waits = false;
}

void sw_judge_stop(sw_agent *agent) {
    sw_progress *progress = NULL, *next = NULL;
    HASH_ITER(hh, agent->progress, progress, next) {
        sw_applying_cancel(progress->applying);
        progress->applying = NULL;
        sw_culprits_free(progress->culprits);
        progress->culprits = NULL;
    }
}

void sw_judge_free(sw_agent *agent) {
    sw_progress *progress = agent->progress;
    HASH_CLEAR(hh, agent->progress);
    while (progress != NULL) {
        sw_progress *next = progress->hh.next;
        sw_progress_clear(progress);
        sw_progress_forget(progress, INT64_MAX);
        free(progress->key);
        free(progress->name);
        free(progress);
        progress = next;
    }
}

/* ---- what was stored ---- */

static void restore_detector(const char *name, int64_t version, const void *state, size_t len, void *arg) {
    sw_detectors_restore(((sw_agent *)arg)->detectors, name, version, state, len);
}

/* NULL when the source is not enabled now: what was stored of it stays as it is. */
static sw_feed *stored_feed(sw_agent *agent, const char *source) {
    int number = sw_source_named(source);
    return number >= 0 && agent->feeds[number].source != NULL ? &agent->feeds[number] : NULL;
}

static void restore_progress(const char *name, const char *source, int64_t judged_until_s, void *arg) {
    sw_feed *feed = stored_feed(arg, source);
    if (feed != NULL) {
        sw_progress_of(feed, name)->judged_until_s = judged_until_s;
    }
}

static void restore_trace(const char *name, const char *source, const char *id, uint64_t digest,
                          int64_t at_ns, void *arg) {
    sw_feed *feed = stored_feed(arg, source);
    if (feed != NULL) {
        sw_progress_remember(sw_progress_of(feed, name), id, digest, at_ns);
    }
}

void sw_judge_restore(sw_agent *agent) {
    sw_store_each_detector(agent->store, restore_detector, agent);
    sw_store_each_progress(agent->store, restore_progress, agent);
    sw_store_each_judged(agent->store, restore_trace, agent);
}

void sw_judge_each(const sw_agent *agent,
                   void (*each)(const char *detector, const sw_feed *feed, int64_t judged_until_s,
                                int64_t seen_until_s, void *arg),
                   void *arg) {
    const sw_progress *progress = NULL, *next = NULL;
    HASH_ITER(hh, agent->progress, progress, next) {
        if (progress->feed->source != NULL) {
            each(progress->name, progress->feed, progress->judged_until_s, progress->seen_until_s, arg);
        }
    }
}

int64_t sw_judge_trace_at_ns(const sw_feed *feed, const char *detector, const char *trace_id) {
    const sw_progress *progress = sw_progress_find(feed, detector);
    struct judged_trace *entry = NULL;
    if (progress != NULL) {
        HASH_FIND_STR(progress->judged, trace_id, entry);
    }
    return entry != NULL ? entry->at_ns : 0;
}
