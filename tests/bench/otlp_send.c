/*
 * Sends prepared OTLP bodies over and over, as fast as they are answered, with as little work as possible.
 *
 *     otlp_send PORT BODIES SECONDS CONNECTIONS
 *
 * BODIES is a file of ExportTraceServiceRequest messages, each after its length (32 bits, little-endian). In
 * every round the ids of all spans are changed alike, so that traces stay traces and nothing is a duplicate,
 * and the times are moved to now. Only one round in ONE_IN has its errors and slow spans. Prints one JSON
 * object.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "otlp/otlp.h"

#define ID_MASK_KEY UINT64_C(0x9E3779B97F4A7C15)
#define MAX_CONNECTIONS 64
#define ONE_IN 200
#define SLOW_NS (300 * SW_NS_PER_MS)
#define MAX_LATENCIES (1u << 24)

/* Where in a body something is rewritten. */
struct place {
    uint32_t at;
    bool is_time;
};

struct body {
    unsigned char *data;
    uint32_t len;
    struct place *places;
    size_t n_places, n_spans;
};

/* The same bodies, with and without what goes wrong. */
struct set {
    struct body *bodies;
    uint64_t newest_ns; /* end of a span */
};

static struct set sets[2];
static size_t n_bodies;

static void fail(const char *what) {
    fprintf(stderr, "otlp_send: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * SW_NS_PER_S + t.tv_nsec;
}

static void add_place(struct body *body, const void *at, bool is_time) {
    if (body->n_places % 1024 == 0) {
        body->places = xrealloc_array(body->places, body->n_places + 1024, sizeof *body->places);
    }
    body->places[body->n_places++] =
        (struct place){(uint32_t)((const unsigned char *)at - body->data), is_time};
}

static uint64_t little_endian(const unsigned char *at) {
    uint64_t value = 0;
    memcpy(&value, at, sizeof value);
    return value;
}

/* STATUS_CODE_ERROR becomes STATUS_CODE_OK. */
static void calm_status(sw_otlp_text status) {
    otlp_reader reader = otlp_reader_of(status);
    otlp_field field;
    while (otlp_next_field(&reader, &field) > 0) {
        if (field.number == 3 && field.value == 2) {
            *(unsigned char *)(uintptr_t)(reader.at - 1) = 1;
        }
    }
}

static void calm_duration(const unsigned char *start, const unsigned char *end) {
    uint64_t from = little_endian(start), duration = little_endian(end) - from;
    if (duration > (uint64_t)SLOW_NS) {
        duration = from + duration / 8;
        memcpy((unsigned char *)(uintptr_t)end, &duration, sizeof duration);
    }
}

static void find_span(struct set *set, struct body *body, sw_otlp_text message) {
    otlp_reader reader = otlp_reader_of(message);
    otlp_field field;
    const unsigned char *start = NULL;
    bool calm = set == &sets[0];
    body->n_spans++;
    while (otlp_next_field(&reader, &field) > 0) {
        if (field.number == 1 && field.bytes.len == 16) {
            add_place(body, field.bytes.data, false);
            add_place(body, field.bytes.data + 8, false);
        } else if ((field.number == 2 || field.number == 4) && field.bytes.len == 8) {
            add_place(body, field.bytes.data, false);
        } else if (field.number == 7 || field.number == 8) {
            add_place(body, reader.at - 8, true);
            set->newest_ns = field.value > set->newest_ns ? field.value : set->newest_ns;
            if (field.number == 8 && calm) {
                calm_duration(start, reader.at - 8);
            }
            start = reader.at - 8;
        } else if (field.number == 15 && calm) {
            calm_status(field.bytes);
        }
    }
}

/* Spans are three levels down: resource_spans = 1, scope_spans = 2, spans = 2. */
static void find_spans(struct set *set, struct body *body, sw_otlp_text message, int level) {
    static const uint32_t numbers[] = {1, 2, 2};
    otlp_reader reader = otlp_reader_of(message);
    otlp_field field;
    while (otlp_next_field(&reader, &field) > 0) {
        if (field.number == numbers[level] && level == 2) {
            find_span(set, body, field.bytes);
        } else if (field.number == numbers[level]) {
            find_spans(set, body, field.bytes, level + 1);
        }
    }
}

static void load(const char *path) {
    FILE *file = fopen(path, "rb");
    unsigned char len[4];
    if (file == NULL) {
        fail(path);
    }
    while (fread(len, 1, 4, file) == 4) {
        uint32_t size = len[0] | (uint32_t)len[1] << 8 | (uint32_t)len[2] << 16 | (uint32_t)len[3] << 24;
        unsigned char *data = xmalloc(size);
        if (fread(data, 1, size, file) != size) {
            fail(path);
        }
        for (size_t i = 0; i < 2; i++) {
            if ((n_bodies & (n_bodies - 1)) == 0) {
                sets[i].bodies =
                    xrealloc_array(sets[i].bodies, n_bodies > 0 ? 2 * n_bodies : 1, sizeof(struct body));
            }
            struct body *body = &sets[i].bodies[n_bodies];
            *body = (struct body){.data = xmalloc(size), .len = size};
            memcpy(body->data, data, size);
            find_spans(&sets[i], body, (sw_otlp_text){(char *)body->data, size}, 0);
        }
        n_bodies++;
        free(data);
    }
    fclose(file);
}

static void change(struct body *body, uint64_t mask, uint64_t shift_ns) {
    for (size_t i = 0; i < body->n_places; i++) {
        unsigned char *at = body->data + body->places[i].at;
        uint64_t value = 0;
        memcpy(&value, at, sizeof value);
        value = body->places[i].is_time ? value + shift_ns : value ^ mask;
        memcpy(at, &value, sizeof value);
    }
}

static int open_connection(uint16_t port) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        fail("cannot connect");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

static void send_body(int fd, const struct body *body) {
    char head[200];
    int head_len =
        snprintf(head, sizeof head,
                 "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-protobuf\r\n"
                 "Content-Length: %u\r\n\r\n",
                 body->len);
    struct iovec parts[2] = {{head, (size_t)head_len}, {body->data, body->len}};
    ssize_t sent = writev(fd, parts, 2);
    size_t done = sent > head_len ? (size_t)(sent - head_len) : 0;
    if (sent < head_len) {
        fail("cannot send");
    }
    while (done < body->len) {
        sent = write(fd, body->data + done, body->len - done);
        if (sent <= 0) {
            fail("cannot send");
        }
        done += (size_t)sent;
    }
}

/* The status of an answer with Content-Length. */
static int read_answer(int fd) {
    char answer[4096];
    size_t len = 0;
    for (;;) {
        ssize_t got = read(fd, answer + len, sizeof answer - 1 - len);
        if (got <= 0) {
            fail("no answer");
        }
        len += (size_t)got;
        answer[len] = '\0';
        const char *end = strstr(answer, "\r\n\r\n");
        const char *length = end != NULL ? strcasestr(answer, "content-length:") : NULL;
        if (end != NULL && length == NULL) {
            fail("an answer without length");
        }
        if (end != NULL && len >= (size_t)(end + 4 - answer) + strtoul(length + 15, NULL, 10)) {
            return atoi(answer + 9);
        }
    }
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

struct connection {
    int fd;
    const struct body *sent; /* and not answered; or NULL */
    int64_t since_ns;
};

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: otlp_send PORT BODIES SECONDS CONNECTIONS\n");
        return 2;
    }
    load(argv[2]);
    struct connection connections[MAX_CONNECTIONS] = {{0}};
    int n = atoi(argv[4]);
    n = n < 1 ? 1 : n > MAX_CONNECTIONS ? MAX_CONNECTIONS : n;
    for (int i = 0; i < n; i++) {
        connections[i].fd = open_connection((uint16_t)atoi(argv[1]));
    }
    uint32_t *latencies = xmalloc(MAX_LATENCIES * sizeof *latencies);
    uint64_t spans = 0, refused = 0, other = 0, round = (uint64_t)clock_ns(CLOCK_REALTIME);
    size_t n_latencies = 0;
    int64_t begin = clock_ns(CLOCK_MONOTONIC), end = begin + (int64_t)(atof(argv[3]) * 1e9);
    bool over = false;
    while (!over) {
        uint64_t mask = ++round * ID_MASK_KEY;
        struct set *set = &sets[round % ONE_IN == 0];
        uint64_t now = (uint64_t)clock_ns(CLOCK_REALTIME), shift = now - set->newest_ns;
        set->newest_ns = now;
        for (size_t i = 0; i < n_bodies && !over; i++) {
            struct connection *connection = &connections[i % (size_t)n];
            change(&set->bodies[i], mask, shift);
            if (connection->sent != NULL) {
                int status = read_answer(connection->fd);
                int64_t took = clock_ns(CLOCK_MONOTONIC) - connection->since_ns;
                latencies[n_latencies] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
                n_latencies += n_latencies < MAX_LATENCIES - 1;
                spans += status == 200 ? connection->sent->n_spans : 0;
                refused += status == 429;
                other += status != 200 && status != 429;
            }
            connection->since_ns = clock_ns(CLOCK_MONOTONIC);
            send_body(connection->fd, &set->bodies[i]);
            connection->sent = &set->bodies[i];
            over = connection->since_ns > end;
        }
    }
    double seconds = (double)(clock_ns(CLOCK_MONOTONIC) - begin) / 1e9;
    qsort(latencies, n_latencies, sizeof *latencies, by_size);
    printf("{\"seconds\": %.3f, \"requests\": %zu, \"spans\": %llu, \"refused\": %llu, \"other\": %llu, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           seconds, n_latencies, (unsigned long long)spans, (unsigned long long)refused,
           (unsigned long long)other, latencies[n_latencies / 2] / 1e3,
           latencies[n_latencies * 99 / 100] / 1e3);
    return 0;
}
