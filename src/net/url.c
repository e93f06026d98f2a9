#include "net/url.h"

#include <curl/curl.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *parse_error(CURLUcode code) {
    switch (code) {
    case CURLUE_BAD_SCHEME:
    case CURLUE_UNSUPPORTED_SCHEME:
    case CURLUE_NO_SCHEME:
        return "it must start with http:// or https://";
    case CURLUE_NO_HOST:
        return "it has no host";
    case CURLUE_BAD_PORT_NUMBER:
        return "its port is not a number from 1 to 65535";
    case CURLUE_BAD_HOSTNAME:
    case CURLUE_BAD_IPV6:
        return "its host name is malformed";
    case CURLUE_BAD_LOGIN:
    case CURLUE_BAD_USER:
        return "its user name is malformed";
    default:
        return "it is malformed";
    }
}

static const char *check_characters(const char *url) {
    size_t len = strnlen(url, SW_URL_MAX + 1);
    if (len == 0) {
        return "it is empty";
    }
    if (len > SW_URL_MAX) {
        return "it is too long";
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)url[i];
        if (c <= ' ' || c == 0x7F) {
            return "it has spaces or control characters";
        }
    }
    return NULL;
}

/* The scheme and what follows: curl would read "http:/host" and "http:///host" as "http://host". */
static const char *check_start(const char *url) {
    size_t scheme = strncasecmp(url, "http://", 7) == 0 ? 7 : strncasecmp(url, "https://", 8) == 0 ? 8 : 0;
    if (scheme == 0) {
        return "it must start with http:// or https://";
    }
    char next = url[scheme];
    return next == '\0' || next == '/' || next == '?' || next == '#' ? "it has no host" : NULL;
}

/* curl decodes escapes in a host ("%35" is then 0.0.0.5): such a host could not be written again. */
static bool has_escaped_host(const char *url) {
    const char *authority = strstr(url, "://") + 3;
    const char *end = authority + strcspn(authority, "/?#");
    for (const char *c = authority; c < end; c++) {
        authority = *c == '@' ? c + 1 : authority;
    }
    return *authority != '[' && memchr(authority, '%', (size_t)(end - authority)) != NULL;
}

/* NULL with *out owned by the caller, or what is wrong. */
static const char *parse(const char *url, CURLU **out) {
    *out = NULL;
    if (url == NULL) {
        return "it is empty";
    }
    const char *wrong = check_characters(url);
    if (wrong == NULL) {
        wrong = check_start(url);
    }
    if (wrong != NULL) {
        return wrong;
    }
    CURLU *parsed = curl_url();
    CURLUcode code = parsed != NULL ? curl_url_set(parsed, CURLUPART_URL, url, 0) : CURLUE_OUT_OF_MEMORY;
    char *port = NULL;
    if (code == CURLUE_OK && has_escaped_host(url)) {
        code = CURLUE_BAD_HOSTNAME;
    }
    if (code == CURLUE_OK && curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK) {
        if (strspn(port, "0") == strlen(port)) {
            code = CURLUE_BAD_PORT_NUMBER;
        }
        curl_free(port);
    }
    if (code != CURLUE_OK) {
        curl_url_cleanup(parsed);
        return parse_error(code);
    }
    *out = parsed;
    return NULL;
}

const char *sw_url_check(const char *url) {
    CURLU *parsed = NULL;
    const char *wrong = parse(url, &parsed);
    curl_url_cleanup(parsed);
    return wrong;
}

static char *take(char *from_curl) {
    char *copy = xstrdup(from_curl);
    curl_free(from_curl);
    return copy;
}

char *sw_url_redact(const char *url) {
    static const CURLUPart secret[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_OPTIONS, CURLUPART_QUERY,
                                       CURLUPART_FRAGMENT};
    CURLU *parsed = NULL;
    if (parse(url, &parsed) != NULL) {
        return xstrdup("(invalid URL)");
    }
    bool clean = true;
    for (size_t i = 0; i < SW_ARRAY_LEN(secret); i++) {
        clean = clean && curl_url_set(parsed, secret[i], NULL, 0) == CURLUE_OK;
    }
    char *text = NULL;
    if (!clean || curl_url_get(parsed, CURLUPART_URL, &text, 0) != CURLUE_OK) {
        text = NULL;
    }
    curl_url_cleanup(parsed);
    return text != NULL ? take(text) : xstrdup("(invalid URL)");
}

char *sw_url_host(const char *url) {
    CURLU *parsed = NULL;
    if (parse(url, &parsed) != NULL) {
        return NULL;
    }
    char *host = NULL;
    char *port = NULL;
    char *result = NULL;
    if (curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
        bool has_port = curl_url_get(parsed, CURLUPART_PORT, &port, 0) == CURLUE_OK;
        result = has_port ? xasprintf("%s:%s", host, port) : xstrdup(host);
        for (char *c = result; *c != '\0'; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parsed);
    return result;
}

int sw_url_encode(sw_buf *out, const char *s) {
    static const char digits[] = "0123456789ABCDEF";
    int result = 0;
    for (; *s != '\0' && result == 0; s++) {
        unsigned char c = (unsigned char)*s;
        bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
                     c == '.' || c == '_' || c == '~';
        char escaped[3] = {'%', digits[c >> 4], digits[c & 15]};
        result = plain ? sw_buf_append_char(out, (char)c) : sw_buf_append(out, escaped, 3);
    }
    return result;
}
