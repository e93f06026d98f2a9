/* From a request and a profile to the options of a curl handle. */
#include "net/http_client_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net/http_header.h"
#include "net/tls_server.h"
#include "net/url.h"

static bool refuse(sw_http_call *call, const char *what, const char *why) {
    http_call_fail(call, SW_HTTP_BAD_REQUEST, "%s: %s", what, why);
    return false;
}

/* What goes into a message may come from a configuration file: only the name of a header, never its value. */
static bool refuse_header(sw_http_call *call, const char *line, const char *why) {
    http_call_fail(call, SW_HTTP_BAD_REQUEST, "header %.*s: %s",
                   (int)strnlen(line, sw_http_header_name_len(line)), line, why);
    return false;
}

static void append_line(sw_http_call *call, const char *line) {
    struct curl_slist *grown = curl_slist_append(call->headers, line);
    if (grown == NULL) {
        abort(); /* no memory: the policy of base.h */
    }
    call->headers = grown;
}

static bool append_header(sw_http_call *call, const char *line) {
    const char *wrong = sw_http_header_check(line);
    if (wrong != NULL) {
        return refuse_header(call, line, wrong);
    }
    size_t name = sw_http_header_name_len(line);
    if (line[name + 1 + strspn(line + name + 1, " \t")] == '\0') {
        /* curl reads "Name:" as "do not send it", and "Name;" as the header with an empty value. */
        char *empty = xasprintf("%.*s;", (int)name, line);
        append_line(call, empty);
        free(empty);
    } else {
        append_line(call, line);
    }
    return true;
}

static bool contains(const char *const *headers, const char *line) {
    for (size_t i = 0; headers != NULL && headers[i] != NULL; i++) {
        if (sw_http_header_same_name(headers[i], line)) {
            return true;
        }
    }
    return false;
}

static bool set_headers(sw_http_call *call, const sw_http_request *request) {
    const char *const *general = request->profile != NULL ? request->profile->headers : NULL;
    for (size_t i = 0; general != NULL && general[i] != NULL; i++) {
        if (!contains(request->headers, general[i]) && !append_header(call, general[i])) {
            return false;
        }
    }
    for (size_t i = 0; request->headers != NULL && request->headers[i] != NULL; i++) {
        if (!append_header(call, request->headers[i])) {
            return false;
        }
    }
    /* Waiting for "100 Continue" would add a second to each large body; and without a type of the caller's,
     * curl would call every body a form. */
    append_line(call, "Expect:");
    if (!contains(request->headers, "Content-Type:") && !contains(general, "Content-Type:")) {
        append_line(call, "Content-Type:");
    }
    return true;
}

static bool set_method(sw_http_call *call, const sw_http_request *request) {
    const char *method = request->method != NULL ? request->method : "GET";
    if (!sw_http_method_check(method)) {
        return refuse(call, "method", "it is not a word in upper-case letters");
    }
    bool is_post = strcmp(method, "POST") == 0;
    if (strcmp(method, "HEAD") == 0) {
        if (request->body_len > 0) {
            return refuse(call, "method", "HEAD has no body");
        }
        curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
        return true;
    }
    if (request->body_len > 0 || is_post || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0) {
        curl_easy_setopt(call->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(call->easy, CURLOPT_COPYPOSTFIELDS, request->body_len > 0 ? request->body : "");
        if (is_post) {
            return true;
        }
    } else if (strcmp(method, "GET") == 0) {
        return true;
    }
    curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
    return true;
}

static bool has_control(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F) {
            return true;
        }
    }
    return false;
}

static bool set_basic_auth(sw_http_call *call, const char *path, sw_secrets *secrets) {
    char error[256];
    size_t len = 0;
    const char *secret = sw_secrets_get(secrets, path, &len, error);
    if (secret == NULL) {
        http_call_fail(call, SW_HTTP_BAD_REQUEST, "%s", error);
        return false;
    }
    const char *colon = strchr(secret, ':');
    if (colon == NULL || has_control(secret, len)) {
        http_call_fail(call, SW_HTTP_BAD_REQUEST,
                       "cannot use secret file %s: it is not one line user:password", path);
        return false;
    }
    char *user = xstrndup(secret, (size_t)(colon - secret));
    curl_easy_setopt(call->easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(call->easy, CURLOPT_USERNAME, user);
    curl_easy_setopt(call->easy, CURLOPT_PASSWORD, colon + 1);
    free(user);
    return true;
}

static bool set_bearer(sw_http_call *call, const sw_http_profile *profile, sw_secrets *secrets) {
    const char *path = profile->bearer_token_file, *type = profile->authorization_type;
    char error[256];
    size_t len = 0;
    const char *token = sw_secrets_get(secrets, path, &len, error);
    if (token == NULL) {
        http_call_fail(call, SW_HTTP_BAD_REQUEST, "%s", error);
        return false;
    }
    if (has_control(token, len) || memchr(token, ' ', len) != NULL) {
        http_call_fail(call, SW_HTTP_BAD_REQUEST,
                       "cannot use secret file %s: it is not one line with one token", path);
        return false;
    }
    if (type != NULL && strcmp(type, "Bearer") != 0) {
        char *line = xasprintf("Authorization: %s %s", type, token);
        bool good = append_header(call, line);
        explicit_bzero(line, strlen(line));
        free(line);
        return good;
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    curl_easy_setopt(call->easy, CURLOPT_XOAUTH2_BEARER, token);
    return true;
}

/* A file that curl opens itself, later: a missing one is told now, with its name. */
static bool check_readable(sw_http_call *call, const char *what, const char *path) {
    if (access(path, R_OK) == 0) {
        return true;
    }
    http_call_fail(call, SW_HTTP_BAD_REQUEST, "cannot read %s %s: %s", what, path, strerror(errno));
    return false;
}

static bool set_pin(sw_http_call *call, const char *cert_file) {
    char error[256];
    char *pin = sw_tls_pin_of(cert_file, error);
    if (pin == NULL) {
        http_call_fail(call, SW_HTTP_BAD_REQUEST, "%s", error);
        return false;
    }
    call->by_folder = false;
    curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(call->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(call->easy, CURLOPT_PINNEDPUBLICKEY, pin);
    free(pin);
    return true;
}

static bool set_tls(sw_http_call *call, const sw_http_profile *profile) {
    CURL *easy = call->easy;
    if (profile->insecure_tls) {
        call->by_folder = false;
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (profile->pinned_cert_file != NULL && !set_pin(call, profile->pinned_cert_file)) {
        return false;
    }
    if (profile->ca_file != NULL) {
        if (!check_readable(call, "CA file", profile->ca_file)) {
            return false;
        }
        call->by_folder = false;
        curl_easy_setopt(easy, CURLOPT_CAINFO, profile->ca_file);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        /* Read at each new connection, so that a renewed file counts; unlike the system's, it is small. */
        curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    }
    if (profile->client_cert_file != NULL) {
        const char *key =
            profile->client_key_file != NULL ? profile->client_key_file : profile->client_cert_file;
        if (!check_readable(call, "client certificate", profile->client_cert_file) ||
            !check_readable(call, "client key", key)) {
            return false;
        }
        curl_easy_setopt(easy, CURLOPT_SSLCERT, profile->client_cert_file);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, key);
        /* Without it, OpenSSL would ask for the passphrase of an encrypted key on the terminal and wait. */
        curl_easy_setopt(easy, CURLOPT_KEYPASSWD, "");
    }
    return true;
}

/* curl does not read HTTP_PROXY, because a CGI program gets it from a request's header "Proxy". We are none.
 */
static const char *proxy_of_environment(const char *url) {
    bool plain_http = strncasecmp(url, "http:", 5) == 0;
    return plain_http && getenv("http_proxy") == NULL ? getenv("HTTP_PROXY") : NULL;
}

static void set_proxy(sw_http_call *call, const sw_http_request *request) {
    const char *given = request->profile != NULL ? request->profile->proxy : NULL;
    if (given != NULL) {
        curl_easy_setopt(call->easy, CURLOPT_PROXY, given);
        curl_easy_setopt(call->easy, CURLOPT_NOPROXY, "");
        return;
    }
    const char *found = proxy_of_environment(request->url);
    if (found != NULL && *found != '\0') {
        curl_easy_setopt(call->easy, CURLOPT_PROXY, found);
    }
}

static void set_basics(sw_http_call *call, const sw_http_request *request) {
    CURL *easy = call->easy;
    long timeout = request->timeout_ms < INT32_MAX ? (long)request->timeout_ms : INT32_MAX;
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->curl_error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_URL, request->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "spanwatch/" SW_VERSION);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* A name look-up that outlives its request is left to its thread; otherwise curl would wait for it. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout);
    /* The smallest step that can be paused: a gzip bomb (1:1000) makes 8 MiB of it. */
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 8192L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    if (request->accept_compressed) {
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
    }
}

bool http_call_prepare(sw_http_call *call, const sw_http_request *request, sw_secrets *secrets,
                       const http_trust *trust) {
    const sw_http_profile *profile = request->profile;
    const char *wrong = sw_url_check(request->url);
    if (wrong != NULL) {
        return refuse(call, "URL", wrong);
    }
    if (request->timeout_ms <= 0) {
        return refuse(call, "timeout", "it is not positive");
    }
    call->authority = sw_url_host(request->url);
    set_basics(call, request);
    set_proxy(call, request);
    call->by_folder = http_trust_apply(trust, call->easy, false);
    if (!set_method(call, request) || !set_headers(call, request)) {
        return false;
    }
    if (profile != NULL &&
        ((profile->basic_auth_file != NULL && !set_basic_auth(call, profile->basic_auth_file, secrets)) ||
         (profile->bearer_token_file != NULL && !set_bearer(call, profile, secrets)) ||
         !set_tls(call, profile))) {
        return false;
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    http_call_receive(call);
    return true;
}
