#include "base/zone.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/zone_rule.h"

#define MAX_FILE ((size_t)1 << 20)
#define MAX_NAME 128
#define HEADER 44
#define DAY_S 86400

struct sw_zone {
    size_t n; /* transitions */
    int64_t *at_s;
    int32_t *offset_s; /* from then on */
    int32_t first_s;   /* before the first */
    bool has_rule;     /* for what comes behind the last */
    sw_zone_rule rule;
};

/* ---- the calendar ---- */

/* Counted in years that begin in March and eras of 400 years: no table, no loop. */
int64_t sw_days_of_date(int64_t year, int month, int day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

sw_date sw_date_of_days(int64_t days) {
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;
    sw_date date = {
        .month = (int)(month < 10 ? month + 3 : month - 9),
        .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
        .weekday = (int)(((days + 4) % 7 + 7) % 7),
    };
    date.year = year_of_era + era * 400 + (date.month <= 2 ? 1 : 0);
    return date;
}

int sw_days_in_month(int64_t year, int month) {
    return (int)(month == 12 ? 31 : sw_days_of_date(year, month + 1, 1) - sw_days_of_date(year, month, 1));
}

/* ---- reading ---- */

static int64_t big_endian(const unsigned char *at, size_t bytes) {
    uint64_t value = (at[0] & 0x80) != 0 ? UINT64_MAX : 0; /* the sign */
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | at[i];
    }
    return (int64_t)value;
}

/* What a header says, and how long the block behind it is. */
struct block {
    size_t n_utc, n_standard, n_leap, n_times, n_types, n_chars, len;
};

static bool read_header(const unsigned char *at, size_t len, size_t time_bytes, struct block *out) {
    if (len < HEADER || memcmp(at, "TZif", 4) != 0) {
        return false;
    }
    size_t counts[6];
    for (size_t i = 0; i < 6; i++) {
        int64_t count = big_endian(at + 20 + 4 * i, 4);
        if (count < 0 || (size_t)count > MAX_FILE) {
            return false;
        }
        counts[i] = (size_t)count;
    }
    *out = (struct block){counts[0], counts[1], counts[2], counts[3], counts[4], counts[5], 0};
    out->len = out->n_times * (time_bytes + 1) + out->n_types * 6 + out->n_chars +
               out->n_leap * (time_bytes + 4) + out->n_standard + out->n_utc;
    return out->len <= len - HEADER && out->n_types > 0;
}

static bool read_transitions(sw_zone *zone, const unsigned char *at, const struct block *block) {
    const unsigned char *types = at + 8 * block->n_times, *infos = types + block->n_times;
    zone->n = block->n_times;
    zone->at_s = xcalloc(zone->n + 1, sizeof *zone->at_s);
    zone->offset_s = xcalloc(zone->n + 1, sizeof *zone->offset_s);
    zone->first_s = (int32_t)big_endian(infos, 4);
    for (size_t i = 0; i < zone->n; i++) {
        zone->at_s[i] = big_endian(at + 8 * i, 8);
        if (types[i] >= block->n_types || (i > 0 && zone->at_s[i] <= zone->at_s[i - 1])) {
            return false;
        }
        zone->offset_s[i] = (int32_t)big_endian(infos + 6 * (size_t)types[i], 4);
    }
    for (size_t i = 0; i < block->n_types; i++) {
        int64_t offset = big_endian(infos + 6 * i, 4);
        if (offset < -2 * DAY_S || offset > 2 * DAY_S) {
            return false;
        }
    }
    return true;
}

/* A newline, the rule (or nothing), a newline. */
static bool read_footer(sw_zone *zone, const char *at, size_t len) {
    const char *end = len > 1 && at[0] == '\n' ? memchr(at + 1, '\n', len - 1) : NULL;
    if (end == NULL) {
        return false;
    }
    char *text = xstrndup(at + 1, (size_t)(end - at) - 1);
    zone->has_rule = text[0] != '\0';
    bool good = !zone->has_rule || sw_zone_rule_parse(text, &zone->rule) == 0;
    free(text);
    return good;
}

/* The first block has times of 32 bits and is passed over: the second one has all of them with 64. */
static bool read_zone(sw_zone *zone, const unsigned char *data, size_t len) {
    struct block block;
    if (!read_header(data, len, 4, &block) || data[4] < '2') {
        return false;
    }
    size_t second = HEADER + block.len;
    if (!read_header(data + second, len - second, 8, &block)) {
        return false;
    }
    size_t footer = second + HEADER + block.len;
    return read_transitions(zone, data + second + HEADER, &block) &&
           read_footer(zone, (const char *)data + footer, len - footer);
}

sw_zone *sw_zone_read(const void *data, size_t len, char **why) {
    sw_zone *zone = xcalloc(1, sizeof *zone);
    if (len > MAX_FILE || !read_zone(zone, data, len)) {
        *why = xstrdup("its file is no TZif file of version 2 or later");
        sw_zone_free(zone);
        return NULL;
    }
    return zone;
}

static bool is_name(const char *name) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
    size_t len = strlen(name);
    return len > 0 && len <= MAX_NAME && strspn(name, allowed) == len && name[0] != '/' &&
           name[len - 1] != '/';
}

sw_zone *sw_zone_load(const char *folder, const char *name, char **why) {
    if (!is_name(name)) {
        *why = xasprintf("\"%.64s\" is no name of a time zone", name);
        return NULL;
    }
    char *path = xasprintf("%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    sw_zone *zone = NULL;
    char *data = xmalloc(MAX_FILE + 1), *wrong = NULL;
    size_t len = file != NULL ? fread(data, 1, MAX_FILE + 1, file) : 0;
    if (file == NULL || ferror(file)) {
        wrong = xasprintf("%s: %s", path, strerror(errno));
    } else {
        zone = sw_zone_read(data, len, &wrong);
    }
    if (zone == NULL) {
        *why = xasprintf("time zone %s cannot be used: %s (is tzdata installed?)", name, wrong);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(wrong);
    free(data);
    free(path);
    return zone;
}

void sw_zone_free(sw_zone *zone) {
    if (zone != NULL) {
        free(zone->at_s);
        free(zone->offset_s);
    }
    free(zone);
}

/* ---- using ---- */

int32_t sw_zone_offset_s(const sw_zone *zone, int64_t unix_s) {
    if (zone->n == 0 || unix_s < zone->at_s[0]) {
        return zone->n == 0 && zone->has_rule ? sw_zone_rule_offset_s(&zone->rule, unix_s) : zone->first_s;
    }
    if (unix_s >= zone->at_s[zone->n - 1] && zone->has_rule) {
        return sw_zone_rule_offset_s(&zone->rule, unix_s);
    }
    size_t from = 0, to = zone->n; /* the last transition that is not later is in [from, to) */
    while (to - from > 1) {
        size_t middle = from + (to - from) / 2;
        if (zone->at_s[middle] <= unix_s) {
            from = middle;
        } else {
            to = middle;
        }
    }
    return zone->offset_s[from];
}

int64_t sw_zone_to_unix_s(const sw_zone *zone, int64_t local_s, bool last) {
    int64_t before = local_s - sw_zone_offset_s(zone, local_s - DAY_S);
    int64_t after = local_s - sw_zone_offset_s(zone, local_s + DAY_S);
    bool before_fits = before + sw_zone_offset_s(zone, before) == local_s;
    bool after_fits = after + sw_zone_offset_s(zone, after) == local_s;
    if (before_fits && after_fits) {
        bool before_first = before < after;
        return last == before_first ? after : before;
    }
    return after_fits ? after : before;
}
