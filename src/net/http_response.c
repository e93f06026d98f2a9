/* What comes back: header lines, the body, and what a failure is called. */
#include "net/http_client_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "net/http_header.h"

static bool is_success(const sw_http_call *call) {
    return call->response.status >= 200 && call->response.status < 300;
}

void http_call_fail(sw_http_call *call, sw_http_error error, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(call->response.message, sizeof call->response.message, fmt, args);
    va_end(args);
    call->response.error = error;
    /* curl's texts may quote the server. */
    for (char *c = call->response.message; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7F) {
            *c = '?';
        }
    }
}

/* Ends the transfer from inside one of curl's callbacks. */
static size_t stop(sw_http_call *call, sw_http_error error, const char *message) {
    if (!call->dropped) {
        call->stopped_as = error;
        http_call_fail(call, error, "%s", message);
    }
    return 0;
}

static void forget_headers(sw_http_call *call) {
    call->response.date_s = 0;
    call->response.content_type[0] = '\0';
    call->retry_after[0] = '\0';
    call->encoded = false;
}

static void read_header(sw_http_call *call, const char *line, size_t len) {
    sw_http_response *response = &call->response;
    char value[64];
    if (sw_http_header_value(line, len, "Date", value, sizeof value)) {
        response->date_s = sw_http_date(value);
    } else if (sw_http_header_value(line, len, "Content-Encoding", value, sizeof value)) {
        call->encoded = value[0] != '\0' && strcasecmp(value, "identity") != 0;
    } else if (!sw_http_header_value(line, len, "Retry-After", call->retry_after, sizeof call->retry_after)) {
        sw_http_header_value(line, len, "Content-Type", response->content_type,
                             sizeof response->content_type);
    }
}

static void end_headers(sw_http_call *call) {
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) { /* 100 Continue and the like: the answer is still to come */
        forget_headers(call);
        return;
    }
    sw_http_response *response = &call->response;
    response->status = (int)status;
    if (call->retry_after[0] != '\0') {
        int64_t now = response->date_s != 0 ? response->date_s : (int64_t)time(NULL);
        response->retry_after_s = sw_http_retry_after(call->retry_after, now);
    }
    call->headers_done = true;
}

static size_t on_header_line(char *line, size_t size, size_t count, void *arg) {
    sw_http_call *call = arg;
    size_t len = size * count;
    call->header_bytes += len;
    if (call->dropped) {
        return 0;
    }
    if (call->header_bytes > HTTP_HEADERS_MAX) {
        return stop(call, SW_HTTP_BROKEN, "headers over 64 KiB");
    }
    if (call->headers_done) { /* a trailer */
        return len;
    }
    if (len > 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        forget_headers(call);
    } else if (len == 0 || line[0] == '\r' || line[0] == '\n') {
        end_headers(call);
    } else {
        read_header(call, line, len);
    }
    return len;
}

/* False when the receiver wants no more. */
static bool announce(sw_http_call *call) {
    if (call->announced) {
        return true;
    }
    call->announced = true;
    if (call->on_headers != NULL && !call->on_headers(&call->response, call->arg)) {
        stop(call, SW_HTTP_ABORTED, "stopped by the receiver");
        return false;
    }
    return !call->dropped;
}

/* A length that is known beforehand saves reading what would be thrown away. */
static bool is_announced_too_large(const sw_http_call *call) {
    curl_off_t length = -1;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return !call->encoded && length > 0 && (uint64_t)length > call->max_body;
}

static size_t take_body(sw_http_call *call, const char *data, size_t len) {
    if (len > call->max_body - call->received || (call->received == 0 && is_announced_too_large(call))) {
        char message[64];
        snprintf(message, sizeof message, "answer over %zu bytes", call->max_body);
        return stop(call, SW_HTTP_TOO_LARGE, message);
    }
    call->received += len;
    if (call->on_data == NULL) {
        sw_buf_append(&call->body, data, len);
        return len;
    }
    if (!call->on_data(data, len, call->arg)) {
        return stop(call, SW_HTTP_ABORTED, "stopped by the receiver");
    }
    return call->dropped ? 0 : len;
}

/* Of an error's body the first part is enough for a log line. The rest is read so that the connection can be
 * used again, but not without end. */
static size_t take_error_body(sw_http_call *call, const char *data, size_t len) {
    size_t most = call->max_body > HTTP_ERROR_BODY_MAX ? call->max_body : HTTP_ERROR_BODY_MAX;
    size_t room = call->body.cap - call->body.len;
    sw_buf_append(&call->body, data, len < room ? len : room);
    if (len > most - call->received) {
        call->cut = true;
        return 0;
    }
    call->received += len;
    return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg) {
    sw_http_call *call = arg;
    size_t len = size * count;
    if (!call->dropped && http_client_must_pause(call->client)) {
        call->paused = true;
        return CURL_WRITEFUNC_PAUSE; /* curl keeps the piece and offers it again */
    }
    if (call->dropped || !announce(call)) {
        return 0;
    }
    if (is_success(call)) {
        return take_body(call, data, len);
    }
    if (call->body.cap > HTTP_ERROR_BODY_MAX) {
        call->body.cap = HTTP_ERROR_BODY_MAX;
    }
    return take_error_body(call, data, len);
}

void http_call_receive(sw_http_call *call) {
    curl_easy_setopt(call->easy, CURLOPT_HEADERFUNCTION, on_header_line);
    curl_easy_setopt(call->easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
}

static const char *where_time_went(const sw_http_call *call) {
    curl_off_t resolved = 0;
    curl_off_t sending = 0;
    curl_easy_getinfo(call->easy, CURLINFO_NAMELOOKUP_TIME_T, &resolved);
    curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &sending);
    if (call->header_bytes > 0) {
        return "the answer is incomplete";
    }
    if (sending > 0) {
        return "no answer yet";
    }
    return resolved > 0 ? "not connected yet" : "host name not resolved yet";
}

static void fail_connect(sw_http_call *call) {
    char host[256] = "";
    int port = 0;
    long number = 0;
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
    const char *reason = number != 0 ? strerror((int)number) : call->curl_error;
    /* curl knows whether it was the server or a proxy. */
    if (sscanf(call->curl_error, "Failed to connect to %255s port %d", host, &port) == 2) {
        http_call_fail(call, SW_HTTP_CONNECT, "cannot connect to %s:%d: %s", host, port,
                       number != 0 ? reason : "no connection");
    } else {
        http_call_fail(call, SW_HTTP_CONNECT, "cannot connect to %s: %s", call->authority, reason);
    }
}

/* curl's own words, or what the code means when it has none. */
static const char *curl_words(const sw_http_call *call, CURLcode code) {
    return call->curl_error[0] != '\0' ? call->curl_error : curl_easy_strerror(code);
}

static void fail_broken(sw_http_call *call, CURLcode code) {
    long number = 0;
    switch (code) {
    case CURLE_GOT_NOTHING:
        http_call_fail(call, SW_HTTP_BROKEN, "%s closed the connection without an answer", call->authority);
        break;
    case CURLE_UNSUPPORTED_PROTOCOL: /* HTTP/0.9: the first line was no status line */
    case CURLE_WEIRD_SERVER_REPLY:
        http_call_fail(call, SW_HTTP_BROKEN, "%s does not answer in HTTP: %s", call->authority,
                       curl_words(call, code));
        break;
    case CURLE_BAD_CONTENT_ENCODING:
        http_call_fail(call, SW_HTTP_BROKEN, "bad compression: %s", curl_words(call, code));
        break;
    case CURLE_PARTIAL_FILE:
        http_call_fail(call, SW_HTTP_BROKEN, "the answer ended early: %s", curl_words(call, code));
        break;
    default:
        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
        http_call_fail(call, SW_HTTP_BROKEN, "connection to %s broke: %s", call->authority,
                       call->curl_error[0] == '\0' && number != 0 ? strerror((int)number)
                                                                  : curl_words(call, code));
    }
}

static bool is_tunnel_refused(const sw_http_call *call) {
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    return status >= 300 && call->header_bytes == 0;
}

static void name_failure(sw_http_call *call, CURLcode code) {
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        http_call_fail(call, SW_HTTP_TIMEOUT, "timeout after %" PRId64 " ms (%s)", call->timeout_ms,
                       where_time_went(call));
        break;
    case CURLE_COULDNT_RESOLVE_HOST:
        http_call_fail(call, SW_HTTP_CONNECT, "cannot resolve the host name of %s", call->authority);
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
        http_call_fail(call, SW_HTTP_CONNECT, "cannot resolve the host name of the proxy");
        break;
    case CURLE_COULDNT_CONNECT:
        fail_connect(call);
        break;
    case CURLE_PROXY:
        http_call_fail(call, SW_HTTP_CONNECT, "the proxy did not connect to %s: %s", call->authority,
                       curl_words(call, code));
        break;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED:
        http_call_fail(call, SW_HTTP_TLS, "TLS with %s failed: %s", call->authority, curl_words(call, code));
        break;
    default:
        if (is_tunnel_refused(call)) {
            http_call_fail(call, SW_HTTP_CONNECT, "the proxy did not connect to %s: %s", call->authority,
                           curl_words(call, code));
        } else {
            fail_broken(call, code);
        }
    }
}

void http_call_conclude(sw_http_call *call, CURLcode code) {
    sw_http_response *response = &call->response;
    if (code == CURLE_OK || call->cut) {
        response->error = SW_HTTP_OK;
        response->message[0] = '\0';
        announce(call);
    } else if (call->stopped_as == SW_HTTP_OK) {
        name_failure(call, code);
    }
    response->body = call->body.data != NULL ? call->body.data : "";
    response->body_len = call->on_data != NULL && is_success(call) ? call->received : call->body.len;
}
