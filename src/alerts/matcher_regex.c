/*
 * The translation is also a check: what regcomp() would take in another sense than RE2, and what would let it
 * use memory or time without bounds, does not reach it.
 */
#include "alerts/matcher_regex.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/matchers.h"

struct translation {
    const char *at;
    sw_buf out;
    size_t depth;       /* open groups */
    size_t repetitions; /* all {n} multiplied */
    const char *wrong;
};

static void emit(struct translation *t, const char *text) {
    sw_buf_append_str(&t->out, text);
}

static void emit_char(struct translation *t, char c) {
    sw_buf_append_char(&t->out, c);
}

/* At a backslash outside brackets. */
static void translate_escape(struct translation *t) {
    char c = t->at[1];
    t->at += c == '\0' ? 1 : 2;
    if (c == '\0') {
        t->wrong = "ends with a backslash";
    } else if (c == 'd' || c == 'D') {
        emit(t, c == 'd' ? "[0-9]" : "[^0-9]");
    } else if (c == 't' || c == 'n' || c == 'r') {
        emit_char(t, c == 't' ? '\t' : c == 'n' ? '\n' : '\r');
    } else if (strchr("wWsSbB", c) != NULL) {
        emit_char(t, '\\');
        emit_char(t, c);
    } else if (isdigit((unsigned char)c)) {
        t->wrong = "has a back-reference";
    } else if (isalpha((unsigned char)c)) {
        t->wrong = "has an escape that is not known (\\d \\D \\w \\W \\s \\S \\b \\B \\t \\n \\r are)";
    } else if (c == '<' || c == '>' || c == '`' || c == '\'') { /* they would be anchors */
        emit_char(t, c);
    } else {
        emit_char(t, '\\');
        emit_char(t, c);
    }
}

/* At a backslash in brackets, where it means nothing to regcomp(). */
static void translate_bracket_escape(struct translation *t) {
    char c = t->at[1];
    t->at += c == '\0' ? 1 : 2;
    const char *class = c == 'd'   ? "0-9"
                        : c == 'w' ? "[:alnum:]_"
                        : c == 's' ? "[:space:]"
                        : c == 't' ? "\t"
                        : c == 'n' ? "\n"
                        : c == 'r' ? "\r"
                                   : NULL;
    if (class != NULL) {
        emit(t, class);
    } else if (c == '\0' || isalnum((unsigned char)c) || strchr("]^-[", c) != NULL) {
        t->wrong = "has an escape in brackets that cannot be used (write ] first, - last, ^ not first)";
    } else {
        emit_char(t, c);
    }
}

/* At "[". */
static void translate_brackets(struct translation *t) {
    emit_char(t, *t->at++);
    if (*t->at == '^') {
        emit_char(t, *t->at++);
    }
    bool first = true;
    for (; t->wrong == NULL && *t->at != '\0' && (*t->at != ']' || first); first = false) {
        if (t->at[0] == '\\') {
            translate_bracket_escape(t);
        } else if (t->at[0] == '[' && strchr(":.=", t->at[1]) != NULL && t->at[1] != '\0') {
            const char *end = strchr(t->at + 2, ']');
            if (t->at[1] != ':' || end == NULL || end[-1] != ':') {
                t->wrong = "has a bracket expression that cannot be used";
                return;
            }
            for (; t->at <= end; t->at++) {
                emit_char(t, *t->at);
            }
        } else {
            emit_char(t, *t->at++);
        }
    }
    if (t->wrong == NULL && *t->at != ']') {
        t->wrong = "has an open bracket";
    } else if (t->wrong == NULL) {
        emit_char(t, *t->at++);
    }
}

/* At "{": a repetition, or a plain brace when it is none, as in RE2. */
static void translate_brace(struct translation *t) {
    char *end = NULL;
    unsigned long least = isdigit((unsigned char)t->at[1]) ? strtoul(t->at + 1, &end, 10) : 0;
    unsigned long most = least;
    if (end != NULL && *end == ',' && isdigit((unsigned char)end[1])) {
        most = strtoul(end + 1, &end, 10);
    } else if (end != NULL && *end == ',') {
        end++;
    }
    if (end == NULL || *end != '}') {
        emit(t, "[{]");
        t->at++;
        return;
    }
    if (least > 255 || most > 255 || most < least) {
        t->wrong = "has a repetition that cannot be used (255 at most)";
        return;
    }
    t->repetitions *= most > 1 ? most : 1;
    for (; t->at <= end; t->at++) {
        emit_char(t, *t->at);
    }
}

/* At "(". */
static void translate_group(struct translation *t) {
    t->depth++;
    emit_char(t, *t->at++);
    if (*t->at == '?' && t->at[1] == ':') {
        t->at += 2;
    } else if (*t->at == '?') {
        t->wrong = "has (?…), of which only (?:…) is known";
    }
}

static void translate(struct translation *t) {
    while (t->wrong == NULL && *t->at != '\0') {
        if (*t->at == '\\') {
            translate_escape(t);
        } else if (*t->at == '[') {
            translate_brackets(t);
        } else if (*t->at == '{') {
            translate_brace(t);
        } else if (*t->at == '(') {
            translate_group(t);
        } else if (*t->at == ')' && t->depth-- == 0) {
            t->wrong = "closes a group that is not open";
        } else {
            emit_char(t, *t->at++);
        }
        if (t->repetitions * t->out.len > SW_MATCHER_MAX_EXPANDED) {
            t->wrong = "is too large with its repetitions written out";
        }
    }
    if (t->wrong == NULL && t->depth > 0) {
        t->wrong = "has an open group";
    }
}

regex_t *sw_matcher_regex(const char *text, char **why) {
    if (strlen(text) > SW_MATCHER_MAX_REGEX) {
        *why = xasprintf("expression is longer than %d bytes", SW_MATCHER_MAX_REGEX);
        return NULL;
    }
    struct translation t = {.at = text, .repetitions = 1};
    sw_buf_init(&t.out, SW_MATCHER_MAX_EXPANDED);
    emit(&t, "^(");
    translate(&t);
    emit(&t, ")$");
    regex_t *regex = xcalloc(1, sizeof *regex);
    int code = t.wrong == NULL ? regcomp(regex, t.out.data, REG_EXTENDED | REG_NOSUB) : 0;
    if (code != 0) {
        char reason[128];
        regerror(code, regex, reason, sizeof reason);
        *why = xasprintf("expression %s is wrong: %s", text, reason);
    } else if (t.wrong != NULL) {
        *why = xasprintf("expression %s %s", text, t.wrong);
    }
    sw_buf_release(&t.out);
    if (*why != NULL) {
        free(regex);
        return NULL;
    }
    return regex;
}
