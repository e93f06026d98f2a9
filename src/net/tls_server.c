#include "net/tls_server.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/secret.h"
#include "telemetry/log.h"

/* TLS 1.2 and newer, with forward secrecy. */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA"

struct sw_tls_identity {
    unsigned holders;
    gnutls_certificate_credentials_t credentials;
    char *cert, *key, *ca; /* PEM */
};

struct sw_tls_server {
    sw_tls_files files;
    sw_secrets *secrets;
    sw_tls_identity *identity;
    gnutls_priority_t priorities;
    char *complained; /* what was logged last about files that are not usable */
};

static bool is_set(const char *path) {
    return path != NULL && path[0] != '\0';
}

static void forget(char *secret) {
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
    }
    free(secret);
}

void sw_tls_identity_release(sw_tls_identity *identity) {
    if (identity == NULL || --identity->holders > 0) {
        return;
    }
    gnutls_certificate_free_credentials(identity->credentials);
    free(identity->cert);
    free(identity->ca);
    forget(identity->key);
    free(identity);
}

/* A copy, or NULL with *error. */
static char *read_file(sw_secrets *secrets, const char *path, char **error) {
    char why[256];
    size_t len = 0;
    const char *text = sw_secrets_get(secrets, path, &len, why);
    if (text == NULL) {
        *error = xstrdup(why);
    }
    return text != NULL ? xstrndup(text, len) : NULL;
}

static gnutls_datum_t datum_of(const char *text) {
    return (gnutls_datum_t){.data = (unsigned char *)(uintptr_t)text, .size = (unsigned)strlen(text)};
}

static char *use(sw_tls_identity *identity, const sw_tls_files *files) {
    gnutls_datum_t cert = datum_of(identity->cert), key = datum_of(identity->key);
    int rc = gnutls_certificate_set_x509_key_mem(identity->credentials, &cert, &key, GNUTLS_X509_FMT_PEM);
    if (rc < 0) {
        return xasprintf("cannot use the certificate %s with its key %s: %s", files->cert_file,
                         is_set(files->key_file) ? files->key_file : files->cert_file, gnutls_strerror(rc));
    }
    if (identity->ca != NULL) {
        gnutls_datum_t ca = datum_of(identity->ca);
        rc = gnutls_certificate_set_x509_trust_mem(identity->credentials, &ca, GNUTLS_X509_FMT_PEM);
        if (rc <= 0) {
            return xasprintf("cannot use the certificate authorities %s: %s", files->ca_file,
                             rc < 0 ? gnutls_strerror(rc) : "there is none in it");
        }
    }
    return NULL;
}

/* False with *error. */
static bool read_files(sw_tls_server *tls, sw_tls_identity *into, char **error) {
    const sw_tls_files *files = &tls->files;
    into->cert = read_file(tls->secrets, files->cert_file, error);
    if (into->cert == NULL) {
        return false;
    }
    into->key = read_file(tls->secrets, is_set(files->key_file) ? files->key_file : files->cert_file, error);
    if (into->key == NULL) {
        return false;
    }
    into->ca = is_set(files->ca_file) ? read_file(tls->secrets, files->ca_file, error) : NULL;
    return into->ca != NULL || !is_set(files->ca_file);
}

static bool is_same(const sw_tls_identity *a, const sw_tls_identity *b) {
    return sw_streq(a->cert, b->cert) && sw_streq(a->key, b->key) && sw_streq(a->ca, b->ca);
}

/* The files as they are now; the identity at hand when they have not changed. NULL with *error. */
static sw_tls_identity *read_identity(sw_tls_server *tls, char **error) {
    sw_tls_identity *found = xcalloc(1, sizeof *found);
    found->holders = 1;
    if (gnutls_certificate_allocate_credentials(&found->credentials) != 0) {
        abort(); /* no memory: the policy of base.h */
    }
    bool good = read_files(tls, found, error);
    if (good && tls->identity != NULL && is_same(tls->identity, found)) {
        sw_tls_identity_release(found);
        return tls->identity;
    }
    if (good) {
        *error = use(found, &tls->files);
        good = *error == NULL;
    }
    if (!good) {
        sw_tls_identity_release(found);
    }
    return good ? found : NULL;
}

static void complain(sw_tls_server *tls, char *why) {
    if (!sw_streq(why, tls->complained)) {
        sw_log(SW_LOG_ERROR, "the TLS certificate that was read last is used on", "reason", why, NULL);
    }
    free(tls->complained);
    tls->complained = why;
}

static void look_again(sw_tls_server *tls) {
    char *error = NULL;
    sw_tls_identity *found = read_identity(tls, &error);
    if (found == NULL) {
        complain(tls, error);
        return;
    }
    free(tls->complained);
    tls->complained = NULL;
    if (found != tls->identity) {
        sw_log(SW_LOG_INFO, "the TLS certificate has changed", "file", tls->files.cert_file, NULL);
        sw_tls_identity_release(tls->identity);
        tls->identity = found;
    }
}

sw_tls_server *sw_tls_server_new(const sw_tls_files *files, char **error) {
    sw_tls_server *tls = xcalloc(1, sizeof *tls);
    tls->files = *files;
    tls->secrets = sw_secrets_new();
    if (gnutls_priority_init(&tls->priorities, PRIORITIES, NULL) != 0) {
        abort();
    }
    tls->identity = read_identity(tls, error);
    if (tls->identity == NULL) {
        sw_tls_server_free(tls);
        return NULL;
    }
    return tls;
}

void sw_tls_server_free(sw_tls_server *tls) {
    if (tls == NULL) {
        return;
    }
    sw_tls_identity_release(tls->identity);
    sw_secrets_free(tls->secrets);
    gnutls_priority_deinit(tls->priorities);
    free(tls->complained);
    free(tls);
}

const char *sw_tls_server_cert(const sw_tls_server *tls) {
    return tls->identity->cert;
}

const char *sw_tls_server_key(const sw_tls_server *tls) {
    return tls->identity->key;
}

sw_tls_identity *sw_tls_server_apply(sw_tls_server *tls, void *gnutls_session) {
    gnutls_session_t session = gnutls_session;
    look_again(tls);
    sw_tls_identity *identity = tls->identity;
    if (gnutls_priority_set(session, tls->priorities) != 0 ||
        gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, identity->credentials) != 0) {
        return NULL;
    }
    if (identity->ca != NULL) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(session, NULL, 0);
    }
    identity->holders++;
    return identity;
}

char *sw_tls_pin_of(const char *cert_file, char error[256]) {
    sw_secrets *secrets = sw_secrets_new();
    const char *text = sw_secrets_get(secrets, cert_file, NULL, error);
    char *pin = NULL;
    gnutls_x509_crt_t cert = NULL;
    gnutls_pubkey_t key = NULL;
    gnutls_datum_t encoded = {0}, base64 = {0};
    if (text != NULL) {
        gnutls_datum_t pem = datum_of(text);
        unsigned char digest[32];
        int rc = gnutls_x509_crt_init(&cert);
        rc = rc == 0 ? gnutls_x509_crt_import(cert, &pem, GNUTLS_X509_FMT_PEM) : rc;
        rc = rc == 0 ? gnutls_pubkey_init(&key) : rc;
        rc = rc == 0 ? gnutls_pubkey_import_x509(key, cert, 0) : rc;
        rc = rc == 0 ? gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &encoded) : rc;
        rc = rc == 0 ? gnutls_hash_fast(GNUTLS_DIG_SHA256, encoded.data, encoded.size, digest) : rc;
        gnutls_datum_t raw = {.data = digest, .size = sizeof digest};
        rc = rc == 0 ? gnutls_base64_encode2(&raw, &base64) : rc;
        if (rc == 0) {
            pin = xasprintf("sha256//%.*s", (int)base64.size, (const char *)base64.data);
        } else {
            snprintf(error, 256, "cannot use the certificate %s: %s", cert_file, gnutls_strerror(rc));
        }
    }
    gnutls_free(encoded.data);
    gnutls_free(base64.data);
    gnutls_pubkey_deinit(key);
    gnutls_x509_crt_deinit(cert);
    sw_secrets_free(secrets);
    return pin;
}

/* ---- one connection ---- */

struct sw_tls_stream {
    gnutls_session_t session;
    sw_tls_identity *identity;
    sw_buf *out;
    const char *in; /* of the client, not read yet */
    size_t in_len;
    bool open;
    const char *alpn;
};

static ssize_t pull(gnutls_transport_ptr_t arg, void *to, size_t room) {
    sw_tls_stream *stream = arg;
    if (stream->in_len == 0) {
        gnutls_transport_set_errno(stream->session, EAGAIN);
        return -1;
    }
    size_t len = stream->in_len < room ? stream->in_len : room;
    memcpy(to, stream->in, len);
    stream->in += len;
    stream->in_len -= len;
    return (ssize_t)len;
}

static int pull_timeout(gnutls_transport_ptr_t arg, unsigned ms) {
    (void)ms;
    const sw_tls_stream *stream = arg;
    return stream->in_len > 0;
}

static ssize_t push(gnutls_transport_ptr_t arg, const void *data, size_t len) {
    sw_tls_stream *stream = arg;
    if (sw_buf_append(stream->out, data, len) != 0) {
        gnutls_transport_set_errno(stream->session, EIO);
        return -1;
    }
    return (ssize_t)len;
}

sw_tls_stream *sw_tls_stream_new(sw_tls_server *tls, const char *alpn, sw_buf *out) {
    sw_tls_stream *stream = xcalloc(1, sizeof *stream);
    stream->out = out;
    stream->alpn = alpn;
    if (gnutls_init(&stream->session, GNUTLS_SERVER | GNUTLS_NONBLOCK) != 0) {
        abort(); /* no memory: the policy of base.h */
    }
    stream->identity = sw_tls_server_apply(tls, stream->session);
    gnutls_datum_t protocol = datum_of(alpn);
    if (stream->identity == NULL ||
        gnutls_alpn_set_protocols(stream->session, &protocol, 1, GNUTLS_ALPN_MANDATORY) != 0) {
        sw_tls_stream_free(stream);
        return NULL;
    }
    gnutls_transport_set_ptr(stream->session, stream);
    gnutls_transport_set_pull_function(stream->session, pull);
    gnutls_transport_set_pull_timeout_function(stream->session, pull_timeout);
    gnutls_transport_set_push_function(stream->session, push);
    return stream;
}

void sw_tls_stream_free(sw_tls_stream *stream) {
    if (stream == NULL) {
        return;
    }
    gnutls_deinit(stream->session);
    sw_tls_identity_release(stream->identity);
    free(stream);
}

/* 1 when it is done, 0 when more must come, -1 when it failed. */
static int shake_hands(sw_tls_stream *stream) {
    int rc = gnutls_handshake(stream->session);
    if (rc == GNUTLS_E_AGAIN || rc == GNUTLS_E_INTERRUPTED || (rc < 0 && !gnutls_error_is_fatal(rc))) {
        return 0;
    }
    gnutls_datum_t chosen = {0};
    if (rc == 0 && gnutls_alpn_get_selected_protocol(stream->session, &chosen) == 0 &&
        chosen.size == strlen(stream->alpn) && memcmp(chosen.data, stream->alpn, chosen.size) == 0) {
        stream->open = true;
        return 1;
    }
    sw_log(SW_LOG_DEBUG, "tls: no session", "reason",
           rc < 0 ? gnutls_strerror(rc) : "the client does not ask for the protocol that is spoken here",
           NULL);
    if (rc < 0) {
        gnutls_alert_send_appropriate(stream->session, rc);
    } else {
        gnutls_alert_send(stream->session, GNUTLS_AL_FATAL, GNUTLS_A_NO_APPLICATION_PROTOCOL);
    }
    return -1;
}

bool sw_tls_stream_receive(sw_tls_stream *stream, const char *data, size_t len,
                           bool (*plain)(const char *data, size_t len, void *arg), void *arg) {
    stream->in = data;
    stream->in_len = len;
    while (!stream->open) {
        size_t before = stream->in_len;
        int done = shake_hands(stream);
        if (done < 0) {
            return false;
        }
        if (done == 0 && (stream->in_len == 0 || stream->in_len == before)) {
            return true;
        }
    }
    for (;;) {
        char piece[16384]; /* the largest record */
        ssize_t got = gnutls_record_recv(stream->session, piece, sizeof piece);
        if (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED) {
            if (stream->in_len == 0) {
                return true;
            }
            continue;
        }
        if (got <= 0 || !plain(piece, (size_t)got, arg)) { /* also renegotiation, which nobody needs */
            return false;
        }
    }
}

bool sw_tls_stream_send(sw_tls_stream *stream, const void *data, size_t len) {
    for (size_t sent = 0; sent < len;) {
        ssize_t n = gnutls_record_send(stream->session, (const char *)data + sent, len - sent);
        if (n < 0) {
            return false;
        }
        sent += (size_t)n;
    }
    return true;
}

bool sw_tls_stream_is_open(const sw_tls_stream *stream) {
    return stream->open;
}

void sw_tls_stream_bye(sw_tls_stream *stream) {
    if (stream->open) {
        gnutls_bye(stream->session, GNUTLS_SHUT_WR);
    }
}
