/* One POST of one notification. */
#include <stdio.h>
#include <string.h>

#include "base/url_suffix.h"
#include "delivery/outbox_internal.h"

#define ANSWER_MAX 65536 /* bytes of the answer's body that are read, and not used */
#define QUOTE_MAX 200    /* bytes of a refusal that are quoted */
#define RETRY_AFTER_MAX_S 3600

struct sw_attempt {
    sw_http_call *call;
    char unsigned_because[256]; /* "" when it was sent */
    sw_attempt_done done;
    void *arg;
};

void sw_webhook_signature(const char *secret, size_t secret_len, int64_t unix_s, const void *body, size_t len,
                          sw_buf *out) {
    sw_buf signed_text;
    sw_buf_init(&signed_text, len + 32);
    sw_buf_printf(&signed_text, "%lld.", (long long)unix_s);
    sw_buf_append(&signed_text, body, len);
    char digest[65];
    sw_hmac_sha256_hex(secret, secret_len, signed_text.data, signed_text.len, digest);
    sw_buf_printf(out, "t=%lld,v1=%s", (long long)unix_s, digest);
    sw_buf_release(&signed_text);
}

static bool ignore_body(const char *data, size_t len, void *arg) {
    (void)data;
    (void)len;
    (void)arg;
    return true;
}

static bool may_pass(int status) {
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

/* What the receiver said about its refusal, in one line. */
static void quote(const sw_http_response *response, char *out, size_t size) {
    size_t n = 0;
    for (const char *at = response->body; *at != '\0' && n < size - 1 && n < QUOTE_MAX; at++) {
        bool blank = (unsigned char)*at <= ' ';
        if (!blank || (n > 0 && out[n - 1] != ' ')) {
            out[n++] = blank ? ' ' : *at;
        }
    }
    out[n] = '\0';
}

static void ended(const sw_http_response *response, void *arg) {
    sw_attempt *attempt = arg;
    char reason[32], message[300];
    sw_attempt_result result = {
        .in_trouble = true, .reason = reason, .message = message, .retry_after_ms = -1};
    if (response->status != 0) {
        char said[QUOTE_MAX + 1];
        quote(response, said, sizeof said);
        int status = response->status;
        result.in_trouble = status == 408 || status >= 500;
        result.verdict = status / 100 == 2  ? SW_ATTEMPT_DELIVERED
                         : may_pass(status) ? SW_ATTEMPT_RETRY
                                            : SW_ATTEMPT_REFUSED;
        snprintf(reason, sizeof reason, "HTTP %d", status);
        snprintf(message, sizeof message, "HTTP %d%s%s", status, said[0] != '\0' ? ": " : "", said);
        if (response->retry_after_s >= 0) {
            int64_t seconds = response->retry_after_s;
            result.retry_after_ms = (seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
        }
    } else if (attempt->unsigned_because[0] != '\0') {
        result.verdict = SW_ATTEMPT_RETRY;
        result.reason = "secret";
        result.message = attempt->unsigned_because;
    } else {
        result.verdict = SW_ATTEMPT_RETRY;
        snprintf(reason, sizeof reason, "%s", sw_http_error_name(response->error));
        snprintf(message, sizeof message, "%s", response->message);
    }
    attempt->done(&result, attempt->arg);
    free(attempt);
}

/* The header line, or NULL when the secret cannot be read. */
static char *signature_line(sw_secrets *secrets, const sw_receiver_options *options, const sw_outbox_row *row,
                            int64_t now_ns, char error[256]) {
    size_t len = 0;
    const char *secret = sw_secrets_get(secrets, options->hmac_secret_file, &len, error);
    if (secret == NULL) {
        return NULL;
    }
    sw_buf line;
    sw_buf_init(&line, 256);
    sw_buf_append_str(&line, "X-Spanwatch-Signature: ");
    sw_webhook_signature(secret, len, now_ns / SW_NS_PER_S, row->body, row->body_len, &line);
    return sw_buf_steal(&line, NULL);
}

sw_attempt *sw_webhook_start(sw_http_client *http, sw_secrets *secrets, const sw_receiver_options *options,
                             const sw_outbox_row *row, const char *url_suffix, int64_t now_ns,
                             sw_attempt_done done, void *arg) {
    sw_attempt *attempt = xcalloc(1, sizeof *attempt);
    attempt->done = done;
    attempt->arg = arg;
    bool sign = options->hmac_secret_file != NULL;
    char *signature = sign ? signature_line(secrets, options, row, now_ns, attempt->unsigned_because) : NULL;
    char *type = xasprintf("Content-Type: %s", row->content_type);
    char *key = xasprintf("Idempotency-Key: %s", row->idempotency_key);
    char *url = url_suffix != NULL ? sw_url_with_suffix(options->url, url_suffix) : xstrdup(options->url);
    const char *headers[] = {type, key, signature, NULL};
    sw_http_request request = {
        .method = "POST",
        /* What cannot be signed must not be sent: without a URL the client says so, in its own time. */
        .url = sign && signature == NULL ? "" : url,
        .profile = &options->profile,
        .headers = headers,
        .body = row->body,
        .body_len = row->body_len,
        .timeout_ms = options->timeout_ms,
        .max_body = ANSWER_MAX,
        .on_data = ignore_body,
        .done = ended,
        .arg = attempt,
    };
    attempt->call = sw_http_start(http, &request);
    free(type);
    free(key);
    free(url);
    free(signature);
    return attempt;
}

void sw_webhook_cancel(sw_attempt *attempt) {
    sw_http_cancel(attempt->call);
    free(attempt);
}
