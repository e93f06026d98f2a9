/*
 * Who may ask what of the HTTP server. Metrics and health are for everybody. All else needs the token of
 * SPANWATCH_LISTEN_BEARER_TOKEN_FILE (RFC 6750) or the password of SPANWATCH_LISTEN_BASIC_AUTH_FILE (RFC
 * 7617) when there are such, and is refused without either when others than this machine can reach the
 * address. A browser that a foreign page tells to change something says where the page is from (Origin): that
 * is refused, since a browser on this machine reaches the loopback address too.
 */
#include "agent/agent_internal.h"

#include <string.h>
#include <strings.h>

#include "net/authorization.h"
#include "telemetry/log.h"

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

/* Said once, and not for each request. */
static bool is_authorized(sw_authorization result, const char *error, bool *said) {
    bool unreadable = result == SW_AUTHORIZATION_UNKNOWN;
    if (unreadable && !*said) {
        sw_log(SW_LOG_ERROR, "who may use the API cannot be read: nobody is admitted by it", "reason", error,
               NULL);
    }
    *said = unreadable;
    return result == SW_AUTHORIZED;
}

static bool shows_a_secret(sw_agent *agent, const sw_http_exchange *exchange) {
    const char *token = agent->config->listen_bearer_token_file;
    const char *password = agent->config->listen_basic_auth_file;
    const char *shown = sw_http_header(exchange, "Authorization");
    char error[256];
    if (token[0] != '\0' && is_authorized(sw_authorize_bearer(agent->api_secrets, token, shown, error), error,
                                          &agent->token_unreadable)) {
        return true;
    }
    return password[0] != '\0' &&
           is_authorized(sw_authorize_basic(agent->api_secrets, password, shown, error), error,
                         &agent->password_unreadable);
}

static bool ask_for_a_secret(const sw_agent *agent, sw_http_exchange *exchange) {
    if (agent->config->listen_bearer_token_file[0] != '\0') {
        sw_http_reply_header(exchange, "WWW-Authenticate", "Bearer realm=\"spanwatch\"");
    }
    if (agent->config->listen_basic_auth_file[0] != '\0') {
        sw_http_reply_header(exchange, "WWW-Authenticate", "Basic realm=\"spanwatch\", charset=\"UTF-8\"");
    }
    return refuse(exchange, 401,
                  "{\"error\": \"needs the token of SPANWATCH_LISTEN_BEARER_TOKEN_FILE or the password of "
                  "SPANWATCH_LISTEN_BASIC_AUTH_FILE\"}\n");
}

bool sw_api_admit(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    if (is_open(sw_http_path(exchange))) {
        return true;
    }
    if (!only_reads(sw_http_method(exchange)) && is_of_another_origin(exchange)) {
        return refuse(exchange, 403, "{\"error\": \"requests of pages of another origin change nothing\"}\n");
    }
    if (agent->config->listen_bearer_token_file[0] == '\0' &&
        agent->config->listen_basic_auth_file[0] == '\0') {
        return sw_http_server_is_local(agent->server) ||
               refuse(exchange, 403,
                      "{\"error\": \"the agent can be reached from other machines: set "
                      "SPANWATCH_LISTEN_BEARER_TOKEN_FILE or SPANWATCH_LISTEN_BASIC_AUTH_FILE to open more "
                      "than metrics and health\"}\n");
    }
    return shows_a_secret(agent, exchange) || ask_for_a_secret(agent, exchange);
}
