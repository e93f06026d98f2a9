/* The layer of the config file: a table whose keys are the settings' names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/load_internal.h"
#include "config/nearest.h"

#define DETECTOR_CONFIG "detector_config"
#define RECEIVERS "receivers"
#define ROUTE "route"
#define INHIBIT_RULES "inhibit_rules"

const char *sw_table_type_name(const json_t *value) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        return "a table";
    case JSON_STRING:
        return "text";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_NULL:
        return "nil";
    default:
        return "a boolean";
    }
}

const char *sw_table_wanted(const sw_setting *setting) {
    return setting->type == SW_TYPE_BOOL                                     ? "a boolean"
           : setting->type == SW_TYPE_INT || setting->type == SW_TYPE_NUMBER ? "a number"
           : sw_setting_is_list(setting)                                     ? "a list of texts"
                                                                             : "text";
}

char *sw_table_scalar(const sw_setting *setting, const json_t *value) {
    bool number = setting->type == SW_TYPE_INT || setting->type == SW_TYPE_NUMBER;
    if (json_is_string(value)) { /* env("NAME") gives text, whatever the setting is */
        return strlen(json_string_value(value)) == json_string_length(value)
                   ? xstrdup(json_string_value(value))
                   : NULL;
    }
    if (setting->type == SW_TYPE_BOOL && json_is_boolean(value)) {
        return xstrdup(json_is_true(value) ? "true" : "false");
    }
    if (number && json_is_integer(value)) {
        return xasprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    }
    if (number && json_is_real(value)) {
        double real = json_real_value(value);
        return trunc(real) == real && fabs(real) < 1e15 ? xasprintf("%.0f", real) : xasprintf("%.17g", real);
    }
    return NULL;
}

const char **sw_table_list(const json_t *value, size_t *n) {
    /* An empty Lua table may come as either. */
    bool empty = json_is_object(value) && json_object_size(value) == 0;
    bool good = json_is_array(value) || empty;
    *n = json_array_size(value);
    const char **items = xcalloc(*n + 1, sizeof *items);
    for (size_t i = 0; good && i < *n; i++) {
        const json_t *item = json_array_get(value, i);
        items[i] = json_string_value(item);
        good = items[i] != NULL && strlen(items[i]) == json_string_length(item);
    }
    if (!good) {
        free(items);
        return NULL;
    }
    return items;
}

static void take_setting(sw_loader *loader, const sw_setting *setting, const char *key, const json_t *value,
                         const char *origin) {
    bool list = sw_setting_is_list(setting) && (json_is_array(value) || json_is_object(value));
    size_t n = 0;
    const char **items = list ? sw_table_list(value, &n) : NULL;
    if (items != NULL) {
        sw_loader_put_list(loader, setting, items, n, origin, SW_NAME_KEY);
        free(items);
        return;
    }
    if (list && json_is_array(value)) {
        sw_loader_mistake(loader, key, origin, "must be a list of texts, such as { \"a\", \"b\" }");
        return;
    }
    char *text = sw_table_scalar(setting, value);
    if (text != NULL) {
        sw_loader_put_text(loader, setting, text, origin, SW_NAME_KEY);
    } else {
        sw_loader_mistake(loader, key, origin, "is %s, must be %s", sw_table_type_name(value),
                          sw_table_wanted(setting));
    }
    free(text);
}

static void take_detector_config(sw_loader *loader, const json_t *value, const char *origin) {
    bool good = json_is_object(value);
    const char *detector = NULL;
    json_t *settings = NULL;
    json_object_foreach((json_t *)value, detector, settings) {
        good = good && json_is_object(settings);
    }
    if (!good) {
        sw_loader_mistake(loader, DETECTOR_CONFIG, origin,
                          "must be a table of tables, such as { detect = { latency_threshold_ms = 800 } }");
        return;
    }
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    free(loader->config->detector_config_json);
    loader->config->detector_config_json = xstrdup(text);
    free(text);
}

/* The rules themselves are judged by who knows matchers. */
static void take_inhibit_rules(sw_loader *loader, const json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    free(loader->config->inhibit_rules_json);
    loader->config->inhibit_rules_json = xstrdup(text);
    free(text);
}

static void unknown_key(sw_loader *loader, const char *key, const char *origin) {
    static const char *const tables[] = {DETECTOR_CONFIG, RECEIVERS, ROUTE, INHIBIT_RULES};
    char near[SW_SETTING_NAME_MAX];
    sw_nearest nearest;
    sw_nearest_init(&nearest, key);
    for (size_t i = 0; i < SW_ARRAY_LEN(tables); i++) {
        sw_nearest_offer(&nearest, tables[i]);
    }
    if (nearest.best[0] != '\0') {
        sw_loader_mistake(loader, key, origin, "is not a setting; did you mean %s?", nearest.best);
    } else if (sw_setting_nearest(key, SW_NAME_KEY, near)) {
        sw_loader_mistake(loader, key, origin, "is not a setting; did you mean %s?", near);
    } else {
        sw_loader_mistake(loader, key, origin, "is not a setting; see spanwatch run --help");
    }
}

void sw_loader_take_table(sw_loader *loader, const json_t *table, const char *origin) {
    if (json_is_array(table)) {
        sw_loader_mistake(loader, "config", origin, "must return a table of settings, not a list");
        return;
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)table, key, value) {
        const sw_setting *setting = sw_setting_find(key, SW_NAME_KEY);
        if (setting != NULL) {
            take_setting(loader, setting, key, value, origin);
        } else if (strcmp(key, DETECTOR_CONFIG) == 0) {
            take_detector_config(loader, value, origin);
        } else if (strcmp(key, RECEIVERS) == 0) {
            loader->receivers = json_incref(value);
        } else if (strcmp(key, ROUTE) == 0) {
            loader->route = json_incref(value);
        } else if (strcmp(key, INHIBIT_RULES) == 0) {
            take_inhibit_rules(loader, value);
        } else {
            unknown_key(loader, key, origin);
        }
    }
}
