/*
 * Secrets from files: passwords, tokens, keys.
 *
 * A file is read when it is first asked for and again when it has changed (modification or change time, size,
 * inode), so a rotated secret is used without a restart. Files are small and regular: the read does not block
 * for long. One newline or more at the end do not belong to the secret.
 */
#ifndef SW_NET_SECRET_H
#define SW_NET_SECRET_H

#include "base/base.h"

#define SW_SECRET_MAX 65536 /* bytes of a file */
#define SW_SECRETS_MAX 64   /* files kept in memory; others are read each time */

typedef struct sw_secrets sw_secrets;

sw_secrets *sw_secrets_new(void);
void sw_secrets_free(sw_secrets *secrets); /* wipes them */

/* The secret in `path`, NUL-terminated, valid until the next call. NULL when the file cannot be read, is no
 * regular file, empty or too large; `error` then names file and reason. */
const char *sw_secrets_get(sw_secrets *secrets, const char *path, size_t *len, char error[256]);

/* Whether two texts are equal, in a time that does not tell where they differ (but does tell their lengths).
 */
bool sw_secret_equal(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
