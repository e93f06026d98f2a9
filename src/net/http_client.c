/*
 * curl's multi interface on the loop: curl says which sockets and which time it waits for, the loop tells it
 * what happened.
 *
 * Callbacks of the user may start and cancel requests and free the client at any time, also from inside of
 * curl (on_headers, on_data), where curl cannot be called. `in_curl` marks that time; what had to wait is
 * done by settle().
 */
#include "net/http_client_internal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

typedef struct watched {
    struct watched *prev, *next;
    uv_poll_t poll;
    sw_http_client *client;
    curl_socket_t fd;
} watched;

struct sw_http_client {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t *timer; /* the time that curl asked for */
    uv_idle_t *soon;   /* runs on the next pass of the loop: a timer of 0 could starve everything else */
    watched *sockets;
    sw_http_call *calls;    /* waiting or running */
    sw_http_call *unusable; /* to be reported on the next pass */
    sw_secrets *secrets;
    http_trust trust;
    uint64_t share_ns;   /* of one pass */
    uint64_t pass;       /* the loop's time, which stands for the pass */
    uint64_t used_ns;    /* of this pass, by earlier runs of curl */
    uint64_t entered_ns; /* when curl was entered */
    bool delivered;      /* since then, a piece of a body */
    bool paused;         /* there are paused calls */
    size_t active;
    size_t n_unusable;
    unsigned depth;      /* how many of our callbacks are on the stack */
    bool in_curl;        /* curl is on the stack: it must not be called */
    bool unsettled;      /* calls were started or cancelled meanwhile */
    bool curl_wants_now; /* curl asked for a timeout of 0 */
    bool dying;          /* free it when depth is 0 */
};

const char *sw_http_error_name(sw_http_error error) {
    static const char *const names[] = {"ok",        "timeout", "connect", "tls",
                                        "too_large", "broken",  "aborted", "bad_request"};
    return (size_t)error < SW_ARRAY_LEN(names) ? names[error] : "unknown";
}

static void free_handle(uv_handle_t *handle) {
    free(handle);
}

static void free_watched(uv_handle_t *handle) {
    free(handle->data);
}

/* Calls. */

static void dispose(sw_http_call *call) {
    if (call->state == CALL_UNUSABLE) {
        DL_DELETE(call->client->unusable, call);
        call->client->n_unusable--;
    } else if (call->state != CALL_FINISHED) {
        DL_DELETE(call->client->calls, call);
    }
    if (call->state == CALL_RUNNING) {
        curl_multi_remove_handle(call->client->multi, call->easy);
    }
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    sw_buf_release(&call->body);
    free(call->authority);
    free(call);
}

/* Reports a call that curl no longer has, unless it was cancelled in its last on_headers. */
static void finish(sw_http_call *call) {
    if (!call->dropped && !call->client->dying) {
        call->client->active--;
        call->in_done = true;
        call->response.duration_ns = (int64_t)(uv_hrtime() - call->started_ns);
        call->done(&call->response, call->arg);
    }
    dispose(call);
}

static void report_unusable(sw_http_call *call) {
    DL_DELETE(call->client->unusable, call);
    call->client->n_unusable--;
    call->state = CALL_FINISHED;
    finish(call);
}

static void make_unusable(sw_http_call *call) {
    call->state = CALL_UNUSABLE;
    DL_APPEND(call->client->unusable, call);
    call->client->n_unusable++;
}

static void give_to_curl(sw_http_call *call);

/* Nothing was sent yet: the connection was refused before. */
static void try_bundle(sw_http_call *call) {
    int64_t left_ms = call->timeout_ms - (int64_t)((uv_hrtime() - call->started_ns) / 1000000);
    call->by_folder = http_trust_apply(&call->client->trust, call->easy, true);
    call->by_bundle = true;
    call->curl_error[0] = '\0';
    curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)(left_ms > 0 ? left_ms : 1));
    give_to_curl(call);
}

static void conclude(sw_http_call *call, CURLcode code) {
    sw_http_client *client = call->client;
    curl_multi_remove_handle(client->multi, call->easy);
    if (code == CURLE_PEER_FAILED_VERIFICATION && call->by_folder) {
        try_bundle(call);
        return;
    }
    client->trust.bundle_needed = client->trust.bundle_needed || (call->by_bundle && code == CURLE_OK);
    DL_DELETE(client->calls, call);
    call->state = CALL_FINISHED;
    http_call_conclude(call, code);
    finish(call);
}

/* Curl and the loop. */

static void on_soon(uv_idle_t *handle);

static void run_soon(sw_http_client *client) {
    if (!client->dying) {
        uv_idle_start(client->soon, on_soon);
    }
}

static void give_to_curl(sw_http_call *call) {
    CURLMcode code = curl_multi_add_handle(call->client->multi, call->easy);
    if (code == CURLM_OK) {
        call->state = CALL_RUNNING;
        return;
    }
    DL_DELETE(call->client->calls, call);
    http_call_fail(call, SW_HTTP_BAD_REQUEST, "cannot start: %s", curl_multi_strerror(code));
    make_unusable(call);
    run_soon(call->client);
}

static void settle_waiting(sw_http_client *client) {
    client->unsettled = false;
    sw_http_call *call = NULL;
    sw_http_call *next = NULL;
    DL_FOREACH_SAFE(client->calls, call, next) {
        if (call->dropped) {
            dispose(call);
        } else if (call->state == CALL_WAITING) {
            give_to_curl(call);
        }
    }
}

/* After curl has run: what it could not be told meanwhile, and what it has finished. */
static void settle(sw_http_client *client) {
    if (client->unsettled && !client->dying) {
        settle_waiting(client);
    }
    int left = 0;
    CURLMsg *message = NULL;
    while (!client->dying && (message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE) {
            continue;
        }
        CURLcode code = message->data.result;
        char *call = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
        conclude((sw_http_call *)call, code);
    }
}

static void destroy(sw_http_client *client);

static void leave(sw_http_client *client) {
    if (--client->depth == 0 && client->dying) {
        destroy(client);
    }
}

static void enter_curl(sw_http_client *client) {
    uint64_t pass = uv_now(client->loop);
    if (pass != client->pass) {
        client->pass = pass;
        client->used_ns = 0;
    }
    client->depth++;
    client->in_curl = true;
    client->delivered = false;
    client->entered_ns = uv_hrtime();
}

static void leave_curl(sw_http_client *client) {
    client->in_curl = false;
    client->used_ns += uv_hrtime() - client->entered_ns;
    if (client->paused) {
        run_soon(client);
    }
}

bool http_client_must_pause(sw_http_client *client) {
    if (client->delivered && client->used_ns + (uv_hrtime() - client->entered_ns) > client->share_ns) {
        client->paused = true;
        return true;
    }
    client->delivered = true;
    return false;
}

static void run_curl(sw_http_client *client, curl_socket_t fd, int events) {
    int running = 0;
    enter_curl(client);
    curl_multi_socket_action(client->multi, fd, events, &running);
    leave_curl(client);
    settle(client);
    leave(client);
}

/* Going on may fail, and curl then tells nobody but us. */
static sw_http_call *find_failed(sw_http_client *client) {
    sw_http_call *call = NULL;
    DL_FOREACH(client->calls, call) {
        if (call->resumed != CURLE_OK && !call->dropped) {
            return call;
        }
    }
    return NULL;
}

static void resume_paused(sw_http_client *client) {
    sw_http_call *call = NULL;
    client->paused = false;
    enter_curl(client);
    DL_FOREACH(client->calls, call) { /* inside curl, no call leaves the list */
        if (call->paused && !call->dropped) {
            call->paused = false;
            client->delivered = false; /* each of them gets on, if only by one piece */
            call->resumed = curl_easy_pause(call->easy, CURLPAUSE_CONT);
        }
    }
    leave_curl(client);
    while (!client->dying && (call = find_failed(client)) != NULL) {
        CURLcode code = call->resumed;
        call->resumed = CURLE_OK;
        conclude(call, code);
    }
    settle(client);
    leave(client);
}

static void on_soon(uv_idle_t *handle) {
    sw_http_client *client = handle->data;
    uv_idle_stop(handle);
    client->depth++;
    /* Only those that are there now: a callback may start the next one. */
    for (size_t n = client->n_unusable; n > 0 && client->unusable != NULL && !client->dying; n--) {
        report_unusable(client->unusable);
    }
    if (client->unusable != NULL) {
        run_soon(client);
    }
    if (client->paused && !client->dying) {
        resume_paused(client);
    }
    if (client->curl_wants_now && !client->dying) {
        client->curl_wants_now = false;
        run_curl(client, CURL_SOCKET_TIMEOUT, 0);
    }
    leave(client);
}

static void on_time(uv_timer_t *handle) {
    run_curl(handle->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg) {
    (void)multi;
    sw_http_client *client = arg;
    uv_timer_stop(client->timer);
    client->curl_wants_now = timeout_ms == 0;
    if (timeout_ms == 0) {
        run_soon(client);
    } else if (timeout_ms > 0) {
        uv_timer_start(client->timer, on_time, (uint64_t)timeout_ms, 0);
    }
    return 0;
}

static void on_socket_ready(uv_poll_t *poll, int status, int events) {
    watched *socket = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= (events & UV_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    flags |= (events & UV_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    run_curl(socket->client, socket->fd, flags);
}

static void unwatch(watched *socket) {
    uv_poll_stop(&socket->poll);
    DL_DELETE(socket->client->sockets, socket);
    uv_close((uv_handle_t *)&socket->poll, free_watched);
}

static watched *watch(sw_http_client *client, curl_socket_t fd) {
    watched *socket = xcalloc(1, sizeof *socket);
    if (uv_poll_init_socket(client->loop, &socket->poll, fd) != 0) {
        free(socket);
        return NULL;
    }
    socket->poll.data = socket;
    socket->client = client;
    socket->fd = fd;
    DL_APPEND(client->sockets, socket);
    curl_multi_assign(client->multi, fd, socket);
    return socket;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known) {
    (void)easy;
    watched *socket = known;
    if (what == CURL_POLL_REMOVE) {
        if (socket != NULL) {
            unwatch(socket);
            curl_multi_assign(socket->client->multi, fd, NULL);
        }
        return 0;
    }
    if (socket == NULL && (socket = watch(arg, fd)) == NULL) {
        return -1;
    }
    int events = (what & CURL_POLL_IN) != 0 ? UV_READABLE : 0;
    events |= (what & CURL_POLL_OUT) != 0 ? UV_WRITABLE : 0;
    return uv_poll_start(&socket->poll, events, on_socket_ready) == 0 ? 0 : -1;
}

/* Life. */

/* A peer that goes away must not end the process, whoever writes to it. */
static void ignore_sigpipe(void) {
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
        now.sa_handler == SIG_DFL) {
        signal(SIGPIPE, SIG_IGN);
    }
}

sw_http_client *sw_http_client_new(uv_loop_t *loop) {
    ignore_sigpipe();
    curl_global_init(CURL_GLOBAL_DEFAULT);
    sw_http_client *client = xcalloc(1, sizeof *client);
    client->loop = loop;
    client->secrets = sw_secrets_new();
    client->share_ns = HTTP_PASS_SHARE_NS;
    http_trust_init(&client->trust);
    client->timer = xcalloc(1, sizeof *client->timer);
    client->soon = xcalloc(1, sizeof *client->soon);
    uv_timer_init(loop, client->timer);
    uv_idle_init(loop, client->soon);
    client->timer->data = client;
    client->soon->data = client;
    client->multi = curl_multi_init();
    if (client->multi == NULL) {
        abort(); /* no memory: the policy of base.h */
    }
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, HTTP_MAX_IDLE_CONNECTIONS);
    return client;
}

static void destroy(sw_http_client *client) {
    sw_http_call *call = NULL;
    sw_http_call *next = NULL;
    DL_FOREACH_SAFE(client->calls, call, next) {
        dispose(call);
    }
    DL_FOREACH_SAFE(client->unusable, call, next) {
        dispose(call);
    }
    curl_multi_cleanup(client->multi);
    while (client->sockets != NULL) {
        unwatch(client->sockets);
    }
    uv_timer_stop(client->timer);
    uv_idle_stop(client->soon);
    uv_close((uv_handle_t *)client->timer, free_handle);
    uv_close((uv_handle_t *)client->soon, free_handle);
    sw_secrets_free(client->secrets);
    http_trust_release(&client->trust);
    free(client);
    curl_global_cleanup();
}

void sw_http_client_free(sw_http_client *client) {
    if (client == NULL || client->dying) {
        return;
    }
    client->dying = true;
    client->active = 0;
    sw_http_call *call = NULL;
    DL_FOREACH(client->calls, call) {
        call->dropped = true; /* no callback from here on, also when curl is on the stack */
    }
    if (client->depth == 0) {
        destroy(client);
    }
}

size_t sw_http_client_active(const sw_http_client *client) {
    return client->active;
}

void http_client_set_share(sw_http_client *client, uint64_t ns) {
    client->share_ns = ns;
}

http_trust *http_client_trust(sw_http_client *client) {
    return &client->trust;
}

static sw_http_call *new_call(sw_http_client *client, const sw_http_request *request) {
    sw_http_call *call = xcalloc(1, sizeof *call);
    call->client = client;
    call->on_headers = request->on_headers;
    call->on_data = request->on_data;
    call->done = request->done;
    call->arg = request->arg;
    call->timeout_ms = request->timeout_ms;
    call->max_body = request->max_body > 0 ? request->max_body : HTTP_DEFAULT_MAX_BODY;
    call->started_ns = uv_hrtime();
    call->response.retry_after_s = -1;
    call->response.body = "";
    sw_buf_init(&call->body, call->max_body);
    call->easy = curl_easy_init();
    if (call->easy == NULL) {
        abort(); /* no memory: the policy of base.h */
    }
    return call;
}

sw_http_call *sw_http_start(sw_http_client *client, const sw_http_request *request) {
    sw_http_call *call = new_call(client, request);
    client->active++;
    if (!http_call_prepare(call, request, client->secrets, &client->trust)) {
        make_unusable(call);
        run_soon(client);
        return call;
    }
    call->state = CALL_WAITING;
    DL_APPEND(client->calls, call);
    if (client->in_curl) {
        client->unsettled = true;
    } else {
        give_to_curl(call);
    }
    return call;
}

void sw_http_cancel(sw_http_call *call) {
    if (call == NULL || call->in_done || call->dropped) {
        return;
    }
    call->client->active--;
    call->dropped = true;
    if (call->state == CALL_FINISHED) {
        return; /* finish() is on the stack and will find it dropped */
    }
    if (call->client->in_curl && call->state == CALL_RUNNING) {
        call->client->unsettled = true;
    } else {
        dispose(call);
    }
}
