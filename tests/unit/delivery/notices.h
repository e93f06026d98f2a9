/* Notices as the agent writes them, as far as combining looks into them, and what the receiver was told. */
#ifndef SW_TEST_NOTICES_H
#define SW_TEST_NOTICES_H

#include <jansson.h>

#include "delivery/outbox_fixture.h"

#define WAIT_MS 30000
#define INTERVAL_MS 300000

/* One notice; its body has what combining looks at. Status over: resolved, and its beginning was told. */
static inline void notice(struct fixture *f, sw_store_batch *batch, const char *group,
                          const char *fingerprint, const char *status, const char *trace) {
    char body[512];
    snprintf(body, sizeof body,
             "{\"anomaly_type\": \"slow\", \"fingerprint\": \"%s\", \"status\": \"%s\", \"summary\": \"%s is "
             "%s\", \"trace_id\": %s%s%s, \"traces\": [%s%s%s]}",
             fingerprint, status, fingerprint, status, trace != NULL ? "\"" : "null",
             trace != NULL ? trace : "", trace != NULL ? "\"" : "", trace != NULL ? "{\"trace_id\": \"" : "",
             trace != NULL ? trace : "", trace != NULL ? "\"}" : "");
    sw_notification notification = {
        .fingerprint = fingerprint,
        .resolved = strcmp(status, "resolved") == 0 || strcmp(status, "over") == 0,
        .told_before = strcmp(status, "over") == 0,
        .severity = 1,
        .group_key = group,
        .group_labels_json = group != NULL ? "{\"service\": \"shop\"}" : NULL,
        .group_wait_ms = WAIT_MS,
        .group_interval_ms = INTERVAL_MS,
        .content_type = "application/json",
        .body = body,
        .len = strlen(body),
    };
    sw_outbox_add(f->outbox, batch, &notification);
}

static inline void tell(struct fixture *f, const char *group, const char *fingerprint, const char *status) {
    sw_store_batch *batch = sw_store_batch_new(f->store);
    notice(f, batch, group, fingerprint, status, NULL);
    commit(f, batch);
    run_until_idle(f);
}

/* "a firing, b resolved; c firing +2": what each notification told, and how many it only counted. "(a
 * firing)" was on its own. Valid until the next call. */
static inline const char *told(struct fixture *f) {
    static char text[4096];
    size_t n = 0;
    text[0] = '\0';
    for (size_t i = 0; i < f->receiver.n; i++) {
        json_t *root = json_loads(f->receiver.got[i].body, 0, NULL);
        assert_non_null(root);
        const json_t *alerts = json_object_get(root, "alerts");
        n += (size_t)snprintf(text + n, sizeof text - n, "%s", i > 0 ? "; " : "");
        if (alerts == NULL) {
            n += (size_t)snprintf(text + n, sizeof text - n, "(%s %s)",
                                  json_string_value(json_object_get(root, "fingerprint")),
                                  json_string_value(json_object_get(root, "status")));
        }
        for (size_t j = 0; j < json_array_size(alerts); j++) {
            const json_t *alert = json_array_get(alerts, j);
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %s", j > 0 ? ", " : "",
                                  json_string_value(json_object_get(alert, "fingerprint")),
                                  json_string_value(json_object_get(alert, "status")));
        }
        json_int_t truncated = json_integer_value(json_object_get(root, "truncated_alerts"));
        if (truncated > 0) {
            n += (size_t)snprintf(text + n, sizeof text - n, " +%d", (int)truncated);
        }
        json_decref(root);
    }
    return text;
}

static inline void assert_settled(struct fixture *f) {
    assert_int_equal(sw_outbox_depth(f->outbox), 0);
    assert_int_equal(stored_rows(f), 0);
    assert_null(f->outbox->queue.told);
    assert_int_equal(f->outbox->queue.bytes, 0);
    assert_int_equal(f->outbox->n_reserved, 0);
    assert_int_equal(f->outbox->n_storing, 0);
}

#endif
