/*
 * JSON read where it lies: a value is a piece of the text, and nothing is built or copied but the texts that
 * are asked for. For the stored alerts, of which a start reads a hundred thousand. What nobody asks for is
 * only looked at to find its end; what is asked for is checked.
 *
 * The text must go on behind each piece (an object ends with its brace), since numbers end where they end.
 */
#ifndef SW_ALERTS_JSON_PIECES_H
#define SW_ALERTS_JSON_PIECES_H

#include "base/base.h"

typedef struct sw_json_piece {
    const char *at; /* NULL when absent */
    size_t len;
} sw_json_piece;

#define SW_JSON_MEMBERS_MAX 64

typedef struct sw_json_members {
    size_t n;
    size_t next;                              /* where to look first: most are asked for in their order */
    sw_json_piece names[SW_JSON_MEMBERS_MAX]; /* without the quotes, as written */
    sw_json_piece values[SW_JSON_MEMBERS_MAX];
} sw_json_members;

/* The members of an object that is all of the text but for blanks. False when it is none, or is damaged, or
 * has too many. */
bool sw_piece_members(sw_json_piece object, sw_json_members *out);
/* Absent when there is none of this name. */
sw_json_piece sw_piece_member(sw_json_members *members, const char *name);

/* The elements of an array, one after the other: `cursor` is NULL at first. False at the end, and when it is
 * no array or is damaged: then `bad` is set. */
bool sw_piece_element(sw_json_piece array, const char **cursor, sw_json_piece *out, bool *bad);

bool sw_piece_is(sw_json_piece value, const char *literal); /* null, true, false, [] */
/* The text (caller frees), or NULL when the value is none. */
char *sw_piece_text(sw_json_piece value);
/* False when the value is no number; no integer. */
bool sw_piece_real(sw_json_piece value, double *out);
bool sw_piece_whole(sw_json_piece value, int64_t *out);

#endif
