#include "config/value.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/checks.h"
#include "net/url.h"

#define QUOTE_MAX 160

static void *field(sw_config *config, const sw_setting *setting) {
    return (char *)config + setting->offset;
}

static const void *field_of(const sw_config *config, const sw_setting *setting) {
    return (const char *)config + setting->offset;
}

static char *trimmed(const char *text, size_t len) {
    while (len > 0 && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    while (len > 0 && isspace((unsigned char)text[len - 1])) {
        len--;
    }
    return xstrndup(text, len);
}

static int set_bool(bool *out, const char *text, char **why) {
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < SW_ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2 == 1;
            return 0;
        }
    }
    *why = xstrdup("must be true or false (also: yes, no, on, off, 1, 0)");
    return -1;
}

static int number_why(const sw_setting *setting, const char *kind, char **why) {
    *why =
        xasprintf("must be a %s from %.15g to %.15g (%s)", kind, setting->min, setting->max, setting->unit);
    return -1;
}

static int set_int(int64_t *out, const sw_setting *setting, const char *text, char **why) {
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || (double)value < setting->min ||
        (double)value > setting->max) {
        return number_why(setting, "whole number", why);
    }
    *out = value;
    return 0;
}

static int set_number(double *out, const sw_setting *setting, const char *text, char **why) {
    char *end = NULL;
    double value = strtod(text, &end);
    /* strtod knows more than people write: hexadecimal, inf and nan. */
    bool plain = text[strspn(text, "0123456789+-.eE")] == '\0';
    if (!plain || end == text || *end != '\0' || !isfinite(value) || value < setting->min ||
        value > setting->max) {
        return number_why(setting, "number", why);
    }
    *out = value;
    return 0;
}

/* The word as `choices` spells it; NULL when it is none of them. */
static char *choice(const char *choices, const char *text) {
    size_t len = strlen(text);
    for (const char *word = choices; *word != '\0';) {
        size_t word_len = strcspn(word, "|");
        if (len == word_len && strncasecmp(word, text, len) == 0) {
            return xstrndup(word, len);
        }
        word += word_len + (word[word_len] == '|' ? 1 : 0);
    }
    return NULL;
}

static int set_text(char **out, const sw_setting *setting, const char *text, char **why) {
    char *value = NULL;
    if (setting->type == SW_TYPE_CHOICE) {
        value = choice(setting->choices, text);
        if (value == NULL) {
            *why = xasprintf("must be one of %s", setting->choices);
            return -1;
        }
    } else {
        *why = sw_check_text(setting, text);
        if (*why != NULL) {
            return -1;
        }
        value = xstrdup(text);
    }
    free(*out);
    *out = value;
    return 0;
}

void sw_string_list_release(sw_string_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (sw_string_list){0};
}

sw_string_list sw_string_list_copy(const char *const *items, size_t n) {
    sw_string_list list = {xcalloc(n + 1, sizeof(char *)), n};
    for (size_t i = 0; i < n; i++) {
        list.items[i] = xstrdup(items[i]);
    }
    return list;
}

int sw_value_set_list_at(void *out, const sw_setting *setting, const char *const *items, size_t n,
                         char **why) {
    sw_string_list list = {.items = xcalloc(n + 1, sizeof(char *)), .n = 0};
    for (size_t i = 0; i < n; i++) {
        char *item = trimmed(items[i], strlen(items[i]));
        list.items[list.n++] = item;
        *why = sw_check_item(setting, item, i + 1, (const char *const *)list.items, list.n - 1);
        if (*why != NULL) {
            sw_string_list_release(&list);
            return -1;
        }
    }
    sw_string_list_release(out);
    *(sw_string_list *)out = list;
    return 0;
}

int sw_value_set_list(sw_config *config, const sw_setting *setting, const char *const *items, size_t n,
                      char **why) {
    return sw_value_set_list_at(field(config, setting), setting, items, n, why);
}

/* Empty items (a separator at the end) are left out. */
static int set_split(void *out, const sw_setting *setting, const char *text, char **why) {
    const char *separator = setting->type == SW_TYPE_HEADERS ? ";" : ",";
    char **items = NULL;
    size_t n = 0;
    for (const char *at = text;;) {
        size_t len = strcspn(at, separator);
        char *item = trimmed(at, len);
        if (item[0] != '\0') {
            items = xrealloc_array(items, n + 1, sizeof(char *));
            items[n++] = item;
        } else {
            free(item);
        }
        if (at[len] == '\0') {
            break;
        }
        at += len + 1;
    }
    int rc = sw_value_set_list_at(out, setting, (const char *const *)items, n, why);
    for (size_t i = 0; i < n; i++) {
        free(items[i]);
    }
    free(items);
    return rc;
}

int sw_value_set_at(void *out, const sw_setting *setting, const char *text, char **why) {
    char *clean = trimmed(text, strlen(text));
    int rc = 0;
    *why = NULL;
    switch (setting->type) {
    case SW_TYPE_BOOL:
        rc = set_bool(out, clean, why);
        break;
    case SW_TYPE_INT:
        rc = set_int(out, setting, clean, why);
        break;
    case SW_TYPE_NUMBER:
        rc = set_number(out, setting, clean, why);
        break;
    case SW_TYPE_LIST:
    case SW_TYPE_HEADERS:
        rc = set_split(out, setting, clean, why);
        break;
    case SW_TYPE_SECTION:
        break;
    default:
        rc = set_text(out, setting, clean, why);
        break;
    }
    free(clean);
    return rc;
}

int sw_value_set(sw_config *config, const sw_setting *setting, const char *text, char **why) {
    return sw_value_set_at(field(config, setting), setting, text, why);
}

static char *show_list(const sw_string_list *list, bool headers) {
    sw_buf out;
    sw_buf_init(&out, (size_t)1 << 20);
    for (size_t i = 0; i < list->n; i++) {
        sw_buf_append_str(&out, i == 0 ? "" : headers ? "; " : ",");
        if (headers) {
            sw_buf_append(&out, list->items[i], strcspn(list->items[i], ":"));
            sw_buf_append_str(&out, ": (hidden)");
        } else {
            sw_buf_append_str(&out, list->items[i]);
        }
    }
    return sw_buf_steal(&out, NULL);
}

/* Without user, password and query. The path of a webhook is often its secret and is hidden too. */
static char *show_url(const char *url, bool webhook) {
    char *shown = sw_url_redact(url);
    const char *host = strstr(shown, "://");
    const char *path = webhook && host != NULL ? strchr(host + 3, '/') : NULL;
    if (path == NULL || path[1] == '\0') {
        return shown;
    }
    char *hidden = xasprintf("%.*s/(hidden)", (int)(path - shown), shown);
    free(shown);
    return hidden;
}

char *sw_value_show_at(const void *value, const sw_setting *setting) {
    switch (setting->type) {
    case SW_TYPE_BOOL:
        return xstrdup(*(const bool *)value ? "true" : "false");
    case SW_TYPE_INT:
        return xasprintf("%" PRId64, *(const int64_t *)value);
    case SW_TYPE_NUMBER:
        return xasprintf("%.15g", *(const double *)value);
    case SW_TYPE_LIST:
    case SW_TYPE_HEADERS:
        return show_list(value, setting->type == SW_TYPE_HEADERS);
    case SW_TYPE_SECTION:
        return xstrdup("");
    default: {
        const char *text = *(char *const *)value;
        bool webhook = setting->offset == offsetof(sw_config, tempo_alert_webhook_url);
        return setting->type == SW_TYPE_URL && text[0] != '\0' ? show_url(text, webhook) : xstrdup(text);
    }
    }
}

char *sw_value_show(const sw_config *config, const sw_setting *setting) {
    return sw_value_show_at(field_of(config, setting), setting);
}

void sw_value_copy_at(void *to, const void *from, const sw_setting *setting) {
    const sw_string_list *list = from;
    switch (setting->type) {
    case SW_TYPE_BOOL:
        *(bool *)to = *(const bool *)from;
        break;
    case SW_TYPE_INT:
        *(int64_t *)to = *(const int64_t *)from;
        break;
    case SW_TYPE_NUMBER:
        *(double *)to = *(const double *)from;
        break;
    case SW_TYPE_LIST:
    case SW_TYPE_HEADERS:
        *(sw_string_list *)to = sw_string_list_copy((const char *const *)list->items, list->n);
        break;
    case SW_TYPE_SECTION:
        break;
    default:
        *(char **)to = xstrdup(*(char *const *)from);
        break;
    }
}

char *sw_value_quote(const sw_setting *setting, const char *text) {
    bool webhook = setting->offset == offsetof(sw_config, tempo_alert_webhook_url);
    bool secret = setting->type == SW_TYPE_HEADERS || webhook ||
                  (setting->type == SW_TYPE_URL && text[strcspn(text, "@?#")] != '\0');
    if (secret) {
        return xstrdup("(hidden)");
    }
    size_t len = strnlen(text, QUOTE_MAX);
    char *quoted = xasprintf("\"%.*s%s\"", (int)len, text, text[len] != '\0' ? "..." : "");
    for (char *c = quoted; *c != '\0'; c++) {
        *c = iscntrl((unsigned char)*c) ? '?' : *c;
    }
    return quoted;
}

void sw_value_release_at(void *value, const sw_setting *setting) {
    if (sw_setting_is_list(setting)) {
        sw_string_list_release(value);
    } else if (setting->type >= SW_TYPE_STRING) {
        free(*(char **)value);
        *(char **)value = NULL;
    }
}

void sw_value_release(sw_config *config, const sw_setting *setting) {
    sw_value_release_at(field(config, setting), setting);
}
