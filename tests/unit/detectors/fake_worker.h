/*
 * A worker that does what the text of its "script" says, well or badly. The test program is its own fake
 * worker: main() calls fake_worker_main() when it was started as spanwatch-worker.
 *
 * The script is words: load=HOW check=HOW dry=HOW tag=TEXT every=N version=N min_ms=N. What HOW may be is in
 * misbehave() and below; "ok" is the default. Its state is {n = how often check has run}.
 */
#ifndef TEST_FAKE_WORKER_H
#define TEST_FAKE_WORKER_H

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/frame.h"

#define FAKE_FD 3

typedef struct fake {
    sw_frame_reader reader;
    char *source;
    int64_t n; /* checks, the state */
    int64_t loaded_version;
    unsigned checks; /* in this process */
    uint64_t sequence;
    char *answer; /* what the last ASK was answered: value, or "code: message" */
} fake;

static inline void fake_write(const void *data, size_t len) {
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(FAKE_FD, at, len);
        if (n <= 0) {
            _exit(0); /* the host is gone */
        }
        at += n;
        len -= (size_t)n;
    }
}

static inline void fake_send(sw_frame_writer *w) {
    sw_frame_end(w, SIZE_MAX);
    fake_write(w->bytes.data, w->bytes.size);
    sw_frame_writer_release(w);
}

/* The next frame's body; the process ends with the host. */
static inline void fake_read(fake *f, sw_frame *frame) {
    const char *body = NULL, *why = NULL;
    size_t len = 0;
    while (sw_frame_reader_next(&f->reader, &body, &len) != 1) {
        char buffer[4096];
        ssize_t n = read(FAKE_FD, buffer, sizeof buffer);
        if (n <= 0) {
            _exit(0);
        }
        sw_frame_reader_feed(&f->reader, buffer, (size_t)n);
    }
    if (sw_frame_parse(body, len, frame, &why) != 0) {
        fprintf(stderr, "fake worker: the host's frame is broken: %s\n", why);
        _exit(3);
    }
}

/* The text after "key=" in the script, up to the next blank; "" when it is not there. */
static inline const char *fake_word(const fake *f, const char *key, char out[128]) {
    size_t len = strlen(key);
    const char *at = f->source;
    out[0] = '\0';
    while (at != NULL && (at = strstr(at, key)) != NULL) {
        if ((at == f->source || strchr(" \n", at[-1]) != NULL) && at[len] == '=') {
            size_t n = strcspn(at + len + 1, " \n");
            snprintf(out, 128, "%.*s", (int)(n < 127 ? n : 127), at + len + 1);
            return out;
        }
        at += len;
    }
    return out;
}

static inline void fake_error(fake *f, const char *kind, const char *message) {
    sw_frame_writer w;
    sw_frame_begin(&w, SW_FRAME_REPLY, f->sequence);
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_bool(&w.packer, "ok", false);
    sw_pack_str(&w.packer, "error");
    msgpack_pack_map(&w.packer, 3);
    sw_pack_key_str(&w.packer, "kind", kind);
    sw_pack_key_str(&w.packer, "message", message);
    sw_pack_key_str(&w.packer, "traceback", "");
    fake_send(&w);
}

static inline void fake_ask(uint64_t sequence, const char *op, const char *name) {
    sw_frame_writer w;
    sw_frame_begin(&w, SW_FRAME_ASK, sequence);
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_str(&w.packer, "op", op);
    sw_pack_str(&w.packer, "args");
    msgpack_pack_map(&w.packer, 1);
    sw_pack_key_str(&w.packer, "name", name);
    fake_send(&w);
}

static inline void fake_take_answer(fake *f) {
    sw_frame frame;
    fake_read(f, &frame);
    const msgpack_object *value = sw_map_get(&frame.payload, "value");
    free(f->answer);
    if (value != NULL && value->type == MSGPACK_OBJECT_MAP) {
        f->answer = sw_map_str(value, "source", 4096);
    } else if (value != NULL && value->type == MSGPACK_OBJECT_STR) {
        f->answer = sw_map_str(&frame.payload, "value", 4096);
    } else {
        char *code = sw_map_str(&frame.payload, "code", 64),
             *message = sw_map_str(&frame.payload, "message", 512);
        f->answer = xasprintf("%s: %s", code != NULL ? code : "?", message != NULL ? message : "?");
        free(code);
        free(message);
    }
    sw_frame_release(&frame);
}

static inline void fake_log(const char *message) {
    sw_frame_writer w;
    sw_frame_begin(&w, SW_FRAME_LOG, 0);
    msgpack_pack_map(&w.packer, 3);
    sw_pack_key_str(&w.packer, "level", "info");
    sw_pack_key_str(&w.packer, "message", message);
    sw_pack_str(&w.packer, "fields");
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_str(&w.packer, "detector", "somebody else");
    sw_pack_key_str(&w.packer, "user", "a\x1b[31mb");
    fake_send(&w);
}

/* One finding that names every trace of the window, and says which version found it. */
static inline void fake_findings(fake *f, msgpack_packer *pk, const sw_frame *call) {
    char tag[128], type[128];
    const msgpack_object *traces = sw_map_get(sw_map_get(&call->payload, "window"), "traces");
    uint32_t n = traces != NULL && traces->type == MSGPACK_OBJECT_ARRAY ? traces->via.array.size : 0;
    msgpack_pack_array(pk, 1);
    msgpack_pack_map(pk, 4);
    sw_pack_key_str(pk, "type", fake_word(f, "type", type)[0] != '\0' ? type : "fake");
    sw_pack_key_int(pk, "value", f->n);
    sw_pack_key_str(pk, "summary",
                    fake_word(f, "tag", tag)[0] != '\0' ? tag
                    : f->answer != NULL                 ? f->answer
                                                        : "");
    sw_pack_str(pk, "traces");
    msgpack_pack_array(pk, n);
    for (uint32_t i = 0; i < n; i++) {
        msgpack_pack_map(pk, 1);
        sw_pack_str(pk, "id");
        msgpack_pack_object(pk, *sw_map_get(&traces->via.array.ptr[i], "id"));
    }
}

static inline void fake_check_reply(fake *f, const sw_frame *call, const char *how) {
    sw_frame_writer w;
    f->n++;
    sw_frame_begin(&w, SW_FRAME_REPLY, strcmp(how, "wrong_sequence") == 0 ? f->sequence + 1 : f->sequence);
    msgpack_pack_map(&w.packer, 5);
    sw_pack_key_bool(&w.packer, "ok", true);
    if (strcmp(how, "unknown") == 0) {
        sw_pack_key_str(&w.packer, "unknown", "too little to go by");
    } else if (strcmp(how, "wrong_types") == 0) {
        sw_pack_key_int(&w.packer, "findings", 7);
    } else {
        sw_pack_str(&w.packer, "findings");
        fake_findings(f, &w.packer, call);
    }
    sw_pack_str(&w.packer, "state");
    if (strcmp(how, "big_state") == 0) {
        msgpack_pack_bin(&w.packer, (size_t)5 << 20);
        char *bytes = xcalloc(1, (size_t)5 << 20);
        msgpack_pack_bin_body(&w.packer, bytes, (size_t)5 << 20);
        free(bytes);
    } else {
        msgpack_pack_map(&w.packer, 1);
        sw_pack_key_int(&w.packer, "n", f->n);
    }
    sw_pack_str(&w.packer, "metrics");
    msgpack_pack_array(&w.packer, 2);
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_str(&w.packer, "name", "fake_checks");
    sw_pack_key_int(&w.packer, "value", f->n);
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_str(&w.packer, "name", "spanwatch_not_yours");
    sw_pack_key_int(&w.packer, "value", 1);
    sw_pack_str(&w.packer, "usage");
    msgpack_pack_map(&w.packer, 3);
    sw_pack_key_num(&w.packer, "memory_bytes", strcmp(how, "nan") == 0 ? (double)NAN : 1000);
    sw_pack_key_num(&w.packer, "memory_peak_bytes", strcmp(how, "nan") == 0 ? -HUGE_VAL : 2000);
    sw_pack_key_num(&w.packer, "cpu_us", strcmp(how, "nan") == 0 ? HUGE_VAL : 250000);
    fake_send(&w);
}

static inline void fake_deep(fake *f) {
    sw_frame_writer w;
    sw_frame_begin(&w, SW_FRAME_REPLY, f->sequence);
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_bool(&w.packer, "ok", true);
    sw_pack_str(&w.packer, "state");
    for (int i = 0; i < 5000; i++) {
        msgpack_pack_array(&w.packer, 1);
    }
    msgpack_pack_nil(&w.packer);
    fake_send(&w);
}

static inline void fake_die(int number) {
    signal(number, SIG_DFL);
    raise(number);
    pause();
}

/* True when it has done something that needs no reply any more. */
static inline bool misbehave(fake *f, const char *how) {
    if (strcmp(how, "runtime") == 0) {
        fake_error(f, "runtime", "fake.lua:7: attempt to index a nil value");
    } else if (strcmp(how, "memory") == 0 || strcmp(how, "cpu") == 0 || strcmp(how, "syntax") == 0) {
        fake_error(f, how, "fake.lua:1: too much");
    } else if (strcmp(how, "strange_kind") == 0) {
        fake_error(f, "\x01\x02", "");
    } else if (strcmp(how, "hang") == 0) {
        pause();
    } else if (strcmp(how, "exit") == 0) {
        _exit(7);
    } else if (strcmp(how, "kill") == 0) {
        raise(SIGKILL);
    } else if (strcmp(how, "segv") == 0) {
        fake_die(SIGSEGV);
    } else if (strcmp(how, "sigsys") == 0) {
        fake_die(SIGSYS);
    } else if (strcmp(how, "close") == 0) {
        close(FAKE_FD);
        pause();
    } else if (strcmp(how, "huge_length") == 0) {
        fake_write("\xff\xff\xff\xff", 4);
        pause();
    } else if (strcmp(how, "garbage") == 0) {
        fake_write("\x00\x00\x00\x04\xc1\xc1\xc1\xc1", 8);
        pause();
    } else if (strcmp(how, "huge_count") == 0) {
        fake_write("\x00\x00\x00\x08\x93\x10\x01\xdf\xff\xff\xff\xff", 12);
        pause();
    } else if (strcmp(how, "bad_utf8") == 0) {
        fake_write("\x00\x00\x00\x08\x93\x10\x01\x81\xa2\xff\xfe\x01", 12);
        pause();
    } else if (strcmp(how, "deep") == 0) {
        fake_deep(f);
        pause();
    } else if (strcmp(how, "host_frame") == 0) {
        sw_frame_writer w;
        sw_frame_begin(&w, SW_FRAME_LOAD, f->sequence);
        msgpack_pack_map(&w.packer, 0);
        fake_send(&w);
        pause();
    } else if (strcmp(how, "no_ok") == 0) {
        sw_frame_writer w;
        sw_frame_begin(&w, SW_FRAME_REPLY, f->sequence);
        msgpack_pack_map(&w.packer, 0);
        fake_send(&w);
        pause();
    } else if (strcmp(how, "two_asks") == 0) {
        fake_ask(1, "slow", "x");
        fake_ask(2, "slow", "x");
        pause();
    } else {
        return false;
    }
    return true;
}

static inline void fake_on_load(fake *f, const sw_frame *frame) {
    char how[128], number[128], name[128];
    double n = 0;
    free(f->source);
    f->source = sw_map_str(&frame->payload, "source", 1 << 20);
    const msgpack_object *state = sw_map_get(&frame->payload, "state");
    f->n = sw_map_num(state, "n", &n) ? (int64_t)n : 0;
    fake_word(f, "load", how);
    if (misbehave(f, how)) {
        return;
    }
    if (f->source == NULL || f->source[0] == '\0') {
        fake_error(f, "shape", "fake.lua: must return a table");
        return;
    }
    if (fake_word(f, "require", name)[0] != '\0') {
        fake_ask(1, "require", name);
        fake_take_answer(f);
        if (sw_starts_with(f->answer, "not_found")) {
            fake_error(f, "runtime", f->answer);
            return;
        }
    }
    sw_frame_writer w;
    sw_frame_begin(&w, SW_FRAME_REPLY, f->sequence);
    msgpack_pack_map(&w.packer, 6);
    sw_pack_key_bool(&w.packer, "ok", true);
    sw_pack_key_str(&w.packer, "name", "Fake");
    sw_pack_key_num(&w.packer, "every_s", atof(fake_word(f, "every", number)));
    sw_pack_key_int(&w.packer, "state_version", atoi(fake_word(f, "version", number)));
    sw_pack_key_bool(&w.packer, "revisions", true);
    sw_pack_str(&w.packer, "wants");
    msgpack_pack_map(&w.packer, 3);
    bool slow = fake_word(f, "min_ms", number)[0] != '\0';
    sw_pack_key_num(&w.packer, "min_duration_ms", slow ? atof(number) : -1);
    sw_pack_key_bool(&w.packer, "errors", fake_word(f, "errors", number)[0] != '\0');
    sw_pack_key_bool(&w.packer, "series", true);
    fake_send(&w);
}

static inline void fake_check_with_asks(fake *f, const sw_frame *frame, const char *how) {
    char op[128], times[128];
    int n = atoi(fake_word(f, "times", times));
    fake_word(f, "ask", op);
    for (int i = 0; i < (n > 0 ? n : 1); i++) {
        fake_ask((uint64_t)i + 1, op, "x");
        if (strcmp(how, "reply_in_ask") == 0) {
            break;
        }
        fake_take_answer(f);
    }
    fake_check_reply(f, frame, how);
}

static inline void fake_on_check(fake *f, const sw_frame *frame) {
    char how[128], op[128];
    bool dry = sw_map_bool(&frame->payload, "dry", false);
    fake_word(f, dry ? "dry" : "check", how);
    f->checks += !dry;
    if (strcmp(how, "first_bad") == 0) {
        strcpy(how, f->checks == 1 ? "runtime" : "ok");
    } else if (strcmp(how, "second_bad") == 0) {
        strcpy(how, f->checks == 2 ? "runtime" : "ok");
    } else if (strcmp(how, "once_then_die") == 0) {
        strcpy(how, "ok");
        fake_check_reply(f, frame, how);
        raise(SIGKILL);
    } else if (strcmp(how, "slow") == 0) {
        usleep(30000);
    } else if (strcmp(how, "log_flood") == 0) {
        for (int i = 0; i < 50; i++) {
            fake_log("line\nof a script");
        }
    }
    if (misbehave(f, how)) {
        return;
    }
    if (dry) {
        sw_frame_writer w;
        sw_frame_begin(&w, SW_FRAME_REPLY, f->sequence);
        msgpack_pack_map(&w.packer, 1);
        sw_pack_key_bool(&w.packer, "ok", true);
        fake_send(&w);
    } else if (fake_word(f, "ask", op)[0] != '\0') {
        fake_check_with_asks(f, frame, how);
    } else {
        fake_check_reply(f, frame, how);
        if (strcmp(how, "talks_on") == 0) {
            fake_check_reply(f, frame, how);
        }
    }
}

_Noreturn static inline void fake_worker_main(void) {
    fake f = {.source = NULL};
    sw_frame_reader_init(&f.reader, SW_FRAME_MAX_TO_WORKER);
    sw_frame_writer w;
    sw_frame_begin(&w, SW_FRAME_READY, 0);
    msgpack_pack_map(&w.packer, 2);
    sw_pack_key_str(&w.packer, "version", SW_VERSION);
    sw_pack_str(&w.packer, "warnings");
    msgpack_pack_array(&w.packer, 0);
    fake_send(&w);
    for (;;) {
        sw_frame frame;
        fake_read(&f, &frame);
        f.sequence = frame.sequence;
        if (frame.kind == SW_FRAME_LOAD) {
            fake_on_load(&f, &frame);
        } else if (frame.kind == SW_FRAME_CHECK) {
            fake_on_check(&f, &frame);
        } else {
            fake_error(&f, "runtime", "unexpected call");
        }
        sw_frame_release(&frame);
    }
}

#endif
