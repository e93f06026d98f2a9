#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/matchers.h"
#include "base/clock.h"
#include "cli/alert.h"
#include "net/url.h"

#define DEFAULT_DURATION "1h"

static int usage(const char *why, const char *what) {
    fprintf(stderr, "spanwatch: %s%s%s\nTry spanwatch silence --help\n", why, what[0] != '\0' ? ": " : "",
            what);
    return SW_EXIT_USAGE;
}

/* As in amtool, a first one without an operator is the name of an alert. */
static int read_matchers(const sw_options *options, sw_matchers *out) {
    for (size_t i = 1; i < options->n_arguments; i++) {
        const char *text = options->arguments[i];
        char *why = NULL;
        int rc = i == 1 && strpbrk(text, "=!") == NULL
                     ? sw_matchers_add(out, "alertname", SW_MATCH_EQUAL, text, &why)
                     : sw_matchers_parse(out, text, &why);
        if (rc != 0) {
            usage(why, text);
            free(why);
            return SW_EXIT_USAGE;
        }
    }
    return 0;
}

static json_t *matchers_json(const sw_matchers *matchers) {
    json_t *list = json_array();
    for (size_t i = 0; i < matchers->n; i++) {
        const sw_matcher *matcher = &matchers->items[i];
        bool regex = matcher->op == SW_MATCH_REGEX || matcher->op == SW_MATCH_NOT_REGEX;
        bool equal = matcher->op == SW_MATCH_EQUAL || matcher->op == SW_MATCH_REGEX;
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b}", "name", matcher->name, "value",
                                              matcher->value, "isRegex", (int)regex, "isEqual", (int)equal));
    }
    return list;
}

static const char *option_or(const sw_options *options, const char *name, const char *otherwise) {
    const char *value = sw_option(options, name);
    return value != NULL ? value : otherwise;
}

/* ---- add ---- */

struct span {
    char starts_at[32], ends_at[32];
    bool open; /* until it is resolved */
};

/* 0, or an exit code. Times are sent as they were given. */
static int read_span(const sw_options *options, struct span *span) {
    int64_t start = sw_wall_ns(sw_clock_system()), end = 0, seconds = 0;
    const char *from = sw_option(options, "--start"), *to = sw_option(options, "--end");
    const char *duration = sw_option(options, "--duration");
    if (to != NULL && duration != NULL) {
        return usage("--end and --duration cannot be used together", "");
    }
    if (from != NULL && sw_parse_rfc3339(from, &start) != 0) {
        return usage("--start must be a time such as 2026-03-01T10:00:00Z", from);
    }
    if (to != NULL && sw_parse_rfc3339(to, &end) != 0) {
        return usage("--end must be a time such as 2026-03-01T10:00:00Z", to);
    }
    span->open = to == NULL && duration == NULL && sw_option(options, "--until-resolved") != NULL;
    duration = duration != NULL ? duration : DEFAULT_DURATION;
    if (to == NULL && sw_parse_duration(duration, &seconds) != 0) {
        return usage("--duration must be such as 30m, 2h or 1d12h", duration);
    }
    sw_format_rfc3339(start, span->starts_at);
    sw_format_rfc3339(to != NULL ? end : start + seconds * SW_NS_PER_S, span->ends_at);
    return 0;
}

static const char *author_of(const sw_options *options) {
    const char *user = getenv("USER");
    return option_or(options, "--author", user != NULL ? user : "spanwatch");
}

static int add(const sw_options *options, sw_agent_client *client) {
    sw_matchers matchers = {0};
    struct span span = {0};
    int rc = options->n_arguments < 2 ? usage("silence add needs a matcher", "")
                                      : read_matchers(options, &matchers);
    rc = rc == 0 ? read_span(options, &span) : rc;
    if (rc == 0) {
        json_t *body = json_pack("{s:o, s:s, s:s, s:s}", "matchers", matchers_json(&matchers), "startsAt",
                                 span.starts_at, "createdBy", author_of(options), "comment",
                                 option_or(options, "--comment", ""));
        if (!span.open) {
            json_object_set_new(body, "endsAt", json_string(span.ends_at));
        }
        if (sw_option(options, "--until-resolved") != NULL) {
            json_object_set_new(body, "untilResolved", json_true());
        }
        json_t *answer = sw_agent_client_ask(client, "POST", "/api/v2/silences", body);
        rc = answer == NULL ? SW_EXIT_FAILED : sw_print_silence_id(options, answer);
        json_decref(answer);
    }
    sw_matchers_release(&matchers);
    return rc;
}

/* ---- list ---- */

static bool is_wanted(const sw_options *options, const json_t *silence) {
    const char *state = json_string_value(json_object_get(json_object_get(silence, "status"), "state"));
    return sw_option(options, "--expired") != NULL || !sw_streq(state, "expired");
}

static char *matchers_text(const json_t *silence) {
    sw_buf out;
    sw_buf_init(&out, (size_t)1 << 20);
    const json_t *matcher = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(silence, "matchers"), i, matcher) {
        bool regex = json_is_true(json_object_get(matcher, "isRegex"));
        bool equal = !json_is_false(json_object_get(matcher, "isEqual"));
        const char *name = json_string_value(json_object_get(matcher, "name"));
        const char *value = json_string_value(json_object_get(matcher, "value"));
        sw_buf_printf(&out, "%s%s%s\"%s\"", i > 0 ? "," : "", name != NULL ? name : "",
                      regex ? (equal ? "=~" : "!~") : (equal ? "=" : "!="), value != NULL ? value : "");
    }
    return sw_buf_steal(&out, NULL);
}

static int print_table(const json_t *list) {
    sw_text_table table = {.n_columns = 6};
    static const char *const heads[] = {"ID", "STATE", "ENDS", "BY", "MATCHERS", "COMMENT"};
    for (size_t i = 0; i < SW_ARRAY_LEN(heads); i++) {
        sw_text_table_add(&table, heads[i]);
    }
    const json_t *silence = NULL;
    size_t i = 0;
    json_array_foreach(list, i, silence) {
        char *matchers = matchers_text(silence);
        bool until_resolved = json_is_true(json_object_get(silence, "untilResolved"));
        const char *ends_at = json_string_value(json_object_get(silence, "endsAt"));
        bool open = until_resolved && ends_at != NULL && sw_starts_with(ends_at, "2200-");
        sw_text_table_add(&table, json_string_value(json_object_get(silence, "id")));
        sw_text_table_add(&table,
                          json_string_value(json_object_get(json_object_get(silence, "status"), "state")));
        sw_text_table_add(&table, open ? "when resolved" : ends_at);
        sw_text_table_add(&table, json_string_value(json_object_get(silence, "createdBy")));
        sw_text_table_add(&table, matchers);
        sw_text_table_add(&table, json_string_value(json_object_get(silence, "comment")));
        free(matchers);
    }
    return sw_text_table_print(&table);
}

static int list(const sw_options *options, sw_agent_client *client) {
    sw_matchers filter = {0};
    int rc = read_matchers(options, &filter);
    if (rc == 0) {
        sw_buf text, path;
        sw_buf_init(&text, (size_t)1 << 20);
        sw_buf_init(&path, (size_t)4 << 20);
        sw_matchers_print(&filter, &text);
        sw_buf_append_str(&path, "/api/v2/silences");
        if (filter.n > 0) {
            sw_buf_append_str(&path, "?filter=");
            sw_url_encode(&path, text.data);
        }
        json_t *all = sw_agent_client_ask(client, "GET", path.data, NULL), *wanted = json_array();
        json_t *silence = NULL;
        size_t i = 0;
        json_array_foreach(all, i, silence) {
            if (is_wanted(options, silence)) {
                json_array_append(wanted, silence);
            }
        }
        rc = all == NULL                            ? SW_EXIT_FAILED
             : sw_option(options, "--json") != NULL ? sw_print_json(wanted)
                                                    : print_table(wanted);
        json_decref(all);
        json_decref(wanted);
        sw_buf_release(&text);
        sw_buf_release(&path);
    }
    sw_matchers_release(&filter);
    return rc;
}

/* ---- expire ---- */

static int expire(const sw_options *options, sw_agent_client *client) {
    if (options->n_arguments < 2) {
        return usage("silence expire needs an id", "");
    }
    int rc = 0;
    for (size_t i = 1; i < options->n_arguments; i++) {
        sw_buf path;
        sw_buf_init(&path, (size_t)1 << 20);
        sw_buf_append_str(&path, "/api/v2/silence/");
        sw_url_encode(&path, options->arguments[i]);
        json_t *answer = sw_agent_client_ask(client, "DELETE", path.data, NULL);
        rc = answer == NULL ? SW_EXIT_FAILED : rc;
        json_decref(answer);
        sw_buf_release(&path);
    }
    return rc;
}

static int run(const sw_options *options) {
    static const struct {
        const char *name;
        int (*run)(const sw_options *options, sw_agent_client *client);
    } actions[] = {{"add", add}, {"list", list}, {"expire", expire}};
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
    return usage("silence takes add, list or expire", name);
}

static const sw_verb_option own_options[] = {
    {"--author", "NAME", "add: who silences. The user's name otherwise."},
    {"--comment", "TEXT", "add: why."},
    {"--duration", "TIME", "add: how long, such as 30m, 2h or 1d12h; 1h otherwise."},
    {"--start", "TIME", "add: from when, as 2026-03-01T10:00:00Z; now otherwise."},
    {"--end", "TIME", "add: until when."},
    {"--until-resolved", NULL, "add: ends when nothing that it matched fires; no other end unless given."},
    {"--expired", NULL, "list: expired ones too."},
    {"--json", NULL, "What the agent answers, as JSON."},
    {0},
};

const sw_verb sw_verb_silence = {
    .name = "silence",
    .summary = "add, list or expire silences of the running agent",
    .arguments = "add MATCHER... | list [MATCHER...] | expire ID...",
    .doc = "Asks the agent at SPANWATCH_LISTEN_ADDRESS. A matcher is name=value, with =, !=, =~ or !~; names "
           "are labels of the\n"
           "alert, and alertname, severity, detector, source, service, operation, fingerprint. A first one "
           "without an operator is\n"
           "an alertname. amtool works on the agent too.\n",
    .examples = "  spanwatch silence add high_latency service=~'check.*' --duration 2h --comment deploy\n"
                "  spanwatch silence add service=payment --until-resolved\n"
                "  spanwatch silence list --json\n"
                "  spanwatch silence expire 5b1ff0b0-6b2c-4a57-8b0d-0b8a4f0c8e7e\n",
    .options = own_options,
    .takes_settings = true,
    .run = run,
};
