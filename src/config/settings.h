/*
 * The settings as a table: what settings.def says, for those who walk over all settings or look one up by
 * name.
 */
#ifndef SW_CONFIG_SETTINGS_H
#define SW_CONFIG_SETTINGS_H

#include "config/config.h"

#define SW_SETTING_NAME_MAX 64

typedef enum sw_setting_type {
    SW_TYPE_SECTION, /* a title between settings: only `doc` is set */
    SW_TYPE_BOOL,
    SW_TYPE_INT,
    SW_TYPE_NUMBER,
    SW_TYPE_STRING,
    SW_TYPE_CHOICE,
    SW_TYPE_URL,
    SW_TYPE_PATH,
    SW_TYPE_FILE,
    SW_TYPE_LIST,
    SW_TYPE_HEADERS,
} sw_setting_type;

typedef struct sw_setting {
    sw_setting_type type;
    const char *env;
    size_t offset; /* of the field in sw_config */
    const char *default_text;
    double min, max;     /* numbers */
    const char *unit;    /* numbers */
    const char *choices; /* "a|b|c" */
    const char *doc;
} sw_setting;

/* sw_settings_n rows, sections included. */
extern const sw_setting sw_settings[];
extern const size_t sw_settings_n;

typedef enum sw_name_style { SW_NAME_ENV, SW_NAME_KEY, SW_NAME_FLAG } sw_name_style;

/* "TEMPO_URL", "tempo_url" or "--tempo-url". */
void sw_setting_name(const sw_setting *setting, sw_name_style style, char out[SW_SETTING_NAME_MAX]);
/* NULL when there is none of this name in this style. */
const sw_setting *sw_setting_find(const char *name, sw_name_style style);
/* The known name that `name` may have meant; false when none is near. */
bool sw_setting_nearest(const char *name, sw_name_style style, char out[SW_SETTING_NAME_MAX]);
static inline bool sw_setting_is_list(const sw_setting *setting) {
    return setting->type == SW_TYPE_LIST || setting->type == SW_TYPE_HEADERS;
}

#endif
