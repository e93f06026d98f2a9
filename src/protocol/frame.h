/*
 * Frames on the socketpair between host and worker: 4 bytes length (big endian, of what follows), then one
 * MessagePack array [kind, sequence, payload]. See protocol/messages.md for every kind and its payload.
 *
 * Both ends treat the other's bytes as hostile: sw_frame_reader checks the length against its cap before it
 * allocates and sw_frame_parse checks shape, depth (SW_FRAME_MAX_DEPTH) and counts before anybody walks the
 * tree.
 */
#ifndef SW_PROTOCOL_FRAME_H
#define SW_PROTOCOL_FRAME_H

#include <msgpack.h>

#include "base/buf.h"

#define SW_FRAME_MAX_TO_WORKER ((size_t)64 << 20)
#define SW_FRAME_MAX_TO_HOST ((size_t)16 << 20)
#define SW_FRAME_MAX_DEPTH 64
#define SW_FRAME_MAX_OBJECTS                                                                                 \
    ((size_t)1 << 20) /* values in a frame that sw_frame_parse accepts: 24 MiB of tree */

typedef enum sw_frame_kind {
    /* host → worker */
    SW_FRAME_LOAD = 1,   /* take this source: reply says what it is */
    SW_FRAME_CHECK = 2,  /* judge this window */
    SW_FRAME_CONFIG = 3, /* evaluate a configuration file to a table */
    SW_FRAME_TEST = 4,   /* run a *_test.lua file */
    SW_FRAME_FORMAT = 5, /* turn a notification into a body */
    SW_FRAME_ANSWER = 9, /* the answer to a SW_FRAME_ASK, same sequence */
    /* worker → host */
    SW_FRAME_REPLY = 16, /* the end of a call, same sequence */
    SW_FRAME_ASK = 17,   /* a host function that a script called */
    SW_FRAME_LOG = 18,   /* one log line; no answer */
    SW_FRAME_READY = 19, /* sandbox is up; says what is missing */
} sw_frame_kind;

typedef struct sw_frame {
    sw_frame_kind kind;
    uint64_t sequence;
    msgpack_object payload; /* a map whose keys are text or integers; all `str` is UTF-8; points into `zone`
                               and into the bytes given */
    msgpack_zone *zone;
} sw_frame;

/* Incremental reader. Feed bytes as they come; next() gives 1 and the body of one whole frame (valid until
 * the next call of feed or next), 0 when more bytes are needed, -1 when a length is over the cap. Call next()
 * until it gives 0 after each feed: feed is -1 when more than a frame and 1 MiB wait to be taken. */
typedef struct sw_frame_reader {
    sw_buf in;
    size_t consumed;
    size_t max_frame;
} sw_frame_reader;
void sw_frame_reader_init(sw_frame_reader *reader, size_t max_frame);
void sw_frame_reader_release(sw_frame_reader *reader);
int sw_frame_reader_feed(sw_frame_reader *reader, const void *data, size_t len);
int sw_frame_reader_next(sw_frame_reader *reader, const char **body, size_t *len);
/* Gives back the memory of the frames that were handed out now, not at the next call. */
void sw_frame_reader_drop(sw_frame_reader *reader);

/* Parses one body. 0, or -1 with *why (static text). Strings are not copied: `body` must outlive the frame.
 */
int sw_frame_parse(const char *body, size_t len, sw_frame *out, const char **why);
void sw_frame_release(sw_frame *frame);

/* Writing: begin leaves room for the length, then pack exactly one map with the packer, then end fixes the
 * length. end returns -1 when the frame is larger than max. */
typedef struct sw_frame_writer {
    msgpack_sbuffer bytes;
    msgpack_packer packer;
} sw_frame_writer;
void sw_frame_begin(sw_frame_writer *writer, sw_frame_kind kind, uint64_t sequence);
int sw_frame_end(sw_frame_writer *writer, size_t max);
void sw_frame_writer_release(sw_frame_writer *writer);

/* Small packing helpers used by both ends. sw_pack_write is what a packer of an msgpack_sbuffer writes with:
 * it ends the program instead of packing half a value. */
int sw_pack_write(void *sbuffer, const char *bytes, size_t len);
void sw_pack_str(msgpack_packer *pk, const char *s); /* NULL packs nil; what is not UTF-8 goes as bin */
void sw_pack_key_str(msgpack_packer *pk, const char *key, const char *value);
void sw_pack_key_int(msgpack_packer *pk, const char *key, int64_t value);
void sw_pack_key_num(msgpack_packer *pk, const char *key, double value);
void sw_pack_key_bool(msgpack_packer *pk, const char *key, bool value);
/* Look-ups in a map; NULL or the default when absent or of another type. */
const msgpack_object *sw_map_get(const msgpack_object *map, const char *key);
/* Copies a string value (caller frees); NULL when absent, not a string, contains NUL, or is longer than max.
 */
char *sw_map_str(const msgpack_object *map, const char *key, size_t max);
bool sw_map_num(const msgpack_object *map, const char *key,
                double *out); /* integer or float; false when absent */
bool sw_map_bool(const msgpack_object *map, const char *key, bool fallback);

#endif
