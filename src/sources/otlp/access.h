/* Who may send spans: everybody, or who shows the token of a file. And what both receivers are told. */
#ifndef SW_SOURCES_OTLP_ACCESS_H
#define SW_SOURCES_OTLP_ACCESS_H

#include "net/secret.h"
#include "net/tls_server.h"

#define OTLP_RETRY_AFTER_S 1 /* what a sender is told to wait */

typedef struct sw_otlp_receiver_options {
    const char *address;           /* host:port */
    size_t max_body;               /* bytes, before and after decompression */
    const sw_tls_files *tls;       /* NULL: no TLS */
    const char *bearer_token_file; /* NULL or empty: everybody may send; must outlive the receiver */
} sw_otlp_receiver_options;

typedef struct otlp_access {
    const char *bearer_token_file;
    sw_secrets *secrets;
    bool complained;
} otlp_access;

void otlp_access_init(otlp_access *access, const sw_otlp_receiver_options *options);
void otlp_access_release(otlp_access *access);
/* `header`: Authorization, NULL when there is none. */
bool otlp_access_admits(otlp_access *access, const char *header);

#endif
