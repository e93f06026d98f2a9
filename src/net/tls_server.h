/*
 * TLS of what listens: certificates from files, with GnuTLS (which libmicrohttpd uses for its own).
 *
 * Files are looked at again for each new connection and read when they have changed. When new ones are not
 * usable (half written, a key of another certificate), the last that were are used on, and that is logged
 * once.
 */
#ifndef SW_NET_TLS_SERVER_H
#define SW_NET_TLS_SERVER_H

#include "base/buf.h"

/* PEM files; texts belong to the caller and must outlive whoever listens. */
typedef struct sw_tls_files {
    const char *cert_file; /* the server's certificate, then those that it needs to be believed */
    const char *key_file;  /* NULL or empty: it is in cert_file */
    const char *ca_file;   /* who signs the certificates that clients must show; NULL or empty: none */
} sw_tls_files;

typedef struct sw_tls_server sw_tls_server;

/* NULL on failure, with *error (caller frees) naming the file and the reason. */
sw_tls_server *sw_tls_server_new(const sw_tls_files *files, char **error);
void sw_tls_server_free(sw_tls_server *tls);
/* What was read last, for libmicrohttpd. */
const char *sw_tls_server_cert(const sw_tls_server *tls);
const char *sw_tls_server_key(const sw_tls_server *tls);

/* What sessions use; shared, freed with the last that holds it. */
typedef struct sw_tls_identity sw_tls_identity;
/* Gives a gnutls_session_t that has not begun its handshake the certificate, and asks for the client's when
 * it must show one. Release what comes back when the session has ended. NULL: it could not. */
sw_tls_identity *sw_tls_server_apply(sw_tls_server *tls, void *gnutls_session);
void sw_tls_identity_release(sw_tls_identity *identity); /* NULL is fine */

/* One connection: TLS between two streams of bytes, without their I/O. */
typedef struct sw_tls_stream sw_tls_stream;
/* What is to be sent to the client is appended to `out`, which must outlive it. The client must speak `alpn`
 * (such as "h2"). NULL: it could not. */
sw_tls_stream *sw_tls_stream_new(sw_tls_server *tls, const char *alpn, sw_buf *out);
void sw_tls_stream_free(sw_tls_stream *stream);
/* Takes bytes of the client and hands over what is in them. False: the connection is over. */
bool sw_tls_stream_receive(sw_tls_stream *stream, const char *data, size_t len,
                           bool (*plain)(const char *data, size_t len, void *arg), void *arg);
/* False: the connection is over. Nothing may be sent before the handshake is done. */
bool sw_tls_stream_send(sw_tls_stream *stream, const void *data, size_t len);
bool sw_tls_stream_is_open(const sw_tls_stream *stream); /* the handshake is done */
void sw_tls_stream_bye(sw_tls_stream *stream);           /* appends the end of the session */

/* The SHA-256 of a certificate's public key as curl pins it ("sha256//…"). NULL, with `error`, when the file
 * holds none. Caller frees. */
char *sw_tls_pin_of(const char *cert_file, char error[256]);

#endif
