/* What the layers of the configuration share while it is loaded: src/config only. */
#ifndef SW_CONFIG_LOAD_INTERNAL_H
#define SW_CONFIG_LOAD_INTERNAL_H

#include <jansson.h>

#include "config/settings.h"

/* A value as its source gave it. */
typedef struct sw_raw_value {
    char *text;          /* or */
    sw_string_list list; /* when the source has lists of its own */
    bool is_list, is_set;
    char *origin; /* "flag", "environment", ".env:3", "spanwatch.lua" */
    sw_name_style style;
} sw_raw_value;

typedef struct sw_loader {
    sw_config *config;
    sw_buf *mistakes, *warnings;
    sw_raw_value *values;      /* in the order of sw_settings */
    json_t *receivers, *route; /* of the config file, as they are; NULL */
} sw_loader;

/* One line "NAME (ORIGIN): …" into mistakes. */
void sw_loader_mistake(sw_loader *loader, const char *name, const char *origin, const char *fmt, ...)
    SW_PRINTF(4, 5);
/* Takes over what an earlier, weaker layer gave. Copies. */
void sw_loader_put_text(sw_loader *loader, const sw_setting *setting, const char *text, const char *origin,
                        sw_name_style style);
void sw_loader_put_list(sw_loader *loader, const sw_setting *setting, const char *const *items, size_t n,
                        const char *origin, sw_name_style style);

/* receivers.c, routes.c: from the settings, which are complete by then, and from the config file. */
void sw_loader_make_receivers(sw_loader *loader);
void sw_loader_make_route(sw_loader *loader);
void sw_receivers_release(sw_config *config);
void sw_route_release(sw_route_config *route);
/* For --print-config: receivers of the config file, and its routes. */
void sw_receivers_print(const sw_config *config, sw_buf *out);

/* table.c: what a value of the config file is called in mistakes ("a table"). */
const char *sw_table_type_name(const json_t *value);
/* The scalar as text, when a setting of this type may have it; else NULL. Caller frees. */
char *sw_table_scalar(const sw_setting *setting, const json_t *value);
/* The items of a list of texts, NULL-terminated; NULL when it is something else (an empty table is an empty
 * list). Caller frees the array alone. */
const char **sw_table_list(const json_t *value, size_t *n);
const char *sw_table_wanted(const sw_setting *setting); /* "a number" */

/* table.c: what a Lua config file returned. */
void sw_loader_take_table(sw_loader *loader, const json_t *table, const char *origin);

#endif
