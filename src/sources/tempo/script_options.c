#include "sources/tempo/script_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/json_value.h"
#include "sources/tempo/queries.h"

enum type { TEXT, NUMBER, WHOLE, ATTRIBUTES };
struct option {
    const char *name;
    enum type type;
};

static const struct option search_options[] = {
    {"q", TEXT},
    {"service", TEXT},
    {"operation", TEXT},
    {"status", TEXT},
    {"min_duration_ms", NUMBER},
    {"max_duration_ms", NUMBER},
    {"attributes", ATTRIBUTES},
    {"from", WHOLE},
    {"to", WHOLE},
    {"limit", WHOLE},
    {"spss", WHOLE},
    {NULL, TEXT},
};
static const struct option metrics_options[] = {
    {"q", TEXT}, {"from", WHOLE}, {"to", WHOLE}, {"step_s", WHOLE}, {NULL, TEXT}};
static const struct option trace_options[] = {{"id", TEXT}, {NULL, TEXT}};

static bool attributes_fit(const json_t *value) {
    const char *name = NULL;
    json_t *member = NULL;
    json_object_foreach((json_t *)(uintptr_t)value, name, member) {
        if (!json_is_string(member) && !json_is_number(member) && !json_is_boolean(member)) {
            return false;
        }
    }
    return json_is_object(value);
}

static bool fits(const json_t *value, enum type type) {
    switch (type) {
    case TEXT:
        return json_is_string(value) && strlen(json_string_value(value)) < TEMPO_QUERY_MAX / 8;
    case NUMBER:
        return json_is_number(value) && json_number_value(value) >= 0;
    case WHOLE:
        return json_is_number(value) && json_number_value(value) >= 1 && json_number_value(value) < 1e12;
    default:
        return attributes_fit(value);
    }
}

static int check(const json_t *options, const struct option *known, char *why, size_t size) {
    static const char *const expected[] = {"a text", "a number, 0 or more", "a whole number, 1 or more",
                                           "a table of texts, numbers and booleans"};
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)options, name, value) {
        const struct option *option = known;
        while (option->name != NULL && strcmp(option->name, name) != 0) {
            option++;
        }
        if (option->name == NULL) {
            snprintf(why, size, "unknown option %.60s", name);
            return -1;
        }
        if (!fits(value, option->type)) {
            snprintf(why, size, "%s must be %s", name, expected[option->type]);
            return -1;
        }
    }
    return 0;
}

static int64_t whole(const json_t *options, const char *name, int64_t otherwise) {
    int64_t value = otherwise;
    sw_json_int(json_object_get(options, name), &value);
    return value;
}

static int usage(char *why, size_t size, const char *message) {
    snprintf(why, size, "%s", message);
    return -1;
}

/* Without them: the newest five minutes that Tempo shows. */
static int times(const sw_tempo *tempo, const json_t *options, int64_t *from_s, int64_t *to_s, char *why,
                 size_t size) {
    *to_s = whole(options, "to", tempo_server_now_ns(tempo) / SW_NS_PER_S - tempo->options.settle_s);
    *from_s = whole(options, "from", *to_s - TEMPO_LATE_S);
    return *from_s < *to_s ? 0 : usage(why, size, "from must be before to");
}

/* A script's own TraceQL says what it wants to see of its spans, or gets what detectors see. */
static char *with_select(const char *q) {
    bool complete = strstr(q, "select(") != NULL || strstr(q, "select (") != NULL ||
                    strstr(q, " with ") != NULL || strstr(q, " with(") != NULL;
    return complete ? NULL
                    : xasprintf("%s | select(resource.service.name, name, kind, status, statusMessage)", q);
}

static int status_fits(const json_t *options, char *why, size_t size) {
    const char *status = json_string_value(json_object_get(options, "status"));
    bool known = status == NULL || strcmp(status, "error") == 0 || strcmp(status, "ok") == 0 ||
                 strcmp(status, "unset") == 0;
    return known ? 0 : usage(why, size, "status must be \"error\", \"ok\" or \"unset\"");
}

static int search(const sw_tempo *tempo, const json_t *options, tempo_script_question *question, char *why,
                  size_t size) {
    int64_t from_s = 0;
    if (check(options, search_options, why, size) != 0 || status_fits(options, why, size) != 0 ||
        times(tempo, options, &from_s, &question->to_s, why, size) != 0) {
        return -1;
    }
    const char *q = json_string_value(json_object_get(options, "q"));
    static const char *const terms[] = {"service",         "operation",       "status",
                                        "min_duration_ms", "max_duration_ms", "attributes"};
    for (size_t i = 0; q != NULL && i < SW_ARRAY_LEN(terms); i++) {
        if (json_object_get(options, terms[i]) != NULL) {
            return usage(why, size, "q stands alone: put the other terms into it");
        }
    }
    int64_t limit = whole(options, "limit", tempo->options.search_limit);
    int64_t spss = whole(options, "spss", TEMPO_SPSS);
    question->limit = (unsigned)(limit > TEMPO_LIMIT_MAX ? TEMPO_LIMIT_MAX : limit);
    unsigned shown = (unsigned)(spss > TEMPO_SPSS ? TEMPO_SPSS : spss);
    char *selected = q != NULL ? with_select(q) : tempo_portable_query(options);
    if (q != NULL) {
        question->plain_url =
            tempo_search_url(tempo->base_url, q, from_s, question->to_s, question->limit, shown);
    }
    if (selected != NULL) {
        question->url =
            tempo_search_url(tempo->base_url, selected, from_s, question->to_s, question->limit, shown);
    } else {
        question->url = question->plain_url;
        question->plain_url = NULL;
    }
    free(selected);
    return 0;
}

static int metrics(const sw_tempo *tempo, const json_t *options, tempo_script_question *question, char *why,
                   size_t size) {
    int64_t from_s = 0;
    if (check(options, metrics_options, why, size) != 0 ||
        times(tempo, options, &from_s, &question->to_s, why, size) != 0) {
        return -1;
    }
    const char *q = json_string_value(json_object_get(options, "q"));
    if (q == NULL) {
        return usage(why, size, "q must be a text: a TraceQL metrics question");
    }
    int64_t step_s = whole(options, "step_s", 0);
    question->url = step_s > 0 ? tempo_range_url(tempo->base_url, q, from_s, question->to_s, step_s)
                               : tempo_instant_url(tempo->base_url, q, from_s, question->to_s);
    return 0;
}

static int trace(const sw_tempo *tempo, const json_t *options, tempo_script_question *question, char *why,
                 size_t size) {
    const char *id = json_string_value(json_object_get(options, "id"));
    if (check(options, trace_options, why, size) != 0) {
        return -1;
    }
    if (id == NULL || !tempo_hex_id(id, SW_TRACE_ID_LEN, question->id)) {
        return usage(why, size, "id must be a trace id: up to 32 hex digits");
    }
    question->url = tempo_trace_url(tempo->base_url, question->id, tempo->trace_api);
    question->plain_url = tempo->trace_api == 2 ? tempo_trace_url(tempo->base_url, question->id, 1) : NULL;
    return 0;
}

int tempo_script_question_init(const sw_tempo *tempo, const char *kind, const json_t *options,
                               tempo_script_question *question, char *why, size_t why_size) {
    *question = (tempo_script_question){0};
    if (!json_is_object(options)) {
        return usage(why, why_size, "the options must be a table");
    }
    if (strcmp(kind, "search") == 0) {
        question->kind = TEMPO_SCRIPT_SEARCH;
        return search(tempo, options, question, why, why_size);
    }
    if (strcmp(kind, "metrics") == 0) {
        question->kind = TEMPO_SCRIPT_METRICS;
        return metrics(tempo, options, question, why, why_size);
    }
    if (strcmp(kind, "trace") == 0) {
        question->kind = TEMPO_SCRIPT_TRACE;
        return trace(tempo, options, question, why, why_size);
    }
    return usage(why, why_size, "Tempo has no such question");
}

void tempo_script_question_release(tempo_script_question *question) {
    free(question->url);
    free(question->plain_url);
    *question = (tempo_script_question){0};
}
