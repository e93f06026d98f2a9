/* notify: dead letters of the running agent, and a notification to try the receiver with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/agent_client.h"
#include "net/url.h"

#define PAGE 500

static int usage(const char *what) {
    fprintf(stderr, "spanwatch: %s\nTry spanwatch notify --help\n", what);
    return SW_EXIT_USAGE;
}

/* All of them, by id; NULL after saying why not. */
static json_t *dead_letters(sw_agent_client *client) {
    json_t *all = json_array();
    for (json_int_t after = 0;;) {
        char path[96];
        snprintf(path, sizeof path, "/api/v1/notifications/dead?limit=%d&after=%lld", PAGE, (long long)after);
        json_t *answer = sw_agent_client_ask(client, "GET", path, NULL);
        json_t *page = json_object_get(answer, "data");
        size_t n = json_array_size(page);
        json_array_extend(all, page);
        after = n > 0 ? json_integer_value(json_object_get(json_array_get(page, n - 1), "id")) : after;
        if (answer == NULL) {
            json_decref(all);
            return NULL;
        }
        json_decref(answer);
        if (n < PAGE) {
            return all;
        }
    }
}

/* ---- list ---- */

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "";
}

static void add_number(sw_text_table *table, const json_t *number) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)json_integer_value(number));
    sw_text_table_add(table, text);
}

static int print_table(const json_t *letters) {
    static const char *const heads[] = {"ID",          "RECEIVER", "CREATED", "ATTEMPTS",
                                        "FINGERPRINT", "ALERT",    "STATUS",  "ERROR"};
    sw_text_table table = {.n_columns = SW_ARRAY_LEN(heads)};
    for (size_t i = 0; i < SW_ARRAY_LEN(heads); i++) {
        sw_text_table_add(&table, heads[i]);
    }
    const json_t *letter = NULL;
    size_t i = 0;
    json_array_foreach(letters, i, letter) {
        const json_t *body = json_object_get(letter, "body");
        add_number(&table, json_object_get(letter, "id"));
        sw_text_table_add(&table, text_of(letter, "receiver"));
        sw_text_table_add(&table, text_of(letter, "created_at"));
        add_number(&table, json_object_get(letter, "attempts"));
        sw_text_table_add(&table, text_of(letter, "fingerprint"));
        sw_text_table_add(&table, text_of(body, "anomaly_type"));
        sw_text_table_add(&table, text_of(body, "status"));
        bool dead = strcmp(text_of(letter, "state"), "dead") == 0;
        sw_text_table_add(&table,
                          dead ? text_of(letter, "last_error") : "waits: the receiver is not configured");
    }
    return sw_text_table_print(&table);
}

static int list(const sw_options *options, sw_agent_client *client) {
    if (options->n_arguments > 1) {
        return usage("notify list takes nothing more");
    }
    json_t *letters = dead_letters(client);
    int rc = letters == NULL                        ? SW_EXIT_FAILED
             : sw_option(options, "--json") != NULL ? sw_print_json(letters)
                                                    : print_table(letters);
    json_decref(letters);
    return rc;
}

/* ---- retry, drop ---- */

static bool is_id(const char *text) {
    return text[0] != '\0' && strlen(text) <= 18 && text[strspn(text, "0123456789")] == '\0';
}

static int change(sw_agent_client *client, const char *id, bool again) {
    char path[96];
    snprintf(path, sizeof path, "/api/v1/notifications/%s%s", id, again ? "/retry" : "");
    json_t *answer = sw_agent_client_ask(client, again ? "POST" : "DELETE", path, NULL);
    int rc = answer != NULL ? SW_EXIT_OK : SW_EXIT_FAILED;
    json_decref(answer);
    return rc;
}

static int change_all(sw_agent_client *client, bool again) {
    json_t *letters = dead_letters(client);
    int rc = letters != NULL ? SW_EXIT_OK : SW_EXIT_FAILED;
    for (size_t i = 0; i < json_array_size(letters); i++) {
        char id[32];
        snprintf(id, sizeof id, "%lld",
                 (long long)json_integer_value(json_object_get(json_array_get(letters, i), "id")));
        rc = change(client, id, again) != SW_EXIT_OK ? SW_EXIT_FAILED : rc;
    }
    json_decref(letters);
    return rc;
}

static int change_some(const sw_options *options, sw_agent_client *client, bool again) {
    bool all = sw_option(options, "--all") != NULL;
    if (all != (options->n_arguments == 1)) {
        return usage("notify retry and notify drop need ids, or --all");
    }
    for (size_t i = 1; i < options->n_arguments; i++) {
        if (!is_id(options->arguments[i])) {
            return usage("an id is a number; notify list shows them");
        }
    }
    int rc = all ? change_all(client, again) : SW_EXIT_OK;
    for (size_t i = 1; i < options->n_arguments; i++) {
        rc = change(client, options->arguments[i], again) != SW_EXIT_OK ? SW_EXIT_FAILED : rc;
    }
    return rc;
}

static int retry(const sw_options *options, sw_agent_client *client) {
    return change_some(options, client, true);
}

static int drop(const sw_options *options, sw_agent_client *client) {
    return change_some(options, client, false);
}

/* ---- test ---- */

static int test(const sw_options *options, sw_agent_client *client) {
    if (options->n_arguments > 2) {
        return usage("notify test takes one receiver, or none");
    }
    sw_buf path;
    sw_buf_init(&path, 4096);
    sw_buf_append_str(&path, "/api/v1/notifications/test");
    if (options->n_arguments == 2) {
        sw_buf_append_str(&path, "?receiver=");
        sw_url_encode(&path, options->arguments[1]);
    }
    json_t *answer = sw_agent_client_ask(client, "POST", path.data, NULL);
    sw_buf_release(&path);
    int rc = answer == NULL                         ? SW_EXIT_FAILED
             : sw_option(options, "--json") != NULL ? sw_print_json(answer)
                                                    : SW_EXIT_OK;
    json_decref(answer);
    return rc;
}

static int run(const sw_options *options) {
    static const struct {
        const char *name;
        int (*run)(const sw_options *options, sw_agent_client *client);
    } actions[] = {{"list", list}, {"retry", retry}, {"drop", drop}, {"test", test}};
    const char *name = options->n_arguments > 0 ? options->arguments[0] : "list";
    for (size_t i = 0; i < SW_ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, name) == 0) {
            sw_agent_client client;
            int rc = sw_agent_client_open(&client, options);
            rc = rc == 0 ? actions[i].run(options, &client) : rc;
            sw_agent_client_close(&client);
            return rc;
        }
    }
    return usage("notify takes list, retry, drop or test");
}

static const sw_verb_option own_options[] = {
    {"--all", NULL, "retry, drop: every dead letter."},
    {"--json", NULL, "What the agent answers, as JSON."},
    {0},
};

const sw_verb sw_verb_notify = {
    .name = "notify",
    .summary = "list, retry or drop dead letters of the running agent; try the receiver",
    .arguments = "list | retry ID... | drop ID... | test [RECEIVER]",
    .doc = "Asks the agent at SPANWATCH_LISTEN_ADDRESS. Dead letters are notifications that the receiver "
           "refused, or "
           "that were\n"
           "given up after SPANWATCH_WEBHOOK_MAX_AGE_SECS. One that is sent again keeps its Idempotency-Key, "
           "and goes "
           "behind what\n"
           "was told about its alert meanwhile. What waits for a receiver that is not configured any more is "
           "listed "
           "as well, and\n"
           "can be dropped. test sends a made-up alert that fires and resolves at once, to one receiver or "
           "to all "
           "that routes\n"
           "lead to.\n",
    .examples = "  spanwatch notify list --json\n"
                "  spanwatch notify retry --all\n"
                "  spanwatch notify drop 17 18\n"
                "  spanwatch notify test\n",
    .options = own_options,
    .takes_settings = true,
    .run = run,
};
