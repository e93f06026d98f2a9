/* Which alerts of a group the receiver was told to fire: a group is over when the last of them is. Written in
 * the same transaction as the notification that tells it. */
#include "delivery/outbox_internal.h"

#include <jansson.h>
#include <string.h>

#define SWEEP_MEMBERS 1000 /* looked at in one go */
#define MAX_MEMBERS 100000 /* of one receiver; what is more is not counted in group_firing */

struct sw_member {
    sw_lane *lane;
    UT_hash_handle hh;
    char fingerprint[];
};

static struct sw_member *find(const sw_outbox *outbox, const char *fingerprint) {
    struct sw_member *member = NULL;
    HASH_FIND(hh, outbox->members, fingerprint, strlen(fingerprint), member);
    return member;
}

static void forget(sw_outbox *outbox, struct sw_member *member) {
    member->lane->n_firing--;
    HASH_DEL(outbox->members, member);
    free(member);
}

/* False when it was in this group already, or there is no room. */
static bool join(sw_outbox *outbox, sw_lane *lane, const char *fingerprint) {
    struct sw_member *member = find(outbox, fingerprint);
    if (member == NULL) {
        if (HASH_COUNT(outbox->members) >= MAX_MEMBERS) {
            return false;
        }
        size_t len = strlen(fingerprint);
        member = xcalloc(1, sizeof *member + len + 1);
        memcpy(member->fingerprint, fingerprint, len + 1);
        HASH_ADD(hh, outbox->members, fingerprint[0], len, member);
    } else if (member->lane == lane) {
        return false;
    } else {
        member->lane->n_firing--;
    }
    member->lane = lane;
    lane->n_firing++;
    return true;
}

static void restore(const char *receiver, const char *fingerprint, const char *group_key, void *arg) {
    sw_outbox *outbox = arg;
    if (sw_streq(receiver, outbox->options.name)) {
        join(outbox, sw_queue_group(&outbox->queue, group_key), fingerprint);
    }
}

void sw_members_restore(sw_outbox *outbox) {
    sw_store_each_group_member(outbox->store, restore, outbox);
}

bool sw_members_have(const sw_outbox *outbox, const char *fingerprint) {
    return find(outbox, fingerprint) != NULL;
}

/* The key of a group ends with its labels, after a colon. */
static char *labels_of(const char *group_key) {
    for (const char *at = group_key; (at = strstr(at, ":{")) != NULL; at++) {
        json_t *labels = json_loads(at + 1, 0, NULL);
        json_decref(labels);
        if (labels != NULL) {
            return xstrdup(at + 1);
        }
    }
    return NULL;
}

void sw_members_place(const sw_outbox *outbox, sw_outbox_row *row) {
    const struct sw_member *member = find(outbox, row->fingerprint);
    bool is_sent = row->combined || row->attempts > 0; /* as it is */
    if (member != NULL && !is_sent && !sw_streq(row->group_key, member->lane->key)) {
        free(row->group_key);
        free(row->group_labels);
        row->group_key = xstrdup(member->lane->key);
        row->group_labels = labels_of(member->lane->key);
    }
}

bool sw_members_forget(sw_outbox *outbox, sw_store_batch *batch, const char *fingerprint) {
    struct sw_member *member = find(outbox, fingerprint);
    if (member == NULL) {
        return false;
    }
    sw_batch_delete_group_member(batch, outbox->options.name, fingerprint);
    forget(outbox, member); /* last: the fingerprint may be the member's own */
    return true;
}

size_t sw_members_tell(sw_outbox *outbox, sw_lane *lane, const sw_combined *combined) {
    const char *name = outbox->options.name;
    size_t n = 0;
    for (size_t i = 0; i < combined->n; i++) {
        const struct sw_combined_alert *alert = &combined->alerts[i];
        sw_lane *own = lane;
        if (lane == NULL && alert->group_key != NULL) {
            own = sw_queue_group(&outbox->queue, alert->group_key);
        }
        if (alert->resolved) {
            n += sw_members_forget(outbox, sw_records_batch(outbox), alert->fingerprint) ? 1 : 0;
        } else if (own != NULL && join(outbox, own, alert->fingerprint)) {
            sw_batch_put_group_member(sw_records_batch(outbox), name, alert->fingerprint, own->key);
            n++;
        }
    }
    return n;
}

/* The ones that were looked at go to the end of the table's order. */
static void look_later(sw_outbox *outbox, struct sw_member *member) {
    HASH_DEL(outbox->members, member);
    HASH_ADD(hh, outbox->members, fingerprint[0], strlen(member->fingerprint), member);
}

void sw_outbox_sweep(sw_outbox *outbox, bool (*is_known)(const char *fingerprint, void *arg), void *arg) {
    size_t n = HASH_COUNT(outbox->members), n_forgotten = 0;
    n = outbox->n_unloaded > 0 ? 0 : n < SWEEP_MEMBERS ? n : SWEEP_MEMBERS;
    for (; n > 0; n--) {
        struct sw_member *member = outbox->members;
        if (is_known(member->fingerprint, arg) || sw_queue_waits(&outbox->queue, member->fingerprint)) {
            look_later(outbox, member);
        } else {
            n_forgotten += sw_members_forget(outbox, sw_records_batch(outbox), member->fingerprint) ? 1 : 0;
        }
    }
    if (n_forgotten > 0) {
        sw_records_added(outbox, n_forgotten);
    }
}

void sw_members_release(sw_outbox *outbox) {
    struct sw_member *member, *next;
    HASH_ITER(hh, outbox->members, member, next) {
        forget(outbox, member);
    }
}
