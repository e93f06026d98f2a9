#include "net/authorization.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"

/* What follows the scheme, or NULL when it is another. */
static const char *after_scheme(const char *header, const char *scheme) {
    size_t len = strlen(scheme);
    if (header == NULL || strncasecmp(header, scheme, len) != 0 || header[len] != ' ') {
        return NULL;
    }
    return header + len + strspn(header + len, " ");
}

sw_authorization sw_authorize_bearer(sw_secrets *secrets, const char *token_file, const char *header,
                                     char error[256]) {
    size_t len = 0;
    const char *token = sw_secrets_get(secrets, token_file, &len, error);
    if (token == NULL) {
        return SW_AUTHORIZATION_UNKNOWN;
    }
    const char *shown = after_scheme(header, "Bearer");
    return shown != NULL && sw_secret_equal(shown, strlen(shown), token, len) ? SW_AUTHORIZED
                                                                              : SW_NOT_AUTHORIZED;
}

sw_authorization sw_authorize_basic(sw_secrets *secrets, const char *file, const char *header,
                                    char error[256]) {
    size_t len = 0;
    const char *secret = sw_secrets_get(secrets, file, &len, error);
    if (secret == NULL) {
        return SW_AUTHORIZATION_UNKNOWN;
    }
    const char *shown = after_scheme(header, "Basic");
    if (shown == NULL) {
        return SW_NOT_AUTHORIZED;
    }
    /* What the header would have to be is made, so that nothing of the client's has to be read. */
    sw_buf expected;
    sw_buf_init(&expected, 2 * SW_SECRET_MAX);
    sw_base64(&expected, secret, len, true);
    bool equal = sw_secret_equal(shown, strlen(shown), expected.data, expected.len);
    if (expected.data != NULL) {
        explicit_bzero(expected.data, expected.len);
    }
    sw_buf_release(&expected);
    return equal ? SW_AUTHORIZED : SW_NOT_AUTHORIZED;
}
