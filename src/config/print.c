/* The settings for people: effective values, --help, .env.example. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <jansson.h>

#include "config/load_internal.h"
#include "config/value.h"

#define HELP_COLUMN 34
#define HELP_WIDTH 110

/* Quoted as .env would need it. */
static void append_value(sw_buf *out, const char *value) {
    if (value[strcspn(value, " \t\r\n#'\"\\$`")] == '\0') {
        sw_buf_append_str(out, value);
        return;
    }
    sw_buf_append_char(out, '"');
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\r' || *c == '\t') {
            sw_buf_append_str(out, *c == '\n' ? "\\n" : *c == '\r' ? "\\r" : "\\t");
        } else {
            sw_buf_printf(out, "%s%c", strchr("\"\\$`", *c) != NULL ? "\\" : "", *c);
        }
    }
    sw_buf_append_char(out, '"');
}

static bool sounds_secret(const char *key) {
    static const char *const words[] = {"secret",     "password",      "token",
                                        "credential", "authorization", "api_key"};
    for (size_t i = 0; i < SW_ARRAY_LEN(words); i++) {
        if (strcasestr(key, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void hide_secrets(json_t *table) {
    const char *key = NULL;
    json_t *value = NULL;
    void *next = NULL;
    json_object_foreach_safe(table, next, key, value) {
        if (json_is_string(value) && sounds_secret(key)) {
            json_object_set_new(table, key, json_string("(hidden)"));
        } else {
            hide_secrets(value);
        }
    }
    for (size_t i = 0; i < json_array_size(table); i++) {
        hide_secrets(json_array_get(table, i));
    }
}

static void print_detector_config(const sw_config *config, sw_buf *out) {
    json_t *table = json_loads(config->detector_config_json, 0, NULL);
    if (json_object_size(table) > 0) {
        hide_secrets(table);
        char *text = json_dumps(table, JSON_COMPACT | JSON_SORT_KEYS);
        sw_buf_printf(out, "\n# detector_config  # %s\n# %s\n", config->config_file, text);
        free(text);
    }
    json_decref(table);
}

void sw_config_print(const sw_config *config, sw_buf *out) {
    for (size_t i = 0; i < sw_settings_n; i++) {
        const sw_setting *setting = &sw_settings[i];
        if (setting->type == SW_TYPE_SECTION) {
            sw_buf_printf(out, "%s# %s\n", i == 0 ? "" : "\n", setting->doc);
            continue;
        }
        char *value = sw_value_show(config, setting);
        sw_buf_printf(out, "%s=", setting->env);
        append_value(out, value);
        sw_buf_printf(out, "  # %s\n", config->origins[i]);
        free(value);
    }
    print_detector_config(config, out);
    sw_receivers_print(config, out);
}

static const char *argument_name(const sw_setting *setting) {
    switch (setting->type) {
    case SW_TYPE_INT:
    case SW_TYPE_NUMBER:
        return "N";
    case SW_TYPE_URL:
        return "URL";
    case SW_TYPE_FILE:
        return "FILE";
    case SW_TYPE_PATH:
        return "PATH";
    case SW_TYPE_LIST:
        return "A,B";
    case SW_TYPE_HEADERS:
        return "A: B; C: D";
    case SW_TYPE_CHOICE:
        return "WORD";
    default:
        return "TEXT";
    }
}

/* "1 to 86400 s; default 30" */
static void append_limits(sw_buf *out, const sw_setting *setting) {
    if (setting->type == SW_TYPE_INT || setting->type == SW_TYPE_NUMBER) {
        sw_buf_printf(out, "%.15g to %.15g %s; ", setting->min, setting->max, setting->unit);
    } else if (setting->type == SW_TYPE_CHOICE) {
        for (const char *c = setting->choices; *c != '\0'; c++) {
            sw_buf_append_str(out, *c == '|' ? ", " : (char[]){*c, '\0'});
        }
        sw_buf_append_str(out, "; ");
    }
    sw_buf_printf(out, "default%s%s", setting->default_text[0] != '\0' ? " " : ": empty",
                  setting->default_text);
}

/* Breaks at blanks, continued lines start in the help column. */
static void append_wrapped(sw_buf *out, const char *text, size_t column) {
    size_t at = column;
    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (at > column && at + 1 + len > HELP_WIDTH) {
            sw_buf_printf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            sw_buf_append_char(out, ' ');
            at++;
        }
        sw_buf_append(out, text, len);
        at += len;
        text += len + strspn(text + len, " ");
    }
    sw_buf_append_char(out, '\n');
}

void sw_config_help(sw_buf *out) {
    for (size_t i = 0; i < sw_settings_n; i++) {
        const sw_setting *setting = &sw_settings[i];
        if (setting->type == SW_TYPE_SECTION) {
            sw_buf_printf(out, "\n%s:\n", setting->doc);
            continue;
        }
        char flag[SW_SETTING_NAME_MAX], head[2 * SW_SETTING_NAME_MAX];
        sw_setting_name(setting, SW_NAME_FLAG, flag);
        if (setting->type == SW_TYPE_BOOL) {
            snprintf(head, sizeof head, "  --[no-]%s", flag + 2);
        } else {
            snprintf(head, sizeof head, "  %s %s", flag, argument_name(setting));
        }
        sw_buf doc;
        sw_buf_init(&doc, 4096);
        sw_buf_printf(&doc, "%s [", setting->doc);
        append_limits(&doc, setting);
        sw_buf_append_str(&doc, "]");
        bool long_head = strlen(head) + 2 > HELP_COLUMN;
        sw_buf_printf(out, "%-*s%s%*s", HELP_COLUMN, head, long_head ? "\n" : "", long_head ? HELP_COLUMN : 0,
                      "");
        append_wrapped(out, doc.data, HELP_COLUMN);
        sw_buf_release(&doc);
    }
}

void sw_config_env_example(sw_buf *out) {
    sw_buf_append_str(
        out, "# Every setting of spanwatch, with its default. Copy this file to .env, in the folder that\n"
             "# spanwatch is started in, and remove the # before what you change. A variable of the\n"
             "# environment wins over this file, and a flag over both.\n");
    for (size_t i = 0; i < sw_settings_n; i++) {
        const sw_setting *setting = &sw_settings[i];
        if (setting->type == SW_TYPE_SECTION) {
            sw_buf_printf(out, "\n# ---- %s ----\n", setting->doc);
            continue;
        }
        sw_buf_printf(out, "\n# %s (", setting->doc);
        append_limits(out, setting);
        sw_buf_printf(out, ")\n#%s=", setting->env);
        append_value(out, setting->default_text);
        sw_buf_append_char(out, '\n');
    }
}
