#include "agent/routing.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/matchers.h"

typedef struct node {
    const sw_route_config *config;
    sw_matchers matchers;
    bool broken; /* a matcher cannot be used */
    struct node *routes;
} node;

struct sw_routing {
    node root;
    int64_t shortest_repeat_ms;
};

static void compile(node *to, const sw_route_config *config, const char *origin, sw_buf *mistakes) {
    to->config = config;
    for (size_t i = 0; i < config->matchers.n; i++) {
        char *why = NULL;
        if (sw_matchers_parse(&to->matchers, config->matchers.items[i], &why) != 0) {
            sw_buf_printf(mistakes, "%s.matchers[%zu] (%s): %s\n", config->name, i + 1, origin, why);
            to->broken = true;
        }
        free(why);
    }
    to->routes = config->n_routes > 0 ? xcalloc(config->n_routes, sizeof *to->routes) : NULL;
    for (size_t i = 0; i < config->n_routes; i++) {
        compile(&to->routes[i], &config->routes[i], origin, mistakes);
    }
}

static void release(node *it) {
    for (size_t i = 0; i < it->config->n_routes; i++) {
        release(&it->routes[i]);
    }
    free(it->routes);
    sw_matchers_release(&it->matchers);
}

static int64_t shortest_repeat_ms(const sw_route_config *route) {
    int64_t shortest = route->repeat_interval_ms;
    for (size_t i = 0; i < route->n_routes; i++) {
        int64_t below = shortest_repeat_ms(&route->routes[i]);
        shortest = below < shortest ? below : shortest;
    }
    return shortest;
}

sw_routing *sw_routing_new(const sw_config *config, sw_buf *mistakes) {
    sw_routing *routing = xcalloc(1, sizeof *routing);
    compile(&routing->root, &config->route, config->config_file, mistakes);
    routing->shortest_repeat_ms = shortest_repeat_ms(&config->route);
    return routing;
}

void sw_routing_free(sw_routing *routing) {
    if (routing != NULL) {
        release(&routing->root);
        free(routing);
    }
}

int64_t sw_routing_shortest_repeat_ms(const sw_routing *routing) {
    return routing->shortest_repeat_ms;
}

struct search {
    const sw_alert *alert;
    const sw_route_config **out;
    size_t n;
};

static void take(struct search *search, const sw_route_config *config) {
    for (size_t i = 0; i < search->n; i++) {
        if (strcmp(search->out[i]->receiver, config->receiver) == 0) {
            return;
        }
    }
    if (search->n < SW_RECEIVERS_MAX) {
        search->out[search->n++] = config;
    }
}

/* True when the route, or one below it, takes the alert. */
static bool enter(struct search *search, const node *at) {
    if (at->broken || !sw_matchers_match_alert(&at->matchers, search->alert)) {
        return false;
    }
    bool taken = false;
    for (size_t i = 0; i < at->config->n_routes; i++) {
        bool here = enter(search, &at->routes[i]);
        taken |= here;
        if (here && !at->config->routes[i].continues) {
            break;
        }
    }
    if (!taken) {
        take(search, at->config);
    }
    return true;
}

size_t sw_routing_of(const sw_routing *routing, const sw_alert *alert, const sw_route_config **out) {
    struct search search = {.alert = alert, .out = out};
    enter(&search, &routing->root);
    if (search.n == 0) { /* only when the first route itself is broken, and then nothing was started */
        out[search.n++] = &routing->root.config[0];
    }
    return search.n;
}

bool sw_routing_group(const sw_route_config *route, const sw_alert *alert, sw_buf *key, sw_buf *labels_json) {
    if (!route->grouped) {
        return false;
    }
    json_t *labels = json_object();
    for (size_t i = 0; i < route->group_by.n; i++) {
        const char *name = route->group_by.items[i], *value = sw_alert_match_label(alert, name);
        if (value[0] != '\0') {
            json_t *text = json_string(value);
            json_object_set_new(labels, name, text != NULL ? text : json_string("not UTF-8"));
        }
    }
    char *text = json_dumps(labels, JSON_COMPACT | JSON_SORT_KEYS);
    sw_buf_append_str(labels_json, text);
    sw_buf_printf(key, "%s:%s", route->key, text);
    free(text);
    json_decref(labels);
    return true;
}
