#include "alerts/silences.h"

#include <stdlib.h>
#include <string.h>

struct sw_silences {
    sw_silences_options options;
    sw_silence **items; /* in the order of creation; each keeps its address */
    size_t n;
};

const char *sw_silence_state_name(sw_silence_state state) {
    static const char *const names[] = {"pending", "active", "expired"};
    return names[state];
}

sw_silence_state sw_silence_state_at(const sw_silence *silence, int64_t now_ns) {
    if (now_ns >= silence->ends_at_ns) {
        return SW_SILENCE_EXPIRED;
    }
    return now_ns < silence->starts_at_ns ? SW_SILENCE_PENDING : SW_SILENCE_ACTIVE;
}

void sw_silence_release(sw_silence *silence) {
    sw_matchers_release(&silence->matchers);
    free(silence->created_by);
    free(silence->comment);
    *silence = (sw_silence){0};
}

void sw_silence_copy(sw_silence *to, const sw_silence *from) {
    *to = *from;
    sw_matchers_copy(&to->matchers, &from->matchers);
    to->created_by = xstrdup(from->created_by != NULL ? from->created_by : "");
    to->comment = xstrdup(from->comment != NULL ? from->comment : "");
}

sw_silences *sw_silences_new(const sw_silences_options *options) {
    sw_silences *silences = xcalloc(1, sizeof *silences);
    silences->options = *options;
    return silences;
}

void sw_silences_free(sw_silences *silences) {
    for (size_t i = 0; silences != NULL && i < silences->n; i++) {
        sw_silence_release(silences->items[i]);
        free(silences->items[i]);
    }
    if (silences != NULL) {
        free(silences->items);
    }
    free(silences);
}

static sw_silence *find(const sw_silences *silences, const char *id) {
    for (size_t i = 0; i < silences->n; i++) {
        if (strcmp(silences->items[i]->id, id) == 0) {
            return silences->items[i];
        }
    }
    return NULL;
}

const sw_silence *sw_silences_find(const sw_silences *silences, const char *id) {
    return find(silences, id);
}

static sw_silence *add(sw_silences *silences, const sw_silence *silence) {
    silences->items = xrealloc_array(silences->items, silences->n + 1, sizeof(sw_silence *));
    sw_silence *added = silences->items[silences->n++] = xcalloc(1, sizeof *added);
    sw_silence_copy(added, silence);
    return added;
}

/* More than options.max may have been stored when it was greater: the sweep makes room. */
void sw_silences_restore(sw_silences *silences, const sw_silence *silence) {
    if (find(silences, silence->id) == NULL) {
        add(silences, silence);
    }
}

static void drop(sw_silences *silences, size_t index, const sw_silences_sink *sink) {
    sw_silence *silence = silences->items[index];
    sink->removed(silence->id, sink->arg);
    memmove(&silences->items[index], &silences->items[index + 1],
            (silences->n - index - 1) * sizeof(sw_silence *));
    silences->n--;
    sw_silence_release(silence);
    free(silence);
}

/* The expired one that ended first; false when there is none. */
static bool drop_oldest(sw_silences *silences, int64_t now_ns, const sw_silences_sink *sink) {
    size_t oldest = SIZE_MAX;
    for (size_t i = 0; i < silences->n; i++) {
        const sw_silence *silence = silences->items[i];
        if (sw_silence_state_at(silence, now_ns) == SW_SILENCE_EXPIRED &&
            (oldest == SIZE_MAX || silence->ends_at_ns < silences->items[oldest]->ends_at_ns)) {
            oldest = i;
        }
    }
    if (oldest != SIZE_MAX) {
        drop(silences, oldest, sink);
    }
    return oldest != SIZE_MAX;
}

/* ---- setting and expiring ---- */

static const char *what_is_wrong(const sw_silence *wanted, int64_t now_ns) {
    if (wanted->matchers.n == 0) {
        return "at least one matcher required";
    }
    if (sw_matchers_match_nothing(&wanted->matchers)) {
        return "at least one matcher must not match the empty string";
    }
    if (wanted->ends_at_ns <= wanted->starts_at_ns) {
        return "start time must be before end time";
    }
    if (wanted->ends_at_ns <= now_ns) {
        return "end time can't be in the past";
    }
    bool long_text = (wanted->created_by != NULL && strlen(wanted->created_by) > SW_SILENCE_MAX_TEXT) ||
                     (wanted->comment != NULL && strlen(wanted->comment) > SW_SILENCE_MAX_TEXT);
    return long_text ? "author or comment is too long" : NULL;
}

/* Times come over the API in milliseconds. */
static bool same_second(int64_t a_ns, int64_t b_ns) {
    return a_ns / SW_NS_PER_S == b_ns / SW_NS_PER_S;
}

static bool can_change(const sw_silence *old, const sw_silence *wanted, int64_t now_ns) {
    if (!sw_matchers_equal(&old->matchers, &wanted->matchers)) {
        return false;
    }
    switch (sw_silence_state_at(old, now_ns)) {
    case SW_SILENCE_ACTIVE:
        return same_second(old->starts_at_ns, wanted->starts_at_ns);
    case SW_SILENCE_PENDING:
        return wanted->starts_at_ns >= now_ns;
    default:
        return false;
    }
}

static void end_now(sw_silence *silence, int64_t now_ns, const sw_silences_sink *sink) {
    if (silence->starts_at_ns > now_ns) {
        silence->starts_at_ns = now_ns;
    }
    silence->ends_at_ns = silence->updated_at_ns = now_ns;
    sink->changed(silence, sink->arg);
}

/* The id, matchers and start of an active one stay; what it has matched is not asked of the caller. */
static void change(sw_silence *old, const sw_silence *wanted, int64_t now_ns, const sw_silences_sink *sink) {
    sw_silence next = *wanted;
    memcpy(next.id, old->id, sizeof next.id);
    if (sw_silence_state_at(old, now_ns) == SW_SILENCE_ACTIVE) {
        next.starts_at_ns = old->starts_at_ns;
    }
    next.updated_at_ns = now_ns;
    next.matched = old->matched;
    sw_silence copy;
    sw_silence_copy(&copy, &next);
    sw_silence_release(old);
    *old = copy;
    sink->changed(old, sink->arg);
}

static sw_silence_result create(sw_silences *silences, const sw_silence *wanted, int64_t now_ns,
                                const sw_silences_sink *sink, char id[SW_SILENCE_ID_LEN + 1], char **why) {
    while (silences->n >= silences->options.max) {
        if (!drop_oldest(silences, now_ns, sink)) {
            *why = xasprintf("there are %zu silences already, and no more are kept", silences->n);
            return SW_SILENCE_INVALID;
        }
    }
    sw_silence *silence = add(silences, wanted);
    sw_uuid4(silence->id);
    if (silence->starts_at_ns < now_ns) {
        silence->starts_at_ns = now_ns;
    }
    silence->updated_at_ns = now_ns;
    memcpy(id, silence->id, sizeof silence->id);
    sink->changed(silence, sink->arg);
    return SW_SILENCE_OK;
}

sw_silence_result sw_silences_set(sw_silences *silences, const sw_silence *wanted, int64_t now_ns,
                                  const sw_silences_sink *sink, char id[SW_SILENCE_ID_LEN + 1], char **why) {
    sw_silence cut = *wanted; /* borrows everything */
    if (cut.ends_at_ns > SW_SILENCE_NO_END_NS) {
        cut.ends_at_ns = SW_SILENCE_NO_END_NS;
    }
    const char *wrong = what_is_wrong(&cut, now_ns);
    if (wrong != NULL) {
        *why = xstrdup(wrong);
        return SW_SILENCE_INVALID;
    }
    sw_silence *old = cut.id[0] != '\0' ? find(silences, cut.id) : NULL;
    if (cut.id[0] != '\0' && old == NULL) {
        *why = xstrdup("silence not found");
        return SW_SILENCE_UNKNOWN;
    }
    if (old != NULL && can_change(old, &cut, now_ns)) {
        change(old, &cut, now_ns, sink);
        memcpy(id, old->id, sizeof old->id);
        return SW_SILENCE_OK;
    }
    if (old != NULL && sw_silence_state_at(old, now_ns) != SW_SILENCE_EXPIRED) {
        end_now(old, now_ns, sink);
    }
    return create(silences, &cut, now_ns, sink, id, why);
}

sw_silence_result sw_silences_expire(sw_silences *silences, const char *id, int64_t now_ns,
                                     const sw_silences_sink *sink, char **why) {
    sw_silence *silence = find(silences, id);
    if (silence == NULL) {
        *why = xstrdup("silence not found");
        return SW_SILENCE_UNKNOWN;
    }
    if (sw_silence_state_at(silence, now_ns) == SW_SILENCE_EXPIRED) {
        *why = xasprintf("silence %s already expired", id);
        return SW_SILENCE_INVALID;
    }
    end_now(silence, now_ns, sink);
    return SW_SILENCE_OK;
}

/* ---- time ---- */

struct sweep {
    const sw_silences *silences;
    int64_t now_ns;
    bool *firing; /* of each silence: one of its alerts is */
};

static bool waits_for_resolve(const sw_silence *silence, int64_t now_ns) {
    return silence->until_resolved && sw_silence_state_at(silence, now_ns) == SW_SILENCE_ACTIVE;
}

static void note_firing(const sw_alert *alert, void *arg) {
    struct sweep *sweep = arg;
    for (size_t i = 0; alert->state == SW_ALERT_FIRING && i < sweep->silences->n; i++) {
        const sw_silence *silence = sweep->silences->items[i];
        sweep->firing[i] = sweep->firing[i] || (waits_for_resolve(silence, sweep->now_ns) &&
                                                sw_matchers_match_alert(&silence->matchers, alert));
    }
}

static void end_resolved(sw_silences *silences, const sw_alerts *alerts, int64_t now_ns,
                         const sw_silences_sink *sink) {
    bool any = false;
    for (size_t i = 0; i < silences->n; i++) {
        any = any || waits_for_resolve(silences->items[i], now_ns);
    }
    if (!any) {
        return;
    }
    struct sweep sweep = {silences, now_ns, xcalloc(silences->n, sizeof(bool))};
    sw_alerts_each(alerts, note_firing, &sweep);
    for (size_t i = 0; i < silences->n; i++) {
        sw_silence *silence = silences->items[i];
        if (!waits_for_resolve(silence, now_ns)) {
            continue;
        }
        if (silence->matched && !sweep.firing[i]) {
            end_now(silence, now_ns, sink);
        } else if (!silence->matched && sweep.firing[i]) {
            silence->matched = true;
            sink->changed(silence, sink->arg);
        }
    }
    free(sweep.firing);
}

void sw_silences_sweep(sw_silences *silences, const sw_alerts *alerts, int64_t now_ns,
                       const sw_silences_sink *sink) {
    end_resolved(silences, alerts, now_ns, sink);
    for (size_t i = silences->n; i-- > 0;) {
        if (now_ns - silences->items[i]->ends_at_ns > silences->options.retention_ns) {
            drop(silences, i, sink);
        }
    }
    while (silences->n > silences->options.max && drop_oldest(silences, now_ns, sink)) {
    }
}

/* ---- asking ---- */

size_t sw_silences_matching(const sw_silences *silences, const sw_alert *alert, int64_t now_ns,
                            const char **ids, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < silences->n; i++) {
        const sw_silence *silence = silences->items[i];
        if (sw_silence_state_at(silence, now_ns) == SW_SILENCE_ACTIVE &&
            sw_matchers_match_alert(&silence->matchers, alert)) {
            if (n < max) {
                ids[n] = silence->id;
            }
            n++;
        }
    }
    return n;
}

size_t sw_silences_count(const sw_silences *silences, sw_silence_state state, int64_t now_ns) {
    size_t n = 0;
    for (size_t i = 0; i < silences->n; i++) {
        n += sw_silence_state_at(silences->items[i], now_ns) == state ? 1 : 0;
    }
    return n;
}

struct listed {
    const sw_silence *silence;
    int rank;    /* active, pending, expired */
    int64_t key; /* ascending within a rank */
};

static int compare_listed(const void *a, const void *b) {
    const struct listed *x = a, *y = b;
    if (x->rank != y->rank) {
        return x->rank - y->rank;
    }
    return x->key < y->key ? -1 : x->key > y->key;
}

void sw_silences_each(const sw_silences *silences, int64_t now_ns,
                      void (*each)(const sw_silence *silence, void *arg), void *arg) {
    struct listed *list = xcalloc(silences->n + 1, sizeof *list);
    for (size_t i = 0; i < silences->n; i++) {
        const sw_silence *silence = silences->items[i];
        sw_silence_state state = sw_silence_state_at(silence, now_ns);
        list[i] = (struct listed){
            .silence = silence,
            .rank = state == SW_SILENCE_ACTIVE    ? 0
                    : state == SW_SILENCE_PENDING ? 1
                                                  : 2,
            .key = state == SW_SILENCE_ACTIVE    ? silence->ends_at_ns
                   : state == SW_SILENCE_PENDING ? silence->starts_at_ns
                                                 : -silence->ends_at_ns,
        };
    }
    qsort(list, silences->n, sizeof *list, compare_listed);
    for (size_t i = 0; i < silences->n; i++) {
        each(list[i].silence, arg);
    }
    free(list);
}
