#include "alerts/alert_table.h"

#include "alerts/alerts_internal.h"

#include <stdlib.h>
#include <string.h>

/* Most are zero in most alerts: a mask says which are not, and only those are kept. */
#define SCALARS(X)                                                                                           \
    X(double, value)                                                                                         \
    X(double, threshold)                                                                                     \
    X(double, baseline)                                                                                      \
    X(double, baseline_samples)                                                                              \
    X(double, duration_ms)                                                                                   \
    X(double, total_traces)                                                                                  \
    X(double, affected_traces)                                                                               \
    X(int64_t, starts_at_ns)                                                                                 \
    X(int64_t, fired_at_ns)                                                                                  \
    X(int64_t, last_seen_ns)                                                                                 \
    X(int64_t, ends_at_ns)                                                                                   \
    X(int64_t, last_notified_ns)                                                                             \
    X(double, for_s)                                                                                         \
    X(double, keep_firing_s)                                                                                 \
    X(int64_t, window_from_s)                                                                                \
    X(int64_t, window_to_s)                                                                                  \
    X(uint64_t, n_untold)                                                                                    \
    X(uint32_t, flap_states)                                                                                 \
    X(uint32_t, flap_evaluation)                                                                             \
    X(bool, flapping)                                                                                        \
    X(bool, told_flapping)                                                                                   \
    X(uint8_t, state)                                                                                        \
    X(uint8_t, severity)                                                                                     \
    X(uint8_t, told_severity)                                                                                \
    X(bool, has_value)                                                                                       \
    X(bool, has_threshold)                                                                                   \
    X(bool, has_baseline)                                                                                    \
    X(bool, has_baseline_samples)                                                                            \
    X(bool, has_duration)                                                                                    \
    X(bool, has_total)                                                                                       \
    X(bool, has_affected)                                                                                    \
    X(bool, window_complete)                                                                                 \
    X(bool, window_estimated)

/* Texts that many alerts share: kept once for all, in the table. */
#define SHARED_TEXTS(X)                                                                                      \
    X(type)                                                                                                  \
    X(detector)                                                                                              \
    X(source)                                                                                                \
    X(detector_sha256)

/* Texts in this order, and then the labels' and the evidence's. A text that may be NULL has a byte before it
 * that says whether it is there. */
#define TEXTS(X)                                                                                             \
    X(service)                                                                                               \
    X(operation)                                                                                             \
    X(summary)                                                                                               \
    X(span_name)                                                                                             \
    X(error_message)                                                                                         \
    X(told)

struct sw_packed_alert {
    uint64_t scalars; /* bits, in the order of SCALARS */
    uint32_t size;    /* of all of it */
    uint32_t room;    /* that it has */
    uint32_t n_evidence;
    uint16_t n_labels;
    char bytes[];
};

/* ---- packing: the same walk measures (at == NULL) and writes ---- */

struct packer {
    sw_alert_table *table;
    char *at;
    size_t len;
};

static void pack_bytes(struct packer *p, const void *data, size_t len) {
    if (p->at != NULL) {
        memcpy(p->at + p->len, data, len);
    }
    p->len += len;
}

static void pack_text(struct packer *p, const char *s) {
    s = s != NULL ? s : "";
    pack_bytes(p, s, strlen(s) + 1);
}

static void pack_optional(struct packer *p, const char *s) {
    char there = s != NULL;
    pack_bytes(p, &there, 1);
    if (s != NULL) {
        pack_text(p, s);
    }
}

/* The place of a shared text, + 1; 0 when there is no room for another. They are as many as there are rules
 * and versions of them: what comes again and again is found at the first look. */
static uint16_t share(sw_alert_table *table, const char *s) {
    for (size_t i = 0; i < table->n_shared; i++) {
        if (strcmp(table->shared[i], s) == 0) {
            return (uint16_t)(i + 1);
        }
    }
    if (table->n_shared == SW_ALERT_SHARED_MAX) {
        return 0;
    }
    table->shared = xrealloc_array(table->shared, table->n_shared + 1, sizeof *table->shared);
    table->shared[table->n_shared++] = xstrdup(s);
    return (uint16_t)table->n_shared;
}

enum { TEXT_ABSENT, TEXT_SHARED, TEXT_OWN };

static void pack_shared(struct packer *p, const char *s) {
    uint16_t place = s != NULL ? share(p->table, s) : 0;
    char how = (char)(s == NULL ? TEXT_ABSENT : place > 0 ? TEXT_SHARED : TEXT_OWN);
    pack_bytes(p, &how, 1);
    if (how == TEXT_SHARED) {
        pack_bytes(p, &place, sizeof place);
    } else if (how == TEXT_OWN) {
        pack_text(p, s);
    }
}

/* Texts of evidence that are most often the alert's own are not written again. */
enum { NOTIFIED = 1, ALERTS_SERVICE = 2, ALERTS_OPERATION = 4, SPAN_IS_OPERATION = 8 };

/* Where the alert says it: as a label, or beside them. */
static char *place(const sw_alert *alert, const char *label, char *beside) {
    const char *value = sw_alert_label(alert, label);
    return value != NULL ? (char *)value : beside;
}

static void pack_unless(struct packer *p, bool known, const char *s) {
    if (!known) {
        pack_text(p, s);
    }
}

static void pack_evidence(struct packer *p, const sw_alert *alert, const sw_evidence *evidence) {
    bool service = sw_streq(evidence->service, place(alert, "service", alert->service));
    bool operation = sw_streq(evidence->operation, place(alert, "operation", alert->operation));
    bool span = sw_streq(evidence->span_name, evidence->operation);
    char flags = (char)((evidence->notified ? NOTIFIED : 0) | (service ? ALERTS_SERVICE : 0) |
                        (operation ? ALERTS_OPERATION : 0) | (span ? SPAN_IS_OPERATION : 0));
    pack_bytes(p, &flags, 1);
    pack_bytes(p, &evidence->start_ns, sizeof evidence->start_ns);
    pack_bytes(p, &evidence->duration_ms, sizeof evidence->duration_ms);
    pack_text(p, evidence->trace_id);
    pack_unless(p, service, evidence->service);
    pack_unless(p, operation, evidence->operation);
    pack_unless(p, span, evidence->span_name);
    pack_text(p, evidence->error_message);
}

/* One byte when there is none, as with most. */
static void pack_culprit(struct packer *p, const sw_culprit *culprit) {
    unsigned char there = culprit != NULL ? (unsigned char)culprit->n_path + 1 : 0;
    pack_bytes(p, &there, 1);
    if (culprit == NULL) {
        return;
    }
    pack_bytes(p, &culprit->failing, sizeof culprit->failing);
    pack_bytes(p, &culprit->agreed, sizeof culprit->agreed);
    pack_text(p, culprit->trace_id);
    pack_text(p, culprit->span_id);
    pack_text(p, culprit->service);
    pack_text(p, culprit->name);
    pack_text(p, culprit->error_message);
    pack_text(p, culprit->exception_type);
    pack_bytes(p, &culprit->self_time_ms, sizeof culprit->self_time_ms);
    for (size_t i = 0; i < culprit->n_path; i++) {
        pack_text(p, culprit->path[i].service);
        pack_text(p, culprit->path[i].name);
        pack_bytes(p, &culprit->path[i].self_time_ms, sizeof culprit->path[i].self_time_ms);
    }
}

/* Returns the mask. */
static uint64_t pack_scalars(struct packer *p, const sw_alert *alert) {
    uint64_t mask = 0, bit = 1;
#define X(type, name)                                                                                        \
    if (alert->name != 0) {                                                                                  \
        type value = (type)alert->name;                                                                      \
        mask |= bit;                                                                                         \
        pack_bytes(p, &value, sizeof value);                                                                 \
    }                                                                                                        \
    bit <<= 1;
    SCALARS(X)
#undef X
    return mask;
}

static uint64_t pack_all(struct packer *p, const sw_alert *alert) {
    uint64_t mask = pack_scalars(p, alert);
#define X(name) pack_shared(p, alert->name);
    SHARED_TEXTS(X)
#undef X
#define X(name) pack_optional(p, alert->name);
    TEXTS(X)
#undef X
    for (size_t i = 0; i < alert->n_labels; i++) {
        pack_shared(p, alert->labels[i].name);
        pack_text(p, alert->labels[i].value);
    }
    for (size_t i = 0; i < alert->n_evidence; i++) {
        pack_evidence(p, alert, &alert->evidence[i]);
    }
    pack_culprit(p, alert->culprit);
    return mask;
}

/* First into the scratch: the alert's texts may be where it was packed before, and that room is used again
 * when it fits. */
static sw_packed_alert *pack(sw_alert_table *table, const sw_alert *alert, sw_packed_alert *before) {
    struct packer measure = {table, NULL, 0};
    uint64_t mask = pack_all(&measure, alert);
    size_t size = offsetof(sw_packed_alert, bytes) + measure.len;
    size_t room = sw_blocks_round(size);
    if (room > table->scratch_allocated) {
        table->scratch = xrealloc(table->scratch, room);
        table->scratch_allocated = room;
    }
    sw_packed_alert *packed = table->scratch;
    *packed = (sw_packed_alert){.scalars = mask,
                                .size = (uint32_t)size,
                                .room = (uint32_t)room,
                                .n_evidence = (uint32_t)alert->n_evidence,
                                .n_labels = (uint16_t)alert->n_labels};
    struct packer write = {table, packed->bytes, 0};
    pack_all(&write, alert);
    sw_packed_alert *to = before;
    if (before == NULL || before->room < room || before->room > 2 * room) {
        if (before != NULL) {
            sw_blocks_drop(&table->blocks, before->room);
        }
        to = sw_blocks_take(&table->blocks, room);
    } else {
        packed->room = before->room;
    }
    memcpy(to, packed, size);
    return to;
}

/* Into new blocks, without what is unused. */
static void compact(sw_alert_table *table) {
    sw_blocks blocks = {0};
    for (size_t i = 0; i < table->n; i++) {
        sw_packed_alert *from = table->items[i].packed;
        size_t room = sw_blocks_round(from->size);
        sw_packed_alert *to = sw_blocks_take(&blocks, room);
        memcpy(to, from, from->size);
        to->room = (uint32_t)room;
        table->items[i].packed = to;
    }
    sw_blocks_release(&table->blocks);
    table->blocks = blocks;
}

/* ---- the view ---- */

static char *next_text(char **at) {
    char *s = *at;
    *at += strlen(s) + 1;
    return s;
}

static char *next_optional(char **at) {
    bool there = *(*at)++ != 0;
    return there ? next_text(at) : NULL;
}

static void next_bytes(char **at, void *out, size_t len) {
    memcpy(out, *at, len);
    *at += len;
}

static char *next_shared(const sw_alert_table *table, char **at) {
    char how = *(*at)++;
    if (how == TEXT_SHARED) {
        uint16_t place = 0;
        next_bytes(at, &place, sizeof place);
        return table->shared[place - 1];
    }
    return how == TEXT_OWN ? next_text(at) : NULL;
}

static void next_scalars(char **at, uint64_t mask, sw_alert *view) {
    uint64_t bit = 1;
#define X(type, name)                                                                                        \
    if ((mask & bit) != 0) {                                                                                 \
        type value;                                                                                          \
        next_bytes(at, &value, sizeof value);                                                                \
        view->name = value;                                                                                  \
    }                                                                                                        \
    bit <<= 1;
    SCALARS(X)
#undef X
}

static void next_evidence(char **at, const sw_alert *view, sw_evidence *out) {
    char flags = 0;
    next_bytes(at, &flags, 1);
    out->notified = (flags & NOTIFIED) != 0;
    next_bytes(at, &out->start_ns, sizeof out->start_ns);
    next_bytes(at, &out->duration_ms, sizeof out->duration_ms);
    const char *id = next_text(at);
    memcpy(out->trace_id, id, strlen(id) + 1);
    out->service = flags & ALERTS_SERVICE ? place(view, "service", view->service) : next_text(at);
    out->operation = flags & ALERTS_OPERATION ? place(view, "operation", view->operation) : next_text(at);
    out->span_name = flags & SPAN_IS_OPERATION ? out->operation : next_text(at);
    out->error_message = next_text(at);
}

static void next_id(char **at, char *out) {
    const char *id = next_text(at);
    memcpy(out, id, strlen(id) + 1);
}

static sw_culprit *next_culprit(char **at, sw_culprit *out) {
    unsigned char there = 0;
    next_bytes(at, &there, 1);
    if (there == 0) {
        return NULL;
    }
    *out = (sw_culprit){.n_path = there - 1U};
    next_bytes(at, &out->failing, sizeof out->failing);
    next_bytes(at, &out->agreed, sizeof out->agreed);
    next_id(at, out->trace_id);
    next_id(at, out->span_id);
    out->service = next_text(at);
    out->name = next_text(at);
    out->error_message = next_text(at);
    out->exception_type = next_text(at);
    next_bytes(at, &out->self_time_ms, sizeof out->self_time_ms);
    for (size_t i = 0; i < out->n_path; i++) {
        out->path[i].service = next_text(at);
        out->path[i].name = next_text(at);
        next_bytes(at, &out->path[i].self_time_ms, sizeof out->path[i].self_time_ms);
    }
    return out;
}

/* The view without content, but with its arrays. */
static sw_alert *clear_view(sw_alert_table *table, size_t n_labels) {
    sw_label *labels = table->view.labels;
    sw_evidence *evidence = table->view.evidence;
    if (n_labels > table->labels_allocated) {
        labels = xrealloc_array(labels, n_labels, sizeof *labels);
        table->labels_allocated = n_labels;
    }
    table->view = (sw_alert){.labels = labels, .n_labels = n_labels, .evidence = evidence};
    return &table->view;
}

void sw_alert_table_reserve_evidence(sw_alert_table *table, size_t more) {
    size_t need = table->view.n_evidence + more;
    if (need > table->evidence_allocated) {
        table->view.evidence = xrealloc_array(table->view.evidence, need, sizeof *table->view.evidence);
        table->evidence_allocated = need;
    }
}

sw_alert *sw_alert_table_view(sw_alert_table *table, size_t index) {
    const sw_alert_item *item = &table->items[index];
    sw_packed_alert *packed = item->packed;
    sw_alert *view = clear_view(table, packed->n_labels);
    for (size_t i = 0; i < SW_FINGERPRINT_LEN; i++) {
        view->fingerprint[i] = "0123456789abcdef"[item->fingerprint >> (60 - 4 * i) & 15];
    }
    char *at = packed->bytes;
    next_scalars(&at, packed->scalars, view);
#define X(name) view->name = next_shared(table, &at);
    SHARED_TEXTS(X)
#undef X
#define X(name) view->name = next_optional(&at);
    TEXTS(X)
#undef X
    for (size_t i = 0; i < packed->n_labels; i++) {
        view->labels[i].name = next_shared(table, &at);
        view->labels[i].value = next_text(&at);
    }
    sw_alert_table_reserve_evidence(table, packed->n_evidence);
    for (size_t i = 0; i < packed->n_evidence; i++) {
        next_evidence(&at, view, &view->evidence[i]);
    }
    view->n_evidence = packed->n_evidence;
    view->culprit = next_culprit(&at, &table->culprit);
    return view;
}

sw_alert *sw_alert_table_new_view(sw_alert_table *table, const sw_label *labels, size_t n_labels) {
    sw_alert *view = clear_view(table, n_labels);
    for (size_t i = 0; i < n_labels; i++) {
        view->labels[i] = labels[i];
    }
    return view;
}

/* ---- the table: open addressing, linear probing ---- */

static size_t home(const sw_alert_table *table, uint64_t fingerprint) {
    return (size_t)sw_keyed_hash_u64(fingerprint, 0) & (table->n_slots - 1);
}

/* The slot that holds it, or the empty one where it belongs. */
static size_t find_slot(const sw_alert_table *table, uint64_t fingerprint) {
    size_t at = home(table, fingerprint);
    while (table->slots[at] != 0 && table->items[table->slots[at] - 1].fingerprint != fingerprint) {
        at = (at + 1) & (table->n_slots - 1);
    }
    return at;
}

size_t sw_alert_table_find(const sw_alert_table *table, uint64_t fingerprint) {
    uint32_t slot = table->n_slots == 0 ? 0 : table->slots[find_slot(table, fingerprint)];
    return slot == 0 ? SW_ALERT_NONE : slot - 1;
}

static void grow(sw_alert_table *table) {
    table->allocated = table->allocated == 0 ? 16 : table->allocated * 2;
    table->items = xrealloc_array(table->items, table->allocated, sizeof *table->items);
    free(table->slots);
    table->n_slots = table->allocated * 2;
    table->slots = xcalloc(table->n_slots, sizeof *table->slots);
    for (size_t i = 0; i < table->n; i++) {
        table->slots[find_slot(table, table->items[i].fingerprint)] = (uint32_t)i + 1;
    }
}

static void note(sw_alert_item *item, const sw_alert *alert) {
    item->state = (uint32_t)alert->state & 3;
    item->culprit = alert->culprit != NULL;
}

size_t sw_alert_table_put(sw_alert_table *table, uint64_t fingerprint, const sw_alert *alert) {
    size_t index = sw_alert_table_find(table, fingerprint);
    sw_packed_alert *before = index != SW_ALERT_NONE ? table->items[index].packed : NULL;
    sw_packed_alert *packed = pack(table, alert, before);
    if (index != SW_ALERT_NONE) {
        table->items[index].packed = packed;
        note(&table->items[index], alert);
        if (sw_blocks_are_sparse(&table->blocks)) {
            compact(table);
        }
        return index;
    }
    if (table->n == table->allocated) {
        grow(table);
    }
    index = table->n++;
    table->items[index] = (sw_alert_item){.fingerprint = fingerprint, .packed = packed};
    note(&table->items[index], alert);
    table->slots[find_slot(table, fingerprint)] = (uint32_t)index + 1;
    return index;
}

/* Empties a slot and moves back those that were displaced by it. */
static void clear_slot(sw_alert_table *table, size_t hole) {
    size_t mask = table->n_slots - 1;
    for (size_t at = (hole + 1) & mask; table->slots[at] != 0; at = (at + 1) & mask) {
        size_t from_home = (at - home(table, table->items[table->slots[at] - 1].fingerprint)) & mask;
        if (from_home >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = 0;
}

void sw_alert_table_remove(sw_alert_table *table, size_t index) {
    clear_slot(table, find_slot(table, table->items[index].fingerprint));
    sw_blocks_drop(&table->blocks, table->items[index].packed->room);
    size_t last = --table->n;
    if (index != last) {
        table->slots[find_slot(table, table->items[last].fingerprint)] = (uint32_t)index + 1;
        table->items[index] = table->items[last];
    }
    if (sw_blocks_are_sparse(&table->blocks)) {
        compact(table);
    }
}

void sw_alert_table_release(sw_alert_table *table) {
    sw_blocks_release(&table->blocks);
    free(table->scratch);
    for (size_t i = 0; i < table->n_shared; i++) {
        free(table->shared[i]);
    }
    free(table->shared);
    free(table->items);
    free(table->slots);
    free(table->view.labels);
    free(table->view.evidence);
    *table = (sw_alert_table){0};
}
