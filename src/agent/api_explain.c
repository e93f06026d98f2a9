/*
 * GET /api/v1/explain: which condition decided. ?fingerprint= about an alert; ?rule=, ?trace=, or both about
 * what a rule says of a trace, or of the newest window.
 */
#include "agent/explain.h"

void sw_explain_reply(sw_http_exchange *exchange, json_t *data) {
    sw_api_reply_json(exchange, 200, json_pack("{s:s, s:o}", "status", "success", "data", data));
}

void sw_explain_refuse(sw_http_exchange *exchange, int status, const char *message) {
    json_t *text = json_string(message);
    sw_api_reply_json(exchange, status,
                      json_pack("{s:o}", "error", text != NULL ? text : json_string("not UTF-8")));
}

static void get_explain(sw_http_exchange *exchange, void *arg) {
    sw_agent *agent = arg;
    const char *fingerprint = sw_http_query(exchange, "fingerprint"), *rule = sw_http_query(exchange, "rule"),
               *trace = sw_http_query(exchange, "trace");
    char trace_id[SW_TRACE_ID_LEN + 1];
    if (fingerprint != NULL && rule == NULL && trace == NULL) {
        sw_explain_alert(agent, exchange, fingerprint);
    } else if (fingerprint != NULL || (rule == NULL && trace == NULL)) {
        sw_explain_refuse(exchange, 400, "give fingerprint, or rule and trace (or one of these two)");
    } else if (trace != NULL && !sw_trace_id_read(trace, trace_id)) {
        sw_explain_refuse(exchange, 400, "trace must be a trace id, 32 hex digits");
    } else {
        sw_explain_rule(agent, exchange, rule, trace != NULL ? trace_id : NULL);
    }
}

void sw_api_explain_route(sw_agent *agent) {
    sw_http_server_route(agent->server, "GET", "/api/v1/explain", get_explain, agent);
}
