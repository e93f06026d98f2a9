#include "config/settings.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "config/nearest.h"

#define AT(f) .offset = offsetof(sw_config, f)

const sw_setting sw_settings[] = {
#define SW_SETTING_SECTION(title) {.type = SW_TYPE_SECTION, .doc = (title)},
#define SW_SETTING_BOOL(f, name, def, text)                                                                  \
    {.type = SW_TYPE_BOOL, .env = (name), AT(f), .default_text = #def, .doc = (text)},
#define SW_SETTING_INT(f, name, def, low, high, u, text)                                                     \
    {.type = SW_TYPE_INT,                                                                                    \
     .env = (name),                                                                                          \
     AT(f),                                                                                                  \
     .default_text = #def,                                                                                   \
     .min = (low),                                                                                           \
     .max = (high),                                                                                          \
     .unit = (u),                                                                                            \
     .doc = (text)},
#define SW_SETTING_NUMBER(f, name, def, low, high, u, text)                                                  \
    {.type = SW_TYPE_NUMBER,                                                                                 \
     .env = (name),                                                                                          \
     AT(f),                                                                                                  \
     .default_text = #def,                                                                                   \
     .min = (low),                                                                                           \
     .max = (high),                                                                                          \
     .unit = (u),                                                                                            \
     .doc = (text)},
#define TEXT(kind, f, name, def, text)                                                                       \
    {.type = (kind), .env = (name), AT(f), .default_text = (def), .doc = (text)},
#define SW_SETTING_CHOICE(f, name, def, words, text)                                                         \
    {.type = SW_TYPE_CHOICE, .env = (name), AT(f), .default_text = (def), .choices = (words), .doc = (text)},
#define SW_SETTING_STRING(...) TEXT(SW_TYPE_STRING, __VA_ARGS__)
#define SW_SETTING_URL(...) TEXT(SW_TYPE_URL, __VA_ARGS__)
#define SW_SETTING_PATH(...) TEXT(SW_TYPE_PATH, __VA_ARGS__)
#define SW_SETTING_FILE(...) TEXT(SW_TYPE_FILE, __VA_ARGS__)
#define SW_SETTING_LIST(...) TEXT(SW_TYPE_LIST, __VA_ARGS__)
#define SW_SETTING_HEADERS(...) TEXT(SW_TYPE_HEADERS, __VA_ARGS__)
#include "config/settings.def"
};
const size_t sw_settings_n = SW_ARRAY_LEN(sw_settings);

void sw_setting_name(const sw_setting *setting, sw_name_style style, char out[SW_SETTING_NAME_MAX]) {
    if (style == SW_NAME_ENV) {
        snprintf(out, SW_SETTING_NAME_MAX, "%s", setting->env);
        return;
    }
    const char *own = "SPANWATCH_";
    const char *name = setting->env + (sw_starts_with(setting->env, own) ? strlen(own) : 0);
    snprintf(out, SW_SETTING_NAME_MAX, "%s%s", style == SW_NAME_FLAG ? "--" : "", name);
    for (char *c = out; *c != '\0'; c++) {
        *c = *c == '_' && style == SW_NAME_FLAG ? '-' : (char)tolower((unsigned char)*c);
    }
}

const sw_setting *sw_setting_find(const char *name, sw_name_style style) {
    for (size_t i = 0; i < sw_settings_n; i++) {
        char own[SW_SETTING_NAME_MAX];
        if (sw_settings[i].type != SW_TYPE_SECTION) {
            sw_setting_name(&sw_settings[i], style, own);
            if (strcmp(own, name) == 0) {
                return &sw_settings[i];
            }
        }
    }
    return NULL;
}

bool sw_setting_nearest(const char *name, sw_name_style style, char out[SW_SETTING_NAME_MAX]) {
    sw_nearest nearest;
    sw_nearest_init(&nearest, name);
    for (size_t i = 0; i < sw_settings_n; i++) {
        char own[SW_SETTING_NAME_MAX];
        if (sw_settings[i].type != SW_TYPE_SECTION) {
            sw_setting_name(&sw_settings[i], style, own);
            sw_nearest_offer(&nearest, own);
        }
    }
    snprintf(out, SW_SETTING_NAME_MAX, "%s", nearest.best);
    return nearest.best[0] != '\0';
}
