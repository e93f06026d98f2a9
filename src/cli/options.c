#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "config/nearest.h"
#include "config/settings.h"

typedef struct parser {
    sw_options *out;
    int argc;
    char **argv;
    int at; /* the argument being read */
    sw_buf *mistakes;
} parser;

static size_t count_options(const sw_verb *verb) {
    size_t n = 0;
    while (verb->options != NULL && verb->options[n].name != NULL) {
        n++;
    }
    return n;
}

static const sw_verb_option *find_own(const sw_verb *verb, const char *name) {
    for (size_t i = 0; i < count_options(verb); i++) {
        if (strcmp(verb->options[i].name, name) == 0) {
            return &verb->options[i];
        }
    }
    return NULL;
}

static void unknown_option(parser *p, const char *name) {
    const sw_verb *verb = p->out->verb;
    sw_nearest nearest;
    sw_nearest_init(&nearest, name);
    sw_nearest_offer(&nearest, "--help");
    for (size_t i = 0; i < count_options(verb); i++) {
        sw_nearest_offer(&nearest, verb->options[i].name);
    }
    for (size_t i = 0; verb->takes_settings && i < sw_settings_n; i++) {
        char flag[SW_SETTING_NAME_MAX];
        if (sw_settings[i].type != SW_TYPE_SECTION) {
            sw_setting_name(&sw_settings[i], SW_NAME_FLAG, flag);
            sw_nearest_offer(&nearest, flag);
        }
    }
    if (verb->takes_settings) {
        sw_nearest_offer(&nearest, "--config");
    }
    sw_buf_printf(p->mistakes, "unknown option %s%s%s%s\n", name, nearest.best[0] ? "; did you mean " : "",
                  nearest.best, nearest.best[0] ? "?" : "");
}

/* The text behind "=", or the next argument. NULL, and a mistake, when there is neither. */
static const char *take_value(parser *p, const char *name, const char *behind_equals) {
    if (behind_equals != NULL) {
        return behind_equals;
    }
    if (p->at + 1 < p->argc && !sw_starts_with(p->argv[p->at + 1], "--")) {
        return p->argv[++p->at];
    }
    sw_buf_printf(p->mistakes, "option %s needs a value\n", name);
    return NULL;
}

static void add_setting(sw_options *out, const char *name, const char *value) {
    out->settings = xrealloc_array(out->settings, out->n_settings + 2, sizeof(char *));
    out->settings[out->n_settings++] = xasprintf("%s=%s", name, value);
    out->settings[out->n_settings] = NULL;
}

/* "--no-tempo-enabled"; false when there is no such switch among the settings. */
static bool take_negated(parser *p, const char *name) {
    if (!sw_starts_with(name, "--no-")) {
        return false;
    }
    char *positive = xasprintf("--%s", name + strlen("--no-"));
    const sw_setting *setting = sw_setting_find(positive, SW_NAME_FLAG);
    bool found = setting != NULL && setting->type == SW_TYPE_BOOL;
    if (found) {
        add_setting(p->out, positive, "false");
    }
    free(positive);
    return found;
}

static bool take_setting(parser *p, const char *name, const char *behind_equals) {
    if (!p->out->verb->takes_settings) {
        return false;
    }
    const sw_setting *setting = sw_setting_find(name, SW_NAME_FLAG);
    if (setting == NULL) {
        return behind_equals == NULL && take_negated(p, name);
    }
    const char *value = setting->type == SW_TYPE_BOOL ? (behind_equals != NULL ? behind_equals : "true")
                                                      : take_value(p, name, behind_equals);
    if (value != NULL) {
        add_setting(p->out, name, value);
    }
    return true;
}

static void take_own(parser *p, const sw_verb_option *own, const char *behind_equals) {
    const char *value = "true";
    if (own->argument != NULL) {
        value = take_value(p, own->name, behind_equals);
    } else if (behind_equals != NULL) {
        sw_buf_printf(p->mistakes, "option %s takes no value\n", own->name);
    }
    p->out->values[own - p->out->verb->options] = value;
}

static void take_option(parser *p, const char *argument) {
    const char *equals = strchr(argument, '=');
    const char *value = equals != NULL ? equals + 1 : NULL;
    char *name = xstrndup(argument, equals != NULL ? (size_t)(equals - argument) : strlen(argument));
    const sw_verb_option *own = find_own(p->out->verb, name);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        p->out->help = true;
    } else if (own != NULL) {
        take_own(p, own, value);
    } else if (p->out->verb->takes_settings && strcmp(name, "--config") == 0) {
        p->out->config_path = take_value(p, name, value);
    } else if (!take_setting(p, name, value)) {
        unknown_option(p, name);
    }
    free(name);
}

static void take_argument(parser *p, const char *argument) {
    if (p->out->verb->arguments == NULL) {
        sw_buf_printf(p->mistakes,
                      "unexpected argument %s (spanwatch %s takes none; a value of a switch is written "
                      "--name=value)\n",
                      argument, p->out->verb->name);
        return;
    }
    p->out->arguments[p->out->n_arguments++] = argument;
}

int sw_options_parse(sw_options *options, const sw_verb *verb, int argc, char **argv, sw_buf *mistakes) {
    parser p = {.out = options, .argc = argc, .argv = argv, .mistakes = mistakes};
    size_t before = mistakes->len;
    *options = (sw_options){.verb = verb};
    options->settings = xcalloc(1, sizeof(char *));
    options->values = xcalloc(count_options(verb) + 1, sizeof(char *));
    options->arguments = xcalloc((size_t)argc + 1, sizeof(char *));
    bool only_arguments = false;
    for (p.at = 0; p.at < argc; p.at++) {
        const char *argument = argv[p.at];
        if (!only_arguments && strcmp(argument, "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && argument[0] == '-' && argument[1] != '\0') {
            take_option(&p, argument);
        } else {
            take_argument(&p, argument);
        }
    }
    return mistakes->len > before ? -1 : 0;
}

void sw_options_release(sw_options *options) {
    for (size_t i = 0; i < options->n_settings; i++) {
        free(options->settings[i]);
    }
    free(options->settings);
    free(options->values);
    free(options->arguments);
    *options = (sw_options){0};
}

const char *sw_option(const sw_options *options, const char *name) {
    const sw_verb_option *own = find_own(options->verb, name);
    return own != NULL ? options->values[own - options->verb->options] : NULL;
}
