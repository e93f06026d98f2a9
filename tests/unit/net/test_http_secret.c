/* Credentials and certificates from files. */
#include "net_test.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "net/secret.h"

static char secret_path[64];

static void write_secret(const char *text) {
    if (secret_path[0] == '\0') {
        strcpy(secret_path, "/tmp/sw-secret-XXXXXX");
        close(mkstemp(secret_path));
    }
    int fd = open(secret_path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static int remove_secret(void **state) {
    if (secret_path[0] != '\0') {
        unlink(secret_path);
        secret_path[0] = '\0';
    }
    return bench_teardown(state);
}

static void credentials_come_from_files_and_follow_them(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    write_secret("user:pass:word\n");
    sw_http_profile profile = {.basic_auth_file = secret_path};
    sw_http_request request = request_to(b);
    request.profile = &profile;
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "\r\nAuthorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n");
    write_secret("user:pass:WORD\r\n"); /* rotated: same size but for the newline, same second */
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "\r\nAuthorization: Basic dXNlcjpwYXNzOldPUkQ=\r\n");
    write_secret("token-1\n");
    sw_http_profile bearer = {.bearer_token_file = secret_path};
    request.profile = &bearer;
    assert_int_equal(fetch(b, &request)->status, 200);
    assert_sent(b, "\r\nAuthorization: Bearer token-1\r\n");
}

static void unusable_secret_files_are_named(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    sw_http_profile profile = {.bearer_token_file = "/nonexistent/token"};
    sw_http_request request = request_to(b);
    request.profile = &profile;
    assert_refused(b, &request, "cannot use secret file /nonexistent/token: No such file or directory");
    profile.bearer_token_file = "/tmp";
    assert_refused(b, &request, "cannot use secret file /tmp: it is not a regular file");
    write_secret("\n");
    profile.bearer_token_file = secret_path;
    char expected[256];
    snprintf(expected, sizeof expected, "cannot use secret file %s: it is empty", secret_path);
    assert_refused(b, &request, expected);
    write_secret("two\nlines");
    snprintf(expected, sizeof expected, "cannot use secret file %s: it is not one line with one token",
             secret_path);
    assert_refused(b, &request, expected);
    profile = (sw_http_profile){.basic_auth_file = secret_path};
    snprintf(expected, sizeof expected, "cannot use secret file %s: it is not one line user:password",
             secret_path);
    assert_refused(b, &request, expected);
    assert_int_equal(b->server.requests, 0);
}

static void a_missing_certificate_file_is_named(void **state) {
    bench *b = *state;
    serve(b, EMPTY_OK, STAY_OPEN);
    sw_http_profile profile = {.ca_file = "/nonexistent/ca.pem"};
    sw_http_request request = request_to(b);
    request.profile = &profile;
    assert_refused(b, &request, "cannot read CA file /nonexistent/ca.pem: No such file or directory");
    profile = (sw_http_profile){.client_cert_file = "/nonexistent/cert.pem"};
    assert_refused(b, &request,
                   "cannot read client certificate /nonexistent/cert.pem: No such file or directory");
}

static void secrets_have_a_size_limit_and_may_be_binary(void **state) {
    (void)state;
    sw_secrets *secrets = sw_secrets_new();
    char error[256];
    char *large = malloc(SW_SECRET_MAX + 2);
    memset(large, 'x', SW_SECRET_MAX + 1);
    large[SW_SECRET_MAX + 1] = '\0';
    write_secret(large);
    assert_null(sw_secrets_get(secrets, secret_path, NULL, error));
    assert_non_null(strstr(error, "it is larger than 64 KiB"));
    large[SW_SECRET_MAX] = '\0';
    write_secret(large);
    size_t len = 0;
    assert_non_null(sw_secrets_get(secrets, secret_path, &len, error));
    assert_int_equal(len, SW_SECRET_MAX);
    free(large);
    int fd = open(secret_path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "a\0b\n", 4), 4);
    close(fd);
    const char *binary = sw_secrets_get(secrets, secret_path, &len, error);
    assert_int_equal(len, 3);
    assert_memory_equal(binary, "a\0b", 4);
    sw_secrets_free(secrets);
}

static void an_old_secret_is_kept_until_its_file_changes(void **state) {
    (void)state;
    sw_secrets *secrets = sw_secrets_new();
    char error[256];
    write_secret("first");
    assert_string_equal(sw_secrets_get(secrets, secret_path, NULL, error), "first");
    char other[80];
    snprintf(other, sizeof other, "%s.new", secret_path);
    int fd = open(other, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, "other", 5), 5);
    close(fd);
    assert_int_equal(rename(other, secret_path), 0);
    assert_string_equal(sw_secrets_get(secrets, secret_path, NULL, error), "other");
    assert_int_equal(unlink(secret_path), 0);
    assert_null(sw_secrets_get(secrets, secret_path, NULL, error));
    sw_secrets_free(secrets);
}

static void more_secret_files_than_are_kept_still_work(void **state) {
    (void)state;
    sw_secrets *secrets = sw_secrets_new();
    char error[256];
    char folder[] = "/tmp/sw-secrets-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SW_SECRETS_MAX + 5; i++) {
            char *path = xasprintf("%s/%d", folder, i);
            FILE *file = fopen(path, "w");
            fprintf(file, "secret %d\n", i);
            fclose(file);
            char *expected = xasprintf("secret %d", i);
            assert_string_equal(sw_secrets_get(secrets, path, NULL, error), expected);
            free(expected);
            unlink(path);
            free(path);
        }
    }
    rmdir(folder);
    sw_secrets_free(secrets);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, remove_secret)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(credentials_come_from_files_and_follow_them),  TEST(unusable_secret_files_are_named),
        TEST(a_missing_certificate_file_is_named),          TEST(secrets_have_a_size_limit_and_may_be_binary),
        TEST(an_old_secret_is_kept_until_its_file_changes), TEST(more_secret_files_than_are_kept_still_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
