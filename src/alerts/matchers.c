#include "alerts/matchers.h"

#include <stdlib.h>
#include <string.h>

#include "alerts/matcher_regex.h"

#define BLANKS " \t\r\n"

const char *sw_match_op_text(sw_match_op op) {
    static const char *const texts[] = {"=", "!=", "=~", "!~"};
    return texts[op];
}

static bool is_regex(sw_match_op op) {
    return op == SW_MATCH_REGEX || op == SW_MATCH_NOT_REGEX;
}

/* ---- building ---- */

/* Prometheus' names, and what names of OpenTelemetry have besides: dots and dashes. */
static bool is_name(const char *name) {
    size_t len = strlen(name);
    return len > 0 && len <= SW_MATCHER_MAX_NAME && strchr("0123456789.-", name[0]) == NULL &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:.-") == len;
}

int sw_matchers_add(sw_matchers *matchers, const char *name, sw_match_op op, const char *value, char **why) {
    *why = NULL;
    regex_t *regex = NULL;
    if (matchers->n >= SW_MATCHERS_MAX) {
        *why = xasprintf("more than %d matchers", SW_MATCHERS_MAX);
    } else if (!is_name(name)) {
        *why = xasprintf("invalid label name \"%.100s\"", name);
    } else if (strlen(value) > SW_MATCHER_MAX_VALUE) {
        *why = xasprintf("value of %s is longer than %d bytes", name, SW_MATCHER_MAX_VALUE);
    } else if (is_regex(op)) {
        regex = sw_matcher_regex(value, why);
    }
    if (*why != NULL) {
        return -1;
    }
    matchers->items = xrealloc_array(matchers->items, matchers->n + 1, sizeof *matchers->items);
    matchers->items[matchers->n++] = (sw_matcher){xstrdup(name), xstrdup(value), op, regex};
    return 0;
}

void sw_matchers_release(sw_matchers *matchers) {
    for (size_t i = 0; i < matchers->n; i++) {
        sw_matcher *matcher = &matchers->items[i];
        free(matcher->name);
        free(matcher->value);
        if (matcher->regex != NULL) {
            regfree(matcher->regex);
            free(matcher->regex);
        }
    }
    free(matchers->items);
    *matchers = (sw_matchers){0};
}

void sw_matchers_copy(sw_matchers *to, const sw_matchers *from) {
    *to = (sw_matchers){0};
    for (size_t i = 0; i < from->n; i++) {
        char *why = NULL; /* what was taken once is taken again */
        sw_matchers_add(to, from->items[i].name, from->items[i].op, from->items[i].value, &why);
        free(why);
    }
}

bool sw_matchers_equal(const sw_matchers *a, const sw_matchers *b) {
    for (size_t i = 0; i < a->n && a->n == b->n; i++) {
        const sw_matcher *x = &a->items[i], *y = &b->items[i];
        if (x->op != y->op || strcmp(x->name, y->name) != 0 || strcmp(x->value, y->value) != 0) {
            return false;
        }
    }
    return a->n == b->n;
}

/* ---- text ---- */

struct reader {
    const char *at;
    const char *wrong;
};

static void skip_blanks(struct reader *r) {
    r->at += strspn(r->at, BLANKS);
}

static sw_match_op read_op(struct reader *r) {
    if (r->at[0] == '=') {
        bool regex = r->at[1] == '~';
        r->at += regex ? 2 : 1;
        return regex ? SW_MATCH_REGEX : SW_MATCH_EQUAL;
    }
    if (r->at[0] == '!' && (r->at[1] == '=' || r->at[1] == '~')) {
        r->at += 2;
        return r->at[-1] == '~' ? SW_MATCH_NOT_REGEX : SW_MATCH_NOT_EQUAL;
    }
    r->wrong = "needs =, !=, =~ or !~ behind the name";
    return SW_MATCH_EQUAL;
}

/* Behind the opening quote. \" \\ and \n are escapes; another backslash is itself, as in Alertmanager. */
static void read_quoted(struct reader *r, sw_buf *value) {
    for (; *r->at != '"'; r->at++) {
        if (*r->at == '\0') {
            r->wrong = "has a quote that is not closed";
            return;
        }
        if (*r->at == '\\' && r->at[1] != '\0' && strchr("\"\\n", r->at[1]) != NULL) {
            r->at++;
            sw_buf_append_char(value, *r->at == 'n' ? '\n' : *r->at);
        } else {
            sw_buf_append_char(value, *r->at);
        }
    }
    r->at++;
}

static void read_bare(struct reader *r, sw_buf *value, bool braces) {
    size_t len = strcspn(r->at, braces ? ",\"}" : ",\"");
    const char *end = r->at + len;
    while (len > 0 && strchr(BLANKS, r->at[len - 1]) != NULL) {
        len--;
    }
    sw_buf_append(value, r->at, len);
    r->at = end;
    if (*end == '"') {
        r->wrong = "has a quote within a value that does not begin with one";
    }
}

static int read_matcher(struct reader *r, sw_matchers *out, bool braces, char **why) {
    const char *from = r->at;
    size_t len = strcspn(from, "=!," BLANKS);
    char *name = xstrndup(from, len < SW_MATCHER_MAX_NAME + 1 ? len : SW_MATCHER_MAX_NAME + 1);
    r->at += len;
    skip_blanks(r);
    sw_match_op op = read_op(r);
    skip_blanks(r);
    sw_buf value;
    sw_buf_init(&value, SW_MATCHER_MAX_VALUE);
    if (r->wrong == NULL && *r->at == '"') {
        r->at++;
        read_quoted(r, &value);
    } else if (r->wrong == NULL) {
        read_bare(r, &value, braces);
    }
    skip_blanks(r);
    if (value.overflow) {
        r->wrong = "has a value that is too long";
    } else if (r->wrong == NULL && *r->at != '\0' && *r->at != ',' && !(braces && *r->at == '}')) {
        r->wrong = "goes on behind its value";
    }
    int rc = -1;
    if (r->wrong != NULL) {
        *why = xasprintf("matcher \"%.100s\" %s", from, r->wrong);
    } else {
        rc = sw_matchers_add(out, name, op, value.data != NULL ? value.data : "", why);
    }
    sw_buf_release(&value);
    free(name);
    return rc;
}

int sw_matchers_parse(sw_matchers *matchers, const char *text, char **why) {
    *why = NULL;
    struct reader r = {.at = text};
    skip_blanks(&r);
    bool braces = *r.at == '{';
    r.at += braces ? 1 : 0;
    skip_blanks(&r);
    while (*r.at != '\0' && !(braces && *r.at == '}')) {
        if (read_matcher(&r, matchers, braces, why) != 0) {
            return -1;
        }
        r.at += *r.at == ',' ? 1 : 0; /* one may follow the last, as in Alertmanager */
        skip_blanks(&r);
    }
    if (braces && *r.at++ != '}') {
        *why = xstrdup("a brace is not closed");
        return -1;
    }
    skip_blanks(&r);
    if (*r.at != '\0') {
        *why = xasprintf("something follows the closing brace: %.100s", r.at);
        return -1;
    }
    return 0;
}

void sw_matchers_print(const sw_matchers *matchers, sw_buf *out) {
    for (size_t i = 0; i < matchers->n; i++) {
        const sw_matcher *matcher = &matchers->items[i];
        sw_buf_printf(out, "%s%s%s\"", i > 0 ? "," : "", matcher->name, sw_match_op_text(matcher->op));
        for (const char *c = matcher->value; *c != '\0'; c++) {
            if (*c == '"' || *c == '\\') {
                sw_buf_append_char(out, '\\');
            }
            if (*c == '\n') {
                sw_buf_append_str(out, "\\n");
            } else {
                sw_buf_append_char(out, *c);
            }
        }
        sw_buf_append_char(out, '"');
    }
}

/* ---- matching ---- */

bool sw_matcher_matches(const sw_matcher *matcher, const char *value) {
    if (!is_regex(matcher->op)) {
        return (strcmp(matcher->value, value) == 0) == (matcher->op == SW_MATCH_EQUAL);
    }
    bool found = regexec(matcher->regex, value, 0, NULL, 0) == 0;
    return found == (matcher->op == SW_MATCH_REGEX);
}

static const char *or_empty(const char *s) {
    return s != NULL ? s : "";
}

const char *sw_alert_match_label(const sw_alert *alert, const char *name) {
    if (strcmp(name, "alertname") == 0) {
        return or_empty(alert->type);
    }
    if (strcmp(name, "fingerprint") == 0) {
        return alert->fingerprint;
    }
    const char *label = sw_alert_label(alert, name);
    if (label != NULL) {
        return label;
    }
    if (strcmp(name, "severity") == 0) {
        return sw_severity_name(alert->severity);
    }
    return strcmp(name, "type") == 0        ? or_empty(alert->type)
           : strcmp(name, "detector") == 0  ? or_empty(alert->detector)
           : strcmp(name, "source") == 0    ? or_empty(alert->source)
           : strcmp(name, "service") == 0   ? or_empty(alert->service)
           : strcmp(name, "operation") == 0 ? or_empty(alert->operation)
                                            : "";
}

bool sw_matchers_match_alert(const sw_matchers *matchers, const sw_alert *alert) {
    for (size_t i = 0; i < matchers->n; i++) {
        const sw_matcher *matcher = &matchers->items[i];
        if (!sw_matcher_matches(matcher, sw_alert_match_label(alert, matcher->name))) {
            return false;
        }
    }
    return true;
}

bool sw_matchers_match_nothing(const sw_matchers *matchers) {
    for (size_t i = 0; i < matchers->n; i++) {
        if (!sw_matcher_matches(&matchers->items[i], "")) {
            return false;
        }
    }
    return true;
}
