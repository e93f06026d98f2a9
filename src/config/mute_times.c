#include "config/mute_times.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/zone.h"

#define BLANKS " \t\r\n"
#define DAY_MINUTES (24 * 60)
#define DAY_S 86400

struct interval {
    sw_zone *zone;
    bool once;
    int64_t from_s, to_s;       /* once: unix time; before it has its zone: as clocks show it */
    uint8_t weekdays;           /* a bit for each; 0: any */
    uint32_t dates, from_end;   /* bit n: the nth day, or the nth from the end */
    uint16_t months;            /* bit n: the nth */
    bool has_times;             /* else the whole day */
    int from_minute, to_minute; /* of the day */
};

struct sw_mute_times {
    struct interval *items;
    size_t n;
};

/* ---- reading ---- */

static int word_number(const char *const *words, int n, const char *at) {
    for (int i = 0; i < n; i++) {
        if (strncasecmp(words[i], at, 3) == 0) {
            return i;
        }
    }
    return -1;
}

/* "Mon,Wed-Fri" as bits from `first` on. False when it is made of other words. */
static bool read_words(const char *text, const char *const *words, int n, int first, uint32_t *bits) {
    uint32_t found = 0;
    const char *at = text;
    do {
        at += at > text ? 1 : 0; /* the comma */
        int from = word_number(words, n, at), to = from;
        if (from < 0) {
            return false;
        }
        at += 3;
        if (*at == '-') {
            to = word_number(words, n, at + 1);
            at += to >= 0 ? 4 : 0;
        }
        if (to < 0) {
            return false;
        }
        for (int i = from; found |= UINT32_C(1) << (i + first), i != to; i = (i + 1) % n) {
        }
    } while (*at == ',');
    *bits |= found;
    return *at == '\0';
}

static bool read_date(const char **at, int *out) {
    char *end = NULL;
    bool digits = (*at)[0] == '-' ? strspn(*at + 1, "0123456789") > 0 : strspn(*at, "0123456789") > 0;
    long value = digits ? strtol(*at, &end, 10) : 0;
    if (value == 0 || value < -31 || value > 31) {
        return false;
    }
    *at = end;
    *out = (int)value;
    return true;
}

/* "1-7,15,-1" */
static bool read_dates(const char *text, struct interval *out) {
    const char *at = text;
    do {
        at += at > text ? 1 : 0;
        int from = 0, to = 0;
        if (!read_date(&at, &from)) {
            return false;
        }
        to = from;
        if (*at == '-') {
            at++;
            if (!read_date(&at, &to)) {
                return false;
            }
        }
        if ((from < 0) != (to < 0) || from > to) {
            return false;
        }
        for (int i = from; i <= to; i++) {
            *(i > 0 ? &out->dates : &out->from_end) |= UINT32_C(1) << abs(i);
        }
    } while (*at == ',');
    return *at == '\0';
}

/* "hh:mm" */
static bool read_clock(const char *at, int *minute) {
    for (int i = 0; i < 5; i++) {
        if (i == 2 ? at[i] != ':' : at[i] < '0' || at[i] > '9') {
            return false;
        }
    }
    int hours = (at[0] - '0') * 10 + (at[1] - '0'), minutes = (at[3] - '0') * 10 + (at[4] - '0');
    *minute = hours * 60 + minutes;
    return minutes < 60 && *minute <= DAY_MINUTES;
}

static bool read_times(const char *text, struct interval *out) {
    out->has_times = true;
    return read_clock(text, &out->from_minute) && text[5] == '-' && read_clock(text + 6, &out->to_minute) &&
           text[11] == '\0' && out->from_minute < DAY_MINUTES && out->from_minute != out->to_minute;
}

/* "YYYY-MM-DDThh:mm", in seconds as its clocks show them. */
static bool read_moment(const char *at, int64_t *local_s) {
    static const char shape[] = "dddd-dd-ddT";
    for (size_t i = 0; shape[i] != '\0'; i++) {
        if (shape[i] == 'd' ? at[i] < '0' || at[i] > '9' : at[i] != shape[i]) {
            return false;
        }
    }
    int year = atoi(at), month = atoi(at + 5), day = atoi(at + 8), minute = 0;
    if (!read_clock(at + 11, &minute) || year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > sw_days_in_month(year, month)) {
        return false;
    }
    *local_s = sw_days_of_date(year, month, day) * DAY_S + minute * 60;
    return true;
}

static bool read_once(const char *text, struct interval *out) {
    out->once = true;
    return strlen(text) == 33 && read_moment(text, &out->from_s) && text[16] == '/' &&
           read_moment(text + 17, &out->to_s);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* What an interval is made of, each at most once. */
enum part { DAYS = 1, DATES = 2, MONTHS = 4, TIMES = 8, ONCE = 16, ZONE = 32 };

/* The kind of the word, after reading it; 0 when it cannot be used. */
static int read_part(const char *word, struct interval *out) {
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint32_t bits = 0;
    if (strchr(word, ':') != NULL) {
        bool once = strchr(word, '/') != NULL;
        return once ? (read_once(word, out) ? ONCE : 0) : (read_times(word, out) ? TIMES : 0);
    }
    if (is_digit(word[0]) || (word[0] == '-' && is_digit(word[1]))) {
        return read_dates(word, out) ? DATES : 0;
    }
    if (read_words(word, days, 7, 0, &bits)) {
        out->weekdays = (uint8_t)bits;
        return DAYS;
    }
    bits = 0;
    if (read_words(word, months, 12, 1, &bits)) {
        out->months = (uint16_t)bits;
        return MONTHS;
    }
    return ZONE;
}

/* The whole interval; NULL, or what is wrong (caller frees). */
static char *read_interval(char *text, const char *zones, struct interval *out) {
    const char *zone = "UTC";
    int parts = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, BLANKS, &rest); word != NULL; word = strtok_r(NULL, BLANKS, &rest)) {
        int part = read_part(word, out);
        if (part == 0) {
            return xasprintf("%.64s is neither days, dates, months, hh:mm-hh:mm, nor "
                             "YYYY-MM-DDThh:mm/YYYY-MM-DDThh:mm",
                             word);
        }
        if ((parts & part) != 0) {
            return xasprintf("%.64s comes behind something of the same kind", word);
        }
        parts |= part;
        zone = part == ZONE ? word : zone;
    }
    if ((parts & ~ZONE) == 0) {
        return xstrdup("there are no days, dates, months or times in it");
    }
    if (out->once && (parts & ~(ZONE | ONCE)) != 0) {
        return xstrdup("an interval from one moment to another takes nothing but a zone");
    }
    char *why = NULL;
    out->zone = sw_zone_load(zones, zone, &why);
    if (out->zone != NULL && out->once) {
        out->from_s = sw_zone_to_unix_s(out->zone, out->from_s, false);
        out->to_s = sw_zone_to_unix_s(out->zone, out->to_s, true);
        why = out->from_s < out->to_s ? NULL : xstrdup("it ends before it begins");
    }
    return why;
}

static void add(sw_mute_times *times, const char *text, size_t number, const char *zones, sw_buf *mistakes) {
    struct interval interval = {0};
    char *copy = xstrdup(text);
    char *why = times->n < SW_MUTE_TIMES_MAX ? read_interval(copy, zones, &interval)
                                             : xasprintf("more than %d intervals", SW_MUTE_TIMES_MAX);
    if (why != NULL) {
        sw_buf_printf(mistakes, "%sinterval %zu (%.80s): %s", mistakes->len > 0 ? "; " : "", number, text,
                      why);
        sw_zone_free(interval.zone);
        free(why);
    } else {
        times->items = xrealloc_array(times->items, times->n + 1, sizeof *times->items);
        times->items[times->n++] = interval;
    }
    free(copy);
}

sw_mute_times *sw_mute_times_parse(const char *text, const char *zones, sw_buf *mistakes) {
    sw_mute_times *times = xcalloc(1, sizeof *times);
    size_t number = 0;
    while (*text != '\0') {
        text += strspn(text, BLANKS);
        size_t len = strcspn(text, ";");
        char *one = xstrndup(text, len);
        text += len + (text[len] == ';' ? 1 : 0);
        for (size_t end = len; end > 0 && strchr(BLANKS, one[end - 1]) != NULL; end--) {
            one[end - 1] = '\0';
        }
        if (one[0] != '\0') { /* one semicolon too many is no mistake */
            add(times, one, ++number, zones, mistakes);
        }
        free(one);
    }
    return times;
}

void sw_mute_times_free(sw_mute_times *times) {
    for (size_t i = 0; times != NULL && i < times->n; i++) {
        sw_zone_free(times->items[i].zone);
    }
    if (times != NULL) {
        free(times->items);
    }
    free(times);
}

/* ---- asking ---- */

static int64_t floor_divide(int64_t a, int64_t b) {
    return a / b - (a % b < 0 ? 1 : 0);
}

static bool is_day(const struct interval *interval, int64_t days) {
    sw_date date = sw_date_of_days(days);
    int from_end = sw_days_in_month(date.year, date.month) - date.day + 1;
    bool any_date = interval->dates == 0 && interval->from_end == 0;
    return (interval->weekdays == 0 || (interval->weekdays >> date.weekday & 1) != 0) &&
           (interval->months == 0 || (interval->months >> date.month & 1) != 0) &&
           (any_date || (interval->dates >> date.day & 1) != 0 || (interval->from_end >> from_end & 1) != 0);
}

static bool is_active(const struct interval *interval, int64_t unix_s) {
    if (interval->once) {
        return unix_s >= interval->from_s && unix_s < interval->to_s;
    }
    int64_t local_s = unix_s + sw_zone_offset_s(interval->zone, unix_s);
    int64_t days = floor_divide(local_s, DAY_S);
    int minute = (int)((local_s - days * DAY_S) / 60);
    if (!interval->has_times) {
        return is_day(interval, days);
    }
    int from = interval->from_minute, to = interval->to_minute;
    if (from < to) {
        return minute >= from && minute < to && is_day(interval, days);
    }
    return (minute >= from && is_day(interval, days)) || (minute < to && is_day(interval, days - 1));
}

bool sw_mute_times_active(const sw_mute_times *times, int64_t wall_ns) {
    for (size_t i = 0; i < times->n; i++) {
        if (is_active(&times->items[i], floor_divide(wall_ns, SW_NS_PER_S))) {
            return true;
        }
    }
    return false;
}
