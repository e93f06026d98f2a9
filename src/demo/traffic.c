#include "demo/traffic.h"

#include <stdio.h>
#include <string.h>

#define REQUEST_MAX ((size_t)64 << 20)
#define SLOW_MS 1200
#define FAILING_PERCENT 60

enum service { FRONTEND, CATALOG, CART, CHECKOUT, PAYMENT, N_SERVICES };
static const char *const services[N_SERVICES] = {"frontend", "catalog", "cart", "checkout", "payment"};

enum kind { SERVER = 2, CLIENT = 3 };

/* One span of a request; times in ms since the request began. */
struct part {
    enum service service;
    enum kind kind;
    int parent;    /* -1: the root */
    unsigned slow; /* takes SLOW_MS more when the catalog is slow */
    const char *name;
    double start_ms, duration_ms;
    const char *when_failing; /* status message while errors are wanted; NULL: succeeds */
};

static const struct part products[] = {
    {FRONTEND, SERVER, -1, 1, "GET /products", 0, 40, NULL},
    {FRONTEND, CLIENT, 0, 1, "GET catalog", 4, 32, NULL},
    {CATALOG, SERVER, 1, 1, "ListProducts", 6, 28, NULL},
    {CATALOG, CLIENT, 2, 1, "SELECT products", 9, 18, NULL},
};
static const struct part checkout[] = {
    {FRONTEND, SERVER, -1, 0, "POST /checkout", 0, 130, "checkout failed"},
    {FRONTEND, CLIENT, 0, 0, "POST checkout", 3, 122, "checkout failed"},
    {CHECKOUT, SERVER, 1, 0, "PlaceOrder", 6, 116, "payment failed"},
    {CHECKOUT, CLIENT, 2, 0, "INSERT orders", 10, 12, NULL},
    {CHECKOUT, CLIENT, 2, 0, "POST payment", 25, 90, "payment failed"},
    {PAYMENT, SERVER, 4, 0, "Charge", 28, 84, "bank: connection refused"},
    {PAYMENT, CLIENT, 5, 0, "POST bank", 33, 74, "bank: connection refused"},
};
static const struct part cart[] = {
    {FRONTEND, SERVER, -1, 0, "GET /cart", 0, 16, NULL},
    {FRONTEND, CLIENT, 0, 0, "GET cart", 2, 12, NULL},
    {CART, SERVER, 1, 0, "GetCart", 4, 8, NULL},
};

static const struct route {
    const struct part *parts;
    size_t n;
    unsigned percent;
} routes[] = {
    {products, SW_ARRAY_LEN(products), 50},
    {checkout, SW_ARRAY_LEN(checkout), 25},
    {cart, SW_ARRAY_LEN(cart), 25},
};

#define PARTS_MAX SW_ARRAY_LEN(checkout)

void sw_traffic_init(sw_traffic *traffic, uint64_t seed) {
    traffic->random = seed;
}

/* SplitMix64, by Sebastiano Vigna (public domain): https://prng.di.unimi.it/splitmix64.c */
static uint64_t next(sw_traffic *traffic) {
    uint64_t z = traffic->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static unsigned percent(sw_traffic *traffic) {
    return (unsigned)(next(traffic) % 100);
}

/* ---- writing ---- */

static void put_id(sw_buf *out, uint32_t field, const uint64_t *words, size_t n) {
    unsigned char bytes[16];
    for (size_t i = 0; i < 8 * n; i++) {
        bytes[i] = (unsigned char)(words[i / 8] >> (56 - 8 * (i % 8)));
    }
    otlp_put_bytes(out, field, bytes, 8 * n);
}

static void put_text_attribute(sw_buf *out, uint32_t field, const char *key, const char *value) {
    sw_buf any, attribute;
    sw_buf_init(&any, 1024);
    sw_buf_init(&attribute, 2048);
    otlp_put_bytes(&any, 1, value, strlen(value));
    otlp_put_bytes(&attribute, 1, key, strlen(key));
    otlp_put_bytes(&attribute, 2, any.data, any.len);
    otlp_put_bytes(out, field, attribute.data, attribute.len);
    sw_buf_release(&any);
    sw_buf_release(&attribute);
}

/* A trace under way. */
struct trace {
    uint64_t id[2];
    uint64_t spans[PARTS_MAX];
    int64_t start_ns;
    double pace; /* how much slower than the table */
    bool slow, failing;
};

static double duration_of(const struct part *part, const struct trace *trace) {
    return part->duration_ms * trace->pace + (trace->slow && part->slow ? SLOW_MS : 0);
}

static void put_span(sw_buf *out, const struct part *part, size_t index, const struct trace *trace) {
    sw_buf span, status;
    sw_buf_init(&span, 4096);
    sw_buf_init(&status, 1024);
    int64_t start_ns = trace->start_ns + (int64_t)(part->start_ms * trace->pace * SW_NS_PER_MS);
    int64_t end_ns = start_ns + (int64_t)(duration_of(part, trace) * SW_NS_PER_MS);
    put_id(&span, 1, trace->id, 2);
    put_id(&span, 2, &trace->spans[index], 1);
    if (part->parent >= 0) {
        put_id(&span, 4, &trace->spans[part->parent], 1);
    }
    otlp_put_bytes(&span, 5, part->name, strlen(part->name));
    otlp_put_varint(&span, 6, part->kind);
    otlp_put_fixed64(&span, 7, (uint64_t)start_ns);
    otlp_put_fixed64(&span, 8, (uint64_t)end_ns);
    put_text_attribute(&span, 9, part->kind == SERVER ? "server.address" : "peer.service",
                       part->kind == SERVER ? services[part->service] : part->name);
    if (trace->failing && part->when_failing != NULL) {
        otlp_put_bytes(&status, 2, part->when_failing, strlen(part->when_failing));
        otlp_put_varint(&status, 3, 2);
        otlp_put_bytes(&span, 15, status.data, status.len);
    }
    otlp_put_bytes(out, 2, span.data, span.len);
    sw_buf_release(&span);
    sw_buf_release(&status);
}

static const struct route *choose_route(sw_traffic *traffic) {
    unsigned at = percent(traffic);
    const struct route *route = routes;
    while (at >= route->percent) {
        at -= route->percent;
        route++;
    }
    return route;
}

static size_t put_trace(sw_traffic *traffic, int64_t end_ns, unsigned anomalies, sw_buf scopes[N_SERVICES]) {
    const struct route *route = choose_route(traffic);
    struct trace trace = {
        .id = {next(traffic), next(traffic)},
        .pace = 0.7 + percent(traffic) * percent(traffic) / 9801.0, /* 0.7 to 1.7, most of them quick */
        .slow = (anomalies & SW_ANOMALY_SLOW) != 0,
        .failing = (anomalies & SW_ANOMALY_ERRORS) != 0 && percent(traffic) < FAILING_PERCENT,
    };
    trace.start_ns = end_ns - (int64_t)(duration_of(&route->parts[0], &trace) * SW_NS_PER_MS);
    for (size_t i = 0; i < route->n; i++) {
        trace.spans[i] = next(traffic) | 1;
    }
    for (size_t i = 0; i < route->n; i++) {
        put_span(&scopes[route->parts[i].service], &route->parts[i], i, &trace);
    }
    return route->n;
}

size_t sw_traffic_request(sw_traffic *traffic, size_t n, int64_t end_ns, unsigned anomalies, sw_buf *out) {
    sw_buf scopes[N_SERVICES], resource, resource_spans;
    size_t spans = 0;
    for (size_t i = 0; i < N_SERVICES; i++) {
        sw_buf_init(&scopes[i], REQUEST_MAX);
    }
    for (size_t i = 0; i < n; i++) {
        spans += put_trace(traffic, end_ns, anomalies, scopes);
    }
    sw_buf_init(&resource, 4096);
    sw_buf_init(&resource_spans, REQUEST_MAX);
    for (size_t i = 0; i < N_SERVICES; i++) {
        if (scopes[i].len > 0) {
            sw_buf_reset(&resource);
            sw_buf_reset(&resource_spans);
            put_text_attribute(&resource, 1, "service.name", services[i]);
            otlp_put_bytes(&resource_spans, 1, resource.data, resource.len);
            otlp_put_bytes(&resource_spans, 2, scopes[i].data, scopes[i].len);
            otlp_put_bytes(out, 1, resource_spans.data, resource_spans.len);
        }
        sw_buf_release(&scopes[i]);
    }
    sw_buf_release(&resource);
    sw_buf_release(&resource_spans);
    return spans;
}
