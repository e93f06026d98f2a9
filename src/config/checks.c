#include "config/checks.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/zone.h"
#include "config/mute_times.h"
#include "net/url.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool made_of(const char *text, size_t len, const char *allowed) {
    return strspn(text, allowed) >= len;
}

static char *check_url(const char *text) {
    const char *wrong = text[0] == '\0' ? NULL : sw_url_check(text);
    return wrong == NULL ? NULL : xasprintf("must be an absolute http or https URL: %s", wrong);
}

static char *check_file(const char *path) {
    if (path[0] == '\0') {
        return NULL;
    }
    char byte = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        got = read(fd, &byte, 1);
    }
    char *why = got < 0    ? xasprintf("must be a file that can be read: %s", strerror(errno))
                : got == 0 ? xstrdup("must be a file with something in it: it is empty")
                           : NULL;
    if (fd >= 0) {
        close(fd);
    }
    return why;
}

static bool is_port(const char *text) {
    size_t len = strlen(text);
    return len > 0 && len <= 5 && made_of(text, len, DIGITS) && atoi(text) <= 65535;
}

/* What http_server.h takes: "127.0.0.1:9476", "[::1]:9476", ":9476". */
static char *check_listen_address(const char *text) {
    const char *colon = strrchr(text, ':');
    if (text[0] == '\0') {
        return NULL;
    }
    char host[64] = "";
    unsigned char address[sizeof(struct in6_addr)];
    bool good = colon != NULL && is_port(colon + 1) && (size_t)(colon - text) < sizeof host;
    if (good) {
        snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
        size_t len = strlen(host);
        if (host[0] == '[' && host[len - 1] == ']') {
            host[len - 1] = '\0';
            good = inet_pton(AF_INET6, host + 1, address) == 1;
        } else {
            good = len == 0 || inet_pton(AF_INET, host, address) == 1;
        }
    }
    return good ? NULL
                : xstrdup("must be ADDRESS:PORT with an IP address, such as 127.0.0.1:9476, [::1]:9476, "
                          ":9476 (all addresses), or empty");
}

static char *check_trace_url(const char *text) {
    if (text[0] == '\0') {
        return NULL;
    }
    bool web = sw_starts_with(text, "http://") || sw_starts_with(text, "https://");
    return web && strstr(text, "{trace_id}") != NULL
               ? NULL
               : xstrdup("must be an absolute http or https URL with {trace_id} in it");
}

static char *check_tenant(const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        if (!isgraph((unsigned char)*c)) {
            return xstrdup("must be a tenant's name without blanks, several as a|b");
        }
    }
    return NULL;
}

static char *check_mute_times(const char *text) {
    sw_buf mistakes;
    sw_buf_init(&mistakes, (size_t)1 << 20);
    sw_mute_times_free(sw_mute_times_parse(text, SW_ZONE_FOLDER, &mistakes));
    char *why = mistakes.len > 0 ? xasprintf("must be intervals of time: %s", mistakes.data) : NULL;
    sw_buf_release(&mistakes);
    return why;
}

static char *check_word(const char *text) {
    return text[0] != '\0' && made_of(text, strlen(text), LETTERS DIGITS "-_")
               ? NULL
               : xstrdup("must be a word, such as Bearer");
}

static char *check_format(const char *text) {
    return made_of(text, strlen(text), LETTERS DIGITS "_-")
               ? NULL
               : xstrdup("must be the name of a script in notify of the scripts folder without .lua, such as "
                         "slack");
}

char *sw_check_text(const sw_setting *setting, const char *text) {
    if (setting->type == SW_TYPE_URL) {
        return check_url(text);
    }
    if (setting->type == SW_TYPE_FILE) {
        return check_file(text);
    }
    switch (setting->offset) {
    case offsetof(sw_config, listen_address):
        return check_listen_address(text);
    case offsetof(sw_config, trace_url_template):
        return check_trace_url(text);
    case offsetof(sw_config, tempo_tenant):
        return check_tenant(text);
    case offsetof(sw_config, webhook_authorization_type):
        return check_word(text);
    case offsetof(sw_config, webhook_format):
        return check_format(text);
    case offsetof(sw_config, mute_time_intervals):
        return check_mute_times(text);
    default:
        return NULL;
    }
}

/* RFC 9110: a token, a colon, and a value without control characters. */
static char *check_header(const char *item, size_t number) {
    size_t name = strcspn(item, ":");
    bool good = name > 0 && item[name] == ':' && made_of(item, name, LETTERS DIGITS "!#$%&'*+-.^_`|~");
    for (const char *c = item + name; good && *c != '\0'; c++) {
        good = !iscntrl((unsigned char)*c) || *c == '\t';
    }
    return good ? NULL : xasprintf("header %zu must be Name: value", number);
}

static char *check_label(const char *item, size_t number) {
    size_t len = strlen(item);
    bool good = len > 0 && made_of(item, len, LETTERS DIGITS "_.") && !isdigit((unsigned char)item[0]);
    return good ? NULL
                : xasprintf("name %zu must be a label, such as service, operation or trace_id: letters, "
                            "digits, _ and .",
                            number);
}

static char *check_host(const char *item, size_t number) {
    char *url = xasprintf("http://%s/", item);
    bool good = item[strcspn(item, "/@?#* \t")] == '\0' && sw_url_check(url) == NULL;
    free(url);
    return good ? NULL : xasprintf("entry %zu must be a host or host:port, without scheme and path", number);
}

/* Below the scripts folder, as a person names it: without .lua, without climbing out. */
static char *check_detector(const char *item, size_t number) {
    size_t len = strlen(item);
    bool good = len > 0 && item[0] != '/' && strstr(item, "..") == NULL &&
                made_of(item, len, LETTERS DIGITS "_-./") && item[len - 1] != '/' &&
                !(len > 4 && strcmp(item + len - 4, ".lua") == 0);
    return good ? NULL
                : xasprintf("entry %zu must be a file beneath the scripts folder without .lua, such as "
                            "detectors/latency_zscore",
                            number);
}

static char *check_item_text(const sw_setting *setting, const char *item, size_t number) {
    switch (setting->offset) {
    case offsetof(sw_config, group_by):
    case offsetof(sw_config, group_notifications_by):
        return check_label(item, number);
    case offsetof(sw_config, http_allowed_hosts):
        return check_host(item, number);
    case offsetof(sw_config, detectors):
        return check_detector(item, number);
    default:
        return setting->type == SW_TYPE_HEADERS ? check_header(item, number) : NULL;
    }
}

char *sw_check_item(const sw_setting *setting, const char *item, size_t number, const char *const *before,
                    size_t n) {
    char *why = check_item_text(setting, item, number);
    for (size_t i = 0; why == NULL && setting->type == SW_TYPE_LIST && i < n; i++) {
        if (strcmp(before[i], item) == 0) {
            why = xasprintf("entry %zu is there already", number);
        }
    }
    return why;
}

void sw_check_together(const sw_config *config, void (*say)(const char *env, const char *why, void *arg),
                       void *arg) {
    const struct {
        bool wrong;
        const char *env, *why;
    } rules[] = {
        {config->tempo_enabled && config->tempo_url[0] == '\0', "TEMPO_URL",
         "must be set while TEMPO_ENABLED is true"},
        {config->tempo_query_timeout_max_ms < config->tempo_query_timeout_ms, "TEMPO_QUERY_TIMEOUT_MAX_MS",
         "must not be less than TEMPO_QUERY_TIMEOUT_MS"},
        {config->webhook_backoff_max_ms < config->webhook_backoff_min_ms, "SPANWATCH_WEBHOOK_BACKOFF_MAX_MS",
         "must not be less than SPANWATCH_WEBHOOK_BACKOFF_MIN_MS"},
        {config->flapping_low_percent > config->flapping_high_percent && config->flapping_high_percent > 0,
         "SPANWATCH_FLAPPING_LOW_PERCENT", "must not be more than SPANWATCH_FLAPPING_HIGH_PERCENT"},
        {config->tempo_basic_auth_file[0] != '\0' && config->tempo_bearer_token_file[0] != '\0',
         "TEMPO_BEARER_TOKEN_FILE", "cannot be used together with TEMPO_BASIC_AUTH_FILE"},
        {config->webhook_basic_auth_file[0] != '\0' && config->webhook_bearer_token_file[0] != '\0',
         "SPANWATCH_WEBHOOK_BEARER_TOKEN_FILE",
         "cannot be used together with SPANWATCH_WEBHOOK_BASIC_AUTH_FILE"},
        {config->tempo_client_key_file[0] != '\0' && config->tempo_client_cert_file[0] == '\0',
         "TEMPO_CLIENT_KEY_FILE", "needs TEMPO_CLIENT_CERT_FILE too"},
        {config->webhook_client_key_file[0] != '\0' && config->webhook_client_cert_file[0] == '\0',
         "SPANWATCH_WEBHOOK_CLIENT_KEY_FILE", "needs SPANWATCH_WEBHOOK_CLIENT_CERT_FILE too"},
        {config->listen_tls_key_file[0] != '\0' && config->listen_tls_cert_file[0] == '\0',
         "SPANWATCH_LISTEN_TLS_KEY_FILE", "needs SPANWATCH_LISTEN_TLS_CERT_FILE too"},
        {config->otlp_tls_key_file[0] != '\0' && config->otlp_tls_cert_file[0] == '\0',
         "SPANWATCH_OTLP_TLS_KEY_FILE", "needs SPANWATCH_OTLP_TLS_CERT_FILE too"},
        {config->otlp_tls_client_ca_file[0] != '\0' && config->otlp_tls_cert_file[0] == '\0',
         "SPANWATCH_OTLP_TLS_CLIENT_CA_FILE", "needs SPANWATCH_OTLP_TLS_CERT_FILE too"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(rules); i++) {
        if (rules[i].wrong) {
            say(rules[i].env, rules[i].why, arg);
        }
    }
}
