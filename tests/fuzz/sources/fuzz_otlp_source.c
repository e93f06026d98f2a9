/*
 * The source that receives spans: requests, made up from the input or its bytes as they are, between steps of
 * the clocks, polls, windows, things forgotten, traces asked for and searched. In little memory, so that all
 * of it has to make room. Whatever comes, each span gets one result, what is shown is whole, spans are found
 * with the resource that they came with, and memory stays bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "otlp/otlp.h"
#include "sources/json_value.h"
#include "sources/otlp/otlp_source.h"
#include "sources/trace_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define START_S INT64_C(1800000000)
#define MAX_BYTES ((size_t)256 << 10)
#define MAX_STEPS 400

struct input {
    const uint8_t *at, *end;
};

static unsigned byte(struct input *in) {
    return in->at < in->end ? *in->at++ : 0;
}

static int64_t wall_ns, mono_ns;

static int64_t wall(void *arg) {
    (void)arg;
    return wall_ns;
}

static int64_t mono(void *arg) {
    (void)arg;
    return mono_ns;
}

static void must(bool true_always) {
    if (!true_always) {
        abort();
    }
}

struct all {
    uv_loop_t loop;
    sw_clock clock;
    sw_metrics *metrics;
    sw_source *source;
    uint64_t sent;   /* spans in requests that were taken */
    double accepted; /* counts of them, at most */
    bool polled;
    bool raw; /* some requests were not made up here */
};

struct searched {
    const struct all *all;
    char number[2];
};

static double metric(const struct all *all, const char *name) {
    sw_buf out;
    sw_buf_init(&out, 1 << 20);
    sw_metrics_render(all->metrics, &out);
    sw_buf_append_char(&out, '\0');
    double sum = 0;
    size_t len = strlen(name);
    for (const char *line = out.data; line != NULL; line = strchr(line, '\n')) {
        line += line[0] == '\n';
        if (strncmp(line, name, len) == 0 && (line[len] == ' ' || line[len] == '{')) {
            sum += strtod(strchr(line, ' '), NULL);
        }
    }
    sw_buf_release(&out);
    return sum;
}

/* ---- requests ---- */

static void put_id(sw_buf *out, uint32_t field, uint64_t id, size_t len) {
    unsigned char bytes[16] = {0};
    for (size_t i = 0; i < 8; i++) {
        bytes[len - 1 - i] = (unsigned char)(id >> (8 * i));
    }
    otlp_put_bytes(out, field, bytes, len);
}

/* Its name begins with the number of its resource. */
static void put_span(struct input *in, unsigned number, sw_buf *spans) {
    char name[2000] = {(char)('0' + number)};
    sw_buf span, part;
    sw_buf_init(&span, 1 << 20);
    sw_buf_init(&part, 1 << 20);
    unsigned which = byte(in), id = byte(in), shape = byte(in);
    put_id(&span, 1, which, 16);
    put_id(&span, 2, id, 8);
    if ((shape & 1) != 0) {
        put_id(&span, 4, byte(in), 8);
    }
    otlp_put_bytes(&span, 5, name, (shape & 2) != 0 ? sizeof name : 1 + id % 8);
    otlp_put_varint(&span, 6, shape >> 5);
    uint64_t start_ns =
        (uint64_t)(wall_ns + ((int64_t)byte(in) - 128) * SW_NS_PER_S * ((shape & 4) != 0 ? 60 : 1));
    otlp_put_fixed64(&span, 7, start_ns);
    otlp_put_fixed64(&span, 8, start_ns + (uint64_t)((int64_t)byte(in) - 8) * 20 * SW_NS_PER_MS);
    if ((shape & 8) != 0) {
        otlp_put_varint(&part, 3, 2);
        otlp_put_bytes(&span, 15, part.data, part.len);
    }
    if ((shape & 16) != 0) {
        sw_buf_reset(&part);
        otlp_put_bytes(&part, 2, "exception", 9);
        otlp_put_bytes(&span, 11, part.data, part.len);
    }
    otlp_put_bytes(spans, 2, span.data, span.len);
    sw_buf_release(&span);
    sw_buf_release(&part);
}

static void take(struct all *all, sw_otlp_text request) {
    uint64_t rejected = 0;
    char why[SW_OTLP_WHY] = "";
    sw_otlp_spans spans;
    sw_otlp_spans_init(&spans, 1000);
    char ignored[SW_OTLP_WHY];
    bool read = sw_otlp_read(request, &spans, ignored) == 0;
    sw_otlp_taken taken = sw_otlp_source_take(all->source, request, &rejected, why);
    must(read || taken == SW_OTLP_MALFORMED);
    must(rejected <= spans.n && (taken == SW_OTLP_TAKEN ? rejected == 0 || why[0] != '\0' : why[0] != '\0'));
    for (size_t i = 0; taken == SW_OTLP_TAKEN && i < spans.n; i++) {
        all->sent++;
        all->accepted += sw_otlp_weight(spans.items[i].trace_state);
    }
    sw_otlp_spans_release(&spans);
}

static void put_attribute(sw_buf *out, const char *key, const char *text) {
    sw_buf value, pair;
    sw_buf_init(&value, 1 << 10);
    sw_buf_init(&pair, 1 << 10);
    otlp_put_bytes(&value, 1, text, strlen(text));
    otlp_put_bytes(&pair, 1, key, strlen(key));
    otlp_put_bytes(&pair, 2, value.data, value.len);
    otlp_put_bytes(out, 1, pair.data, pair.len);
    sw_buf_release(&value);
    sw_buf_release(&pair);
}

/* Which one is told by its attributes; number 0 has none. */
static void put_resource(unsigned number, sw_buf *out) {
    const char text[] = {(char)('0' + number), '\0'};
    sw_buf resource;
    sw_buf_init(&resource, 1 << 10);
    if (number > 0) {
        put_attribute(&resource, "number", text);
        put_attribute(&resource, "service.name", text);
        otlp_put_bytes(out, 1, resource.data, resource.len);
    }
    sw_buf_release(&resource);
}

static void put_resource_spans(struct input *in, unsigned number, unsigned n, sw_buf *request) {
    sw_buf scope, resource_spans;
    sw_buf_init(&scope, 1 << 20);
    sw_buf_init(&resource_spans, 1 << 20);
    put_resource(number, &resource_spans);
    for (unsigned i = 0; i < n && in->at < in->end; i++) {
        put_span(in, number, &scope);
    }
    otlp_put_bytes(&resource_spans, 2, scope.data, scope.len);
    otlp_put_bytes(request, 1, resource_spans.data, resource_spans.len);
    sw_buf_release(&scope);
    sw_buf_release(&resource_spans);
}

/* Of one resource, or of two. */
static void take_made_up(struct all *all, struct input *in) {
    unsigned what = byte(in), n = what % 40, number = what / 40;
    sw_buf request;
    sw_buf_init(&request, 1 << 20);
    if (number >= 4) {
        put_resource_spans(in, number % 4, n / 2, &request);
        n -= n / 2;
    }
    put_resource_spans(in, number, n, &request);
    take(all, (sw_otlp_text){request.data, request.len});
    sw_buf_release(&request);
}

static void take_raw(struct all *all, struct input *in) {
    size_t len = byte(in) * 4u, left = (size_t)(in->end - in->at);
    len = len < left ? len : left;
    all->raw = true;
    take(all, (sw_otlp_text){(const char *)in->at, len});
    in->at += len;
}

/* ---- asking ---- */

static void check_trace(const sw_trace *trace) {
    sw_buf out;
    sw_buf_init(&out, 1 << 24);
    char why[SW_JSON_WHY];
    must(strlen(trace->id) == SW_TRACE_ID_LEN && trace->n_spans > 0 && trace->n_matched >= trace->n_spans);
    must(sw_trace_append_json(&out, trace) == 0);
    json_t *json = sw_json_parse(out.data, out.len, why);
    must(json != NULL);
    json_decref(json);
    sw_buf_release(&out);
}

static void on_polled(const sw_poll_result *result, void *arg) {
    struct all *all = arg;
    must(result->reachable && (result->traces_ok || result->traces_reason[0] != '\0'));
    all->polled = true;
}

static void check_list(const struct all *all) {
    size_t n = 0;
    const sw_trace *const *traces = all->source->ops->traces(all->source, &n);
    for (size_t i = 0; i < n; i++) {
        check_trace(traces[i]);
    }
}

static void poll_now(struct all *all, unsigned how) {
    const sw_wants wants = {
        .min_duration_ms = how % 4 == 0 ? -1 : how % 4 * 1000, .errors = (how & 4) != 0, .series = true};
    all->polled = false;
    all->source->ops->poll(all->source, &wants, on_polled, all);
    uv_run(&all->loop, UV_RUN_DEFAULT);
    must(all->polled);
    check_list(all);
    must(metric(all, "spanwatch_otlp_memory_bytes") < 2 * MAX_BYTES);
    must(metric(all, "spanwatch_otlp_spans_total") == (double)all->sent);
}

static void check_window(const struct all *all, int64_t from_s, int64_t to_s) {
    sw_window window;
    sw_window_init(&window);
    all->source->ops->build_window(all->source, from_s, to_s, &window);
    double sum = 0;
    for (size_t i = 0; i < window.n_series; i++) {
        double in_buckets = 0;
        for (size_t k = 0; k < window.series[i].n_buckets; k++) {
            in_buckets += window.series[i].buckets[k].count;
        }
        must(in_buckets <= window.series[i].count * 1.001 && in_buckets >= window.series[i].count * 0.999);
        must(window.series[i].errors <= window.series[i].count * 1.001);
        sum += window.series[i].count;
    }
    must(sum <= all->accepted * 1.001);
    sw_window_release(&window);
}

static void on_fetched(const sw_trace *trace, const char *message, void *arg) {
    (void)arg;
    if (trace != NULL) {
        check_trace(trace);
    } else {
        must(message[0] != '\0');
    }
}

static const char *told(const json_t *span, const char *of, const char *name) {
    const char *text =
        json_string_value(json_object_get(of != NULL ? json_object_get(span, of) : span, name));
    return text != NULL ? text : "";
}

static void on_searched(const char *json, size_t len, const char *message, const char *code, void *arg) {
    const struct searched *searched = arg;
    char why[SW_JSON_WHY];
    must(json != NULL || (message != NULL && code != NULL));
    json_t *answer = json != NULL ? sw_json_parse(json, len, why) : NULL;
    must((json != NULL) == (answer != NULL));
    size_t i = 0, k = 0;
    json_t *trace = NULL, *span = NULL;
    json_array_foreach(json_object_get(answer, "traces"), i, trace) {
        must(json_array_size(json_object_get(trace, "spans")) > 0);
        json_array_foreach(json_object_get(trace, "spans"), k, span) {
            must(searched->all->raw || (strcmp(told(span, "attributes", "number"), searched->number) == 0 &&
                                        strcmp(told(span, NULL, "service"), searched->number) == 0 &&
                                        told(span, NULL, "name")[0] == searched->number[0]));
        }
    }
    json_decref(answer);
}

static void search(struct all *all, unsigned number) {
    struct searched searched = {all, {(char)('1' + number % 6), '\0'}};
    char options[100];
    snprintf(options, sizeof options, "{\"attributes\": {\"number\": \"%s\"}}", searched.number);
    must(all->source->ops->query(all->source, "search", options, 100, on_searched, &searched) != NULL);
    uv_run(&all->loop, UV_RUN_DEFAULT);
}

static void step(struct all *all, struct input *in) {
    char id[SW_TRACE_ID_LEN + 1];
    unsigned what = byte(in);
    switch (what % 10) {
    case 0:
        take_raw(all, in);
        break;
    case 1:
        mono_ns += (int64_t)byte(in) * SW_NS_PER_S;
        wall_ns += (int64_t)byte(in) * SW_NS_PER_S;
        break;
    case 2: /* a clock that is set */
        wall_ns += ((int64_t)byte(in) - 128) * 100 * SW_NS_PER_S;
        wall_ns = wall_ns < 0 ? 0 : wall_ns;
        break;
    case 3:
    case 4:
        poll_now(all, byte(in));
        break;
    case 5:
        check_window(all, wall_ns / SW_NS_PER_S - 600, wall_ns / SW_NS_PER_S + 600);
        break;
    case 6:
        if (what >= 128) {
            search(all, byte(in));
            break;
        }
        snprintf(id, sizeof id, "%032x", byte(in));
        all->source->ops->fetch_trace(all->source, id, 100, on_fetched, NULL);
        break;
    case 7:
        all->source->ops->forget(all->source, wall_ns / SW_NS_PER_S - byte(in));
        check_list(all);
        break;
    default:
        take_made_up(all, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, data + size};
    struct all all = {.clock = {wall, mono, NULL}};
    wall_ns = START_S * SW_NS_PER_S;
    mono_ns = SW_NS_PER_S;
    uv_loop_init(&all.loop);
    all.metrics = sw_metrics_new();
    const sw_otlp_source_options options = {.step_s = 10,
                                            .lookback_s = 60,
                                            .settle_s = 10,
                                            .max_bytes = MAX_BYTES,
                                            .max_series = 10,
                                            .max_spans = 1000};
    all.source = sw_otlp_source_new(&all.loop, &all.clock, all.metrics, &options);
    for (int i = 0; i < MAX_STEPS && in.at < in.end; i++) {
        step(&all, &in);
    }
    poll_now(&all, 7);
    all.source->ops->free(all.source);
    uv_run(&all.loop, UV_RUN_DEFAULT);
    must(uv_loop_close(&all.loop) == 0);
    sw_metrics_free(all.metrics);
    return 0;
}
