#include "cli/agent_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_client.h"

#define TIMEOUT_MS 30000
#define MAX_BODY ((size_t)256 << 20)

char *sw_agent_client_base(const char *listen_address, bool tls) {
    const char *colon = strrchr(listen_address, ':');
    if (colon == NULL) {
        return NULL;
    }
    char *host = xstrndup(listen_address, (size_t)(colon - listen_address));
    const char *found = host;
    if (host[0] == '\0' || strcmp(host, "0.0.0.0") == 0) {
        found = "127.0.0.1";
    } else if (strcmp(host, "[::]") == 0) {
        found = "[::1]";
    }
    char *base = xasprintf("%s://%s%s", tls ? "https" : "http", found, colon);
    free(host);
    return base;
}

int sw_agent_client_open(sw_agent_client *client, const sw_options *options) {
    *client = (sw_agent_client){0};
    int rc = sw_setup_config(&client->setup, options);
    sw_setup_complain(&client->setup);
    if (rc == 0) {
        const sw_config *config = &client->setup.config;
        client->base = sw_agent_client_base(config->listen_address, config->listen_tls_cert_file[0] != '\0');
    }
    if (rc == 0 && client->base == NULL) {
        fprintf(stderr, "spanwatch: the agent listens nowhere (SPANWATCH_LISTEN_ADDRESS is empty)\n");
        rc = SW_EXIT_CONFIG;
    }
    return rc;
}

void sw_agent_client_close(sw_agent_client *client) {
    sw_setup_release(&client->setup);
    free(client->base);
    *client = (sw_agent_client){0};
}

/* ---- one request ---- */

struct asking {
    const sw_agent_client *client;
    json_t *answer;
};

/* The text of an error in any of the API's forms. */
static const char *message_of(const json_t *answer) {
    const char *text = json_string_value(answer);
    if (text == NULL) {
        text = json_string_value(json_object_get(answer, "error"));
    }
    return text != NULL ? text : json_string_value(json_object_get(answer, "message"));
}

static void answered(const sw_http_response *response, void *arg) {
    struct asking *asking = arg;
    if (response->error != SW_HTTP_OK) {
        fprintf(stderr, "spanwatch: no answer from the agent at %s: %s\n", asking->client->base,
                response->message);
        return;
    }
    json_error_t error;
    json_t *answer = json_loadb(response->body, response->body_len, JSON_DECODE_ANY, &error);
    if (response->status / 100 == 2 && answer != NULL) {
        asking->answer = answer;
        return;
    }
    const char *message = message_of(answer);
    if (message == NULL) {
        message = response->status / 100 == 2 ? "its answer is no JSON" : "without a reason";
    }
    fprintf(stderr, "spanwatch: the agent at %s answers %d: %s\n", asking->client->base, response->status,
            message);
    json_decref(answer);
}

json_t *sw_agent_client_ask(sw_agent_client *client, const char *method, const char *path, json_t *body) {
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct asking asking = {.client = client};
    char *url = xasprintf("%s%s", client->base, path);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    /* The certificate that the agent uses is known here: its name may be one under which it is not asked. */
    const sw_config *config = &client->setup.config;
    bool token = config->listen_bearer_token_file[0] != '\0';
    bool password = !token && config->listen_basic_auth_file[0] != '\0';
    sw_http_profile profile = {
        .proxy = "",
        .bearer_token_file = token ? config->listen_bearer_token_file : NULL,
        .basic_auth_file = password ? config->listen_basic_auth_file : NULL,
        .pinned_cert_file = config->listen_tls_cert_file[0] != '\0' ? config->listen_tls_cert_file : NULL,
    };
    sw_http_request request = {
        .method = method,
        .url = url,
        .profile = &profile,
        .headers = headers,
        .body = text,
        .body_len = text != NULL ? strlen(text) : 0,
        .timeout_ms = TIMEOUT_MS,
        .max_body = MAX_BODY,
        .done = answered,
        .arg = &asking,
    };
    uv_loop_t loop;
    uv_loop_init(&loop);
    sw_http_client *http = sw_http_client_new(&loop);
    sw_http_start(http, &request);
    while (sw_http_client_active(http) > 0) {
        uv_run(&loop, UV_RUN_ONCE);
    }
    sw_http_client_free(http);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    json_decref(body);
    free(text);
    free(url);
    return asking.answer;
}

/* ---- answers for people and programs ---- */

int sw_print_json(const json_t *value) {
    sw_buf out;
    sw_buf_init(&out, MAX_BODY);
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    sw_buf_append_str(&out, text);
    sw_buf_append_char(&out, '\n');
    free(text);
    int rc = sw_cli_print(&out);
    sw_buf_release(&out);
    return rc;
}

char *sw_json_member(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return json_is_integer(value)  ? xasprintf("%lld", (long long)json_integer_value(value))
           : json_is_number(value) ? xasprintf("%.6g", json_number_value(value))
                                   : xstrdup(json_is_string(value) ? json_string_value(value) : "");
}

void sw_text_table_add_fact(sw_text_table *table, const char *name, char *text) {
    if (text[0] != '\0') {
        sw_text_table_add(table, name);
        sw_text_table_add(table, text);
    }
    free(text);
}

void sw_text_table_add(sw_text_table *table, const char *cell) {
    table->cells = xrealloc_array(table->cells, table->n_cells + 1, sizeof(char *));
    char *copy = table->cells[table->n_cells++] = xstrdup(cell != NULL ? cell : "");
    for (char *c = copy; *c != '\0'; c++) {
        *c = (unsigned char)*c < ' ' || *c == 0x7f ? ' ' : *c;
    }
}

static size_t column_width(const sw_text_table *table, size_t column) {
    size_t width = 0;
    for (size_t i = column; i < table->n_cells; i += table->n_columns) {
        size_t len = strlen(table->cells[i]);
        width = len > width ? len : width;
    }
    return width;
}

int sw_text_table_print(sw_text_table *table) {
    sw_buf out;
    sw_buf_init(&out, MAX_BODY);
    size_t *widths = xcalloc(table->n_columns, sizeof *widths);
    for (size_t i = 0; i + 1 < table->n_columns; i++) {
        widths[i] = column_width(table, i);
    }
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t column = i % table->n_columns;
        bool last = column + 1 == table->n_columns;
        sw_buf_printf(&out, "%-*s%s", (int)widths[column], table->cells[i], last ? "\n" : "  ");
        free(table->cells[i]);
    }
    int rc = sw_cli_print(&out);
    free(widths);
    free(table->cells);
    *table = (sw_text_table){.n_columns = table->n_columns};
    sw_buf_release(&out);
    return rc;
}

int sw_parse_duration(const char *text, int64_t *seconds) {
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    *seconds = 0;
    for (const char *at = text; *at != '\0';) {
        size_t digits = strspn(at, "0123456789");
        int64_t unit = 0;
        for (size_t i = 0; i < SW_ARRAY_LEN(units); i++) {
            unit = at[digits] == units[i].unit ? units[i].seconds : unit;
        }
        if (digits == 0 || digits > 9 || unit == 0) {
            return -1;
        }
        *seconds += strtoll(at, NULL, 10) * unit;
        at += digits + 1;
    }
    return *seconds > 0 ? 0 : -1;
}
