#include "telemetry/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "telemetry/text.h"

/* Room kept at the end of a line for what closes it, so that a cut line is still well-formed. */
#define TAIL_ROOM 32
#define KEY_MAX 64
#define NUMBER_SLOTS 16

typedef struct line {
    char data[SW_LOG_LINE_MAX + 1];
    size_t len;
    bool cut;
} line;

static struct {
    sw_log_level min_level;
    sw_log_format format;
    void (*sink)(const char *line, void *arg);
    void *sink_arg;
    const sw_clock *clock;
} logger = {.min_level = SW_LOG_INFO, .format = SW_LOG_LOGFMT};

static char numbers[NUMBER_SLOTS][SW_DOUBLE_TEXT];
static size_t next_number;

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const format_names[] = {"logfmt", "json"};

void sw_log_setup(sw_log_level min_level, sw_log_format format) {
    logger.min_level = min_level;
    logger.format = format;
}

void sw_log_set_sink(void (*sink)(const char *line, void *arg), void *arg) {
    logger.sink = sink;
    logger.sink_arg = arg;
}

void sw_log_set_clock(const sw_clock *clock) {
    logger.clock = clock;
}

bool sw_log_enabled(sw_log_level level) {
    return level >= logger.min_level;
}

static int find_name(const char *const *names, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (sw_streq(names[i], name)) {
            return (int)i;
        }
    }
    return -1;
}

int sw_log_level_parse(const char *name, sw_log_level *out) {
    int found = find_name(level_names, SW_ARRAY_LEN(level_names), name);
    if (found >= 0) {
        *out = (sw_log_level)found;
    }
    return found >= 0 ? 0 : -1;
}

int sw_log_format_parse(const char *name, sw_log_format *out) {
    int found = find_name(format_names, SW_ARRAY_LEN(format_names), name);
    if (found >= 0) {
        *out = (sw_log_format)found;
    }
    return found >= 0 ? 0 : -1;
}

static char *number_slot(void) {
    return numbers[next_number++ % NUMBER_SLOTS];
}

const char *sw_log_num(double value) {
    char *slot = number_slot();
    sw_format_double(value, slot);
    return slot;
}

const char *sw_log_int(int64_t value) {
    char *slot = number_slot();
    snprintf(slot, SW_DOUBLE_TEXT, "%" PRId64, value);
    return slot;
}

/* Only what came from sw_log_num and sw_log_int is a JSON number: text that looks like one (a trace id) is
 * not. */
static bool is_number(const char *value) {
    uintptr_t at = (uintptr_t)value;
    if (at < (uintptr_t)numbers || at >= (uintptr_t)numbers + sizeof numbers) {
        return false;
    }
    char first = value[0] == '-' ? value[1] : value[0];
    return first >= '0' && first <= '9';
}

static void put_tail(line *out, const char *s) {
    size_t n = strlen(s);
    memcpy(out->data + out->len, s, n);
    out->len += n;
}

static void put(line *out, const char *s, size_t n) {
    if (out->cut || out->len + n > SW_LOG_LINE_MAX - TAIL_ROOM) {
        out->cut = true;
        return;
    }
    memcpy(out->data + out->len, s, n);
    out->len += n;
}

/* Control characters would let a value forge lines or steer a terminal: C0, DEL and C1 are all escaped. */
static bool is_control(uint32_t code) {
    return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0x2028 || code == 0x2029;
}

static void put_control(line *out, uint32_t code) {
    char text[8];
    switch (code) {
    case '\n':
        put(out, "\\n", 2);
        break;
    case '\r':
        put(out, "\\r", 2);
        break;
    case '\t':
        put(out, "\\t", 2);
        break;
    default:
        snprintf(text, sizeof text, "\\u%04x", (unsigned)(code & 0xFFFF));
        put(out, text, 6);
    }
}

static void put_escaped(line *out, const char *s) {
    size_t len = strlen(s);
    for (size_t i = 0; i < len && !out->cut;) {
        uint32_t code = 0;
        size_t n = sw_utf8_next(s + i, len - i, &code);
        if (is_control(code)) {
            put_control(out, code);
        } else if (code == '"' || code == '\\') {
            char escaped[2] = {'\\', (char)code};
            put(out, escaped, 2);
        } else if (code == 0xFFFD) {
            put(out, SW_UTF8_REPLACEMENT, 3);
        } else {
            put(out, s + i, n);
        }
        i += n;
    }
}

static bool needs_quotes(const char *s) {
    if (*s == '\0') {
        return true;
    }
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;
        if (c <= ' ' || c >= 0x7F || c == '"' || c == '=' || c == '\\') {
            return true;
        }
    }
    return false;
}

static void put_value(line *out, const char *value, bool quotes) {
    if (!quotes) {
        put(out, value, strlen(value));
        return;
    }
    put(out, "\"", 1);
    bool opened = !out->cut;
    put_escaped(out, value);
    if (opened) {
        put_tail(out, "\"");
    }
}

/* Keys come from scripts too: what logfmt cannot carry becomes '_', and the line's own keys stay its own. */
static void clean_key(const char *key, char out[KEY_MAX + 2]) {
    size_t n = 0;
    for (; key[n] != '\0' && n < KEY_MAX; n++) {
        char c = key[n];
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                     c == '-' || c == '.' || c == '/';
        out[n] = plain ? c : '_';
    }
    out[n] = '\0';
    static const char *const own[] = {"", "time", "level", "msg", "truncated"};
    if (find_name(own, SW_ARRAY_LEN(own), out) >= 0) {
        out[n] = '_';
        out[n + 1] = '\0';
    }
}

/* Whether `value` stands bare. One that does not fit is quoted, so that half of it cannot pass for the whole.
 */
static bool is_bare(const line *out, const char *value) {
    if (logger.format == SW_LOG_JSON) {
        return is_number(value);
    }
    return !needs_quotes(value) && out->len + strlen(value) <= SW_LOG_LINE_MAX - TAIL_ROOM;
}

static void put_pair(line *out, const char *key, const char *value) {
    bool json = logger.format == SW_LOG_JSON;
    size_t before = out->len;
    put(out, json ? ",\"" : " ", json ? 2 : 1);
    put(out, key, strlen(key));
    put(out, json ? "\":" : "=", json ? 2 : 1);
    size_t at_value = out->len;
    if (!out->cut) {
        put_value(out, value, !is_bare(out, value));
    }
    if (out->cut && out->len == at_value) { /* a key without value, or half a key */
        out->len = before;
    }
}

static void begin_line(line *out, sw_log_level level, const char *event) {
    char now[32];
    sw_format_rfc3339(sw_wall_ns(logger.clock != NULL ? logger.clock : sw_clock_system()), now);
    bool json = logger.format == SW_LOG_JSON;
    out->len = 0;
    out->cut = false;
    put(out, json ? "{\"time\":\"" : "time=", json ? 9 : 5);
    put(out, now, strlen(now));
    if (json) {
        put(out, "\"", 1);
    }
    put_pair(out, "level", level_names[level]);
    put_pair(out, "msg", event != NULL ? event : "");
}

static void write_line(const char *data, size_t len) {
    ssize_t written = 0;
    do {
        written = write(STDERR_FILENO, data, len);
    } while (written < 0 && errno == EINTR);
    /* A full pipe or a closed terminal loses the line: the agent must not stop for its log. */
}

static void end_line(line *out) {
    bool json = logger.format == SW_LOG_JSON;
    if (out->cut) {
        put_tail(out, json ? ",\"truncated\":true" : " truncated=true");
    }
    if (json) {
        put_tail(out, "}");
    }
    out->data[out->len] = '\0';
    if (logger.sink != NULL) {
        logger.sink(out->data, logger.sink_arg);
        return;
    }
    put_tail(out, "\n");
    write_line(out->data, out->len);
}

static void add_pair(line *out, const char *key, const char *value) {
    if (value != NULL && !out->cut) {
        char cleaned[KEY_MAX + 2];
        clean_key(key, cleaned);
        put_pair(out, cleaned, value);
    }
}

void sw_log(sw_log_level level, const char *event, ...) {
    if (!sw_log_enabled(level)) {
        return;
    }
    line out;
    begin_line(&out, level, event);
    va_list args;
    va_start(args, event);
    for (const char *key = va_arg(args, const char *); key != NULL; key = va_arg(args, const char *)) {
        add_pair(&out, key, va_arg(args, const char *));
    }
    va_end(args);
    end_line(&out);
}

void sw_log_pairs(sw_log_level level, const char *event, size_t n, const char *const *keys,
                  const char *const *values) {
    if (!sw_log_enabled(level)) {
        return;
    }
    line out;
    begin_line(&out, level, event);
    for (size_t i = 0; i < n; i++) {
        add_pair(&out, keys[i] != NULL ? keys[i] : "", values[i]);
    }
    end_line(&out);
}
