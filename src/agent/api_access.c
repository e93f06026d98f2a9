/*
 * Who may ask what of the HTTP server. Metrics and health are for everybody. All else needs the token of
 * SPANWATCH_LISTEN_BEARER_TOKEN_FILE (RFC 6750) when there is one, and is refused without one when others
 * than this machine can reach the address. A browser that a foreign page tells to change something says where
 * the page is from (Origin): that is refused, since a browser on this machine reaches the loopback address
 * too.
 */
#include "agent/agent_internal.h"

#include <string.h>
#include <strings.h>

#include "telemetry/log.h"

#define SCHEME "Bearer "

static bool refuse(sw_http_exchange *exchange, int status, const char *json) {
    sw_http_reply(exchange, status, "application/json", json, strlen(json));
    return false;
}

static bool is_open(const char *path) {
    return sw_streq(path, "/metrics") || sw_streq(path, "/-/healthy") || sw_streq(path, "/-/ready");
}

static bool only_reads(const char *method) {
    return sw_streq(method, "GET") || sw_streq(method, "HEAD");
}

static bool is_of_another_origin(const sw_http_exchange *exchange) {
    const char *origin = sw_http_header(exchange, "Origin"), *host = sw_http_header(exchange, "Host");
    if (origin == NULL) {
        return false;
    }
    const char *authority = strstr(origin, "://");
    return host == NULL || authority == NULL || strcasecmp(authority + 3, host) != 0;
}

static bool shows_the_token(const sw_agent *agent, const sw_http_exchange *exchange) {
    char error[256];
    size_t len = 0;
    const char *token =
        sw_secrets_get(agent->api_secrets, agent->config->listen_bearer_token_file, &len, error);
    if (token == NULL) {
        sw_log(SW_LOG_ERROR, "the API's token cannot be read: nobody is admitted", "reason", error, NULL);
        return false;
    }
    const char *shown = sw_http_header(exchange, "Authorization");
    if (shown == NULL || strncasecmp(shown, SCHEME, strlen(SCHEME)) != 0) {
        return false;
    }
    shown += strlen(SCHEME);
    return sw_secret_equal(shown, strlen(shown), token, len);
}

bool sw_api_admit(sw_http_exchange *exchange, void *arg) {
    const sw_agent *agent = arg;
    if (is_open(sw_http_path(exchange))) {
        return true;
    }
    if (!only_reads(sw_http_method(exchange)) && is_of_another_origin(exchange)) {
        return refuse(exchange, 403, "{\"error\": \"requests of pages of another origin change nothing\"}\n");
    }
    if (agent->config->listen_bearer_token_file[0] == '\0') {
        return sw_http_server_is_local(agent->server) ||
               refuse(exchange, 403,
                      "{\"error\": \"the agent can be reached from other machines: set "
                      "SPANWATCH_LISTEN_BEARER_TOKEN_FILE to open more than metrics and health\"}\n");
    }
    if (!shows_the_token(agent, exchange)) {
        sw_http_reply_header(exchange, "WWW-Authenticate", "Bearer realm=\"spanwatch\"");
        return refuse(exchange, 401,
                      "{\"error\": \"needs the token of SPANWATCH_LISTEN_BEARER_TOKEN_FILE\"}\n");
    }
    return true;
}
