/* The options of scripts' questions: checked and turned into a URL. */
#ifndef SW_SOURCES_TEMPO_SCRIPT_OPTIONS_H
#define SW_SOURCES_TEMPO_SCRIPT_OPTIONS_H

#include "sources/tempo/internal.h"

typedef enum tempo_script_kind {
    TEMPO_SCRIPT_SEARCH,
    TEMPO_SCRIPT_METRICS,
    TEMPO_SCRIPT_TRACE
} tempo_script_kind;

typedef struct tempo_script_question {
    tempo_script_kind kind;
    char *url;
    char *plain_url; /* to ask when the server refuses `url` with 400; NULL: none */
    unsigned limit;
    int64_t to_s;
    char id[SW_TRACE_ID_LEN + 1];
} tempo_script_question;

/* 0, or -1 with `why` filled. Release it either way. */
int tempo_script_question_init(const sw_tempo *tempo, const char *kind, const json_t *options,
                               tempo_script_question *question, char *why, size_t why_size);
void tempo_script_question_release(tempo_script_question *question);

#endif
