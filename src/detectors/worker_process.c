#include "detectors/worker_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHANNEL_FD 3 /* where a worker finds its end of the socketpair */

sw_bytes *sw_bytes_of(sw_frame_writer *writer) {
    sw_bytes *bytes = xcalloc(1, sizeof *bytes);
    *bytes = (sw_bytes){.references = 1, .data = writer->bytes};
    msgpack_sbuffer_init(&writer->bytes);
    return bytes;
}

sw_bytes *sw_bytes_keep(sw_bytes *bytes) {
    bytes->references++;
    return bytes;
}

void sw_bytes_drop(sw_bytes *bytes) {
    if (bytes != NULL && --bytes->references == 0) {
        msgpack_sbuffer_destroy(&bytes->data);
        free(bytes);
    }
}

/* ---- the end ---- */

static void free_if_over(sw_worker *worker) {
    if (worker->open_handles == 0) {
        sw_frame_reader_release(&worker->reader);
        free(worker);
    }
}

static void handle_closed(uv_handle_t *handle) {
    sw_worker *worker = handle->data;
    worker->open_handles--;
    free_if_over(worker);
}

void sw_worker_stop(sw_worker *worker) {
    if (worker->stopped) {
        return;
    }
    worker->stopped = true;
    sw_worker_cancel_ask(worker);
    if (worker->busy) {
        worker->busy = false;
        sw_bytes_drop(worker->request.bytes);
        worker->request.bytes = NULL;
    }
    uv_close((uv_handle_t *)&worker->pipe, handle_closed);
    uv_close((uv_handle_t *)&worker->deadline, handle_closed);
    if (worker->exited && worker->process.type == UV_PROCESS) {
        uv_close((uv_handle_t *)&worker->process, handle_closed);
    } else if (!worker->exited) {
        uv_process_kill(&worker->process, SIGKILL); /* reaped in process_ended */
    }
}

/* What the process's end tells: by which signal, or with which status. Caller frees. */
static char *how_it_ended(const sw_worker *worker) {
    if (worker->exit_signal == SIGSYS) {
        return xstrdup("the worker was killed by SIGSYS (bad system call: seccomp)");
    }
    if (worker->exit_signal != 0) {
        const char *name = sigabbrev_np(worker->exit_signal);
        return xasprintf("the worker was killed by SIG%s (%s)", name != NULL ? name : "?",
                         strsignal(worker->exit_signal));
    }
    return xasprintf("the worker ended with status %lld", (long long)worker->exit_status);
}

/* Told when both are known: the last bytes have been read, and how the process ended. */
static void report_end(sw_worker *worker) {
    if (worker->stopped || !worker->exited || !worker->closed) {
        return;
    }
    char *message = how_it_ended(worker);
    sw_worker_lose(worker, "crash", message);
    free(message);
}

static void process_ended(uv_process_t *process, int64_t status, int signal_number) {
    sw_worker *worker = process->data;
    worker->exited = true;
    worker->exit_status = status;
    worker->exit_signal = signal_number;
    if (worker->stopped) {
        uv_close((uv_handle_t *)process, handle_closed);
    } else {
        report_end(worker);
    }
}

/* ---- bytes ---- */

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    (void)suggested;
    const sw_worker *worker = handle->data;
    *buf = uv_buf_init(worker->env->read_buffer, SW_WORKER_READ_BYTES);
}

static void read_frames(sw_worker *worker) {
    const char *body = NULL, *why = NULL;
    size_t len = 0;
    int got = 0;
    while (!worker->stopped && (got = sw_frame_reader_next(&worker->reader, &body, &len)) == 1) {
        sw_frame frame;
        if (sw_frame_parse(body, len, &frame, &why) != 0) {
            char *message = xasprintf("the worker broke the protocol: %s", why);
            sw_worker_lose(worker, "protocol", message);
            free(message);
            return;
        }
        sw_worker_on_frame(worker, &frame);
        sw_frame_release(&frame);
    }
    if (!worker->stopped && got < 0) {
        sw_worker_lose(worker, "protocol", "the worker broke the protocol: a frame is too long");
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    sw_worker *worker = stream->data;
    if (n > 0) {
        if (sw_frame_reader_feed(&worker->reader, buf->base, (size_t)n) != 0) {
            sw_worker_lose(worker, "protocol", "the worker broke the protocol: a frame is too long");
            return;
        }
        read_frames(worker);
    } else if (n < 0) {
        /* A process that is ending has closed its files before its end can be seen; one that only closed its
         * channel is of no use any more. Killing does not change how an ending process ends. */
        uv_read_stop(stream);
        worker->closed = true;
        if (!worker->exited) {
            uv_process_kill(&worker->process, SIGKILL);
        }
        report_end(worker);
    }
}

typedef struct write_request {
    uv_write_t request;
    sw_bytes *bytes;
} write_request;

static void written(uv_write_t *request, int status) {
    (void)status; /* a worker that cannot be written to has closed its end: on_read hears of that */
    write_request *write = (write_request *)request;
    sw_bytes_drop(write->bytes);
    free(write);
}

void sw_worker_send(sw_worker *worker, sw_bytes *bytes) {
    write_request *write = xcalloc(1, sizeof *write);
    write->bytes = sw_bytes_keep(bytes);
    uv_buf_t buf = uv_buf_init(bytes->data.data, (unsigned)bytes->data.size);
    if (uv_write(&write->request, (uv_stream_t *)&worker->pipe, &buf, 1, written) != 0) {
        sw_bytes_drop(write->bytes);
        free(write);
    }
}

/* ---- the beginning ---- */

static int spawn(sw_worker *worker, int child_fd) {
    char *args[] = {(char *)"spanwatch-worker", NULL};
    char *env[] = {NULL};
    uv_stdio_container_t stdio[CHANNEL_FD + 1] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = child_fd},
    };
    uv_process_options_t options = {
        .exit_cb = process_ended,
        .file = worker->env->path,
        .args = args,
        .env = env,
        .stdio_count = CHANNEL_FD + 1,
        .stdio = stdio,
    };
    return uv_spawn(worker->env->loop, &worker->process, &options);
}

/* Writing to a worker that has just died is an error to be read, not an end of this program. Children start
 * with the default again. */
static void ignore_broken_pipes(void) {
    struct sigaction now;
    if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL) {
        signal(SIGPIPE, SIG_IGN);
    }
}

sw_worker *sw_worker_start(sw_worker_env *env, char **error) {
    int fds[2];
    ignore_broken_pipes();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        *error = xasprintf("cannot make a socketpair: %s", strerror(errno));
        return NULL;
    }
    sw_worker *worker = xcalloc(1, sizeof *worker);
    worker->env = env;
    worker->owner.name = "";
    worker->open_handles = 3;
    sw_frame_reader_init(&worker->reader, SW_FRAME_MAX_TO_HOST);
    uv_pipe_init(env->loop, &worker->pipe, 0);
    uv_timer_init(env->loop, &worker->deadline);
    worker->pipe.data = worker->deadline.data = worker->process.data = worker;
    int status = uv_pipe_open(&worker->pipe, fds[0]);
    if (status == 0) {
        status = spawn(worker, fds[1]);
    } else {
        close(fds[0]);
        worker->open_handles--; /* the process has no handle yet */
    }
    close(fds[1]);
    if (status != 0) {
        *error = xasprintf("cannot start the worker program %s: %s", env->path, uv_strerror(status));
        worker->exited = true;
        sw_worker_stop(worker);
        return NULL;
    }
    uv_read_start((uv_stream_t *)&worker->pipe, give_buffer, on_read);
    sw_worker_arm(worker, SW_WORKER_START_MS);
    return worker;
}

void sw_worker_own(sw_worker *worker, const sw_worker_owner *owner) {
    worker->owner = *owner;
}

int sw_worker_pid(const sw_worker *worker) {
    return uv_process_get_pid(&worker->process);
}
