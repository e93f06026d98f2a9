/* The footer of a TZif file: a POSIX TZ text such as "CET-1CEST,M3.5.0,M10.5.0/3". src/base only. */
#ifndef SW_BASE_ZONE_RULE_H
#define SW_BASE_ZONE_RULE_H

#include "base/base.h"

/* A day of the year, and seconds after its midnight. */
typedef struct sw_zone_change {
    char kind; /* 'M': month.week.weekday; 'J': day 1 to 365, never the leap day; 'D': day 0 to 365 */
    int month, week, day; /* day of the week, or of the year */
    int time_s;
} sw_zone_change;

typedef struct sw_zone_rule {
    int32_t standard_s, summer_s; /* east of UTC */
    bool has_summer;
    sw_zone_change start, end; /* of summer */
} sw_zone_rule;

/* 0, or -1 when it is none. */
int sw_zone_rule_parse(const char *text, sw_zone_rule *out);
int32_t sw_zone_rule_offset_s(const sw_zone_rule *rule, int64_t unix_s);

#endif
