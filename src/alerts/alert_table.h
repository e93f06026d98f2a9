/*
 * The known alerts, for a hundred thousand of them: each is one packed piece of memory, and an array holds
 * what must be looked at in every evaluation, so that a scan touches nothing else. A packed alert is seen
 * through a view that it fills: valid until the next call for another view.
 */
#ifndef SW_ALERTS_ALERT_TABLE_H
#define SW_ALERTS_ALERT_TABLE_H

#include "alerts/alerts.h"
#include "alerts/blocks.h"

typedef struct sw_packed_alert sw_packed_alert;

typedef struct sw_alert_item {
    uint64_t fingerprint;
    sw_packed_alert *packed;
    int64_t due_ns;         /* while it is absent: nothing can happen to it earlier */
    uint32_t reporter : 28; /* number of the detector and source that reported it last */
    uint32_t withheld : 1;  /* has something to say that must not be told yet */
    uint32_t state : 2;     /* of the alert: seen without unpacking it */
    uint32_t culprit : 1;   /* whether it has one */
    uint32_t seen;          /* number of the evaluation that had it last */
} sw_alert_item;

typedef struct sw_alert_table {
    sw_alert_item *items;
    size_t n, allocated;
    uint32_t *slots; /* index of the item + 1; 0 when empty */
    size_t n_slots;
    sw_alert view; /* its arrays are kept and filled again */
    size_t labels_allocated, evidence_allocated;
    sw_culprit culprit; /* the view's, when it has one */
    sw_blocks blocks;   /* of the packed ones */
    void *scratch;      /* where one is packed first */
    size_t scratch_allocated;
    char **shared; /* texts that alerts have in common, until the end */
    size_t n_shared;
} sw_alert_table;

#define SW_ALERT_NONE SIZE_MAX
#define SW_ALERT_SHARED_MAX 200 /* further ones are kept with each alert */

void sw_alert_table_release(sw_alert_table *table);
/* The index of an item, which stays until the next removal; SW_ALERT_NONE when absent. */
size_t sw_alert_table_find(const sw_alert_table *table, uint64_t fingerprint);
/* The alert as it was put. May be changed, text by text, to what lives until it is put back. */
sw_alert *sw_alert_table_view(sw_alert_table *table, size_t index);
/* An empty view with the given labels (copied as pointers). */
sw_alert *sw_alert_table_new_view(sw_alert_table *table, const sw_label *labels, size_t n_labels);
/* Room for `more` pieces of evidence behind those of the view. */
void sw_alert_table_reserve_evidence(sw_alert_table *table, size_t more);
/* Packs the alert (a view or any other) in place of the one with its fingerprint, or as a new item. No view
 * is valid afterwards. */
size_t sw_alert_table_put(sw_alert_table *table, uint64_t fingerprint, const sw_alert *alert);
/* The last item takes the index. No view is valid afterwards. */
void sw_alert_table_remove(sw_alert_table *table, size_t index);

#endif
