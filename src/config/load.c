#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/dotenv.h"
#include "config/load_internal.h"
#include "config/checks.h"
#include "config/nearest.h"
#include "config/value.h"

#define CONFIG_VARIABLE "SPANWATCH_CONFIG"
#define DOTENV_MAX ((size_t)1 << 20)

/* The variables of a layer, "NAME=value". */
typedef struct variables {
    char **items;
    size_t n;
} variables;

typedef struct dotenv_layer {
    sw_loader *loader;
    const char *path;
    variables all;     /* for the config file's env() */
    char *config_path; /* SPANWATCH_CONFIG; NULL when absent */
} dotenv_layer;

void sw_loader_mistake(sw_loader *loader, const char *name, const char *origin, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    char *what = xvasprintf(fmt, args);
    va_end(args);
    sw_buf_printf(loader->mistakes, "%s (%s): %s\n", name, origin, what);
    free(what);
}

static sw_raw_value *slot(sw_loader *loader, const sw_setting *setting) {
    return &loader->values[setting - sw_settings];
}

static void clear(sw_raw_value *value) {
    for (size_t i = 0; i < value->list.n; i++) {
        free(value->list.items[i]);
    }
    free(value->list.items);
    free(value->text);
    free(value->origin);
    *value = (sw_raw_value){0};
}

void sw_loader_put_text(sw_loader *loader, const sw_setting *setting, const char *text, const char *origin,
                        sw_name_style style) {
    sw_raw_value *value = slot(loader, setting);
    clear(value);
    *value = (sw_raw_value){.text = xstrdup(text), .is_set = true, .origin = xstrdup(origin), .style = style};
}

void sw_loader_put_list(sw_loader *loader, const sw_setting *setting, const char *const *items, size_t n,
                        const char *origin, sw_name_style style) {
    sw_raw_value *value = slot(loader, setting);
    clear(value);
    *value = (sw_raw_value){.is_list = true, .is_set = true, .origin = xstrdup(origin), .style = style};
    value->list.items = xcalloc(n + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++) {
        value->list.items[value->list.n++] = xstrdup(items[i]);
    }
}

static bool ours(const char *name) {
    return sw_starts_with(name, "SPANWATCH_") || sw_starts_with(name, "TEMPO_");
}

/* Kubernetes sets TEMPO_SERVICE_HOST, TEMPO_PORT_3200_TCP and the like for a service that is called tempo. */
static bool from_kubernetes(const char *name) {
    const char *rest = strchr(name, '_');
    return rest != NULL && (strcmp(rest, "_PORT") == 0 || strstr(rest, "_SERVICE_HOST") != NULL ||
                            strstr(rest, "_SERVICE_PORT") != NULL ||
                            (strncmp(rest, "_PORT_", 6) == 0 && isdigit((unsigned char)rest[6])));
}

static void unknown_variable(sw_loader *loader, const char *name, const char *origin, bool forgiving) {
    char near[SW_SETTING_NAME_MAX];
    bool found = sw_setting_nearest(name, SW_NAME_ENV, near);
    if (from_kubernetes(name)) {
        return;
    }
    if (!forgiving && (found || sw_starts_with(name, "SPANWATCH_"))) {
        sw_loader_mistake(loader, name, origin,
                          found ? "is not a setting; did you mean %s?" : "is not a setting", near);
    } else if (loader->warnings != NULL) {
        sw_buf_printf(loader->warnings, "%s (%s) is not a setting and is ignored%s%s%s\n", name, origin,
                      found ? "; did you mean " : "", found ? near : "", found ? "?" : "");
    }
}

/* Numbers and booleans cannot be empty: `NAME=` says that they are not set. */
static bool says_nothing(const sw_setting *setting, const char *text) {
    return text[0] == '\0' && (setting->type == SW_TYPE_BOOL || setting->type == SW_TYPE_INT ||
                               setting->type == SW_TYPE_NUMBER || setting->type == SW_TYPE_CHOICE);
}

static void take_variable(sw_loader *loader, const char *name, const char *text, const char *origin,
                          bool forgiving) {
    const sw_setting *setting = sw_setting_find(name, SW_NAME_ENV);
    if (setting == NULL) {
        if (ours(name) && strcmp(name, CONFIG_VARIABLE) != 0) {
            unknown_variable(loader, name, origin, forgiving);
        }
    } else if (!says_nothing(setting, text)) {
        sw_loader_put_text(loader, setting, text, origin, SW_NAME_ENV);
    }
}

static void take_environment(sw_loader *loader, char *const *environment) {
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        const char *equals = strchr(environment[i], '=');
        if (equals != NULL) {
            char *name = xstrndup(environment[i], (size_t)(equals - environment[i]));
            take_variable(loader, name, equals + 1, "environment", true);
            free(name);
        }
    }
}

static void dotenv_entry(const char *name, const char *value, unsigned line, void *arg) {
    dotenv_layer *layer = arg;
    char *origin = xasprintf("%s:%u", layer->path, line);
    take_variable(layer->loader, name, value, origin, false);
    free(origin);
    if (strcmp(name, CONFIG_VARIABLE) == 0) {
        free(layer->config_path);
        layer->config_path = xstrdup(value);
    }
    variables *all = &layer->all;
    all->items = xrealloc_array(all->items, all->n + 1, sizeof(char *));
    all->items[all->n++] = xasprintf("%s=%s", name, value);
}

static void dotenv_mistake(unsigned line, const char *why, void *arg) {
    dotenv_layer *layer = arg;
    sw_buf_printf(layer->loader->mistakes, "%s:%u: the line %s\n", layer->path, line, why);
}

static void take_dotenv(dotenv_layer *layer) {
    FILE *file = layer->path != NULL ? fopen(layer->path, "re") : NULL;
    if (file == NULL) {
        if (layer->path != NULL && errno != ENOENT) {
            sw_buf_printf(layer->loader->mistakes, "%s: cannot be read: %s\n", layer->path, strerror(errno));
        }
        return;
    }
    char *text = xmalloc(DOTENV_MAX + 1);
    size_t len = fread(text, 1, DOTENV_MAX + 1, file);
    if (ferror(file)) {
        sw_buf_printf(layer->loader->mistakes, "%s: cannot be read: %s\n", layer->path, strerror(errno));
    } else if (len > DOTENV_MAX) {
        sw_buf_printf(layer->loader->mistakes, "%s: is larger than %zu bytes\n", layer->path, DOTENV_MAX);
    } else {
        sw_dotenv_handler handler = {.entry = dotenv_entry, .mistake = dotenv_mistake, .arg = layer};
        sw_dotenv_parse(text, len, &handler);
    }
    free(text);
    fclose(file);
}

static void take_flags(sw_loader *loader, const char *const *flags) {
    for (size_t i = 0; flags != NULL && flags[i] != NULL; i++) {
        size_t len = strcspn(flags[i], "=");
        char *name = xstrndup(flags[i], len);
        const sw_setting *setting = sw_setting_find(name, SW_NAME_FLAG);
        if (setting == NULL) {
            sw_loader_mistake(loader, name, "flag", "is not a setting");
        } else {
            sw_loader_put_text(loader, setting, flags[i] + len + (flags[i][len] == '=' ? 1 : 0), "flag",
                               SW_NAME_FLAG);
        }
        free(name);
    }
}

static const char *environment_get(char *const *environment, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++) {
        if (strncmp(environment[i], name, len) == 0 && environment[i][len] == '=') {
            return environment[i] + len + 1;
        }
    }
    return NULL;
}

/* .env first, so that the environment's value is the last of two. */
static const char **joined_environment(const variables *dotenv, char *const *environment) {
    size_t n = 0;
    while (environment != NULL && environment[n] != NULL) {
        n++;
    }
    const char **all = xcalloc(dotenv->n + n + 1, sizeof *all);
    for (size_t i = 0; i < dotenv->n; i++) {
        all[i] = dotenv->items[i];
    }
    for (size_t i = 0; i < n; i++) {
        all[dotenv->n + i] = environment[i];
    }
    return all;
}

/* `config`: the file's layer is the weakest, but only the others say which worker reads it. */
static void take_file(sw_loader *loader, const sw_config_sources *sources, const char *path,
                      const dotenv_layer *dotenv, const char *worker_path) {
    const char **environment = joined_environment(&dotenv->all, sources->environment);
    sw_config_file file = {.path = path, .worker_path = worker_path, .environment = environment};
    char *error = NULL;
    char *text = sources->evaluate != NULL ? sources->evaluate(&file, &error, sources->evaluate_arg) : NULL;
    json_error_t json_error;
    json_t *table = text != NULL ? json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, &json_error) : NULL;
    if (text == NULL) {
        sw_buf_printf(loader->mistakes, "%s\n", error != NULL ? error : "the config file cannot be read");
    } else if (!json_is_object(table) && !json_is_array(table)) {
        sw_loader_mistake(loader, "config", path, "must return a table of settings");
    } else if (!json_is_array(table) || json_array_size(table) > 0) {
        sw_loader_take_table(loader, table, path);
    }
    json_decref(table);
    free(text);
    free(error);
    free(environment);
}

static void apply(sw_loader *loader, const sw_setting *setting) {
    sw_raw_value *value = slot(loader, setting);
    char **origin = &loader->config->origins[setting - sw_settings];
    char *why = NULL;
    int rc = 0;
    if (value->is_list) {
        rc = sw_value_set_list(loader->config, setting, (const char *const *)value->list.items, value->list.n,
                               &why);
    } else if (value->is_set) {
        rc = sw_value_set(loader->config, setting, value->text, &why);
    }
    if (rc != 0) {
        char name[SW_SETTING_NAME_MAX];
        sw_setting_name(setting, value->style, name);
        char *quoted = value->is_list ? xstrdup("the list") : sw_value_quote(setting, value->text);
        sw_loader_mistake(loader, name, value->origin, "%s %s", quoted, why);
        free(quoted);
    } else if (value->is_set) {
        free(*origin);
        *origin = xstrdup(value->origin);
    }
    free(why);
}

static void set_defaults(sw_config *config) {
    *config = (sw_config){.detector_config_json = xstrdup("{}"), .inhibit_rules_json = xstrdup("[]")};
    config->origins = xcalloc(sw_settings_n, sizeof(char *));
    for (size_t i = 0; i < sw_settings_n; i++) {
        char *why = NULL;
        config->origins[i] = xstrdup("default");
        if (sw_value_set(config, &sw_settings[i],
                         sw_settings[i].default_text != NULL ? sw_settings[i].default_text : "", &why) != 0) {
            fprintf(stderr, "spanwatch: default of %s %s\n", sw_settings[i].env, why);
            abort();
        }
    }
}

static void say_together(const char *env, const char *why, void *arg) {
    sw_loader *loader = arg;
    const sw_setting *setting = sw_setting_find(env, SW_NAME_ENV);
    char *shown = sw_value_show(loader->config, setting);
    sw_loader_mistake(loader, env, loader->config->origins[setting - sw_settings], "\"%s\" %s", shown, why);
    free(shown);
}

static void free_variables(variables *all) {
    for (size_t i = 0; i < all->n; i++) {
        free(all->items[i]);
    }
    free(all->items);
}

/* Strongest layer last; the file comes last of all, and only into what the others left. */
static void collect(sw_loader *loader, const sw_config_sources *sources) {
    dotenv_layer dotenv = {.loader = loader, .path = sources->dotenv_path};
    take_dotenv(&dotenv);
    take_environment(loader, sources->environment);
    take_flags(loader, sources->flags);

    const char *path = sources->config_path;
    if (path == NULL) {
        path = environment_get(sources->environment, CONFIG_VARIABLE);
    }
    if (path == NULL) {
        path = dotenv.config_path;
    }
    if (path != NULL && path[0] != '\0') {
        const sw_setting *worker = sw_setting_find("SPANWATCH_WORKER", SW_NAME_ENV);
        const char *worker_path = slot(loader, worker)->is_set ? slot(loader, worker)->text : "";
        loader->config->config_file = xstrdup(path);
        sw_loader below = {
            .config = loader->config, .mistakes = loader->mistakes, .warnings = loader->warnings};
        below.values = xcalloc(sw_settings_n, sizeof *below.values);
        take_file(&below, sources, path, &dotenv, worker_path);
        for (size_t i = 0; i < sw_settings_n; i++) {
            if (!loader->values[i].is_set) {
                loader->values[i] = below.values[i];
            } else {
                clear(&below.values[i]);
            }
        }
        free(below.values);
        loader->receivers = below.receivers;
        loader->route = below.route;
    }
    free(dotenv.config_path);
    free_variables(&dotenv.all);
}

int sw_config_load(sw_config *config, const sw_config_sources *sources, sw_buf *mistakes) {
    sw_loader loader = {.config = config, .mistakes = mistakes, .warnings = sources->warnings};
    size_t before = mistakes->len;
    loader.values = xcalloc(sw_settings_n, sizeof *loader.values);
    set_defaults(config);
    collect(&loader, sources);
    for (size_t i = 0; i < sw_settings_n; i++) {
        apply(&loader, &sw_settings[i]);
    }
    sw_check_together(config, say_together, &loader);
    sw_loader_make_receivers(&loader);
    sw_loader_make_route(&loader);
    for (size_t i = 0; i < sw_settings_n; i++) {
        clear(&loader.values[i]);
    }
    json_decref(loader.receivers);
    json_decref(loader.route);
    free(loader.values);
    return mistakes->len > before || mistakes->overflow ? -1 : 0;
}

void sw_config_release(sw_config *config) {
    sw_receivers_release(config);
    sw_route_release(&config->route);
    for (size_t i = 0; i < sw_settings_n; i++) {
        sw_value_release(config, &sw_settings[i]);
        if (config->origins != NULL) {
            free(config->origins[i]);
        }
    }
    free(config->origins);
    free(config->detector_config_json);
    free(config->inhibit_rules_json);
    free(config->config_file);
    *config = (sw_config){0};
}
