/*
 * The translation is also a check: what regcomp() would take in another sense than RE2, and what would let it
 * use memory or time without bounds, does not reach it.
 */
#include "alerts/matcher_regex.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/matchers.h"

/* What the C library's compiler takes most time and memory for (gigabytes, within a hundred bytes) is groups
 * that are repeated within groups that are repeated. */
#define MAX_DEPTH 32          /* open groups */
#define MAX_REPEATED_DEPTH 2  /* repeated groups within each other */
#define MAX_REPEATED_GROUPS 8 /* in all */
#define MAX_REPEATED_COST 16  /* repeated groups times {n} of groups */

struct translation {
    const char *at;
    sw_buf out;
    size_t depth;                /* open groups */
    size_t group_repetitions;    /* all {n} of groups multiplied */
    size_t repeated;             /* groups with *, +, ? or {n} behind them */
    size_t inner[MAX_DEPTH + 1]; /* of each open group: how deep repeated groups are within it */
    size_t size[MAX_DEPTH + 1];  /* of each open group, written out */
    size_t last;                 /* the size of what a repetition would repeat */
    bool last_is_group;
    enum { NOTHING, PIECE, REPEATED, LAZY } behind; /* what a repetition would find before it */
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
    } else if (isdigit((unsigned char)c)) {
        t->wrong = "has a back-reference";
    } else if (isalpha((unsigned char)c) && strchr("wWsSbB", c) == NULL) {
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

/* At a repetition. One of a repetition is refused as RE2 does: the C library would multiply them, at the cost
 * of gigabytes. The "?" of a lazy one is left out: a whole value matches either way. False when there is
 * nothing to be written. */
static bool begin_repetition(struct translation *t) {
    if (t->behind == PIECE) {
        t->behind = REPEATED;
        return true;
    }
    if (t->behind == REPEATED && *t->at == '?') {
        t->behind = LAZY;
        t->at++;
        return false;
    }
    t->wrong = t->behind == NOTHING ? "has a repetition of nothing" : "has a repetition of a repetition";
    return false;
}

/* Something that matches a piece of text by itself was written. */
static void note_piece(struct translation *t) {
    t->size[t->depth]++;
    t->last = 1;
    t->last_is_group = false;
    t->behind = PIECE;
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
        note_piece(t);
        return;
    }
    if (least > 255 || most > 255 || most < least) {
        t->wrong = "has a repetition that cannot be used (255 at most)";
        return;
    }
    if (!begin_repetition(t)) {
        return;
    }
    size_t times = most > 1 ? most : 1;
    t->group_repetitions *= t->last_is_group ? times : 1;
    t->size[t->depth] += t->last * (times - 1);
    t->last *= times;
    for (; t->at <= end; t->at++) {
        emit_char(t, *t->at);
    }
}

/* At "(". */
static void translate_group(struct translation *t) {
    if (t->depth == MAX_DEPTH) {
        t->wrong = "has too many groups within each other";
        return;
    }
    t->behind = NOTHING;
    t->inner[++t->depth] = 0;
    t->size[t->depth] = 0;
    emit_char(t, *t->at++);
    if (*t->at == '?' && t->at[1] == ':') {
        t->at += 2;
    } else if (*t->at == '?') {
        t->wrong = "has (?…), of which only (?:…) is known";
    }
}

/* At ")". */
static void translate_group_end(struct translation *t) {
    if (t->depth == 0) {
        t->wrong = "closes a group that is not open";
        return;
    }
    size_t depth = t->inner[t->depth];
    t->last = t->size[t->depth--] + 1;
    t->size[t->depth] += t->last;
    t->last_is_group = true;
    t->behind = PIECE;
    emit_char(t, *t->at++);
    if (*t->at != '\0' && strchr("*+?{", *t->at) != NULL) {
        depth++;
        t->repeated++;
    }
    if (depth > t->inner[t->depth]) {
        t->inner[t->depth] = depth;
    }
    if (depth > MAX_REPEATED_DEPTH || t->repeated > MAX_REPEATED_GROUPS) {
        t->wrong = "has too many repeated groups";
    }
}

static void translate(struct translation *t) {
    while (t->wrong == NULL && *t->at != '\0') {
        if (*t->at == '\\') {
            translate_escape(t);
            note_piece(t);
        } else if (*t->at == '[') {
            translate_brackets(t);
            note_piece(t);
        } else if (*t->at == '{') {
            translate_brace(t);
        } else if (*t->at == '(') {
            translate_group(t);
        } else if (*t->at == ')') {
            translate_group_end(t);
        } else if (strchr("*+?", *t->at) != NULL) {
            if (begin_repetition(t)) {
                emit_char(t, *t->at++);
            }
        } else {
            note_piece(t);
            if (strchr("|^$", *t->at) != NULL) {
                t->behind = NOTHING;
            }
            emit_char(t, *t->at++);
        }
        if (t->size[t->depth] > SW_MATCHER_MAX_EXPANDED ||
            t->group_repetitions * t->repeated > MAX_REPEATED_COST) {
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
    struct translation t = {.at = text, .group_repetitions = 1};
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
