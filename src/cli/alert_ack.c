/* alert ack: somebody looks at it, until it is resolved nothing more is told. */
#include "cli/alert.h"

#include <stdio.h>
#include <stdlib.h>

#include "net/url.h"

int sw_print_silence_id(const sw_options *options, const json_t *answer) {
    if (sw_option(options, "--json") != NULL) {
        return sw_print_json(answer);
    }
    const char *id = json_string_value(json_object_get(answer, "silenceID"));
    printf("%s\n", id != NULL ? id : "");
    return SW_EXIT_OK;
}

int sw_alert_ack(const sw_options *options, sw_agent_client *client) {
    if (options->n_arguments != 2) {
        fprintf(stderr, "spanwatch: alert ack needs one fingerprint\nTry spanwatch alert --help\n");
        return SW_EXIT_USAGE;
    }
    const char *author = sw_option(options, "--author"), *comment = sw_option(options, "--comment");
    const char *user = getenv("USER");
    author = author != NULL ? author : user != NULL && user[0] != '\0' ? user : "spanwatch";
    sw_buf path;
    sw_buf_init(&path, (size_t)1 << 20);
    sw_buf_append_str(&path, "/api/v1/alerts/");
    sw_url_encode(&path, options->arguments[1]);
    sw_buf_append_str(&path, "/ack");
    json_t *body = json_pack("{s:s, s:s}", "author", author, "comment", comment != NULL ? comment : "");
    json_t *answer = sw_agent_client_ask(client, "POST", path.data, body);
    int rc = answer == NULL ? SW_EXIT_FAILED : sw_print_silence_id(options, answer);
    json_decref(answer);
    sw_buf_release(&path);
    return rc;
}
