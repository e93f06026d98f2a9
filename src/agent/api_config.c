/*
 * The routes as an Alertmanager's configuration file would have them: for amtool config routes, and for
 * Grafana, which read it from /api/v2/status. JSON is YAML. Of receivers there are the names alone.
 */
#include "agent/agent_internal.h"
#include "agent/api_reply.h"

#include <stdlib.h>

static json_t *texts_json(const sw_string_list *list) {
    json_t *array = json_array();
    for (size_t i = 0; i < list->n; i++) {
        json_array_append_new(array, json_string(list->items[i]));
    }
    return array;
}

/* Alertmanager refuses 0: then it has its own. */
static void set_duration(json_t *object, const char *name, int64_t ms) {
    if (ms > 0) {
        bool seconds = ms % 1000 == 0;
        char *text = xasprintf("%lld%s", (long long)(seconds ? ms / 1000 : ms), seconds ? "s" : "ms");
        json_object_set_new(object, name, json_string(text));
        free(text);
    }
}

static json_t *route_json(const sw_route_config *route) {
    json_t *object = json_object();
    json_object_set_new(object, "receiver", json_string(route->receiver));
    if (route->matchers.n > 0) {
        json_object_set_new(object, "matchers", texts_json(&route->matchers));
    }
    if (route->continues) {
        json_object_set_new(object, "continue", json_true());
    }
    json_object_set_new(object, "group_by",
                        route->grouped ? texts_json(&route->group_by) : json_pack("[s]", "..."));
    if (route->grouped) {
        set_duration(object, "group_wait", route->group_wait_ms);
        set_duration(object, "group_interval", route->group_interval_ms);
    }
    set_duration(object, "repeat_interval", route->repeat_interval_ms);
    json_t *routes = json_array();
    for (size_t i = 0; i < route->n_routes; i++) {
        json_array_append_new(routes, route_json(&route->routes[i]));
    }
    json_object_set_new(object, "routes", routes);
    return object;
}

char *sw_api_config_text(const sw_config *config) {
    json_t *receivers = json_array();
    for (size_t i = 0; i < config->n_receivers; i++) {
        json_array_append_new(receivers, json_pack("{s:s}", "name", config->receivers[i].name));
    }
    json_t *root = json_pack("{s:o, s:o}", "route", route_json(&config->route), "receivers", receivers);
    char *text = json_dumps(root, JSON_INDENT(2));
    json_decref(root);
    char *copy = xstrdup(text);
    free(text);
    return copy;
}
