#include "net_test.h"

#include "net/authorization.h"

static char *write_file(const char *content) {
    char *path = xstrdup("/tmp/spanwatch-authorization-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
    return path;
}

typedef sw_authorization (*authorize)(sw_secrets *, const char *, const char *, char[256]);

static sw_authorization shows(authorize check, const char *path, const char *header) {
    sw_secrets *secrets = sw_secrets_new();
    char error[256] = "";
    sw_authorization result = check(secrets, path, header, error);
    assert_int_equal(result == SW_AUTHORIZATION_UNKNOWN, error[0] != '\0');
    sw_secrets_free(secrets);
    return result;
}

static void the_token_itself_opens_and_nothing_else(void **state) {
    (void)state;
    char *path = write_file("s3cret\n");
    static const char *const good[] = {"Bearer s3cret", "bearer s3cret", "BEARER   s3cret"};
    static const char *const bad[] = {NULL,
                                      "",
                                      "Bearer",
                                      "Bearer ",
                                      "Bearers3cret",
                                      "Bearer s3cre",
                                      "Bearer s3crett",
                                      "Bearer s3cret ",
                                      "Bearer S3CRET",
                                      "Basic s3cret",
                                      "s3cret",
                                      "Bearer\ts3cret",
                                      "Bearer s3cret,",
                                      "Basic czNjcmV0"};
    for (size_t i = 0; i < SW_ARRAY_LEN(good); i++) {
        assert_int_equal(shows(sw_authorize_bearer, path, good[i]), SW_AUTHORIZED);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        assert_int_equal(shows(sw_authorize_bearer, path, bad[i]), SW_NOT_AUTHORIZED);
    }
    unlink(path);
    free(path);
}

static void user_and_password_open_and_nothing_else(void **state) {
    (void)state;
    char *path = write_file("Aladdin:open sesame\n"); /* RFC 7617, 2 */
    static const char *const good[] = {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                                       "basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="};
    static const char *const bad[] = {NULL,
                                      "",
                                      "Basic",
                                      "Basic ",
                                      "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ",
                                      "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ===",
                                      "Basic qWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                                      "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                                      "Basic Aladdin:open sesame",
                                      "Bearer Aladdin:open sesame"};
    for (size_t i = 0; i < SW_ARRAY_LEN(good); i++) {
        assert_int_equal(shows(sw_authorize_basic, path, good[i]), SW_AUTHORIZED);
    }
    for (size_t i = 0; i < SW_ARRAY_LEN(bad); i++) {
        assert_int_equal(shows(sw_authorize_basic, path, bad[i]), SW_NOT_AUTHORIZED);
    }
    unlink(path);
    free(path);
}

static void without_a_usable_file_nobody_is_admitted(void **state) {
    (void)state;
    char *empty = write_file("\n");
    static const char *const headers[] = {NULL, "Bearer ", "Basic ", "Basic Og=="};
    const char *const paths[] = {empty, "/nowhere/at/all", "/"};
    for (size_t i = 0; i < SW_ARRAY_LEN(headers); i++) {
        for (size_t j = 0; j < SW_ARRAY_LEN(paths); j++) {
            assert_int_equal(shows(sw_authorize_bearer, paths[j], headers[i]), SW_AUTHORIZATION_UNKNOWN);
            assert_int_equal(shows(sw_authorize_basic, paths[j], headers[i]), SW_AUTHORIZATION_UNKNOWN);
        }
    }
    unlink(empty);
    free(empty);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_token_itself_opens_and_nothing_else),
        cmocka_unit_test(user_and_password_open_and_nothing_else),
        cmocka_unit_test(without_a_usable_file_nobody_is_admitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
