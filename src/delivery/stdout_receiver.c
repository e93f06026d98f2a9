/* The receiver that is used when none is configured: standard output, one line for each notification. */
#include <string.h>
#include <unistd.h>

#include "delivery/outbox_internal.h"

struct sw_attempt {
    uv_fs_t request;
    uv_loop_t *loop;
    char *line;
    size_t len, written;
    sw_attempt_done done; /* NULL: cancelled */
    void *arg;
};

static void on_written(uv_fs_t *request);

static void write_rest(sw_attempt *attempt) {
    uv_buf_t rest =
        uv_buf_init(attempt->line + attempt->written, (unsigned)(attempt->len - attempt->written));
    uv_fs_write(attempt->loop, &attempt->request, STDOUT_FILENO, &rest, 1, -1, on_written);
}

static void on_written(uv_fs_t *request) {
    sw_attempt *attempt = request->data;
    ssize_t n = request->result;
    uv_fs_req_cleanup(request);
    if (n > 0) {
        attempt->written += (size_t)n;
    }
    if (n > 0 && attempt->written < attempt->len) {
        write_rest(attempt); /* also when cancelled: half a line would spoil the next */
        return;
    }
    if (attempt->done != NULL) {
        sw_attempt_result result = {SW_ATTEMPT_DELIVERED, false, "", "", -1};
        if (attempt->written < attempt->len) {
            result = (sw_attempt_result){SW_ATTEMPT_RETRY, true, "standard output",
                                         n < 0 ? uv_strerror((int)n) : "nothing was written", -1};
        }
        attempt->done(&result, attempt->arg);
    }
    free(attempt->line);
    free(attempt);
}

sw_attempt *sw_stdout_start(uv_loop_t *loop, const sw_outbox_row *row, sw_attempt_done done, void *arg) {
    sw_attempt *attempt = xcalloc(1, sizeof *attempt);
    attempt->request.data = attempt;
    attempt->loop = loop;
    attempt->done = done;
    attempt->arg = arg;
    attempt->len = row->body_len + 1;
    attempt->line = xmalloc(attempt->len);
    memcpy(attempt->line, row->body, row->body_len);
    attempt->line[row->body_len] = '\n';
    write_rest(attempt);
    return attempt;
}

void sw_stdout_cancel(sw_attempt *attempt) {
    attempt->done = NULL;
}
