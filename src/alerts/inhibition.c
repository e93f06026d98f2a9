#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include "alerts/inhibition.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/keyed_hash.h"

#define STEP_ALERTS 32
#define DEPTH_MAX 100 /* of inhibited ones that inhibit; what is deeper is told */

struct node;

struct node_list {
    struct node **items;
    size_t n, allocated;
};

/* Of one rule, the sources that agree on the labels in `equal`. */
struct bucket {
    struct node_list sources, two_sided; /* the latter match the target side too */
    UT_hash_handle hh;
    char key[];
};

/* The alerts of one service about one topic. */
struct place {
    struct node_list alerts;
    UT_hash_handle hh;
    char key[];
};

struct target {
    const struct bucket *bucket;
    bool two_sided;
};

enum progress { UNTOUCHED, UNDER_WAY, SETTLED };

struct node {
    uint64_t number; /* the fingerprint */
    char fingerprint[SW_FINGERPRINT_LEN + 1];
    int64_t starts_at_ns, fired_at_ns;
    sw_severity severity;
    struct target *targets; /* of the rules whose target side it matches */
    size_t n_targets;

    /* When the traces say that the cause is elsewhere: */
    const struct place *elsewhere;
    sw_culprit *culprit;

    /* When it may be the cause of another one: */
    sw_likely_cause itself;
    char *operation; /* NULL: of its whole service */
    bool speaks;

    enum progress progress;
    const struct node *inhibitor, *cause;
    UT_hash_handle hh;
};

struct sw_inhibition {
    const sw_alerts *alerts;
    sw_inhibition_options options;
    enum stage { EFFECTS, CAUSES, TO_SETTLE, DONE } stage;
    size_t at; /* in the alerts */
    uint64_t moves;
    struct node *nodes;
    struct bucket *buckets;
    struct place *places;
};

/* ---- topics ---- */

static bool has_word(const char *type, const char *const *words) {
    for (; *words != NULL; words++) {
        if (strstr(type, *words) != NULL) {
            return true;
        }
    }
    return false;
}

sw_topic sw_topic_of(const char *type) {
    static const char *const time[] = {"latency", "slow", "duration", NULL};
    static const char *const errors[] = {"error", "fail", NULL};
    bool is_time = has_word(type, time), is_errors = has_word(type, errors);
    return is_time == is_errors ? SW_TOPIC_OTHER : is_time ? SW_TOPIC_TIME : SW_TOPIC_ERRORS;
}

/* The service of the culprit, when that is not the alert's own and the culprit is what the alert is about. */
static const char *service_elsewhere(const sw_alert *alert) {
    const sw_culprit *culprit = alert->culprit;
    const char *own = sw_alert_match_label(alert, "service");
    sw_topic topic = sw_topic_of(alert->type);
    bool fits = culprit != NULL && topic != SW_TOPIC_OTHER && culprit->failing == (topic == SW_TOPIC_ERRORS);
    bool known = fits && own[0] != '\0' && culprit->service[0] != '\0';
    return known && strcmp(own, culprit->service) != 0 ? culprit->service : NULL;
}

bool sw_inhibition_concerns(const sw_inhibition_options *options, const sw_alert *alert) {
    if (options->by_traces && service_elsewhere(alert) != NULL) {
        return true;
    }
    for (size_t i = 0; i < options->rules->n; i++) {
        if (sw_matchers_match_alert(&options->rules->items[i].target, alert)) {
            return true;
        }
    }
    return false;
}

/* ---- collecting ---- */

static void append(struct node_list *list, struct node *node) {
    if (list->n == list->allocated) {
        list->allocated = list->allocated == 0 ? 4 : list->allocated * 2;
        list->items = xrealloc_array(list->items, list->allocated, sizeof(struct node *));
    }
    list->items[list->n++] = node;
}

static uint64_t number_of(const char *fingerprint) {
    return strtoull(fingerprint, NULL, 16);
}

static struct node *find_node(const sw_inhibition *inhibition, const char *fingerprint) {
    struct node *node = NULL;
    uint64_t number = number_of(fingerprint);
    HASH_FIND(hh, inhibition->nodes, &number, sizeof number, node);
    return node;
}

static struct node *node_of(sw_inhibition *inhibition, const sw_alert *alert) {
    struct node *node = find_node(inhibition, alert->fingerprint);
    if (node == NULL) {
        node = xcalloc(1, sizeof *node);
        node->number = number_of(alert->fingerprint);
        memcpy(node->fingerprint, alert->fingerprint, sizeof node->fingerprint);
        node->starts_at_ns = alert->starts_at_ns;
        node->fired_at_ns = alert->fired_at_ns;
        node->severity = alert->severity;
        HASH_ADD(hh, inhibition->nodes, number, sizeof node->number, node);
    }
    return node;
}

static struct bucket *bucket_of(sw_inhibition *inhibition, size_t rule, const sw_alert *alert) {
    const sw_inhibit_rule *described = &inhibition->options.rules->items[rule];
    sw_buf key;
    sw_buf_init(&key, SIZE_MAX / 4); /* labels have caps */
    sw_buf_printf(&key, "%zu", rule);
    for (size_t i = 0; i < described->n_equal; i++) {
        const char *value = sw_alert_match_label(alert, described->equal[i]);
        sw_buf_printf(&key, ";%zu:%s", strlen(value), value);
    }
    struct bucket *bucket = NULL;
    HASH_FIND(hh, inhibition->buckets, key.data, key.len, bucket);
    if (bucket == NULL) {
        bucket = xcalloc(1, sizeof *bucket + key.len);
        memcpy(bucket->key, key.data, key.len);
        HASH_ADD_KEYPTR(hh, inhibition->buckets, bucket->key, key.len, bucket);
    }
    sw_buf_release(&key);
    return bucket;
}

static void look_at_rule(sw_inhibition *inhibition, size_t number, const sw_alert *alert) {
    const sw_inhibit_rule *rule = &inhibition->options.rules->items[number];
    bool source = sw_matchers_match_alert(&rule->source, alert);
    bool target = sw_matchers_match_alert(&rule->target, alert);
    if (!source && !target) {
        return;
    }
    struct node *node = node_of(inhibition, alert);
    struct bucket *bucket = bucket_of(inhibition, number, alert);
    if (source) {
        append(target ? &bucket->two_sided : &bucket->sources, node);
    }
    if (target) {
        node->targets = xrealloc_array(node->targets, node->n_targets + 1, sizeof *node->targets);
        node->targets[node->n_targets++] = (struct target){bucket, source};
    }
}

/* NULL when it is not there and not to be made. */
static struct place *place_of(sw_inhibition *inhibition, const char *service, sw_topic topic, bool make) {
    struct place *place = NULL;
    char *key = xasprintf("%d;%s", (int)topic, service);
    size_t len = strlen(key);
    HASH_FIND(hh, inhibition->places, key, len, place);
    if (place == NULL && make) {
        place = xcalloc(1, sizeof *place + len);
        memcpy(place->key, key, len);
        HASH_ADD_KEYPTR(hh, inhibition->places, place->key, len, place);
    }
    free(key);
    return place;
}

/* First those with a culprit elsewhere, so that of the others only those that it may be are looked at. */
static void look_for_effect(const sw_alert *alert, void *arg) {
    sw_inhibition *inhibition = arg;
    const char *service = alert->state == SW_ALERT_FIRING ? service_elsewhere(alert) : NULL;
    if (service != NULL) {
        struct node *node = node_of(inhibition, alert);
        node->elsewhere = place_of(inhibition, service, sw_topic_of(alert->type), true);
        node->culprit = sw_culprit_copy(alert->culprit);
    }
}

static void look_at_as_cause(sw_inhibition *inhibition, const sw_alert *alert) {
    const char *service = sw_alert_match_label(alert, "service");
    sw_topic topic = sw_topic_of(alert->type);
    struct place *place =
        topic != SW_TOPIC_OTHER && service[0] != '\0' ? place_of(inhibition, service, topic, false) : NULL;
    if (place == NULL) {
        return;
    }
    struct node *node = node_of(inhibition, alert);
    const char *operation = sw_alert_match_label(alert, "operation");
    memcpy(node->itself.fingerprint, alert->fingerprint, sizeof node->itself.fingerprint);
    node->itself.type = xstrdup(alert->type);
    node->itself.service = xstrdup(service);
    node->itself.summary = xstrdup(alert->summary != NULL ? alert->summary : "");
    node->operation = operation[0] != '\0' ? xstrdup(operation) : NULL;
    node->speaks = alert->last_notified_ns != 0 || inhibition->options.speaks(alert, inhibition->options.arg);
    append(&place->alerts, node);
}

static void look_at(const sw_alert *alert, void *arg) {
    sw_inhibition *inhibition = arg;
    if (alert->state != SW_ALERT_FIRING) {
        return;
    }
    for (size_t i = 0; i < inhibition->options.rules->n; i++) {
        look_at_rule(inhibition, i, alert);
    }
    if (inhibition->places != NULL) {
        look_at_as_cause(inhibition, alert);
    }
}

/* ---- deciding ---- */

static void settle(struct node *node, unsigned depth);

/* Whether the other one may keep it silent: what is under way may be waiting for this very alert. */
static bool is_settled(struct node *other, unsigned depth) {
    if (other->progress == UNTOUCHED && depth < DEPTH_MAX) {
        settle(other, depth + 1);
    }
    return other->progress == SETTLED;
}

static const struct node *first_settled(const struct node_list *list, const struct node *node,
                                        unsigned depth) {
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i] != node && is_settled(list->items[i], depth)) {
            return list->items[i];
        }
    }
    return NULL;
}

static const struct node *by_rule(const struct node *node, unsigned depth) {
    const struct node *found = NULL;
    for (size_t i = 0; i < node->n_targets && found == NULL; i++) {
        const struct target *target = &node->targets[i];
        found = first_settled(&target->bucket->sources, node, depth);
        if (found == NULL && !target->two_sided) {
            found = first_settled(&target->bucket->two_sided, node, depth);
        }
    }
    return found;
}

static bool is_on_the_way(const sw_culprit *culprit, const char *operation) {
    if (operation == NULL || strcmp(culprit->name, operation) == 0) {
        return true;
    }
    for (size_t i = 0; i < culprit->n_path; i++) {
        if (strcmp(culprit->path[i].service, culprit->service) == 0 &&
            strcmp(culprit->path[i].name, operation) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_in_time(const struct node *cause, const struct node *effect) {
    return cause->starts_at_ns <= effect->fired_at_ns ||
           cause->starts_at_ns - effect->fired_at_ns <= SW_CAUSE_LATE_NS;
}

/* Sets the cause as well: the one that inhibits, or else the first. */
static const struct node *by_traces(struct node *node, unsigned depth) {
    for (size_t i = 0; node->elsewhere != NULL && i < node->elsewhere->alerts.n; i++) {
        struct node *cause = node->elsewhere->alerts.items[i];
        if (cause == node || !is_on_the_way(node->culprit, cause->operation)) {
            continue;
        }
        node->cause = node->cause != NULL ? node->cause : cause;
        if (node->culprit->agreed && cause->severity >= node->severity && is_in_time(cause, node) &&
            is_settled(cause, depth) && (cause->inhibitor != NULL || cause->speaks)) {
            node->cause = cause;
            return cause;
        }
    }
    return NULL;
}

static void settle(struct node *node, unsigned depth) {
    node->progress = UNDER_WAY;
    const struct node *rule = by_rule(node, depth), *traces = by_traces(node, depth);
    node->inhibitor = rule != NULL ? rule : traces;
    node->progress = SETTLED;
}

/* Of those that inhibit each other the oldest is told: it is met last, while the other one is under way. */
static int newest_first(const void *a, const void *b) {
    const struct node *one = *(struct node *const *)a, *other = *(struct node *const *)b;
    if (one->starts_at_ns != other->starts_at_ns) {
        return one->starts_at_ns < other->starts_at_ns ? 1 : -1;
    }
    return (one->number < other->number) - (one->number > other->number);
}

static void settle_all(sw_inhibition *inhibition) {
    struct node_list all = {0};
    struct node *node = NULL, *next = NULL;
    HASH_ITER(hh, inhibition->nodes, node, next) {
        append(&all, node);
    }
    if (all.n > 0) {
        qsort(all.items, all.n, sizeof(struct node *), newest_first);
    }
    for (size_t i = 0; i < all.n; i++) {
        if (all.items[i]->progress == UNTOUCHED) {
            settle(all.items[i], 0);
        }
    }
    free(all.items);
}

/* ---- life ---- */

static void free_nodes(sw_inhibition *inhibition) {
    struct node *node = inhibition->nodes, *next = NULL;
    HASH_CLEAR(hh, inhibition->nodes);
    for (; node != NULL; node = next) {
        next = node->hh.next;
        sw_culprit_free(node->culprit);
        free(node->targets);
        free(node->itself.type);
        free(node->itself.service);
        free(node->itself.summary);
        free(node->operation);
        free(node);
    }
}

static void clear(sw_inhibition *inhibition) {
    free_nodes(inhibition);
    struct bucket *bucket = inhibition->buckets, *next_bucket = NULL;
    HASH_CLEAR(hh, inhibition->buckets);
    for (; bucket != NULL; bucket = next_bucket) {
        next_bucket = bucket->hh.next;
        free(bucket->sources.items);
        free(bucket->two_sided.items);
        free(bucket);
    }
    struct place *place = inhibition->places, *next_place = NULL;
    HASH_CLEAR(hh, inhibition->places);
    for (; place != NULL; place = next_place) {
        next_place = place->hh.next;
        free(place->alerts.items);
        free(place);
    }
}

void sw_inhibition_free(sw_inhibition *inhibition) {
    if (inhibition != NULL) {
        clear(inhibition);
        free(inhibition);
    }
}

static void start_stage(sw_inhibition *inhibition, enum stage stage) {
    inhibition->stage = stage;
    inhibition->at = 0;
}

/* ---- in pieces ---- */

static void begin(sw_inhibition *inhibition) {
    inhibition->moves = sw_alerts_moves(inhibition->alerts);
    start_stage(inhibition, inhibition->options.by_traces ? EFFECTS : CAUSES);
}

sw_inhibition *sw_inhibition_begin(const sw_alerts *alerts, const sw_inhibition_options *options) {
    sw_inhibition *inhibition = xcalloc(1, sizeof *inhibition);
    inhibition->options = *options;
    inhibition->alerts = alerts;
    begin(inhibition);
    return inhibition;
}

static bool is_needed(const sw_inhibition *inhibition) {
    return inhibition->options.rules->n > 0 || inhibition->places != NULL;
}

bool sw_inhibition_step(sw_inhibition *inhibition) {
    if (inhibition->stage < TO_SETTLE && inhibition->moves != sw_alerts_moves(inhibition->alerts)) {
        clear(inhibition);
        begin(inhibition);
    }
    if (inhibition->stage == EFFECTS) {
        sw_alerts_each_with_culprit(inhibition->alerts, look_for_effect, inhibition); /* few, and quick */
        start_stage(inhibition, CAUSES);
    } else if (inhibition->stage == CAUSES) {
        if (is_needed(inhibition)) {
            inhibition->at =
                sw_alerts_some(inhibition->alerts, inhibition->at, STEP_ALERTS, look_at, inhibition);
        }
        if (!is_needed(inhibition) || inhibition->at == SIZE_MAX) {
            start_stage(inhibition, TO_SETTLE);
        }
    } else if (inhibition->stage == TO_SETTLE) {
        settle_all(inhibition);
        start_stage(inhibition, DONE);
    }
    return inhibition->stage != DONE;
}

sw_inhibition *sw_inhibition_new(const sw_alerts *alerts, const sw_inhibition_options *options) {
    sw_inhibition *inhibition = sw_inhibition_begin(alerts, options);
    while (sw_inhibition_step(inhibition)) {
    }
    return inhibition;
}

bool sw_inhibition_knows(const sw_inhibition *inhibition, const char *fingerprint) {
    return find_node(inhibition, fingerprint) != NULL;
}

const char *sw_inhibition_by(const sw_inhibition *inhibition, const char *fingerprint) {
    const struct node *node = find_node(inhibition, fingerprint);
    return node != NULL && node->inhibitor != NULL ? node->inhibitor->fingerprint : NULL;
}

const sw_likely_cause *sw_inhibition_cause(const sw_inhibition *inhibition, const char *fingerprint) {
    const struct node *node = find_node(inhibition, fingerprint);
    return node != NULL && node->cause != NULL ? &node->cause->itself : NULL;
}
