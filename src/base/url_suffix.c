#include "base/url_suffix.h"

#include <ctype.h>
#include <string.h>

#define PATH_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/"

static bool has_bad_escape(const char *s, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%' &&
            (i + 2 >= len || !isxdigit((unsigned char)s[i + 1]) || !isxdigit((unsigned char)s[i + 2]))) {
            return true;
        }
    }
    return false;
}

static bool has_bad_character(const char *s, size_t len, const char *more) {
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '\0' || (strchr(PATH_CHARACTERS, s[i]) == NULL && strchr(more, s[i]) == NULL)) {
            return true;
        }
    }
    return false;
}

/* A part of a path that means another place: "", "." or "..", also with %2e. */
static bool leads_elsewhere(const char *part, size_t len) {
    size_t dots = 0, i = 0;
    while (i < len) {
        bool encoded = i + 2 < len && part[i] == '%' && part[i + 1] == '2' && (part[i + 2] | 32) == 'e';
        if (part[i] != '.' && !encoded) {
            return false;
        }
        i += encoded ? 3 : 1;
        dots++;
    }
    return dots <= 2;
}

const char *sw_url_suffix_check(const char *suffix, size_t len) {
    if (len < 2 || suffix[0] != '/' || len > SW_URL_SUFFIX_MAX) {
        return "it must begin with / and have 2 to 2048 characters";
    }
    const char *query = memchr(suffix, '?', len);
    size_t path_len = query != NULL ? (size_t)(query - suffix) : len;
    if (has_bad_character(suffix, path_len, "%") ||
        has_bad_character(suffix + path_len, len - path_len, "%?") || has_bad_escape(suffix, path_len) ||
        has_bad_escape(suffix + path_len, len - path_len)) {
        return "it has characters that must be percent-encoded";
    }
    for (size_t at = 1; at <= path_len;) {
        const char *slash = memchr(suffix + at, '/', path_len - at);
        size_t end = slash != NULL ? (size_t)(slash - suffix) : path_len;
        if (leads_elsewhere(suffix + at, end - at)) {
            return "it has a part that is empty, . or ..";
        }
        at = end + 1;
    }
    return NULL;
}

char *sw_url_with_suffix(const char *url, const char *suffix) {
    size_t path = strcspn(url, "?#"), query = path + (url[path] == '?' ? strcspn(url + path, "#") : 0);
    size_t kept = path;
    while (kept > 0 && url[kept - 1] == '/') {
        kept--;
    }
    size_t suffix_path = strcspn(suffix, "?");
    int own = (int)(query - path), more = (int)strlen(suffix + suffix_path);
    return xasprintf("%.*s%.*s%.*s%s%.*s", (int)kept, url, (int)suffix_path, suffix, own, url + path,
                     own > 0 && more > 0 ? "&" : "", more > 0 && own > 0 ? more - 1 : more,
                     suffix + suffix_path + (own > 0 && more > 0 ? 1 : 0));
}
