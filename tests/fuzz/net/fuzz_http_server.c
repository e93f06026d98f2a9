/* What a client of the HTTP server sends, on a connection of its own. Limits hold, and what was counted is
 * given back. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_server_internal.h"
#include "telemetry/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BODY 1000
#define PASSES 200 /* of the loop, at most */

static uv_loop_t loop;
static sw_http_server *server;

static void need(bool ok) {
    if (!ok) {
        abort();
    }
}

static void count_value(const char *value, void *arg) {
    *(size_t *)arg += strlen(value);
}

static void take(sw_http_exchange *exchange, void *arg) {
    (void)arg;
    size_t len = 0, values = 0;
    const char *body = sw_http_body(exchange, &len);
    const char *type = sw_http_header(exchange, "Content-Type");
    sw_http_query_each(exchange, "q", count_value, &values);
    need(len <= MAX_BODY && strlen(body) <= len && values < HTTP_SERVER_CONNECTION_MEMORY);
    need(server->body_bytes <= server->max_bodies);
    sw_http_reply(exchange, 200, type, body, len);
}

static void quiet(const char *line, void *arg) {
    (void)line;
    (void)arg;
}

static void start(void) {
    static const sw_http_server_options options = {
        .address = "127.0.0.1:0", .max_body = MAX_BODY, .max_bodies = 3 * MAX_BODY, .plain_errors = true};
    char *error = NULL;
    sw_log_set_sink(quiet, NULL);
    uv_loop_init(&loop);
    server = sw_http_server_new(&loop, &options, &error);
    need(server != NULL);
    sw_http_server_route(server, "POST", "/", take, NULL);
    sw_http_server_route(server, "GET", "/a", take, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (server == NULL) {
        start();
    }
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)sw_http_server_port(server)),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    /* No TIME_WAIT, of which there would soon be too many. */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
    size_t sent = 0;
    for (int pass = 0, quiet_passes = 0; pass < PASSES && quiet_passes < 3; pass++) {
        char answer[4096];
        ssize_t out = sent < size ? send(fd, data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        sent += out > 0 ? (size_t)out : 0;
        uv_run(&loop, UV_RUN_NOWAIT);
        ssize_t in = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
        quiet_passes = out > 0 || in > 0 ? 0 : quiet_passes + 1;
    }
    close(fd);
    for (int pass = 0; pass < PASSES && server->peers != NULL; pass++) {
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    need(server->peers == NULL && server->body_bytes == 0);
    return 0;
}
