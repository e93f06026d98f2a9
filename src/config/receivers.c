/* `receivers` of the config file: each key is a setting of the webhook in a place of its own. */
#include <stdlib.h>
#include <string.h>

#include "config/load_internal.h"
#include "config/nearest.h"
#include "config/value.h"

#define FORMAT_CONFIG "format_config"
#define NAME_MAX_BYTES 64
#define FORMAT_PUSH "alertmanager_push"
#define PUSH_PATH "/api/v2/alerts"
#define PUSH_RESEND_SECS 60 /* as Prometheus does */

/* How a receiver's key is read, checked and shown: as the setting of this name is. */
static const struct receiver_key {
    const char *key, *env;
    size_t offset;
    bool inherited; /* not given: has the setting's value; else it has none, as with credentials */
} keys[] = {
#define KEY(key, env, inherited)                                                                             \
    { #key, env, offsetof(sw_receiver_config, key), inherited }
    KEY(url, "TEMPO_ALERT_WEBHOOK_URL", false),
    KEY(format, "SPANWATCH_WEBHOOK_FORMAT", false),
    KEY(format_secret_file, "SPANWATCH_WEBHOOK_FORMAT_SECRET_FILE", false),
    KEY(headers, "SPANWATCH_WEBHOOK_HEADERS", false),
    KEY(basic_auth_file, "SPANWATCH_WEBHOOK_BASIC_AUTH_FILE", false),
    KEY(bearer_token_file, "SPANWATCH_WEBHOOK_BEARER_TOKEN_FILE", false),
    KEY(authorization_type, "SPANWATCH_WEBHOOK_AUTHORIZATION_TYPE", false),
    KEY(hmac_secret_file, "SPANWATCH_WEBHOOK_HMAC_SECRET_FILE", false),
    KEY(ca_file, "SPANWATCH_WEBHOOK_CA_FILE", true),
    KEY(client_cert_file, "SPANWATCH_WEBHOOK_CLIENT_CERT_FILE", false),
    KEY(client_key_file, "SPANWATCH_WEBHOOK_CLIENT_KEY_FILE", false),
    KEY(insecure_tls, "TEMPO_ALERT_INSECURE_TLS", true),
    KEY(proxy, "SPANWATCH_WEBHOOK_PROXY", true),
    KEY(send_resolved, "SPANWATCH_WEBHOOK_SEND_RESOLVED", true),
    KEY(timeout_ms, "SPANWATCH_WEBHOOK_TIMEOUT_MS", true),
    KEY(max_age_secs, "SPANWATCH_WEBHOOK_MAX_AGE_SECS", true),
    KEY(backoff_min_ms, "SPANWATCH_WEBHOOK_BACKOFF_MIN_MS", true),
    KEY(backoff_max_ms, "SPANWATCH_WEBHOOK_BACKOFF_MAX_MS", true),
    KEY(max_alerts, "SPANWATCH_WEBHOOK_MAX_ALERTS", true),
    KEY(max_notifications_per_hour, "SPANWATCH_WEBHOOK_MAX_NOTIFICATIONS_PER_HOUR", true),
    KEY(resend_secs, "SPANWATCH_WEBHOOK_RESEND_SECS", false),
    KEY(max_in_flight, "SPANWATCH_WEBHOOK_MAX_IN_FLIGHT", true),
#undef KEY
};

static const sw_setting *setting_of(const struct receiver_key *key) {
    return sw_setting_find(key->env, SW_NAME_ENV);
}

static void *field(sw_receiver_config *receiver, const struct receiver_key *key) {
    return (char *)receiver + key->offset;
}

static const void *field_of(const sw_receiver_config *receiver, const struct receiver_key *key) {
    return (const char *)receiver + key->offset;
}

static const void *setting_value(const sw_config *config, const sw_setting *setting) {
    return (const char *)config + setting->offset;
}

static void release(sw_receiver_config *receiver) {
    for (size_t i = 0; i < SW_ARRAY_LEN(keys); i++) {
        sw_value_release_at(field(receiver, &keys[i]), setting_of(&keys[i]));
    }
    free(receiver->name);
    free(receiver->format_config_json);
}

void sw_receivers_release(sw_config *config) {
    for (size_t i = 0; i < config->n_receivers; i++) {
        release(&config->receivers[i]);
    }
    free(config->receivers);
    config->receivers = NULL;
    config->n_receivers = 0;
}

const sw_receiver_config *sw_config_receiver(const sw_config *config, const char *name) {
    for (size_t i = 0; i < config->n_receivers; i++) {
        if (strcmp(config->receivers[i].name, name) == 0) {
            return &config->receivers[i];
        }
    }
    return NULL;
}

/* Appended; with the settings' values where they are inherited, or all of them. */
static sw_receiver_config *add(sw_config *config, const char *name, bool all) {
    config->receivers = xrealloc_array(config->receivers, config->n_receivers + 1, sizeof *config->receivers);
    sw_receiver_config *receiver = &config->receivers[config->n_receivers++];
    *receiver = (sw_receiver_config){.name = xstrdup(name), .format_config_json = xstrdup("{}")};
    for (size_t i = 0; i < SW_ARRAY_LEN(keys); i++) {
        const sw_setting *setting = setting_of(&keys[i]);
        char *why = NULL;
        if (all || keys[i].inherited) {
            sw_value_copy_at(field(receiver, &keys[i]), setting_value(config, setting), setting);
        } else {
            sw_value_set_at(field(receiver, &keys[i]), setting, setting->default_text, &why);
        }
    }
    return receiver;
}

/* ---- one entry of the config file ---- */

struct entry {
    sw_loader *loader;
    const char *origin, *label; /* "receivers.pager", for mistakes */
    sw_receiver_config *receiver;
};

static void mistake(const struct entry *entry, const char *key, const char *why) {
    char *name = xasprintf("%s.%s", entry->label, key);
    sw_loader_mistake(entry->loader, name, entry->origin, "%s", why);
    free(name);
}

static void take_value(const struct entry *entry, const struct receiver_key *key, const json_t *value) {
    const sw_setting *setting = setting_of(key);
    void *out = field(entry->receiver, key);
    char *why = NULL, *quoted = NULL;
    size_t n = 0;
    bool list = sw_setting_is_list(setting) && (json_is_array(value) || json_is_object(value));
    const char **items = list ? sw_table_list(value, &n) : NULL;
    char *text = list ? NULL : sw_table_scalar(setting, value);
    int rc = -1;
    if (items != NULL) {
        rc = sw_value_set_list_at(out, setting, items, n, &why);
        quoted = xstrdup("the list");
    } else if (text != NULL) {
        rc = sw_value_set_at(out, setting, text, &why);
        quoted = sw_value_quote(setting, text);
    }
    if (rc != 0) {
        char *said =
            why != NULL ? xasprintf("%s %s", quoted, why)
                        : xasprintf("is %s, must be %s", sw_table_type_name(value), sw_table_wanted(setting));
        mistake(entry, key->key, said);
        free(said);
    }
    free(items);
    free(text);
    free(why);
    free(quoted);
}

static void take_format_config(const struct entry *entry, const json_t *value) {
    bool empty = json_is_array(value) && json_array_size(value) == 0;
    if (!json_is_object(value) && !empty) {
        mistake(entry, FORMAT_CONFIG, "must be a table of the format's settings");
        return;
    }
    char *text = empty ? NULL : json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS);
    free(entry->receiver->format_config_json);
    entry->receiver->format_config_json = xstrdup(text != NULL ? text : "{}");
    free(text);
}

static void unknown_key(const struct entry *entry, const char *key) {
    sw_nearest nearest;
    sw_nearest_init(&nearest, key);
    sw_nearest_offer(&nearest, "name");
    sw_nearest_offer(&nearest, FORMAT_CONFIG);
    for (size_t i = 0; i < SW_ARRAY_LEN(keys); i++) {
        sw_nearest_offer(&nearest, keys[i].key);
    }
    char *why = nearest.best[0] != '\0' ? xasprintf("is not known; did you mean %s?", nearest.best)
                                        : xstrdup("is not known");
    mistake(entry, key, why);
    free(why);
}

static void check_together(const struct entry *entry, bool no_url) {
    const sw_receiver_config *r = entry->receiver;
    const struct {
        bool wrong;
        const char *key, *why;
    } rules[] = {
        {no_url, "url", "must be given"},
        {r->backoff_max_ms < r->backoff_min_ms, "backoff_max_ms", "must not be less than backoff_min_ms"},
        {r->basic_auth_file[0] != '\0' && r->bearer_token_file[0] != '\0', "bearer_token_file",
         "cannot be used together with basic_auth_file"},
        {r->client_key_file[0] != '\0' && r->client_cert_file[0] == '\0', "client_key_file",
         "needs client_cert_file too"},
        {r->format[0] == '\0' &&
             (r->format_secret_file[0] != '\0' || strcmp(r->format_config_json, "{}") != 0),
         "format", "must be given: there are settings for it"},
    };
    for (size_t i = 0; i < SW_ARRAY_LEN(rules); i++) {
        if (rules[i].wrong) {
            mistake(entry, rules[i].key, rules[i].why);
        }
    }
}

static void take_keys(const struct entry *entry, const json_t *table) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)table, key, value) {
        size_t i = 0;
        while (i < SW_ARRAY_LEN(keys) && strcmp(keys[i].key, key) != 0) {
            i++;
        }
        if (i < SW_ARRAY_LEN(keys)) {
            take_value(entry, &keys[i], value);
        } else if (strcmp(key, FORMAT_CONFIG) == 0) {
            take_format_config(entry, value);
        } else if (strcmp(key, "name") != 0) {
            unknown_key(entry, key);
        }
    }
    const json_t *url = json_object_get(table, "url"); /* a wrong one was said to be wrong */
    check_together(entry, url == NULL || (json_is_string(url) && json_string_length(url) == 0));
}

/* NULL when it is good. */
static const char *check_name(const sw_config *config, const json_t *table) {
    const json_t *value = json_object_get(table, "name");
    const char *name = json_string_value(value);
    if (name == NULL || name[0] == '\0') {
        return "must be given: a text that routes call the receiver by";
    }
    size_t len = strlen(name);
    if (len != json_string_length(value) || len > NAME_MAX_BYTES ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] != '\0') {
        return "must be 1 to 64 letters, digits, _, . or -";
    }
    if (strcmp(name, SW_RECEIVER_WEBHOOK) == 0) {
        return "cannot be webhook: that is the receiver of TEMPO_ALERT_WEBHOOK_URL";
    }
    return sw_config_receiver(config, name) != NULL ? "is the name of another receiver already" : NULL;
}

static void take_entry(sw_loader *loader, size_t number, const json_t *table, const char *origin) {
    char *place = xasprintf("receivers[%zu]", number);
    if (!json_is_object(table)) {
        sw_loader_mistake(loader, place, origin,
                          "must be a table, such as { name = \"pager\", url = \"https://…\" }");
    } else {
        const char *wrong = check_name(loader->config, table);
        const char *name = json_string_value(json_object_get(table, "name"));
        char *label = wrong == NULL ? xasprintf("receivers.%s", name) : xstrdup(place);
        struct entry entry = {loader, origin, label,
                              add(loader->config, wrong == NULL ? name : place, false)};
        if (wrong != NULL) {
            mistake(&entry, "name", wrong);
        }
        take_keys(&entry, table);
        free(label);
    }
    free(place);
}

/* Alertmanager takes an alert for over when it hears no more of it, and every alert is one of its own there.
 */
static void complete(sw_loader *loader, sw_receiver_config *receiver) {
    if (strcmp(receiver->format, FORMAT_PUSH) == 0) {
        size_t len = strcspn(receiver->url, "?#"), end = strlen(PUSH_PATH);
        bool usual = len >= end && strncmp(receiver->url + len - end, PUSH_PATH, end) == 0;
        if (!usual && receiver->url[0] != '\0' && loader->warnings != NULL) {
            sw_buf_printf(loader->warnings,
                          "receiver %s: its url does not end with " PUSH_PATH
                          ", where Alertmanager takes alerts\n",
                          receiver->name);
        }
        receiver->resend_secs = receiver->resend_secs > 0 ? receiver->resend_secs : PUSH_RESEND_SECS;
        receiver->max_alerts = 0;
    }
}

static void make_receivers(sw_loader *loader) {
    const json_t *list = loader->receivers;
    const char *origin = loader->config->config_file;
    add(loader->config, SW_RECEIVER_WEBHOOK, true);
    if (list == NULL || (json_is_object(list) && json_object_size(list) == 0)) {
        return;
    }
    if (!json_is_array(list)) {
        sw_loader_mistake(loader, "receivers", origin,
                          "must be a list of tables, such as { { name = \"pager\", url = \"https://…\" } }");
        return;
    }
    size_t n = json_array_size(list);
    if (n >= SW_RECEIVERS_MAX) {
        sw_loader_mistake(loader, "receivers", origin, "must be less than %d", SW_RECEIVERS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        take_entry(loader, i + 1, json_array_get(list, i), origin);
    }
}

void sw_loader_make_receivers(sw_loader *loader) {
    make_receivers(loader);
    for (size_t i = 0; i < loader->config->n_receivers; i++) {
        complete(loader, &loader->config->receivers[i]);
    }
}

/* ---- for people ---- */

static void print_route(const sw_route_config *route, const char *before, int depth, sw_buf *out) {
    sw_buf_printf(out, "%s%*s", before, 2 * depth, "");
    for (size_t i = 0; i < route->matchers.n; i++) {
        sw_buf_printf(out, "%s%s", i == 0 ? "{" : ", ", route->matchers.items[i]);
    }
    sw_buf_printf(out, "%sreceiver: %s%s", route->matchers.n > 0 ? "}  " : "", route->receiver,
                  route->continues ? "  continue: true" : "");
    for (size_t i = 0; i < route->group_by.n; i++) {
        sw_buf_printf(out, "%s%s", i == 0 ? "  group_by: " : ",", route->group_by.items[i]);
    }
    sw_buf_append_str(out, route->grouped && route->group_by.n == 0 ? "  group_by: none, all are one group\n"
                                                                    : "\n");
    for (size_t i = 0; i < route->n_routes; i++) {
        print_route(&route->routes[i], before, depth + 1, out);
    }
}

void sw_route_print(const sw_route_config *route, sw_buf *out) {
    print_route(route, "", 0, out);
}

void sw_receivers_print(const sw_config *config, sw_buf *out) {
    for (size_t i = 1; i < config->n_receivers; i++) {
        const sw_receiver_config *receiver = &config->receivers[i];
        sw_buf_printf(out, "\n# receiver %s  # %s\n", receiver->name, config->config_file);
        for (size_t k = 0; k < SW_ARRAY_LEN(keys); k++) {
            char *value = sw_value_show_at(field_of(receiver, &keys[k]), setting_of(&keys[k]));
            if (value[0] != '\0') {
                sw_buf_printf(out, "#   %s=%s\n", keys[k].key, value);
            }
            free(value);
        }
    }
    if (config->has_route) {
        sw_buf_printf(out, "\n# route  # %s\n", config->config_file);
        print_route(&config->route, "# ", 1, out);
    }
}
