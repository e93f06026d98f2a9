#include "sources/otlp/access.h"

#include "net/authorization.h"
#include "telemetry/log.h"

void otlp_access_init(otlp_access *access, const sw_otlp_receiver_options *options) {
    const char *file = options->bearer_token_file;
    bool needed = file != NULL && file[0] != '\0';
    *access = (otlp_access){.bearer_token_file = needed ? file : NULL};
    access->secrets = needed ? sw_secrets_new() : NULL;
}

void otlp_access_release(otlp_access *access) {
    sw_secrets_free(access->secrets);
    *access = (otlp_access){0};
}

bool otlp_access_admits(otlp_access *access, const char *header) {
    if (access->bearer_token_file == NULL) {
        return true;
    }
    char error[256];
    sw_authorization result = sw_authorize_bearer(access->secrets, access->bearer_token_file, header, error);
    if (result == SW_AUTHORIZATION_UNKNOWN && !access->complained) {
        sw_log(SW_LOG_ERROR, "the token of senders of spans cannot be read: nobody is admitted", "reason",
               error, NULL);
    }
    access->complained = result == SW_AUTHORIZATION_UNKNOWN;
    return result == SW_AUTHORIZED;
}
