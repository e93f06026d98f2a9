#include "sources/tempo/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sources/tempo/internal.h"

#define LEAST_MS 10       /* an attempt with less time than this is not worth starting */
#define PAUSE_MS 250      /* before a failed question is asked again */
#define PAUSE_MAX_MS 2000 /* Retry-After is honoured up to this */

struct tempo_query {
    sw_tempo *tempo;
    tempo_query_kind kind;
    char *url;
    tempo_decoder decoder;
    sw_json_stream *stream;
    sw_http_call *call;
    uv_timer_t timer;
    int64_t timeout_ms, give_up_mono_ns;
    bool retried, wrong_type;
    bool dated; /* this attempt's Date header was seen */
    void (*done)(const tempo_answer *answer, void *arg);
    void *arg;
};

const char *tempo_query_kind_name(tempo_query_kind kind) {
    static const char *const names[] = {"counts", "counts_by_search", "traces", "sweep", "trace", "probe",
                                        "script"};
    return (unsigned)kind < SW_ARRAY_LEN(names) ? names[kind] : "";
}

/* ---- the life of a query ---- */

static void closed(uv_handle_t *handle) {
    tempo_query *query = handle->data;
    free(query->url);
    free(query);
}

static void release(tempo_query *query) {
    sw_json_stream_free(query->stream);
    query->stream = NULL;
    uv_close((uv_handle_t *)&query->timer, closed);
}

void tempo_query_cancel(tempo_query *query) {
    if (query->call != NULL) {
        sw_http_cancel(query->call);
    }
    release(query);
}

static void finish(tempo_query *query, const tempo_answer *answer) {
    void (*done)(const tempo_answer *, void *) = query->done;
    void *arg = query->arg;
    done(answer, arg);
    release(query);
}

/* ---- what an answer means ---- */

/* The first line of a text, without what does not print. */
static void first_line(const char *text, char *out, size_t size) {
    size_t n = 0;
    while (n + 1 < size && text[n] != '\0' && text[n] != '\n' && text[n] != '\r') {
        out[n] = (unsigned char)text[n] < 0x20 ? ' ' : text[n];
        n++;
    }
    out[n] = '\0';
}

void tempo_explain_status(const sw_tempo *tempo, int status, const char *body, char *out, size_t size) {
    char line[200];
    first_line(body, line, sizeof line);
    const char *advice = "";
    if (status == 401 && strstr(line, "no org id") != NULL) {
        advice = "; this Tempo has tenants: set TEMPO_TENANT";
    } else if (status == 401 || status == 403) {
        advice = "; check the credentials for Tempo";
    } else if (status == 404) {
        snprintf(out, size, "HTTP 404: no Tempo API at %s; is the URL's prefix right?", tempo->shown_url);
        return;
    } else if (status >= 300 && status < 400) {
        advice = "; redirects are not followed, set the address that answers";
    }
    snprintf(out, size, "HTTP %d%s%s%s", status, line[0] != '\0' ? ": " : "", line, advice);
}

static bool lacks_metrics(const char *body) {
    return strstr(body, "empty ring") != NULL || strstr(body, "localblocks") != NULL ||
           strstr(body, "local-blocks") != NULL;
}

static void fail(tempo_answer *answer, tempo_result result, const char *reason, const char *message) {
    answer->result = result;
    snprintf(answer->reason, sizeof answer->reason, "%s", reason);
    snprintf(answer->message, sizeof answer->message, "%s", message);
}

static void judge_status(const tempo_query *query, const sw_http_response *response, tempo_answer *answer) {
    char reason[32], message[400];
    snprintf(reason, sizeof reason, "http_%d", response->status);
    tempo_explain_status(query->tempo, response->status, response->body, message, sizeof message);
    bool overloaded = response->status == 429 || response->status >= 500;
    fail(answer,
         overloaded && lacks_metrics(response->body) ? TEMPO_NO_METRICS
         : overloaded                                ? TEMPO_OVERLOADED
                                                     : TEMPO_REFUSED,
         reason, message);
}

static bool says_partial(const json_t *rest) {
    const json_t *status = json_object_get(rest, "status");
    const char *word = json_string_value(status);
    const char *message = json_string_value(json_object_get(rest, "message"));
    return (word != NULL && strstr(word, "PARTIAL") != NULL) || json_integer_value(status) == 1 ||
           (message != NULL && message[0] != '\0');
}

/* The body was refused while it came, or at its end. */
static void judge_body(tempo_query *query, bool whole, tempo_answer *answer, json_t **rest) {
    if (query->wrong_type) {
        fail(answer, TEMPO_BROKEN, "wrong_type", "the answer is not JSON: is this a Tempo?");
        return;
    }
    *rest = whole ? sw_json_stream_finish(query->stream) : NULL;
    if (*rest == NULL) {
        bool large = sw_json_stream_too_large(query->stream);
        char message[300];
        snprintf(message, sizeof message, "the answer cannot be used: %s", sw_json_stream_why(query->stream));
        fail(answer, TEMPO_BROKEN, large ? "too_large" : "broken", message);
        return;
    }
    answer->rest = *rest;
    answer->cut_short = says_partial(*rest);
}

static void judge(tempo_query *query, const sw_http_response *response, tempo_answer *answer, json_t **rest) {
    answer->status = response->status;
    const char *name = sw_http_error_name(response->error);
    char message[320];
    switch (response->error) {
    case SW_HTTP_OK:
        if (response->status == 200) {
            judge_body(query, true, answer, rest);
        } else {
            judge_status(query, response, answer);
        }
        break;
    case SW_HTTP_ABORTED:
        judge_body(query, false, answer, rest);
        break;
    case SW_HTTP_TIMEOUT:
        snprintf(message, sizeof message, "no answer within %lld ms", (long long)query->timeout_ms);
        fail(answer, TEMPO_TIMEOUT, name, message);
        break;
    case SW_HTTP_TOO_LARGE:
        snprintf(message, sizeof message, "the answer is larger than %zu bytes (TEMPO_MAX_BODY_BYTES)",
                 query->tempo->options.max_body);
        fail(answer, TEMPO_BROKEN, name, message);
        break;
    case SW_HTTP_BROKEN:
        fail(answer, TEMPO_AWAY, name, response->message);
        break;
    default:
        fail(answer, response->error == SW_HTTP_BAD_REQUEST ? TEMPO_REFUSED : TEMPO_AWAY, name,
             response->message);
    }
}

/* ---- attempts ---- */

static void learn_timeout(tempo_query *query, double took_ms) {
    const sw_tempo_options *options = &query->tempo->options;
    int64_t *learnt = &query->tempo->timeouts_ms[query->kind];
    int64_t needed = (int64_t)(took_ms * 2);
    int64_t next = query->timeout_ms > *learnt ? needed : *learnt * 3 / 4;
    next = next < needed ? needed : next;
    next = next > options->query_timeout_max_ms ? options->query_timeout_max_ms : next;
    *learnt = next < options->query_timeout_ms ? options->query_timeout_ms : next;
}

static void count(const tempo_query *query, const sw_http_response *response, const tempo_answer *answer) {
    const char *kind = tempo_query_kind_name(query->kind);
    const tempo_metrics *m = &query->tempo->m;
    sw_metric_observe(m->duration, (double)response->duration_ns / 1e6);
    sw_metric_add(m->queries, 1, "tempo", kind);
    if (answer->result != TEMPO_OK) {
        sw_metric_add(m->failures, 1, "tempo", kind, answer->reason);
    }
}

static void start_attempt(tempo_query *query);

static void pause_over(uv_timer_t *timer) {
    start_attempt(timer->data);
}

/* True when the question is asked again. */
static bool again(tempo_query *query, const tempo_answer *answer, int64_t retry_after_s) {
    const sw_tempo_options *options = &query->tempo->options;
    int64_t left_ms = (query->give_up_mono_ns - tempo_mono_ns(query->tempo)) / SW_NS_PER_MS;
    if (answer->result == TEMPO_TIMEOUT) {
        bool had_it_all =
            query->timeout_ms >= options->query_timeout_max_ms || query->kind == TEMPO_ASK_SCRIPT;
        if (had_it_all || left_ms < LEAST_MS) {
            return false;
        }
        query->timeout_ms *= 4;
        start_attempt(query);
        return true;
    }
    bool passing = answer->result == TEMPO_AWAY || answer->result == TEMPO_OVERLOADED ||
                   (answer->result == TEMPO_BROKEN && strcmp(answer->reason, "broken") == 0);
    int64_t pause_ms = options->retry_pause_ms > 0 ? options->retry_pause_ms : PAUSE_MS;
    if (retry_after_s > 0 && retry_after_s * 1000 <= PAUSE_MAX_MS) {
        pause_ms = retry_after_s * 1000;
    }
    if (!passing || query->retried || left_ms < pause_ms + LEAST_MS) {
        return false;
    }
    query->retried = true;
    uv_timer_start(&query->timer, pause_over, (uint64_t)pause_ms, 0);
    return true;
}

static void learn_clock(tempo_query *query, const sw_http_response *response) {
    sw_tempo *tempo = query->tempo;
    bool jumped = tempo_clock_learn(&tempo->server_clock, response->date_s, tempo_mono_ns(tempo),
                                    sw_wall_ns(tempo->clock));
    tempo->clock_jumped = tempo->clock_jumped || jumped;
}

static void attempt_done(const sw_http_response *response, void *arg) {
    tempo_query *query = arg;
    query->call = NULL;
    query->tempo->last_byte_mono_ns = tempo_mono_ns(query->tempo);
    if (!query->dated) {
        learn_clock(query, response);
    }
    tempo_answer answer = {.result = TEMPO_OK};
    json_t *rest = NULL;
    judge(query, response, &answer, &rest);
    count(query, response, &answer);
    if (answer.result == TEMPO_OK) {
        learn_timeout(query, (double)response->duration_ns / 1e6);
    }
    if (!again(query, &answer, response->retry_after_s)) {
        finish(query, &answer);
    }
    json_decref(rest);
}

static bool headers_came(const sw_http_response *so_far, void *arg) {
    tempo_query *query = arg;
    learn_clock(query, so_far);
    query->dated = true;
    bool json = so_far->content_type[0] == '\0' || strstr(so_far->content_type, "json") != NULL;
    query->wrong_type = so_far->status == 200 && !json;
    return !query->wrong_type;
}

static bool data_came(const char *data, size_t len, void *arg) {
    tempo_query *query = arg;
    return sw_json_stream_feed(query->stream, data, len);
}

static void start_attempt(tempo_query *query) {
    sw_tempo *tempo = query->tempo;
    int64_t left_ms = (query->give_up_mono_ns - tempo_mono_ns(tempo)) / SW_NS_PER_MS;
    int64_t most_ms = left_ms < tempo->options.query_timeout_max_ms || query->kind == TEMPO_ASK_SCRIPT
                          ? left_ms
                          : tempo->options.query_timeout_max_ms;
    if (query->timeout_ms > most_ms) {
        query->timeout_ms = most_ms < 1 ? 1 : most_ms;
    }
    sw_json_stream_reset(query->stream);
    query->wrong_type = query->dated = false;
    query->decoder.reset(query->decoder.arg);
    sw_http_request request = {
        .url = query->url,
        .profile = &tempo->options.profile,
        .headers = tempo->headers,
        .timeout_ms = query->timeout_ms,
        .max_body = tempo->options.max_body,
        .accept_compressed = true,
        .on_headers = headers_came,
        .on_data = data_came,
        .done = attempt_done,
        .arg = query,
    };
    query->call = sw_http_start(tempo->http, &request);
}

tempo_query *tempo_query_start(sw_tempo *tempo, tempo_query_kind kind, char *url,
                               const tempo_decoder *decoder, int64_t first_timeout_ms,
                               int64_t give_up_mono_ns, void (*done)(const tempo_answer *answer, void *arg),
                               void *arg) {
    tempo_query *query = xcalloc(1, sizeof *query);
    *query = (tempo_query){
        .tempo = tempo,
        .kind = kind,
        .url = url,
        .decoder = *decoder,
        .timeout_ms = first_timeout_ms > 0 ? first_timeout_ms : tempo->timeouts_ms[kind],
        .give_up_mono_ns = give_up_mono_ns,
        .done = done,
        .arg = arg,
    };
    query->stream = sw_json_stream_new(&(sw_json_stream_options){
        .paths = decoder->paths,
        .max_element = decoder->max_element,
        .max_rest = decoder->max_rest,
        .on_element = decoder->element,
        .arg = decoder->arg,
    });
    uv_timer_init(tempo->loop, &query->timer);
    query->timer.data = query;
    start_attempt(query);
    return query;
}
