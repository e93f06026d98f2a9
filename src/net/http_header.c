#include "net/http_header.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

static bool is_token_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

size_t sw_http_header_name_len(const char *line) {
    size_t n = 0;
    while (is_token_char(line[n])) {
        n++;
    }
    return n;
}

bool sw_http_header_same_name(const char *a, const char *b) {
    size_t n = sw_http_header_name_len(a);
    return n == sw_http_header_name_len(b) && strncasecmp(a, b, n) == 0;
}

const char *sw_http_header_check(const char *line) {
    /* Their values follow from the body that is sent; another one would make the server misread the request.
     */
    static const char *const own[] = {
        "Content-Length:", "Transfer-Encoding:", "Connection:", "Expect:", "Upgrade:", "TE:", "Trailer:"};
    size_t name = sw_http_header_name_len(line);
    if (name == 0 || line[name] != ':') {
        return "it is not of the form \"Name: value\"";
    }
    for (const char *c = line + name; *c != '\0'; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7F) {
            return "its value has a line break or another control character";
        }
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(own); i++) {
        if (sw_http_header_same_name(line, own[i])) {
            return "it is set by the client itself";
        }
    }
    return NULL;
}

bool sw_http_method_check(const char *method) {
    size_t n = 0;
    while (method[n] >= 'A' && method[n] <= 'Z') {
        n++;
    }
    return n > 0 && n <= 16 && method[n] == '\0' && strcmp(method, "CONNECT") != 0;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool sw_http_header_value(const char *line, size_t len, const char *name, char *out, size_t size) {
    size_t n = strlen(name);
    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0) {
        return false;
    }
    const char *from = line + n + 1;
    const char *end = line + len;
    while (from < end && is_space(*from)) {
        from++;
    }
    while (end > from && is_space(end[-1])) {
        end--;
    }
    size_t used = 0;
    for (; from < end && used + 1 < size; from++) {
        if ((unsigned char)*from >= ' ' && *from != 0x7F) {
            out[used++] = *from;
        }
    }
    out[used] = '\0';
    return true;
}

int64_t sw_http_date(const char *value) {
    time_t when = curl_getdate(value, NULL);
    return when > 0 ? (int64_t)when : 0;
}

int64_t sw_http_retry_after(const char *value, int64_t now_s) {
    int64_t seconds = 0;
    size_t digits = strspn(value, "0123456789");
    if (digits > 0 && value[digits] == '\0') {
        for (size_t i = 0; i < digits && seconds < SW_RETRY_AFTER_MAX_S; i++) {
            seconds = seconds * 10 + (value[i] - '0');
        }
    } else {
        int64_t when = sw_http_date(value);
        if (when == 0) {
            return -1;
        }
        seconds = when > now_s ? when - now_s : 0;
    }
    return seconds < SW_RETRY_AFTER_MAX_S ? seconds : SW_RETRY_AFTER_MAX_S;
}
