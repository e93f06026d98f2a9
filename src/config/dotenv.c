#include "config/dotenv.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct parsed_line {
    char *name;
    char *value;
} parsed_line;

static const char *skip_blanks(const char *at) {
    return at + strspn(at, " \t");
}

/* Takes "NAME =" and returns where the value begins; NULL with *why. */
static const char *parse_name(const char *at, char **name, const char **why) {
    if (sw_starts_with(at, "export") && (at[6] == ' ' || at[6] == '\t')) {
        at = skip_blanks(at + 6);
    }
    size_t len = 0;
    while (isalnum((unsigned char)at[len]) || at[len] == '_') {
        len++;
    }
    if (len == 0 || isdigit((unsigned char)at[0])) {
        *why = "must be NAME=value";
        return NULL;
    }
    const char *equals = skip_blanks(at + len);
    if (*equals != '=') {
        *why = "has no = after the name";
        return NULL;
    }
    *name = xstrndup(at, len);
    return skip_blanks(equals + 1);
}

static char unescaped(char c) {
    return c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
}

/* `at` is behind the opening quote. */
static char *parse_quoted(const char *at, char quote, const char **why) {
    char *value = xmalloc(strlen(at) + 1);
    size_t len = 0;
    while (*at != '\0' && *at != quote) {
        if (quote == '"' && *at == '\\' && at[1] != '\0') {
            at++;
            if (strchr("ntr\"\\$`", *at) == NULL) {
                value[len++] = '\\';
            }
            value[len++] = strchr("ntr", *at) != NULL ? unescaped(*at) : *at;
        } else {
            value[len++] = *at;
        }
        at++;
    }
    value[len] = '\0';
    const char *rest = *at == quote ? skip_blanks(at + 1) : "";
    if (*at != quote) {
        *why = "has a quote that is not closed on its line";
    } else if (*rest != '\0' && *rest != '#') {
        *why = "has text behind the closing quote";
    }
    if (*why != NULL) {
        free(value);
        return NULL;
    }
    return value;
}

static char *parse_plain(const char *at) {
    size_t len = 0;
    while (at[len] != '\0' && !(at[len] == '#' && (len == 0 || isspace((unsigned char)at[len - 1])))) {
        len++;
    }
    while (len > 0 && isspace((unsigned char)at[len - 1])) {
        len--;
    }
    return xstrndup(at, len);
}

/* NULL, or what is wrong. A line without an entry leaves name NULL. */
static const char *parse_line(const char *text, parsed_line *out) {
    const char *why = NULL;
    const char *at = skip_blanks(text);
    if (*at == '\0' || *at == '#') {
        return NULL;
    }
    at = parse_name(at, &out->name, &why);
    if (at != NULL) {
        out->value = *at == '"' || *at == '\'' ? parse_quoted(at + 1, *at, &why) : parse_plain(at);
    }
    return why;
}

static void handle_line(const char *start, size_t len, unsigned number, const sw_dotenv_handler *handler) {
    if (memchr(start, '\0', len) != NULL) {
        handler->mistake(number, "has a NUL byte", handler->arg);
        return;
    }
    if (len > 0 && start[len - 1] == '\r') {
        len--;
    }
    char *text = xstrndup(start, len);
    parsed_line line = {0};
    const char *why = parse_line(text, &line);
    if (why != NULL) {
        handler->mistake(number, why, handler->arg);
    } else if (line.name != NULL) {
        handler->entry(line.name, line.value, number, handler->arg);
    }
    free(line.name);
    free(line.value);
    free(text);
}

void sw_dotenv_parse(const char *text, size_t len, const sw_dotenv_handler *handler) {
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    size_t at = 0;
    if (len >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
        at = 3;
    }
    for (unsigned number = 1; at < len; number++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line_len = end != NULL ? (size_t)(end - text) - at : len - at;
        handle_line(text + at, line_len, number, handler);
        at += line_len + 1;
    }
}
