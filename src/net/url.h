/* Small URL helpers; parsing is libcurl's. */
#ifndef SW_NET_URL_H
#define SW_NET_URL_H

#include "base/buf.h"

#define SW_URL_MAX 65536 /* bytes; a longer URL is invalid */

/* The URL without user, password, query and fragment, for logs; "(invalid URL)" when it is none. Caller
 * frees. */
char *sw_url_redact(const char *url);
/* NULL when `url` is an absolute http or https URL with a host; else static text that says what is wrong ("it
 * has no host"), without quoting the URL. */
const char *sw_url_check(const char *url);
/* Lower-case "host" or "host:port" (port only when it is given), as libcurl would connect to it: "127.1" is
 * "127.0.0.1", IPv6 keeps its brackets. Caller frees; NULL when invalid. */
char *sw_url_host(const char *url);
/* Appends `s` percent-encoded for a query (RFC 3986 unreserved characters stay). */
int sw_url_encode(sw_buf *out, const char *s);

#endif
