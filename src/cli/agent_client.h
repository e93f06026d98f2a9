/*
 * For verbs that ask the running agent: one request at a time to the address that the settings say it listens
 * on. What goes wrong is said on standard error, where it is known.
 */
#ifndef SW_CLI_AGENT_CLIENT_H
#define SW_CLI_AGENT_CLIENT_H

#include <jansson.h>

#include "cli/cli.h"

typedef struct sw_agent_client {
    sw_setup setup;
    char *base; /* "http://127.0.0.1:9476" */
} sw_agent_client;

/* 0, or an exit code after saying why. Close it either way. */
int sw_agent_client_open(sw_agent_client *client, const sw_options *options);
void sw_agent_client_close(sw_agent_client *client);

/* Takes the body (NULL: none). The JSON that a 2xx brought (caller frees); NULL after saying what the agent
 * refused, or that it does not answer. */
json_t *sw_agent_client_ask(sw_agent_client *client, const char *method, const char *path, json_t *body);

/* "http://127.0.0.1:9476" for ":9476", "0.0.0.0:9476" and the like: where to find who listens there. NULL for
 * "". Caller frees. */
char *sw_agent_client_base(const char *listen_address, bool tls);

/* To standard output, in one piece; exit code. */
int sw_print_json(const json_t *value);

/* Of a member that is a text or a number: as text, "" for anything else. Caller frees. */
char *sw_json_member(const json_t *object, const char *name);

/* A table for people: the columns are as wide as what is in them, but the last. Cells are copied; control
 * characters in them become blanks. */
typedef struct sw_text_table {
    size_t n_columns, n_cells;
    char **cells;
} sw_text_table;
void sw_text_table_add(sw_text_table *table, const char *cell); /* row after row */
/* A row of two cells; takes the text. What is empty is left out. */
void sw_text_table_add_fact(sw_text_table *table, const char *name, char *text);
int sw_text_table_print(sw_text_table *table); /* and releases it; exit code */

/* "1h30m", of s, m, h, d, w, as seconds. 0, or -1. */
int sw_parse_duration(const char *text, int64_t *seconds);

#endif
