#include "demo/demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "demo/alerts_seen.h"
#include "demo/generator.h"
#include "net/http_server.h"

#define INTERVAL_S 2
#define TRACES_PER_S 20
#define SEED 7

/* What happens when, in seconds. */
#define ERRORS_FROM 5
#define ERRORS_TO 11
#define SLOW_FROM 10
#define SLOW_TO 30
#define SWAP_AT 18

struct demo {
    const sw_demo_options *options;
    uv_loop_t loop;
    char folder[sizeof "/tmp/spanwatch-demo-XXXXXX"];
    char *endpoint;
    sw_http_server *webhook;
    sw_http_client *http;
    sw_http_call *probe;
    sw_generator *generator;
    uv_process_t agent;
    uv_signal_t signals[3];
    uv_timer_t timer;
    int64_t started_ns; /* 0 until the agent receives */
    unsigned said;      /* which of the steps of the story were told */
    bool agent_runs, stopping, interrupted, failed;
    sw_alerts_seen seen;
};

/* Ten lines that somebody might write at 3 a.m. */
static const char detector[] =
    "return {\n"
    "  wants = function() return { min_duration_ms = 800 } end,\n"
    "  check = function(ctx)\n"
    "    local findings = {}\n"
    "    for _, trace in ipairs(ctx.window.traces) do\n"
    "      if trace.operation == \"GET /products\" and trace.duration_ms > 800 then\n"
    "        findings[#findings + 1] = { type = \"slow_products\", trace = trace, service = trace.service,\n"
    "          duration_ms = trace.duration_ms, threshold = 800, keep_firing_s = 300,\n"
    "          summary = \"slow_products: the product list takes longer than 800 ms\" }\n"
    "      end\n"
    "    end\n"
    "    return findings\n"
    "  end,\n"
    "}\n";

static double seconds_of(const struct demo *demo) {
    return demo->started_ns == 0
               ? 0
               : (double)(sw_mono_ns(sw_clock_system()) - demo->started_ns) / (double)SW_NS_PER_S;
}

static void say(const struct demo *demo, const char *text) {
    printf("%7.1f s  %s\n", seconds_of(demo), text);
    fflush(stdout);
}

/* ---- the folder ---- */

static int copy_scripts(const char *from, const char *to) {
    uv_fs_t scan, fs;
    uv_dirent_t entry;
    int rc = uv_fs_mkdir(NULL, &fs, to, 0700, NULL);
    uv_fs_req_cleanup(&fs);
    if (rc == 0) {
        rc = uv_fs_scandir(NULL, &scan, from, 0, NULL);
        while (rc >= 0 && uv_fs_scandir_next(&scan, &entry) != UV_EOF) {
            size_t len = strlen(entry.name);
            if (len > 4 && sw_streq(entry.name + len - 4, ".lua")) {
                char *source = xasprintf("%s/%s", from, entry.name);
                char *target = xasprintf("%s/%s", to, entry.name);
                int copied = uv_fs_copyfile(NULL, &fs, source, target, 0, NULL);
                uv_fs_req_cleanup(&fs);
                rc = copied < 0 ? copied : rc;
                free(source);
                free(target);
            }
        }
        uv_fs_req_cleanup(&scan);
    }
    if (rc < 0) {
        fprintf(stderr, "spanwatch: cannot copy %s to %s: %s\n", from, to, uv_strerror(rc));
    }
    return rc < 0 ? -1 : 0;
}

static int make_folder(struct demo *demo) {
    if (mkdtemp(demo->folder) == NULL) {
        fprintf(stderr, "spanwatch: cannot create a temporary folder in /tmp: %s\n", strerror(errno));
        return -1;
    }
    char *scripts = xasprintf("%s/scripts", demo->folder), *lib = xasprintf("%s/scripts/lib", demo->folder);
    char *from_lib = xasprintf("%s/lib", demo->options->scripts_dir);
    int rc = copy_scripts(demo->options->scripts_dir, scripts);
    rc = rc == 0 ? copy_scripts(from_lib, lib) : rc;
    free(from_lib);
    free(lib);
    free(scripts);
    return rc;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void swap_detector(const struct demo *demo) {
    char *path = xasprintf("%s/scripts/slow_products.lua", demo->folder);
    FILE *file = fopen(path, "w");
    if (file != NULL) {
        fputs(detector, file);
        fclose(file);
    }
    say(demo, "the demo drops a new detector into the scripts folder; the agent goes on running:");
    for (const char *line = detector; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        printf("           | %.*s\n", (int)len, line);
        line += len + 1;
    }
    fflush(stdout);
    free(path);
}

/* ---- the agent ---- */

static void stop(struct demo *demo) {
    demo->stopping = true;
    if (demo->agent_runs) {
        uv_process_kill(&demo->agent, SIGTERM);
    } else {
        uv_stop(&demo->loop);
    }
}

static void print_log(const struct demo *demo) {
    char *path = xasprintf("%s/agent.log", demo->folder);
    char line[1024];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        fprintf(stderr, "  %s", line);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(path);
}

static void agent_ended(uv_process_t *process, int64_t status, int signal) {
    struct demo *demo = process->data;
    demo->agent_runs = false;
    if (!demo->stopping || status != 0) {
        demo->failed = true;
        fprintf(stderr, "spanwatch: the demo's agent ended with code %lld, signal %d. Its log:\n",
                (long long)status, signal);
        print_log(demo);
    }
    uv_stop(&demo->loop);
}

static int start_agent(struct demo *demo, int otlp_port) {
    char *log = xasprintf("%s/agent.log", demo->folder);
    uv_fs_t fs;
    int fd = uv_fs_open(NULL, &fs, log, UV_FS_O_CREAT | UV_FS_O_WRONLY, 0600, NULL);
    uv_fs_req_cleanup(&fs);
    free(log);
    char *env[] = {
        xasprintf("PATH=%s", getenv("PATH") != NULL ? getenv("PATH") : ""),
        xstrdup("TEMPO_ENABLED=false"),
        xasprintf("TEMPO_ALERT_INTERVAL_SECS=%d", INTERVAL_S),
        xstrdup("TEMPO_LOOKBACK_WINDOW_SECS=10"),
        xasprintf("SPANWATCH_OTLP_HTTP_ADDRESS=127.0.0.1:%d", otlp_port),
        xstrdup("SPANWATCH_OTLP_GRPC_ADDRESS="),
        xstrdup("SPANWATCH_OTLP_SETTLE_SECS=2"),
        xstrdup("SPANWATCH_LISTEN_ADDRESS="),
        xasprintf("SPANWATCH_STORAGE_PATH=%s/data", demo->folder),
        xasprintf("SPANWATCH_SCRIPTS_DIR=%s/scripts", demo->folder),
        xasprintf("SPANWATCH_WORKER=%s", demo->options->worker),
        xasprintf("TEMPO_ALERT_WEBHOOK_URL=http://127.0.0.1:%d/alerts", sw_http_server_port(demo->webhook)),
        NULL,
    };
    char *args[] = {(char *)(uintptr_t)demo->options->program, (char *)(uintptr_t) "run", NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = fd},
        {.flags = UV_INHERIT_FD, .data.fd = fd},
    };
    uv_process_options_t spawn = {
        .exit_cb = agent_ended,
        .flags =
            UV_PROCESS_DETACHED, /* Ctrl-C reaches the demo alone, which ends the agent in its own time */
        .file = demo->options->program,
        .args = args,
        .env = env,
        .cwd = demo->folder,
        .stdio = stdio,
        .stdio_count = 3,
    };
    demo->agent.data = demo;
    int rc = uv_spawn(&demo->loop, &demo->agent, &spawn);
    demo->agent_runs = rc == 0;
    if (rc != 0) {
        fprintf(stderr, "spanwatch: cannot start %s: %s\n", demo->options->program, uv_strerror(rc));
    }
    for (size_t i = 0; env[i] != NULL; i++) {
        free(env[i]);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc;
}

/* A port that was free a moment ago; 0 when there is none. */
static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int port = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
        getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
        port = ntohs(address.sin_port);
    }
    if (fd >= 0) {
        close(fd);
    }
    return port;
}

/* ---- the story ---- */

static void told(sw_http_exchange *exchange, void *arg) {
    struct demo *demo = arg;
    size_t len = 0;
    const char *body = sw_http_body(exchange, &len);
    bool understood = sw_alerts_seen_take(&demo->seen, body, len, seconds_of(demo));
    sw_http_reply(exchange, understood ? 200 : 400, "text/plain", "", 0);
}

static unsigned anomalies_at(double seconds, void *arg) {
    (void)arg;
    return (seconds >= ERRORS_FROM && seconds < ERRORS_TO ? SW_ANOMALY_ERRORS : 0u) |
           (seconds >= SLOW_FROM && seconds < SLOW_TO ? SW_ANOMALY_SLOW : 0u);
}

static void begin(struct demo *demo) {
    const sw_generator_options options = {
        .endpoint = demo->endpoint,
        .traces_per_s = TRACES_PER_S,
        .seed = SEED,
        .anomalies = anomalies_at,
    };
    demo->started_ns = sw_mono_ns(sw_clock_system());
    demo->generator = sw_generator_start(&demo->loop, demo->http, &options);
    say(demo, "healthy traffic of five services begins");
}

static void probed(const sw_http_response *response, void *arg) {
    struct demo *demo = arg;
    demo->probe = NULL;
    if (response->status != 0 && demo->started_ns == 0 && !demo->stopping) {
        begin(demo);
    }
}

static void probe(struct demo *demo) {
    const sw_http_request request = {.url = demo->endpoint, .timeout_ms = 1000, .done = probed, .arg = demo};
    demo->probe = demo->probe == NULL ? sw_http_start(demo->http, &request) : demo->probe;
}

static void say_what_next(const struct demo *demo) {
    char *text = xasprintf("all that was planned has happened. Edit a detector in %s/scripts while it runs,\n"
                           "           or send spans of your own to %s; Ctrl-C ends it",
                           demo->folder, demo->endpoint);
    say(demo, text);
    free(text);
}

static void tell_story(struct demo *demo, double seconds) {
    static const struct {
        double at;
        const char *text;
        void (*act)(const struct demo *demo); /* instead */
    } steps[] = {
        {ERRORS_FROM, "the bank refuses connections: most checkouts fail", NULL},
        {SLOW_FROM, "the product database becomes slow by 1.2 s", NULL},
        {ERRORS_TO, "the bank is back", NULL},
        {SWAP_AT, NULL, swap_detector},
        {SLOW_TO, "the product database is quick again", NULL},
        {SLOW_TO + 15, NULL, say_what_next},
    };
    while (demo->said < SW_ARRAY_LEN(steps) && seconds >= steps[demo->said].at) {
        unsigned step = demo->said++;
        if (steps[step].act != NULL) {
            steps[step].act(demo);
        } else {
            say(demo, steps[step].text);
        }
    }
}

static void on_timer(uv_timer_t *timer) {
    struct demo *demo = timer->data;
    double seconds = seconds_of(demo);
    if (demo->stopping) {
        return;
    }
    if (demo->started_ns == 0) {
        probe(demo);
        return;
    }
    tell_story(demo, seconds);
    if (demo->options->seconds > 0 && seconds >= (double)demo->options->seconds) {
        stop(demo);
    }
}

static void on_signal(uv_signal_t *signal, int number) {
    struct demo *demo = signal->data;
    (void)number;
    demo->interrupted = true;
    stop(demo);
}

/* ---- life ---- */

static int listen_for_alerts(struct demo *demo) {
    const sw_http_server_options options = {.address = "127.0.0.1:0", .max_body = (size_t)16 << 20};
    char *error = NULL;
    demo->webhook = sw_http_server_new(&demo->loop, &options, &error);
    if (demo->webhook == NULL) {
        fprintf(stderr, "spanwatch: cannot listen for alerts: %s\n", error);
        free(error);
        return -1;
    }
    sw_http_server_route(demo->webhook, "POST", "/alerts", told, demo);
    return 0;
}

static void run_loop(struct demo *demo) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < SW_ARRAY_LEN(numbers); i++) {
        uv_signal_init(&demo->loop, &demo->signals[i]);
        demo->signals[i].data = demo;
        uv_signal_start(&demo->signals[i], on_signal, numbers[i]);
    }
    uv_timer_init(&demo->loop, &demo->timer);
    demo->timer.data = demo;
    uv_timer_start(&demo->timer, on_timer, 0, 100);
    uv_run(&demo->loop, UV_RUN_DEFAULT);
    for (size_t i = 0; i < SW_ARRAY_LEN(numbers); i++) {
        uv_close((uv_handle_t *)&demo->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&demo->timer, NULL);
    uv_close((uv_handle_t *)&demo->agent, NULL);
}

int sw_demo_run(const sw_demo_options *options) {
    struct demo demo = {.options = options, .folder = "/tmp/spanwatch-demo-XXXXXX"};
    int port = free_port();
    uv_loop_init(&demo.loop);
    demo.http = sw_http_client_new(&demo.loop);
    demo.endpoint = xasprintf("http://127.0.0.1:%d", port);
    bool started = make_folder(&demo) == 0 && listen_for_alerts(&demo) == 0;
    if (started) {
        printf("spanwatch demo: an agent that receives OTLP on %s, with the detectors in\n%s/scripts\n",
               demo.endpoint, demo.folder);
        started = start_agent(&demo, port) == 0;
        run_loop(&demo);
    }
    if (demo.probe != NULL) {
        sw_http_cancel(demo.probe);
    }
    sw_generator_free(demo.generator);
    sw_http_client_free(demo.http);
    if (demo.webhook != NULL) {
        sw_http_server_free(demo.webhook);
    }
    uv_run(&demo.loop, UV_RUN_DEFAULT);
    uv_loop_close(&demo.loop);
    free(demo.endpoint);
    nftw(demo.folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    if (!started || demo.failed) {
        return 1;
    }
    if (demo.interrupted) {
        printf("\nNext: point your own services at an agent, and write your own detector. README.md says "
               "how.\n");
        return 0;
    }
    return sw_alerts_seen_conclude(&demo.seen) ? 0 : 1;
}
