/* `route` of the config file, in Alertmanager's shape and words. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/load_internal.h"
#include "config/nearest.h"
#include "config/value.h"

#define MAX_MATCHERS 64
#define ALL_LABELS "..."
#define MAX_INTERVAL_MS (INT64_C(31536000) * 1000)

struct tree {
    sw_loader *loader;
    const char *origin;
    size_t n_routes;
};

static void mistake(const struct tree *tree, const sw_route_config *route, const char *key, const char *why) {
    char *name = xasprintf("%s.%s", route->name, key);
    sw_loader_mistake(tree->loader, name, tree->origin, "%s", why);
    free(name);
}

/* ---- durations ---- */

/* "4h", "1h30m", "500ms": Prometheus' units, from the largest down. -1 when it is something else. */
static int64_t read_duration_text(const char *text) {
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"w", 604800000}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    int64_t total = 0;
    size_t next = 0;
    if (*text == '\0') {
        return -1;
    }
    while (*text != '\0') {
        size_t digits = strspn(text, "0123456789");
        size_t letters = strspn(text + digits, "wdhms");
        if (digits == 0 || digits > 11 || letters == 0) {
            return -1;
        }
        size_t i = next;
        while (i < SW_ARRAY_LEN(units) &&
               (strlen(units[i].unit) != letters || strncmp(units[i].unit, text + digits, letters) != 0)) {
            i++;
        }
        if (i == SW_ARRAY_LEN(units)) {
            return -1;
        }
        int64_t part = strtoll(text, NULL, 10);
        total += part > MAX_INTERVAL_MS / units[i].ms ? MAX_INTERVAL_MS + 1 : part * units[i].ms;
        next = i + 1;
        text += digits + letters;
    }
    return total;
}

static void take_duration(const struct tree *tree, const sw_route_config *route, const char *key,
                          const json_t *value, int64_t min_ms, int64_t *out) {
    int64_t ms = -1;
    if (json_is_number(value)) {
        double number = json_number_value(value) * 1000;
        ms = number >= 0 && number <= (double)MAX_INTERVAL_MS ? (int64_t)llround(number) : -1;
    } else if (json_is_string(value)) {
        ms = read_duration_text(json_string_value(value));
    }
    if (ms < min_ms || ms > MAX_INTERVAL_MS) {
        char *why =
            xasprintf("must be a duration of %s to a year: \"30s\", \"5m\", \"4h\", or a number of seconds",
                      min_ms == 0 ? "0" : "1 s");
        mistake(tree, route, key, why);
        free(why);
    } else {
        *out = ms;
    }
}

/* ---- lists of texts ---- */

static void take_matchers(const struct tree *tree, sw_route_config *route, const json_t *value) {
    size_t n = 0;
    const char **items = sw_table_list(value, &n);
    if (items == NULL || n > MAX_MATCHERS) {
        mistake(tree, route, "matchers",
                "must be a list of at most 64 texts, such as { 'service=\"checkout\"', "
                "'severity=~\"warning|critical\"' }");
    } else {
        sw_string_list_release(&route->matchers);
        route->matchers = sw_string_list_copy(items, n);
    }
    free(items);
}

static bool has_all_labels(const char *const *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(items[i], ALL_LABELS) == 0) {
            return true;
        }
    }
    return false;
}

/* "..." are all labels, as in Alertmanager: each alert is a group of its own, and is told at once. */
static void take_group_by(const struct tree *tree, sw_route_config *route, const json_t *value) {
    const sw_setting *setting = sw_setting_find("SPANWATCH_GROUP_NOTIFICATIONS_BY", SW_NAME_ENV);
    size_t n = 0;
    const char **items = sw_table_list(value, &n);
    char *why = NULL;
    if (items == NULL) {
        mistake(tree, route, "group_by",
                "must be a list of labels, such as { \"type\", \"service\" }; {} for one group, { \"...\" } "
                "for none");
    } else if (n == 1 && strcmp(items[0], ALL_LABELS) == 0) {
        sw_string_list_release(&route->group_by);
        route->grouped = false;
    } else if (has_all_labels(items, n)) {
        mistake(tree, route, "group_by", "\"...\" cannot be used together with labels");
    } else if (sw_value_set_list_at(&route->group_by, setting, items, n, &why) != 0) {
        mistake(tree, route, "group_by", why);
    } else {
        route->grouped = true;
    }
    free(why);
    free(items);
}

/* ---- routes ---- */

void sw_route_release(sw_route_config *route) {
    for (size_t i = 0; i < route->n_routes; i++) {
        sw_route_release(&route->routes[i]);
    }
    free(route->routes);
    free(route->name);
    free(route->key);
    free(route->receiver);
    sw_string_list_release(&route->matchers);
    sw_string_list_release(&route->group_by);
    *route = (sw_route_config){0};
}

static void take_receiver(const struct tree *tree, sw_route_config *route, const json_t *value) {
    const sw_config *config = tree->loader->config;
    const char *name = json_string_value(value);
    if (name == NULL) {
        mistake(tree, route, "receiver", "must be the name of a receiver");
        return;
    }
    if (sw_config_receiver(config, name) != NULL) {
        free(route->receiver);
        route->receiver = xstrdup(name);
        return;
    }
    sw_nearest nearest;
    sw_nearest_init(&nearest, name);
    for (size_t i = 0; i < config->n_receivers; i++) {
        sw_nearest_offer(&nearest, config->receivers[i].name);
    }
    bool near = nearest.best[0] != '\0';
    char *why = xasprintf("there is no receiver \"%.64s\"%s%s%s", name, near ? "; did you mean " : "",
                          nearest.best, near ? "?" : "");
    mistake(tree, route, "receiver", why);
    free(why);
}

static void take_route(struct tree *tree, sw_route_config *route, const char *above, const json_t *table,
                       size_t depth);

static void take_routes(struct tree *tree, sw_route_config *route, const json_t *value, size_t depth) {
    size_t n = json_array_size(value);
    bool empty = json_is_object(value) && json_object_size(value) == 0;
    if (!json_is_array(value) && !empty) {
        mistake(tree, route, "routes", "must be a list of routes");
        return;
    }
    char *above = xasprintf("%s/", route->key);
    tree->n_routes += n;
    if (depth >= SW_ROUTES_DEPTH_MAX || tree->n_routes > SW_ROUTES_MAX) {
        mistake(tree, route, "routes",
                depth >= SW_ROUTES_DEPTH_MAX ? "is too deep: 16 at most" : "is too much: 1000 routes in all");
        free(above);
        return;
    }
    route->routes = n > 0 ? xcalloc(n, sizeof *route->routes) : NULL;
    for (size_t i = 0; i < n; i++) {
        sw_route_config *child = &route->routes[route->n_routes++];
        *child = (sw_route_config){
            .name = xasprintf("%s.routes[%zu]", route->name, i + 1),
            .receiver = xstrdup(route->receiver),
            .matchers = sw_string_list_copy(NULL, 0),
            .grouped = route->grouped,
            .group_by = sw_string_list_copy((const char *const *)route->group_by.items, route->group_by.n),
            .group_wait_ms = route->group_wait_ms,
            .group_interval_ms = route->group_interval_ms,
            .repeat_interval_ms = route->repeat_interval_ms,
        };
        take_route(tree, child, above, json_array_get(value, i), depth + 1);
    }
    free(above);
}

static void unknown_key(const struct tree *tree, const sw_route_config *route, const char *key) {
    static const char *const known[] = {"receiver",   "matchers",       "continue",        "group_by",
                                        "group_wait", "group_interval", "repeat_interval", "routes"};
    sw_nearest nearest;
    sw_nearest_init(&nearest, key);
    for (size_t i = 0; i < SW_ARRAY_LEN(known); i++) {
        sw_nearest_offer(&nearest, known[i]);
    }
    char *why = nearest.best[0] != '\0' ? xasprintf("is not known; did you mean %s?", nearest.best)
                                        : xstrdup("is not known");
    mistake(tree, route, key, why);
    free(why);
}

static void take_key(struct tree *tree, sw_route_config *route, const char *key, const json_t *value) {
    if (strcmp(key, "receiver") == 0) {
        take_receiver(tree, route, value);
    } else if (strcmp(key, "matchers") == 0) {
        take_matchers(tree, route, value);
    } else if (strcmp(key, "continue") == 0) {
        route->continues = json_is_true(value);
        if (!json_is_boolean(value)) {
            mistake(tree, route, key, "must be true or false");
        }
    } else if (strcmp(key, "repeat_interval") == 0) {
        take_duration(tree, route, key, value, 1000, &route->repeat_interval_ms);
    } else if (strcmp(key, "group_by") == 0) {
        take_group_by(tree, route, value);
    } else if (strcmp(key, "group_wait") == 0) {
        take_duration(tree, route, key, value, 0, &route->group_wait_ms);
    } else if (strcmp(key, "group_interval") == 0) {
        take_duration(tree, route, key, value, 0, &route->group_interval_ms);
    } else if (strcmp(key, "routes") != 0) {
        unknown_key(tree, route, key);
    }
}

/* {}/{severity="critical"} */
static char *make_key(const char *above, const sw_route_config *route) {
    sw_buf key;
    sw_buf_init(&key, (size_t)1 << 24);
    sw_buf_printf(&key, "%s{", above);
    for (size_t i = 0; i < route->matchers.n; i++) {
        sw_buf_printf(&key, "%s%s", i == 0 ? "" : ",", route->matchers.items[i]);
    }
    sw_buf_append_char(&key, '}');
    return sw_buf_steal(&key, NULL);
}

/* The routes below come last: they have what this one says. */
static void take_route(struct tree *tree, sw_route_config *route, const char *above, const json_t *table,
                       size_t depth) {
    bool empty = json_is_array(table) && json_array_size(table) == 0;
    if (!json_is_object(table) && !empty) {
        sw_loader_mistake(
            tree->loader, route->name, tree->origin,
            "must be a table, such as { receiver = \"pager\", matchers = { 'severity=\"critical\"' } }");
        return;
    }
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)table, key, value) {
        take_key(tree, route, key, value);
    }
    route->key = make_key(above, route);
    const json_t *routes = json_object_get(table, "routes");
    if (routes != NULL) {
        take_routes(tree, route, routes, depth);
    }
}

static void warn_of_unused(sw_loader *loader) {
    const sw_config *config = loader->config;
    bool quiet = loader->warnings == NULL || loader->mistakes->len > 0;
    for (size_t i = 1; i < config->n_receivers && !quiet; i++) {
        if (!sw_route_leads_to(&config->route, config->receivers[i].name)) {
            sw_buf_printf(loader->warnings,
                          "receivers.%s (%s): no route leads to it, so it is told nothing\n",
                          config->receivers[i].name, config->config_file);
        }
    }
}

bool sw_route_leads_to(const sw_route_config *route, const char *receiver) {
    if (strcmp(route->receiver, receiver) == 0) {
        return true;
    }
    for (size_t i = 0; i < route->n_routes; i++) {
        if (sw_route_leads_to(&route->routes[i], receiver)) {
            return true;
        }
    }
    return false;
}

void sw_loader_make_route(sw_loader *loader) {
    sw_config *config = loader->config;
    const sw_string_list *by = &config->group_notifications_by;
    struct tree tree = {loader, config->config_file, 1};
    config->route = (sw_route_config){
        .name = xstrdup("route"),
        .receiver = xstrdup(SW_RECEIVER_WEBHOOK),
        .matchers = sw_string_list_copy(NULL, 0),
        .grouped = by->n > 0 && !has_all_labels((const char *const *)by->items, by->n),
        .group_by = sw_string_list_copy((const char *const *)by->items, by->n),
        .group_wait_ms = config->group_wait_secs * 1000,
        .group_interval_ms = config->group_interval_secs * 1000,
        .repeat_interval_ms = config->repeat_interval_secs * 1000,
    };
    if (loader->route != NULL) {
        config->has_route = true;
        take_route(&tree, &config->route, "", loader->route, 0);
        if (config->route.matchers.n > 0) {
            mistake(&tree, &config->route, "matchers",
                    "cannot be used here: the first route is for every alert");
        }
        if (config->route.continues) {
            mistake(&tree, &config->route, "continue", "cannot be used here: nothing comes after it");
        }
    }
    if (config->route.key == NULL) { /* there is none, or it is no table */
        config->route.key = make_key("", &config->route);
    }
    warn_of_unused(loader);
}
