/*
 * Label matchers with Alertmanager's syntax and meaning: name="value" with =, !=, =~ and !~. A label that is
 * absent is the empty text. Regular expressions match the whole value.
 *
 * The expressions are POSIX extended ones of the C library, compiled as ^(…)$, with what people write for RE2
 * translated: (?:…) is a group, \d \D \w \W \s \S are classes, also in brackets where they are not negated.
 * Refused, with a reason: back-references (they can take for ever), flags such as (?i), Unicode classes,
 * \Q…\E, and what would be large when it is written out. "." is any byte.
 *
 * Of an alert, these labels can be matched: its own, and alertname (its type, always), fingerprint (always),
 * type, severity, detector, source, service, operation.
 */
#ifndef SW_ALERTS_MATCHERS_H
#define SW_ALERTS_MATCHERS_H

#include <regex.h>

#include "alerts/alerts.h"

#define SW_MATCHERS_MAX 64           /* in one list */
#define SW_MATCHER_MAX_NAME 256      /* bytes */
#define SW_MATCHER_MAX_VALUE 4096    /* bytes of a value that is no expression */
#define SW_MATCHER_MAX_REGEX 512     /* bytes of an expression as written */
#define SW_MATCHER_MAX_EXPANDED 4096 /* pieces of it with repetitions written out */

typedef enum sw_match_op {
    SW_MATCH_EQUAL,
    SW_MATCH_NOT_EQUAL,
    SW_MATCH_REGEX,
    SW_MATCH_NOT_REGEX
} sw_match_op;

typedef struct sw_matcher {
    char *name, *value;
    sw_match_op op;
    regex_t *regex; /* NULL unless the operator has one */
} sw_matcher;

/* All of them must match. */
typedef struct sw_matchers {
    sw_matcher *items;
    size_t n;
} sw_matchers;

/* "=", "!=", "=~" or "!~". */
const char *sw_match_op_text(sw_match_op op);

/* 0, or -1 with *why (caller frees): name or expression cannot be used, or the list is full. */
int sw_matchers_add(sw_matchers *matchers, const char *name, sw_match_op op, const char *value, char **why);
/* Adds those of a text, as amtool writes them: `service="checkout",operation=~"GET.*"`, in braces or not,
 * values quoted (with \" \\ \n) or not. 0, or -1 with *why (caller frees); what was added stays. */
int sw_matchers_parse(sw_matchers *matchers, const char *text, char **why);
void sw_matchers_release(sw_matchers *matchers);
void sw_matchers_copy(sw_matchers *to, const sw_matchers *from);
bool sw_matchers_equal(const sw_matchers *a, const sw_matchers *b); /* in the same order */
/* The list as text that sw_matchers_parse() reads. */
void sw_matchers_print(const sw_matchers *matchers, sw_buf *out);

bool sw_matcher_matches(const sw_matcher *matcher, const char *value);
bool sw_matchers_match_alert(const sw_matchers *matchers, const sw_alert *alert);
/* True when something without any label would match. */
bool sw_matchers_match_nothing(const sw_matchers *matchers);

/* The value that matchers see; "" when absent. */
const char *sw_alert_match_label(const sw_alert *alert, const char *name);

#endif
