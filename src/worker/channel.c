/* The socket: frames in, frames out, and the questions that scripts ask the host. */
#include "worker/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK ((size_t)64 << 10)

static int wait_for(int fd, short events) {
    struct pollfd poll_fd = {.fd = fd, .events = events};
    while (poll(&poll_fd, 1, -1) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

/* One piece of input into the reader: 1, or 0 when there will be no more. */
static int receive(sw_worker *worker) {
    static char chunk[CHUNK];
    for (;;) {
        ssize_t n = recv(worker->fd, chunk, sizeof(chunk), 0);
        if (n > 0) {
            return sw_frame_reader_feed(&worker->reader, chunk, (size_t)n) == 0 ? 1 : -1;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN && wait_for(worker->fd, POLLIN) == 0) {
            continue;
        }
        worker->closed = true;
        return 0;
    }
}

int sw_channel_read(sw_worker *worker, const char **body, size_t *len) {
    for (;;) {
        int found = sw_frame_reader_next(&worker->reader, body, len);
        if (found != 0) {
            return found;
        }
        int more = receive(worker);
        if (more != 1) {
            return more;
        }
    }
}

int sw_channel_send(sw_worker *worker, sw_frame_writer *writer, size_t max) {
    if (sw_frame_end(writer, max) != 0) {
        return -1;
    }
    size_t sent = 0;
    while (sent < writer->bytes.size && !worker->closed) {
        ssize_t n = send(worker->fd, writer->bytes.data + sent, writer->bytes.size - sent, MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            worker->closed = wait_for(worker->fd, POLLOUT) != 0;
        } else if (errno != EINTR) {
            worker->closed = true;
        }
    }
    return worker->closed ? -1 : 0;
}

void sw_channel_ask_begin(sw_worker *worker, const char *op) {
    sw_frame_writer_release(&worker->side); /* of an ASK whose arguments were refused half-way */
    sw_frame_begin(&worker->side, SW_FRAME_ASK, ++worker->ask_sequence);
    msgpack_pack_map(&worker->side.packer, 2);
    sw_pack_key_str(&worker->side.packer, "op", op);
    sw_pack_str(&worker->side.packer, "args");
}

/* Pushes what the host answered; the frame's bytes stay valid meanwhile because nothing reads. */
static int push_answer(lua_State *L, const sw_cursor *payload) {
    sw_cursor at;
    if (sw_wire_find(payload, "value", &at)) {
        sw_values_push(L, &at);
        return 1;
    }
    lua_pushnil(L);
    static const char *const keys[] = {"message", "code"};
    for (size_t i = 0; i < SW_ARRAY_LEN(keys); i++) {
        if (sw_wire_find(payload, keys[i], &at)) {
            sw_values_push(L, &at);
        } else {
            lua_pushnil(L);
        }
    }
    return 3;
}

int sw_channel_ask_end(sw_worker *worker, lua_State *L) {
    uint64_t mine = worker->ask_sequence;
    int sent = sw_channel_send(worker, &worker->side, SW_FRAME_MAX_TO_HOST);
    sw_frame_writer_release(&worker->side);
    if (sent != 0 && !worker->closed) {
        return luaL_error(L, "the question to the host is larger than %d MiB",
                          (int)(SW_FRAME_MAX_TO_HOST >> 20));
    }
    const char *body, *why;
    size_t len;
    int kind = 0;
    uint64_t sequence = 0;
    sw_cursor payload;
    bool answered = sent == 0 && sw_channel_read(worker, &body, &len) == 1 &&
                    sw_wire_open(body, len, &kind, &sequence, &payload, &why) == 0 &&
                    kind == SW_FRAME_ANSWER && sequence == mine;
    if (!answered) {
        worker->closed = true; /* gone, or out of step: both end this process */
        sw_limits_stop(&worker->limits, L, "the host does not answer");
    }
    luaL_checkstack(L, 4, "answer of the host");
    return push_answer(L, &payload);
}

/* Cuts at a character, not within one. */
static size_t cut_text(const char *text, size_t len, size_t max) {
    if (len <= max) {
        return len;
    }
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80) {
        max--;
    }
    return max;
}

void sw_pack_text(msgpack_packer *pk, const char *text, size_t len, size_t max) {
    len = cut_text(text, len, max);
    msgpack_pack_str(pk, len);
    if (sw_utf8_valid(text, len) && memchr(text, '\0', len) == NULL) {
        msgpack_pack_str_body(pk, text, len);
        return;
    }
    size_t at = 0;
    while (at < len) {
        size_t n = 1;
        while (n < 4 && n < len - at && ((unsigned char)text[at + n] & 0xc0) == 0x80) {
            n++;
        }
        if (text[at] != '\0' && sw_utf8_valid(text + at, n)) {
            msgpack_pack_str_body(pk, text + at, n);
            at += n;
        } else {
            msgpack_pack_str_body(pk, "?", 1);
            at++;
        }
    }
}

static void pack_fields(lua_State *L, int fields, msgpack_packer *pk) {
    uint32_t n = 0;
    lua_pushnil(L);
    while (fields != 0 && lua_next(L, fields) != 0) {
        n++;
        lua_pop(L, 1);
    }
    msgpack_pack_map(pk, n);
    lua_pushnil(L);
    while (fields != 0 && lua_next(L, fields) != 0) {
        size_t len;
        const char *text = lua_tolstring(L, -2, &len);
        sw_pack_text(pk, text, len, 128);
        text = lua_tolstring(L, -1, &len);
        sw_pack_text(pk, text, len, SW_WORKER_MAX_LOG_TEXT);
        lua_pop(L, 1);
    }
    if (fields == 0) {
        lua_pop(L, 1);
    }
}

/* Counts the line; true when it may still be sent. */
static bool may_log(sw_worker *worker) {
    return !worker->dry && ++worker->logged <= SW_WORKER_MAX_LOGS;
}

static void log_begin(sw_worker *worker, const char *level, const char *message, size_t len) {
    sw_frame_writer_release(&worker->side);
    sw_frame_begin(&worker->side, SW_FRAME_LOG, 0);
    msgpack_packer *pk = &worker->side.packer;
    msgpack_pack_map(pk, 3);
    sw_pack_key_str(pk, "level", level);
    sw_pack_str(pk, "message");
    sw_pack_text(pk, message, len, SW_WORKER_MAX_LOG_TEXT);
    sw_pack_str(pk, "fields");
}

static void log_end(sw_worker *worker) {
    sw_channel_send(worker, &worker->side, SW_FRAME_MAX_TO_HOST);
    sw_frame_writer_release(&worker->side);
}

void sw_channel_log_plain(sw_worker *worker, const char *level, const char *message) {
    if (may_log(worker)) {
        log_begin(worker, level, message, strlen(message));
        msgpack_pack_map(&worker->side.packer, 0);
        log_end(worker);
    }
}

void sw_channel_log(sw_worker *worker, lua_State *L, const char *level, const char *message, size_t len,
                    int fields) {
    if (may_log(worker)) {
        log_begin(worker, level, message, len);
        pack_fields(L, fields, &worker->side.packer);
        log_end(worker);
    }
}

void sw_channel_log_dropped(sw_worker *worker) {
    if (worker->logged > SW_WORKER_MAX_LOGS) {
        char text[80];
        snprintf(text, sizeof(text), "%u more log lines of this call were dropped",
                 worker->logged - SW_WORKER_MAX_LOGS);
        worker->logged = 0;
        sw_channel_log_plain(worker, "warn", text);
    }
}
