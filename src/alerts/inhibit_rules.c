#include "alerts/inhibit_rules.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/alerts_internal.h"

static const char *const keys[] = {"source_matchers", "target_matchers", "equal"};

struct reading {
    size_t number; /* of the rule, from 1 */
    bool bad;
    sw_buf *mistakes;
};

__attribute__((format(printf, 3, 4))) static void mistake(struct reading *r, const char *key, const char *fmt,
                                                          ...) {
    va_list args;
    va_start(args, fmt);
    char *what = xvasprintf(fmt, args);
    va_end(args);
    sw_buf_printf(r->mistakes, "inhibit_rules[%zu]%s%s %s\n", r->number, key[0] != '\0' ? "." : "", key,
                  what);
    free(what);
    r->bad = true;
}

/* An empty Lua table may come as an object. */
static bool is_list(const json_t *value) {
    return json_is_array(value) || (json_is_object(value) && json_object_size(value) == 0);
}

static void read_matchers(struct reading *r, const json_t *rule, const char *key, sw_matchers *out) {
    const json_t *list = json_object_get(rule, key), *item = NULL;
    size_t i = 0, before = r->mistakes->len;
    if (list != NULL && !is_list(list)) {
        mistake(r, key, "must be a list of matchers, such as { 'severity=\"critical\"' }");
        return;
    }
    json_array_foreach(list, i, item) {
        char *why = NULL;
        const char *text = json_string_value(item);
        if (text == NULL) {
            mistake(r, key, "entry %zu must be a text, such as 'severity=\"critical\"'", i + 1);
        } else if (sw_matchers_parse(out, text, &why) != 0) {
            mistake(r, key, "entry %zu (%s) cannot be used: %s", i + 1, text, why);
        }
        free(why);
    }
    if (r->mistakes->len == before && out->n == 0) {
        mistake(r, key, "needs at least one matcher: without any, every alert would be meant");
    } else if (r->mistakes->len == before && sw_matchers_match_nothing(out)) {
        mistake(r, key,
                "needs at least one matcher that does not match the empty text: every alert would be meant");
    }
}

static bool has(const sw_inhibit_rule *rule, const char *label) {
    for (size_t i = 0; i < rule->n_equal; i++) {
        if (strcmp(rule->equal[i], label) == 0) {
            return true;
        }
    }
    return false;
}

static void read_equal(struct reading *r, const json_t *rule, sw_inhibit_rule *out) {
    const json_t *list = json_object_get(rule, "equal"), *item = NULL;
    size_t i = 0, n = json_array_size(list);
    if (list != NULL && !is_list(list)) {
        mistake(r, "equal", "must be a list of labels, such as { \"service\" }");
        return;
    }
    if (n > SW_INHIBIT_EQUAL_MAX) {
        mistake(r, "equal", "must have at most %d labels", SW_INHIBIT_EQUAL_MAX);
        return;
    }
    out->equal = xcalloc(n + 1, sizeof *out->equal);
    json_array_foreach(list, i, item) {
        const char *label = json_string_value(item);
        if (label == NULL || label[0] == '\0' || strlen(label) > SW_MATCHER_MAX_NAME) {
            mistake(r, "equal", "entry %zu must be the name of a label", i + 1);
        } else if (has(out, label)) {
            mistake(r, "equal", "entry %zu (%s) is there already", i + 1, label);
        } else {
            out->equal[out->n_equal++] = xstrdup(label);
        }
    }
}

static void read_keys(struct reading *r, const json_t *rule) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)rule, key, value) {
        bool known = false;
        for (size_t i = 0; i < SW_ARRAY_LEN(keys); i++) {
            known = known || strcmp(keys[i], key) == 0;
        }
        if (!known) {
            mistake(r, key, "is not known; a rule has source_matchers, target_matchers and equal");
        }
    }
}

static void release(sw_inhibit_rule *rule) {
    sw_matchers_release(&rule->source);
    sw_matchers_release(&rule->target);
    for (size_t i = 0; i < rule->n_equal; i++) {
        free(rule->equal[i]);
    }
    free(rule->equal);
    *rule = (sw_inhibit_rule){0};
}

static void read_rule(struct reading *r, const json_t *rule, sw_inhibit_rules *out) {
    sw_inhibit_rule read = {0};
    if (!json_is_object(rule) || json_object_size(rule) == 0) {
        mistake(r, "", "must be a table with source_matchers, target_matchers and equal");
        return;
    }
    read_keys(r, rule);
    read_matchers(r, rule, "source_matchers", &read.source);
    read_matchers(r, rule, "target_matchers", &read.target);
    read_equal(r, rule, &read);
    if (r->bad) {
        release(&read);
        return;
    }
    out->items = xrealloc_array(out->items, out->n + 1, sizeof *out->items);
    out->items[out->n++] = read;
}

void sw_inhibit_rules_parse(const char *json, sw_inhibit_rules *out, sw_buf *mistakes) {
    *out = (sw_inhibit_rules){0};
    json_t *list = json_loads(json, JSON_ALLOW_NUL, NULL);
    const json_t *rule = NULL;
    size_t i = 0;
    if (!is_list(list)) {
        sw_buf_append_str(mistakes,
                          "inhibit_rules must be a list of tables with source_matchers, target_matchers "
                          "and equal\n");
    } else if (json_array_size(list) > SW_INHIBIT_RULES_MAX) {
        sw_buf_printf(mistakes, "inhibit_rules must have at most %d rules\n", SW_INHIBIT_RULES_MAX);
    } else {
        json_array_foreach(list, i, rule) {
            struct reading r = {.number = i + 1, .mistakes = mistakes};
            read_rule(&r, rule, out);
        }
    }
    json_decref(list);
}

void sw_inhibit_rules_release(sw_inhibit_rules *rules) {
    for (size_t i = 0; i < rules->n; i++) {
        release(&rules->items[i]);
    }
    free(rules->items);
    *rules = (sw_inhibit_rules){0};
}
