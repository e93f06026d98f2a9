/* TLS, against "openssl s_server" with certificates made for the occasion. */
#include "net_test.h"

#include "net/http_client_internal.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static char folder[] = "/tmp/sw-tls-XXXXXX";
static bool usable;

static bool run_command(const char *fmt, const char *a, const char *b) {
    char command[1024];
    snprintf(command, sizeof command, fmt, folder, a, b);
    return system(command) == 0;
}

static bool make_certificates(void) {
    return mkdtemp(folder) != NULL && system("openssl version >/dev/null 2>&1") == 0 &&
           run_command(
               "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
               "-subj /CN=%s -addext subjectAltName=IP:127.0.0.1 -keyout server.key -out %s 2>/dev/null",
               "right", "server.pem") &&
           run_command(
               "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
               "-subj /CN=%s -addext subjectAltName=DNS:elsewhere.test -keyout other.key -out %s "
               "2>/dev/null",
               "other", "other.pem") &&
           run_command("cd %s && openssl ec -aes128 -passout pass:%s -in server.key -out %s 2>/dev/null",
                       "secret", "locked.key") &&
           run_command("cd %s && echo %s > %s", "no certificate", "bad.pem");
}

static int make_all(void **state) {
    (void)state;
    usable = make_certificates();
    return 0;
}

static int remove_all(void **state) {
    (void)state;
    run_command("rm -rf %s %s %s", "", "");
    return 0;
}

static const char *in_folder(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

typedef struct tls_server {
    pid_t pid;
    int port;
} tls_server;

/* `verify`: demands a certificate that `verify` signed. */
static tls_server start_server(const char *name, const char *verify) {
    int output[2];
    assert_int_equal(pipe(output), 0);
    tls_server server = {.pid = fork()};
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test must not leave it behind */
        char certificate[64];
        char key[64];
        snprintf(certificate, sizeof certificate, "%s.pem", name);
        snprintf(key, sizeof key, "%s.key", name);
        dup2(output[1], STDOUT_FILENO);
        if (chdir(folder) != 0 || freopen("/dev/null", "w", stderr) == NULL) {
            _exit(1);
        }
        execlp("openssl", "openssl", "s_server", "-www", "-accept", "127.0.0.1:0", "-cert", certificate,
               "-key", key, verify != NULL ? "-Verify" : NULL, "1", "-verify_return_error", "-CAfile", verify,
               NULL);
        _exit(1);
    }
    close(output[1]);
    FILE *lines = fdopen(output[0], "r");
    char line[256];
    while (server.port == 0 && fgets(line, sizeof line, lines) != NULL) {
        sscanf(line, "ACCEPT 127.0.0.1:%d", &server.port);
    }
    fclose(lines);
    assert_true(server.port > 0);
    return server;
}

static void stop_server(tls_server server) {
    kill(server.pid, SIGKILL);
    waitpid(server.pid, NULL, 0);
}

static const sw_http_response *get_with(bench *b, tls_server server, const sw_http_profile *profile) {
    snprintf(b->url, sizeof b->url, "https://127.0.0.1:%d/", server.port);
    sw_http_request request = request_to(b);
    request.profile = profile;
    return fetch(b, &request);
}

static void assert_outcome(const sw_http_response *response, sw_http_error error, const char *part) {
    if (response->error != error || strstr(response->message, part) == NULL) {
        fail_msg("%s: %s", sw_http_error_name(response->error), response->message);
    }
}

static void a_server_is_trusted_only_by_its_authority(void **state) {
    bench *b = *state;
    if (!usable) {
        skip();
    }
    tls_server server = start_server("server", NULL);
    assert_outcome(get_with(b, server, NULL), SW_HTTP_TLS, "self-signed certificate");
    assert_non_null(strstr(b->out.response.message, "TLS with 127.0.0.1:"));
    sw_http_profile right = {.ca_file = in_folder("server.pem")};
    assert_outcome(get_with(b, server, &right), SW_HTTP_OK, "");
    assert_int_equal(b->out.response.status, 200);
    sw_http_profile wrong = {.ca_file = in_folder("other.pem")};
    assert_outcome(get_with(b, server, &wrong), SW_HTTP_TLS, "certificate");
    sw_http_profile anybody = {.insecure_tls = true};
    assert_outcome(get_with(b, server, &anybody), SW_HTTP_OK, "");
    stop_server(server);
}

static void a_certificate_for_another_name_is_refused(void **state) {
    bench *b = *state;
    if (!usable) {
        skip();
    }
    tls_server server = start_server("other", NULL);
    sw_http_profile profile = {.ca_file = in_folder("other.pem")};
    assert_outcome(get_with(b, server, &profile), SW_HTTP_TLS, "127.0.0.1");
    stop_server(server);
}

static void a_renewed_authority_file_is_read_again(void **state) {
    bench *b = *state;
    if (!usable) {
        skip();
    }
    tls_server server = start_server("server", NULL);
    sw_http_profile profile = {.ca_file = in_folder("renewed.pem")};
    assert_true(run_command("cd %s && cp %s %s", "other.pem", "renewed.pem"));
    assert_outcome(get_with(b, server, &profile), SW_HTTP_TLS, "certificate");
    assert_true(run_command("cd %s && cp %s %s", "server.pem", "renewed.pem"));
    assert_outcome(get_with(b, server, &profile), SW_HTTP_OK, "");
    stop_server(server);
}

static void a_client_certificate_is_shown(void **state) {
    bench *b = *state;
    if (!usable) {
        skip();
    }
    tls_server server = start_server("server", "other.pem");
    sw_http_profile nobody = {.ca_file = in_folder("server.pem")};
    assert_true(get_with(b, server, &nobody)->error != SW_HTTP_OK);
    sw_http_profile known = {.ca_file = in_folder("server.pem"),
                             .client_cert_file = in_folder("other.pem"),
                             .client_key_file = in_folder("other.key")};
    assert_outcome(get_with(b, server, &known), SW_HTTP_OK, "");
    assert_int_equal(b->out.response.status, 200);
    stop_server(server);
}

static void unusable_files_are_tls_errors_and_ask_nobody(void **state) {
    bench *b = *state;
    if (!usable) {
        skip();
    }
    tls_server server = start_server("server", NULL);
    sw_http_profile bad = {.ca_file = in_folder("bad.pem")};
    assert_outcome(get_with(b, server, &bad), SW_HTTP_TLS, "bad.pem");
    sw_http_profile locked = {.ca_file = in_folder("server.pem"),
                              .client_cert_file = in_folder("server.pem"),
                              .client_key_file = in_folder("locked.key")};
    assert_outcome(get_with(b, server, &locked), SW_HTTP_TLS, "locked.key");
    sw_http_profile mixed = {.ca_file = in_folder("server.pem"),
                             .client_cert_file = in_folder("server.pem"),
                             .client_key_file = in_folder("other.key")};
    assert_outcome(get_with(b, server, &mixed), SW_HTTP_TLS, "");
    stop_server(server);
}

static void the_systems_bundle_is_asked_when_its_folder_does_not_know(void **state) {
    bench *b = *state;
    if (!usable) {
        skip();
    }
    assert_true(run_command("cd %s && mkdir -p hashed empty && cp %s hashed/ && openssl rehash hashed%s",
                            "other.pem", ""));
    tls_server server = start_server("server", NULL);
    http_trust *trust = http_client_trust(b->client);
    http_trust_set(trust, in_folder("hashed"), in_folder("other.pem"));
    assert_false(trust->bundle_needed);
    assert_outcome(get_with(b, server, NULL), SW_HTTP_TLS, "certificate");
    assert_false(trust->bundle_needed); /* it did not help */
    http_trust_set(trust, in_folder("hashed"), in_folder("server.pem"));
    assert_outcome(get_with(b, server, NULL), SW_HTTP_OK, "");
    assert_true(trust->bundle_needed);
    assert_outcome(get_with(b, server, NULL), SW_HTTP_OK, "");
    http_trust_set(trust, in_folder("empty"), in_folder("server.pem"));
    assert_true(trust->bundle_needed);
    stop_server(server);
}

static void the_systems_folder_is_enough_when_it_knows(void **state) {
    bench *b = *state;
    if (!usable) {
        skip();
    }
    assert_true(
        run_command("cd %s && mkdir -p known && cp %s known/ && openssl rehash known%s", "server.pem", ""));
    tls_server server = start_server("server", NULL);
    http_trust *trust = http_client_trust(b->client);
    http_trust_set(trust, in_folder("known"), NULL);
    assert_outcome(get_with(b, server, NULL), SW_HTTP_OK, "");
    assert_false(trust->bundle_needed);
    sw_http_profile profile = {.ca_file =
                                   in_folder("other.pem")}; /* and it does not widen a profile's file */
    assert_outcome(get_with(b, server, &profile), SW_HTTP_TLS, "certificate");
    stop_server(server);
}

static void answer_anything(uv_stream_t *listener, int status) {
    raw_accept(listener, status);
    raw_server *server = listener->data;
    raw_answer(server->peers);
}

static void a_server_that_does_not_speak_tls_is_a_tls_error(void **state) {
    bench *b = *state;
    serve(b, "HTTP/1.1 400 Bad Request\r\n\r\n", STAY_OPEN);
    b->server.listener.connection_cb = answer_anything;
    snprintf(b->url, sizeof b->url, "https://127.0.0.1:%d/", b->server.port);
    assert_outcome(get(b), SW_HTTP_TLS, "TLS with 127.0.0.1:");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_server_is_trusted_only_by_its_authority),
        TEST(a_certificate_for_another_name_is_refused),
        TEST(a_renewed_authority_file_is_read_again),
        TEST(a_client_certificate_is_shown),
        TEST(unusable_files_are_tls_errors_and_ask_nobody),
        TEST(the_systems_bundle_is_asked_when_its_folder_does_not_know),
        TEST(the_systems_folder_is_enough_when_it_knows),
        TEST(a_server_that_does_not_speak_tls_is_a_tls_error),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
