/* What is said again and again while it is true, beside the rows: firing alerts, for who forgets them
 * otherwise. */
#include "delivery/outbox_internal.h"

struct sw_post {
    sw_attempt *attempt;
    sw_post_done done;
    void *arg;
};

void sw_outbox_pause(sw_outbox *outbox, void (*paused)(void *arg), void *arg) {
    outbox->paused = true;
    outbox->on_paused = paused;
    outbox->on_paused_arg = arg;
    sw_outbox_check_paused(outbox);
}

void sw_outbox_check_paused(sw_outbox *outbox) {
    if (outbox->on_paused != NULL && outbox->in_flight == 0) {
        void (*paused)(void *arg) = outbox->on_paused;
        outbox->on_paused = NULL;
        paused(outbox->on_paused_arg);
    }
}

void sw_outbox_go_on(sw_outbox *outbox) {
    outbox->paused = false;
    outbox->on_paused = NULL;
    sw_outbox_pump(outbox);
}

static void answered(const sw_attempt_result *result, void *arg) {
    sw_post *post = arg;
    post->done(result->verdict == SW_ATTEMPT_DELIVERED, result->message, post->arg);
    free(post);
}

sw_post *sw_outbox_post(sw_outbox *outbox, const sw_formatted *what, sw_post_done done, void *arg) {
    char key[37];
    sw_uuid4(key);
    sw_outbox_row row = {
        .receiver = (char *)outbox->options.name,
        .fingerprint = "",
        .idempotency_key = key,
        .content_type = (char *)what->content_type,
        .body = (char *)what->body,
        .body_len = what->len,
    };
    sw_post *post = xcalloc(1, sizeof *post);
    post->done = done;
    post->arg = arg;
    post->attempt = sw_webhook_start(outbox->http, outbox->secrets, &outbox->options, &row, what->url_suffix,
                                     sw_wall_ns(outbox->clock), answered, post);
    return post;
}

void sw_post_cancel(sw_post *post) {
    sw_webhook_cancel(post->attempt);
    free(post);
}
