#define HASH_FUNCTION(key, len, hash) ((hash) = (unsigned)sw_keyed_hash(key, len))
#define uthash_fatal(message) abort()
#include "alerts/groups.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- identity ---- */

static bool names(const char *const *group_by, const char *label) {
    for (; group_by != NULL && *group_by != NULL; group_by++) {
        if (strcmp(*group_by, label) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether group_by names anything but trace_id. */
static bool projects(const char *const *group_by) {
    for (; group_by != NULL && *group_by != NULL; group_by++) {
        if (strcmp(*group_by, "trace_id") != 0) {
            return true;
        }
    }
    return false;
}

struct identity {
    sw_label labels[SW_ALERT_MAX_LABELS];
    size_t n;
};

/* Sorted by name; the first of a name stays. */
static void add_label(struct identity *identity, const char *name, const char *value) {
    size_t at = 0;
    int order = 1;
    while (at < identity->n && (order = strcmp(identity->labels[at].name, name)) < 0) {
        at++;
    }
    if ((at < identity->n && order == 0) || identity->n == SW_ALERT_MAX_LABELS) {
        return;
    }
    memmove(&identity->labels[at + 1], &identity->labels[at],
            (identity->n - at) * sizeof identity->labels[0]);
    identity->labels[at] = (sw_label){(char *)name, (char *)value};
    identity->n++;
}

static void add_projected(struct identity *identity, const char *const *group_by, const char *name,
                          const char *value) {
    bool is_trace = strcmp(name, "trace_id") == 0;
    if (value != NULL && (is_trace || projects(group_by) ? names(group_by, name) : true)) {
        add_label(identity, name, value);
    }
}

static void collect_labels(struct identity *identity, const sw_finding *finding, const char *trace_id,
                           const char *const *group_by) {
    identity->n = 0;
    if (trace_id != NULL) {
        add_label(identity, "trace_id", trace_id);
    }
    if (finding->key != NULL) {
        add_label(identity, "key", finding->key);
        return;
    }
    add_projected(identity, group_by, "service", finding->service);
    add_projected(identity, group_by, "operation", finding->operation);
    for (size_t i = 0; i < finding->n_labels; i++) {
        add_projected(identity, group_by, finding->labels[i].name, finding->labels[i].value);
    }
}

static void append_prefixed(sw_buf *out, const char *s) {
    sw_buf_printf(out, "%zu:", strlen(s));
    sw_buf_append_str(out, s);
}

static void write_identity(const sw_finding *finding, const struct identity *identity, sw_buf *out) {
    append_prefixed(out, finding->type);
    for (size_t i = 0; i < identity->n; i++) {
        append_prefixed(out, identity->labels[i].name);
        append_prefixed(out, identity->labels[i].value);
    }
}

/* ---- groups ---- */

static void digest_identity(const sw_buf *text, char out[SW_FINGERPRINT_LEN + 1]) {
    char digest[65];
    sw_sha256_hex(text->data, text->len, digest);
    memcpy(out, digest, SW_FINGERPRINT_LEN);
    out[SW_FINGERPRINT_LEN] = '\0';
}

void sw_group_fingerprint(const sw_finding *finding, const char *trace_id, const char *const *group_by,
                          char out[SW_FINGERPRINT_LEN + 1]) {
    struct identity identity;
    sw_buf text;
    sw_buf_init(&text, SIZE_MAX / 4); /* a finding's texts have caps */
    collect_labels(&identity, finding, trace_id, group_by);
    write_identity(finding, &identity, &text);
    digest_identity(&text, out);
    sw_buf_release(&text);
}

static sw_group *add_group(sw_groups *groups, const struct identity *identity, const sw_buf *text) {
    size_t labels_size = identity->n * sizeof identity->labels[0];
    sw_group *group = xcalloc(1, sizeof *group + labels_size + text->len);
    group->labels = (sw_label *)(group + 1);
    memcpy(group->labels, identity->labels, labels_size);
    group->n_labels = identity->n;
    digest_identity(text, group->fingerprint);
    group->number = strtoull(group->fingerprint, NULL, 16);
    char *key = (char *)(group->labels + identity->n);
    memcpy(key, text->data, text->len);
    HASH_ADD_KEYPTR(hh, groups->by_identity, key, text->len, group);
    return group;
}

sw_group *sw_groups_of(sw_groups *groups, const sw_finding *finding, const char *trace_id,
                       const char *const *group_by) {
    struct identity identity;
    collect_labels(&identity, finding, trace_id, group_by);
    sw_buf text;
    sw_buf_init(&text, SIZE_MAX / 4); /* a finding's texts have caps */
    write_identity(finding, &identity, &text);
    sw_group *group = NULL;
    HASH_FIND(hh, groups->by_identity, text.data, text.len, group);
    if (group == NULL) {
        group = add_group(groups, &identity, &text);
    }
    sw_buf_release(&text);
    return group;
}

/* How far a finding is over (or under) its threshold. */
static double distance(const sw_finding *finding) {
    return finding->has_value && finding->has_threshold ? fabs(finding->value - finding->threshold) : -1;
}

/* The newest window wins; in the same window what is farther from its threshold, or else what came later. */
static bool wins(const sw_finding *challenger, const sw_finding *winner) {
    if (challenger->window_to_s != winner->window_to_s) {
        return challenger->window_to_s > winner->window_to_s;
    }
    return distance(challenger) >= distance(winner);
}

void sw_group_join(sw_group *group, const sw_finding *finding) {
    if (group->winner == NULL) {
        group->winner = finding;
        group->severity = finding->severity;
        group->service = finding->service;
        group->operation = finding->operation;
        return;
    }
    group->service = sw_streq(group->service, finding->service) ? group->service : NULL;
    group->operation = sw_streq(group->operation, finding->operation) ? group->operation : NULL;
    group->severity = finding->severity > group->severity ? finding->severity : group->severity;
    if (wins(finding, group->winner)) {
        group->winner = finding;
    }
}

void sw_group_add_trace(sw_groups *groups, sw_group *group, const sw_finding *finding,
                        const sw_trace *trace) {
    if (groups->n_fresh == groups->fresh_allocated) {
        groups->fresh_allocated = groups->fresh_allocated == 0 ? 64 : groups->fresh_allocated * 2;
        groups->fresh = xrealloc_array(groups->fresh, groups->fresh_allocated, sizeof *groups->fresh);
    }
    groups->fresh[groups->n_fresh++] = (sw_fresh){finding, trace, 0};
    if (group->last_fresh != 0) {
        groups->fresh[group->last_fresh - 1].next = groups->n_fresh;
    } else {
        group->first_fresh = groups->n_fresh;
    }
    group->last_fresh = groups->n_fresh;
    group->n_fresh++;
}

void sw_groups_release(sw_groups *groups) {
    sw_group *group, *next;
    HASH_ITER(hh, groups->by_identity, group, next) {
        HASH_DEL(groups->by_identity, group);
        free(group);
    }
    free(groups->fresh);
    *groups = (sw_groups){0};
}
