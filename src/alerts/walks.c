/* Looking at the alerts that are known: one, all, or what can be told without looking into them. */
#include <stdlib.h>
#include <string.h>

#include "alerts/alerts_state.h"

size_t sw_alerts_count(const sw_alerts *alerts) {
    return alerts->table.n;
}

const sw_alert *sw_alerts_find(const sw_alerts *alerts, const char *fingerprint) {
    sw_alert_table *table = (sw_alert_table *)&alerts->table; /* only its view changes */
    size_t index = sw_alert_table_find(table, strtoull(fingerprint, NULL, 16));
    return index != SW_ALERT_NONE ? sw_alert_table_view(table, index) : NULL;
}

uint64_t sw_alerts_refused(const sw_alerts *alerts) {
    return alerts->refused;
}

size_t sw_alerts_some(const sw_alerts *alerts, size_t from, size_t n,
                      void (*each)(const sw_alert *alert, void *arg), void *arg) {
    sw_alert_table *table = (sw_alert_table *)&alerts->table; /* only its view changes */
    size_t i = from;
    for (; i < table->n && i - from < n; i++) {
        each(sw_alert_table_view(table, i), arg);
    }
    return i < table->n ? i : SIZE_MAX;
}

uint64_t sw_alerts_moves(const sw_alerts *alerts) {
    return alerts->n_removed;
}

void sw_alerts_each(const sw_alerts *alerts, void (*each)(const sw_alert *alert, void *arg), void *arg) {
    sw_alert_table *table = (sw_alert_table *)&alerts->table; /* only its view changes */
    for (size_t i = 0; i < table->n; i++) {
        each(sw_alert_table_view(table, i), arg);
    }
}

void sw_alerts_each_with_culprit(const sw_alerts *alerts, void (*each)(const sw_alert *alert, void *arg),
                                 void *arg) {
    sw_alert_table *table = (sw_alert_table *)&alerts->table; /* only its view changes */
    for (size_t i = 0; i < table->n; i++) {
        if (table->items[i].culprit) {
            each(sw_alert_table_view(table, i), arg);
        }
    }
}

void sw_alerts_count_states(const sw_alerts *alerts, size_t counts[3]) {
    for (int state = 0; state < 3; state++) {
        counts[state] = 0;
    }
    for (size_t i = 0; i < alerts->table.n; i++) {
        counts[alerts->table.items[i].state]++;
    }
}

/* A reporter is "detector source"; no source has a blank. */
void sw_alerts_each_reporter(const sw_alerts *alerts,
                             void (*each)(const char *detector, const char *source, void *arg), void *arg) {
    bool *reports = xcalloc(alerts->n_reporters + 1, sizeof *reports);
    for (size_t i = 0; i < alerts->table.n; i++) {
        reports[alerts->table.items[i].reporter] = true;
    }
    for (size_t i = 0; i < alerts->n_reporters; i++) {
        const char *blank = strrchr(alerts->reporters[i], ' ');
        if (reports[i] && blank != NULL) {
            char *detector = xstrndup(alerts->reporters[i], (size_t)(blank - alerts->reporters[i]));
            each(detector, blank + 1, arg);
            free(detector);
        }
    }
    free(reports);
}
