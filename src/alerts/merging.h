/* What an evaluation found, into the alert that it is about. */
#ifndef SW_ALERTS_MERGING_H
#define SW_ALERTS_MERGING_H

#include "alerts/alerts_state.h"
#include "alerts/groups.h"

/* `alert` is the view of alerts->table; it borrows texts of the findings, until it is put back. What the
 * newest finding says replaces what was said before, and new traces join the evidence. */
void sw_alerts_merge(sw_alerts *alerts, sw_alert *alert, const char *detector, const sw_groups *groups,
                     const sw_group *group, bool is_new);

#endif
