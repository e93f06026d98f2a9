/* A worker in a forked process, and the host's end of its socket. */
#ifndef TESTS_WORKER_HARNESS_H
#define TESTS_WORKER_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol/frame.h"
#include "worker/worker.h"

#define MEMORY_BYTES (8 << 20)
#define CPU_MS 80         /* of those that wait for it */
#define PATIENCE_MS 20000 /* a worker that does not answer by then is hung */

/* What calls may take. Sanitizers are slow: only a test that waits for this limit makes it short. */
static int harness_cpu_ms = 10000;

typedef struct peer {
    pid_t pid;
    int fd;
    sw_frame_reader reader;
    uint64_t sequence;
    sw_frame frame; /* the last one read */
    unsigned logs;  /* LOG frames seen */
    char log[4096]; /* message of the last one */
    char level[16];
    /* Packs the ANSWER's map for an ASK; NULL: {message = "no", code = "none"}. */
    void (*answer)(msgpack_packer *pk, const char *op, const msgpack_object *args);
} peer;

static inline void peer_start(peer *p) {
    int fds[2];
    *p = (peer){.pid = -1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    fflush(NULL);
    p->pid = fork();
    assert_true(p->pid >= 0);
    if (p->pid == 0) {
        close(fds[0]);
        _exit(sw_worker_run(fds[1], false));
    }
    close(fds[1]);
    p->fd = fds[0];
    sw_frame_reader_init(&p->reader, SW_FRAME_MAX_TO_HOST);
}

/* Reads one frame into p->frame; false at the end of the stream or after timeout_ms. */
static inline bool peer_read(peer *p, int timeout_ms) {
    const char *body, *why;
    size_t len;
    sw_frame_release(&p->frame);
    while (sw_frame_reader_next(&p->reader, &body, &len) == 0) {
        char chunk[4096];
        struct pollfd poll_fd = {.fd = p->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, timeout_ms) != 1) {
            return false;
        }
        ssize_t n = recv(p->fd, chunk, sizeof(chunk), 0);
        if (n <= 0) {
            return false;
        }
        assert_int_equal(sw_frame_reader_feed(&p->reader, chunk, (size_t)n), 0);
    }
    if (sw_frame_parse(body, len, &p->frame, &why) != 0) {
        fail_msg("the worker sent nonsense: %s", why);
    }
    return true;
}

static inline void peer_send(peer *p, sw_frame_writer *writer) {
    assert_int_equal(sw_frame_end(writer, SW_FRAME_MAX_TO_WORKER), 0);
    size_t at = 0;
    while (at < writer->bytes.size) {
        ssize_t n = send(p->fd, writer->bytes.data + at, writer->bytes.size - at, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += (size_t)n;
    }
    sw_frame_writer_release(writer);
}

static inline void peer_answer(peer *p) {
    sw_frame_writer writer;
    char *op = sw_map_str(&p->frame.payload, "op", 64);
    sw_frame_begin(&writer, SW_FRAME_ANSWER, p->frame.sequence);
    if (p->answer != NULL) {
        p->answer(&writer.packer, op, sw_map_get(&p->frame.payload, "args"));
    } else {
        msgpack_pack_map(&writer.packer, 2);
        sw_pack_key_str(&writer.packer, "message", "no");
        sw_pack_key_str(&writer.packer, "code", "none");
    }
    free(op);
    peer_send(p, &writer);
}

static inline void peer_note_log(peer *p) {
    char *message = sw_map_str(&p->frame.payload, "message", sizeof(p->log) - 1);
    char *level = sw_map_str(&p->frame.payload, "level", sizeof(p->level) - 1);
    p->logs++;
    snprintf(p->log, sizeof(p->log), "%s", message != NULL ? message : "");
    snprintf(p->level, sizeof(p->level), "%s", level != NULL ? level : "");
    free(message);
    free(level);
}

/* Waits for the REPLY of the last call and answers what is asked meanwhile. NULL: none came. */
static inline const msgpack_object *peer_reply(peer *p, int timeout_ms) {
    while (peer_read(p, timeout_ms)) {
        if (p->frame.kind == SW_FRAME_REPLY) {
            assert_int_equal(p->frame.sequence, p->sequence);
            return &p->frame.payload;
        }
        if (p->frame.kind == SW_FRAME_ASK) {
            peer_answer(p);
        } else if (p->frame.kind == SW_FRAME_LOG) {
            peer_note_log(p);
        } else {
            assert_int_equal(p->frame.kind, SW_FRAME_READY);
        }
    }
    return NULL;
}

static inline void pack_limits(msgpack_packer *pk) {
    sw_pack_str(pk, "limits");
    msgpack_pack_map(pk, 2);
    sw_pack_key_int(pk, "memory_bytes", MEMORY_BYTES);
    sw_pack_key_int(pk, "cpu_ms", harness_cpu_ms);
}

/* A call that carries a file. `more` packs `n_more` further pairs; may be NULL. */
static inline const msgpack_object *peer_source(peer *p, sw_frame_kind kind, const char *path,
                                                const char *source, uint32_t n_more,
                                                void (*more)(msgpack_packer *pk)) {
    sw_frame_writer writer;
    sw_frame_begin(&writer, kind, ++p->sequence);
    msgpack_pack_map(&writer.packer, 3 + n_more);
    sw_pack_key_str(&writer.packer, "path", path);
    sw_pack_key_str(&writer.packer, "source", source);
    pack_limits(&writer.packer);
    if (more != NULL) {
        more(&writer.packer);
    }
    peer_send(p, &writer);
    return peer_reply(p, PATIENCE_MS);
}

static inline const msgpack_object *peer_load(peer *p, const char *source) {
    return peer_source(p, SW_FRAME_LOAD, "h.lua", source, 0, NULL);
}

static inline void pack_window(msgpack_packer *pk) {
    msgpack_pack_map(pk, 9);
    sw_pack_key_str(pk, "source", "tempo");
    sw_pack_key_int(pk, "from", 1000);
    sw_pack_key_int(pk, "to", 1060);
    sw_pack_key_bool(pk, "complete", true);
    sw_pack_key_bool(pk, "estimated", false);
    sw_pack_key_str(pk, "reason", "");
    sw_pack_key_int(pk, "revision", 0);
    sw_pack_str(pk, "traces");
    msgpack_pack_array(pk, 1);
    msgpack_pack_map(pk, 6);
    sw_pack_key_str(pk, "id", "0123456789abcdef0123456789abcdef");
    sw_pack_key_str(pk, "service", "cart");
    sw_pack_key_str(pk, "operation", "GET /");
    sw_pack_key_int(pk, "start_ns", INT64_C(1700000000123456789));
    sw_pack_key_num(pk, "duration_ms", 1500);
    sw_pack_key_str(pk, "error_message", "");
    sw_pack_str(pk, "series");
    msgpack_pack_array(pk, 1);
    msgpack_pack_map(pk, 5);
    sw_pack_key_str(pk, "service", "cart");
    sw_pack_key_str(pk, "operation", "GET /");
    sw_pack_key_num(pk, "count", 20);
    sw_pack_key_num(pk, "errors", 1);
    sw_pack_str(pk, "buckets");
    msgpack_pack_array(pk, 2);
    for (int i = 0; i < 2; i++) {
        msgpack_pack_array(pk, 3);
        msgpack_pack_double(pk, i * 100);
        msgpack_pack_double(pk, i * 100 + 100);
        msgpack_pack_int(pk, 10);
    }
}

static inline void peer_send_check(peer *p, bool dry) {
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_CHECK, ++p->sequence);
    msgpack_pack_map(&writer.packer, 3);
    sw_pack_key_num(&writer.packer, "now", 1060.5);
    sw_pack_key_bool(&writer.packer, "dry", dry);
    sw_pack_str(&writer.packer, "window");
    pack_window(&writer.packer);
    peer_send(p, &writer);
}

static inline void peer_send_explain(peer *p) {
    sw_frame_writer writer;
    sw_frame_begin(&writer, SW_FRAME_CHECK, ++p->sequence);
    msgpack_pack_map(&writer.packer, 3);
    sw_pack_key_num(&writer.packer, "now", 1060.5);
    sw_pack_key_bool(&writer.packer, "explain", true);
    sw_pack_str(&writer.packer, "window");
    pack_window(&writer.packer);
    peer_send(p, &writer);
}

static inline const msgpack_object *peer_check(peer *p) {
    peer_send_check(p, false);
    return peer_reply(p, PATIENCE_MS);
}

/* Closes the socket; the exit status of the worker, or -signal. */
static inline int peer_end(peer *p) {
    int status;
    sw_frame_release(&p->frame);
    sw_frame_reader_release(&p->reader);
    close(p->fd);
    assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Whether the reply is an error of this kind (or of one of "these|two") whose message contains `part`, or is
 * fine when kind is NULL; says what is wrong. */
static inline bool reply_is(const msgpack_object *reply, const char *kind, const char *part) {
    if (reply == NULL) {
        print_error("the worker did not reply\n");
        return false;
    }
    const msgpack_object *error = sw_map_get(reply, "error");
    char *got_kind = sw_map_str(error, "kind", 100);
    char *message = sw_map_str(error, "message", 10000);
    bool right = kind == NULL ? sw_map_bool(reply, "ok", false)
                              : !sw_map_bool(reply, "ok", true) && got_kind != NULL && message != NULL &&
                                    strstr(kind, got_kind) != NULL && strstr(message, part) != NULL;
    if (!right) {
        print_error("got %s: %s; want %s: ...%s...\n", got_kind != NULL ? got_kind : "no error",
                    message != NULL ? message : "", kind != NULL ? kind : "no error",
                    part != NULL ? part : "");
    }
    free(got_kind);
    free(message);
    return right;
}

static inline void assert_ok(const msgpack_object *reply) {
    assert_true(reply_is(reply, NULL, NULL));
}

static inline void assert_error(const msgpack_object *reply, const char *kind, const char *part) {
    assert_true(reply_is(reply, kind, part));
}

static inline const msgpack_object *map_at(const msgpack_object *map, const char *key, const char *inner) {
    return sw_map_get(sw_map_get(map, key), inner);
}

static inline void assert_text(const msgpack_object *map, const char *key, const char *want) {
    char *text = sw_map_str(map, key, 10000);
    if (text == NULL) {
        fail_msg("no text '%s'", key);
        return;
    }
    assert_string_equal(text, want);
    free(text);
}

static inline void assert_number(const msgpack_object *map, const char *key, double want) {
    double number = 0;
    if (!sw_map_num(map, key, &number)) {
        fail_msg("no number '%s'", key);
    }
    if (number != want) {
        fail_msg("%s is %g, want %g", key, number, want);
    }
}

/* One detector whose check is this body, loaded and called once. */
static inline const msgpack_object *check_body(peer *p, const char *body) {
    char *source = xasprintf("return { check = function(ctx)\n%s\nend }", body);
    peer_start(p);
    const msgpack_object *reply = peer_load(p, source);
    free(source);
    assert_ok(reply);
    return peer_check(p);
}

#endif
