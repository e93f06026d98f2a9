/*
 * The configuration: one struct, filled from flags, environment, `.env` in the working folder and `--config
 * FILE` (a Lua table), in this order of precedence. config/settings.def lists every setting once: type,
 * field, environment variable, default, limits and documentation; flag and config key follow from the
 * variable's name (SPANWATCH_STORAGE_PATH: --storage-path, storage_path; TEMPO_URL: --tempo-url, tempo_url).
 *
 * Errors: all mistakes are collected, each as one line that says setting, source, value, and what to do; the
 * verbs exit 78. What is only suspicious (an unknown TEMPO_* variable) is a warning.
 *
 * An empty variable is as good as none for numbers and booleans; texts and lists may be empty on purpose.
 */
#ifndef SW_CONFIG_CONFIG_H
#define SW_CONFIG_CONFIG_H

#include "base/buf.h"

typedef struct sw_string_list {
    char **items; /* NULL-terminated */
    size_t n;
} sw_string_list;

#define SW_RECEIVERS_MAX 100
#define SW_ROUTES_MAX 1000 /* in the whole tree */
#define SW_ROUTES_DEPTH_MAX 16
#define SW_RECEIVER_WEBHOOK "webhook" /* the one that the settings describe: there is always one */

/* Where notifications go. The first is made of TEMPO_ALERT_WEBHOOK_URL and the SPANWATCH_WEBHOOK_* settings;
 * the others are entries of `receivers` in the config file, and have the settings' values for what is neither
 * given nor says who is asked and by whom (url, format, headers, credentials). Strings are never NULL. */
typedef struct sw_receiver_config {
    char *name; /* letters, digits, _ . - */
    char *url;  /* "": standard output; only the first can have none */
    char *format, *format_secret_file;
    char *format_config_json; /* settings of the format, over detector_config["notify/FORMAT"]; "{}" */
    sw_string_list headers;
    char *basic_auth_file, *bearer_token_file, *authorization_type, *hmac_secret_file;
    char *ca_file, *client_cert_file, *client_key_file;
    char *proxy;
    bool insecure_tls;
    bool send_resolved;
    int64_t timeout_ms, max_age_secs, backoff_min_ms, backoff_max_ms, max_in_flight;
    int64_t max_alerts, max_notifications_per_hour; /* 0: no limit */
    int64_t resend_secs;                            /* how often what fires is sent again; 0: not */
} sw_receiver_config;

/* Which alerts go to which receiver: Alertmanager's tree. What a route does not say it has from the one
 * above. */
typedef struct sw_route_config {
    char *name; /* for people: "route", "route.routes[1]" */
    char *key;  /* what it is, wherever it stands: the matchers from the first route on */
    char *receiver;
    sw_string_list matchers; /* texts as in service="checkout"; the agent compiles them (agent/routing.h) */
    bool continues;          /* the routes after it are asked as well */
    bool grouped;            /* alerts that agree on group_by are told together; else each alone */
    sw_string_list group_by; /* labels; none: all alerts are one group */
    int64_t group_wait_ms, group_interval_ms;
    int64_t repeat_interval_ms;
    struct sw_route_config *routes;
    size_t n_routes;
} sw_route_config;

/* Strings are never NULL: "" means not set. */
typedef struct sw_config {
#define SW_SETTING_INT(field, ...) int64_t field;
#define SW_SETTING_NUMBER(field, ...) double field;
#define SW_SETTING_STRING(field, ...) char *field;
#define SW_SETTING_CHOICE(field, ...) char *field;
#define SW_SETTING_URL(field, ...) char *field;
#define SW_SETTING_PATH(field, ...) char *field;
#define SW_SETTING_FILE(field, ...) char *field;
#define SW_SETTING_LIST(field, ...) sw_string_list field;
#define SW_SETTING_HEADERS(field, ...) sw_string_list field;
#include "config/settings.def"
    /* {"detect": {"latency_threshold_ms": 800}, …}: detector_config of the config file; "{}" otherwise. */
    char *detector_config_json;
    char *inhibit_rules_json;      /* the list inhibit_rules of the config file; "[]" otherwise */
    sw_receiver_config *receivers; /* at least SW_RECEIVER_WEBHOOK, the first */
    size_t n_receivers;
    sw_route_config route; /* everything to the first receiver, when the config file has none */
    char *config_file;     /* NULL when none was given */
    char **origins;        /* where each setting came from, in the order of sw_settings[] (settings.h) */
    bool has_route;        /* the config file has one */
#define SW_SETTING_BOOL(field, ...) bool field;
#include "config/settings.def"
} sw_config;

/* A Lua config file and what it may see. */
typedef struct sw_config_file {
    const char *path;
    const char *worker_path;        /* as flags, environment and .env say; "" when they do not */
    const char *const *environment; /* "NAME=value", NULL-terminated: environment, then .env */
} sw_config_file;

typedef struct sw_config_sources {
    const char *const
        *flags; /* "--name=value" strings as the verb's parser left them, NULL-terminated; or NULL */
    char *const *environment; /* environ; or NULL */
    const char *dotenv_path;  /* ".env"; missing is fine; NULL: none */
    const char *config_path;  /* NULL: SPANWATCH_CONFIG of environment or .env, else none */
    /* Evaluates a Lua config file: JSON of its table (caller frees), or NULL with *error (caller frees). */
    char *(*evaluate)(const sw_config_file *file, char **error, void *arg);
    void *evaluate_arg;
    sw_buf *warnings; /* one per line; or NULL */
} sw_config_sources;

/* 0, or -1 when there were mistakes: one per line in `mistakes` (all of them). The config is filled either
 * way; release it. */
int sw_config_load(sw_config *config, const sw_config_sources *sources, sw_buf *mistakes);
void sw_config_release(sw_config *config);

/* The settings of one detector as a JSON object: detector_config of the config file over those that have an
 * environment variable. "{}" when there are none. Caller frees. */
char *sw_config_for_detector(const sw_config *config, const char *detector);

/* The settings of a receiver's format likewise: its own over those of "notify/FORMAT", without the secret. */
char *sw_config_for_format(const sw_config *config, const sw_receiver_config *receiver);

/* NULL when there is none. */
const sw_receiver_config *sw_config_receiver(const sw_config *config, const char *name);

/* True when the route or one below it has this receiver. */
bool sw_route_leads_to(const sw_route_config *route, const char *receiver);

/* The tree, a route per line. */
void sw_route_print(const sw_route_config *route, sw_buf *out);

/* Effective values and where each came from, secrets hidden: "TEMPO_URL=http://…  # environment". */
void sw_config_print(const sw_config *config, sw_buf *out);
/* The table of settings for --help, and `.env.example`. */
void sw_config_help(sw_buf *out);
void sw_config_env_example(sw_buf *out);

#endif
