/*
 * Inhibition rules in Alertmanager's words
 * (https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule), read from the JSON of a list of
 * { source_matchers = {"…", …}, target_matchers = {"…", …}, equal = {"…", …} }.
 */
#ifndef SW_ALERTS_INHIBIT_RULES_H
#define SW_ALERTS_INHIBIT_RULES_H

#include "alerts/matchers.h"

#define SW_INHIBIT_RULES_MAX 100
#define SW_INHIBIT_EQUAL_MAX 32 /* labels of one rule */

typedef struct sw_inhibit_rule {
    sw_matchers source, target;
    char **equal;
    size_t n_equal;
} sw_inhibit_rule;

typedef struct sw_inhibit_rules {
    sw_inhibit_rule *items;
    size_t n;
} sw_inhibit_rules;

/* What is wrong is appended to `mistakes`, all of it, a line each ("inhibit_rules[2].equal …\n"); then rules
 * with a mistake are left out. */
void sw_inhibit_rules_parse(const char *json, sw_inhibit_rules *out, sw_buf *mistakes);
void sw_inhibit_rules_release(sw_inhibit_rules *rules);

#endif
