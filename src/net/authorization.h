/*
 * Whether an Authorization header (RFC 6750 Bearer, RFC 7617 Basic) shows what a secret file holds: compared
 * in a time that does not tell where they differ.
 */
#ifndef SW_NET_AUTHORIZATION_H
#define SW_NET_AUTHORIZATION_H

#include "net/secret.h"

typedef enum sw_authorization {
    SW_AUTHORIZED,
    SW_NOT_AUTHORIZED,
    SW_AUTHORIZATION_UNKNOWN, /* the file cannot be used: `error` */
} sw_authorization;

/* `header` NULL: nothing is shown. The file holds one token. */
sw_authorization sw_authorize_bearer(sw_secrets *secrets, const char *token_file, const char *header,
                                     char error[256]);
/* The file holds one line user:password. */
sw_authorization sw_authorize_basic(sw_secrets *secrets, const char *file, const char *header,
                                    char error[256]);

#endif
